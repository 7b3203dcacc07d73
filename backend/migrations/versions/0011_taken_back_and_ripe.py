"""What banks take back of deposits, and on which day held card money is ripe"""

import sqlalchemy as sa
from alembic import op

from backend.db import UtcDateTime, append_only_triggers

revision = "0011"
down_revision = "0010"

# What is held by now was held for 30 days from the closing on: to the end of that day.
RIPE_DAY = {
    "sqlite": "CAST(strftime('%s', closed_at) AS INTEGER) / 86400 + 31",
    "postgresql": "FLOOR(EXTRACT(EPOCH FROM closed_at) / 86400) + 31",
}


def upgrade() -> None:
    dialect, integer = op.get_bind().dialect.name, sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "reversals",
        sa.Column("entry_id", integer, autoincrement=False, nullable=False),
        sa.Column("deposit_id", integer, nullable=False),
        sa.Column("wallet_micros", sa.BigInteger(), nullable=False),
        sa.Column("reserve_micros", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.CheckConstraint("wallet_micros >= 0 AND reserve_micros >= 0", name=op.f("reversals_not_negative")),
        sa.ForeignKeyConstraint(["entry_id"], ["bank_entries.id"], name=op.f("reversals_entry_id_fkey")),
        sa.ForeignKeyConstraint(["deposit_id"], ["deposits.id"], name=op.f("reversals_deposit_id_fkey")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("reversals_pkey")),
    )
    op.create_index("reversals_deposit_id_idx", "reversals", ["deposit_id"])
    for statement in append_only_triggers("reversals", dialect):
        op.execute(sa.text(statement))
    ripe_day = RIPE_DAY[dialect]
    joined = f"SELECT held.*, {ripe_day} AS ripe_day FROM held JOIN periods ON periods.period = held.period"  # noqa: S608
    op.execute(f"CREATE TABLE held_before AS {joined}")
    op.drop_table("held")
    op.create_table(
        "held",
        sa.Column("period", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ripe_day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("held_micros", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("held_micros > 0", name=op.f("held_held_positive")),
        sa.PrimaryKeyConstraint("period", "owner_id", "ripe_day", name=op.f("held_pkey")),
        sqlite_with_rowid=False,
    )
    columns = "period, owner_id, ripe_day, held_micros"
    op.execute(f"INSERT INTO held ({columns}) SELECT {columns} FROM held_before")  # noqa: S608 (names of our own)
    op.drop_table("held_before")
