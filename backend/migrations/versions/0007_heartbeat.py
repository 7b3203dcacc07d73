"""Signs of life, and an index that finds the transfers of a statement"""

import sqlalchemy as sa
from alembic import op

from backend.db import UtcDateTime

revision = "0007"
down_revision = "0006"

NOT_SETTLED = sa.text("code NOT IN ('charge', 'share', 'fee')")


def upgrade() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("heartbeats_pkey")),
    )
    op.create_index(
        "transfers_account_id_idx",
        "transfers",
        ["account_id"],
        sqlite_where=NOT_SETTLED,
        postgresql_where=NOT_SETTLED,
    )
