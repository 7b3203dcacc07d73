"""Card payments, their refunds and disputes, and what of incomes is held because of them"""

import sqlalchemy as sa
from alembic import op

from backend.db import UtcDateTime, append_only_triggers

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "card_payments",
        _id(),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("taken_micros", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("paid_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("checkout_id", sa.String(length=120), nullable=True),
        sa.Column("provider_id", sa.String(length=120), nullable=True),
        sa.Column("look_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("amount_micros > 0", name=op.f("card_payments_amount_positive")),
        sa.CheckConstraint("taken_micros >= 0", name=op.f("card_payments_taken_not_negative")),
        sa.CheckConstraint("state IN ('open', 'paid', 'expired')", name=op.f("card_payments_state_known")),
        sa.CheckConstraint(
            "(state = 'paid') = (provider_id IS NOT NULL) AND (state = 'paid') = (paid_at IS NOT NULL)",
            name=op.f("card_payments_paid_is_known"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("card_payments_user_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("card_payments_pkey")),
        sa.UniqueConstraint("key", name=op.f("card_payments_key_key")),
        sa.UniqueConstraint("checkout_id", name=op.f("card_payments_checkout_id_key")),
        sa.UniqueConstraint("provider_id", name=op.f("card_payments_provider_id_key")),
    )
    for column in ("user_id", "paid_at", "look_at"):
        op.create_index(f"card_payments_{column}_idx", "card_payments", [column])
    op.create_table(
        "card_refunds",
        _id(),
        _payment(),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("asked_at", UtcDateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_micros > 0", name=op.f("card_refunds_amount_positive")),
        sa.CheckConstraint("state IN ('asked', 'done', 'refused')", name=op.f("card_refunds_state_known")),
        sa.ForeignKeyConstraint(["payment_id"], ["card_payments.id"], name=op.f("card_refunds_payment_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("card_refunds_pkey")),
    )
    op.create_index("card_refunds_payment_id_idx", "card_refunds", ["payment_id"])
    op.create_table(
        "card_moves",
        sa.Column("cause", sa.String(length=120), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        _payment(),
        sa.Column("wallet_micros", sa.BigInteger(), nullable=False),
        sa.Column("transit_micros", sa.BigInteger(), nullable=False),
        sa.Column("reserve_micros", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["card_payments.id"], name=op.f("card_moves_payment_id_fkey")),
        sa.PrimaryKeyConstraint("cause", "number", name=op.f("card_moves_pkey")),
    )
    op.create_index("card_moves_payment_id_idx", "card_moves", ["payment_id"])
    for statement in append_only_triggers("card_moves", op.get_bind().dialect.name):
        op.execute(sa.text(statement))
    op.create_table(
        "held",
        sa.Column("period", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("held_micros", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("held_micros > 0", name=op.f("held_held_positive")),
        sa.PrimaryKeyConstraint("period", "owner_id", name=op.f("held_pkey")),
        sqlite_with_rowid=False,
    )


def _id() -> sa.Column:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, sa.Identity(always=False), nullable=False)


def _payment() -> sa.Column:
    return sa.Column("payment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)
