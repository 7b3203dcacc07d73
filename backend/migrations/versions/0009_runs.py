"""What operators had the worker do, and what came of it"""

import sqlalchemy as sa
from alembic import op

from backend.db import PeriodNumber, UtcDateTime

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("period", PeriodNumber(), nullable=True),
        sa.Column("asked_by", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("of", sa.Integer(), nullable=False),
        sa.Column("ended_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("kind", name=op.f("runs_pkey")),
        sa.CheckConstraint("kind IN ('dry_run', 'settle', 'audit', 'doctor')", name=op.f("runs_kind_known")),
    )
