"""More places where money can be, where a deposit came from, and the audit log"""

import sqlalchemy as sa
from alembic import op

from backend.db import UtcDateTime, append_only_triggers
from backend.migrations.sqlite import rebuild

revision = "0003"
down_revision = "0002"

KINDS = "(user_id = 0 AND kind IN (0, 1, 2, 3, 6, 7)) OR (user_id > 0 AND kind IN (4, 5, 6))"
NOT_BELOW_ZERO = "kind NOT IN (4, 5, 6) OR balance_micros >= 0"
SOURCES = "source IN ('operator', 'bank', 'card')"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("accounts_kind_known", "accounts")
        op.drop_constraint("accounts_never_below_zero", "accounts")
        op.create_check_constraint(op.f("accounts_kind_known"), "accounts", KINDS)
        op.create_check_constraint(op.f("accounts_never_below_zero"), "accounts", NOT_BELOW_ZERO)
        op.add_column("deposits", sa.Column("source", sa.String(8), nullable=False, server_default="operator"))
        op.alter_column("deposits", "source", server_default=None)
        op.add_column("deposits", sa.Column("payer_name", sa.String(140), nullable=True))
        op.add_column("deposits", sa.Column("payer_iban", sa.String(34), nullable=True))
        op.create_check_constraint(op.f("deposits_source_known"), "deposits", SOURCES)
    else:
        rebuild_sqlite()
    op.create_table(
        "audit_log",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("about", sa.String(length=300), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
    )
    op.create_index("audit_log_about_idx", "audit_log", ["about"])
    for statement in append_only_triggers("audit_log", op.get_bind().dialect.name):
        op.execute(sa.text(statement))


def rebuild_sqlite() -> None:
    """SQLite cannot change a check."""
    rebuild(
        "accounts",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("balance_micros", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = user_id * 8 + kind", name=op.f("accounts_id_is_user_and_kind")),
        sa.CheckConstraint(KINDS, name=op.f("accounts_kind_known")),
        sa.CheckConstraint(NOT_BELOW_ZERO, name=op.f("accounts_never_below_zero")),
        sa.PrimaryKeyConstraint("id", name=op.f("accounts_pkey")),
    )
    op.drop_index("deposits_user_id_idx")
    rebuild(
        "deposits",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("reference", sa.String(length=140), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(length=8), nullable=False),
        sa.Column("payer_name", sa.String(length=140), nullable=True),
        sa.Column("payer_iban", sa.String(length=34), nullable=True),
        sa.CheckConstraint("amount_micros > 0", name=op.f("deposits_amount_positive")),
        sa.CheckConstraint(SOURCES, name=op.f("deposits_source_known")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("deposits_user_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("deposits_pkey")),
        sa.UniqueConstraint("reference", name=op.f("deposits_reference_key")),
        new={"source": "'operator'", "payer_name": "NULL", "payer_iban": "NULL"},
    )
    op.create_index("deposits_user_id_idx", "deposits", ["user_id"])
