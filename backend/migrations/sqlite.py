"""What SQLite cannot do with ALTER TABLE, and batch mode does at the price of the triggers."""

import sqlalchemy as sa
from alembic import op


def rebuild(name: str, *parts: sa.schema.SchemaItem, new: dict[str, str] | None = None, **options: bool) -> None:
    """Make a table anew with its rows; other tables' foreign keys go on meaning it by its name.

    Args:
        new: Columns that were not there before, and what stands in them.
    """
    columns = {c.name: c.name for c in parts if isinstance(c, sa.Column)} | (new or {})
    names, values = ", ".join(columns), ", ".join(columns.values())
    op.rename_table(name, f"{name}_before")
    op.create_table(name, *parts, **options)
    op.execute(f"INSERT INTO {name} ({names}) SELECT {values} FROM {name}_before")  # noqa: S608 (names of our own)
    op.drop_table(f"{name}_before")
