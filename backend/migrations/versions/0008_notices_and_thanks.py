"""Mails about the month, what owners say to who flattrs them, and longer paths to come back to after signing in"""

import sqlalchemy as sa
from alembic import op

from backend.db import PeriodNumber, UtcDateTime
from backend.migrations.sqlite import rebuild

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    a_user = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "thanks",
        sa.Column("user_id", a_user, autoincrement=False, nullable=False),
        sa.Column("line", sa.String(length=140), nullable=True),
        sa.Column("shows_name", sa.Boolean(), nullable=False),
        sa.Column("shows_supporters", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("thanks_user_id_fkey")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("thanks_pkey")),
    )
    op.create_table(
        "unwanted_mails",
        sa.Column("user_id", a_user, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("unwanted_mails_user_id_fkey")),
        sa.PrimaryKeyConstraint("user_id", "kind", name=op.f("unwanted_mails_pkey")),
    )
    op.create_table(
        "notice_runs",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("period", PeriodNumber(), autoincrement=False, nullable=False),
        sa.Column("up_to", sa.BigInteger(), nullable=False),
        sa.Column("done_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kind", "period", name=op.f("notice_runs_pkey")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("sign_in_links", "next_path", type_=sa.String(length=2400))
    else:
        rebuild(
            "sign_in_links",
            sa.Column("email", sa.String(length=254), nullable=False),
            sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
            sa.Column("next_path", sa.String(length=2400), nullable=False),
            sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
            sa.PrimaryKeyConstraint("email", name=op.f("sign_in_links_pkey")),
            sa.UniqueConstraint("token_hash", name=op.f("sign_in_links_token_hash_key")),
        )
