"""Where users are paid, payouts, and the batches that go to the bank"""

import sqlalchemy as sa
from alembic import op

from backend.db import UtcDateTime

revision = "0005"
down_revision = "0004"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "payout_details",
        sa.Column("user_id", NUMBER, nullable=False),
        sa.Column("iban", sa.String(length=34), nullable=False),
        sa.Column("holder", sa.String(length=70), nullable=False),
        sa.Column("changed_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("returned_at", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("payout_details_user_id_fkey")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("payout_details_pkey")),
    )
    op.create_table(
        "payout_batches",
        sa.Column("id", NUMBER, sa.Identity(), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("payouts", sa.Integer(), nullable=False),
        sa.Column("total_micros", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("file", sa.LargeBinary(), nullable=True),
        sa.Column("prepared_by", NUMBER, nullable=True),
        sa.Column("approved_by", NUMBER, nullable=True),
        sa.Column("approved_at", UtcDateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('prepared', 'approved', 'exported', 'confirmed', 'cancelled')",
            name=op.f("payout_batches_state_known"),
        ),
        sa.CheckConstraint(
            "state IN ('prepared', 'cancelled') OR (approved_by IS NOT NULL AND approved_at IS NOT NULL)",
            name=op.f("payout_batches_approved_first"),
        ),
        sa.CheckConstraint("approved_by <> prepared_by", name=op.f("payout_batches_by_two_people")),
        sa.CheckConstraint(
            "file IS NOT NULL OR state IN ('confirmed', 'cancelled')", name=op.f("payout_batches_has_a_file")
        ),
        sa.CheckConstraint("payouts > 0 AND total_micros > 0", name=op.f("payout_batches_pays_something")),
        sa.ForeignKeyConstraint(["prepared_by"], ["users.id"], name=op.f("payout_batches_prepared_by_fkey")),
        sa.ForeignKeyConstraint(["approved_by"], ["users.id"], name=op.f("payout_batches_approved_by_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("payout_batches_pkey")),
    )
    op.create_index(
        "payout_batches_one_prepared_idx",
        "payout_batches",
        ["state"],
        unique=True,
        sqlite_where=sa.text("state = 'prepared'"),
        postgresql_where=sa.text("state = 'prepared'"),
    )
    op.create_table(
        "payouts",
        sa.Column("id", NUMBER, sa.Identity(), nullable=False),
        sa.Column("user_id", NUMBER, nullable=False),
        sa.Column("batch_id", NUMBER, nullable=True),
        sa.Column("purpose", sa.String(length=6), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("iban", sa.String(length=34), nullable=True),
        sa.Column("holder", sa.String(length=70), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("due_at", UtcDateTime(timezone=True), nullable=False),
        sa.CheckConstraint("purpose IN ('income', 'refund')", name=op.f("payouts_purpose_known")),
        sa.CheckConstraint("state IN ('open', 'paid', 'failed', 'cancelled')", name=op.f("payouts_state_known")),
        sa.CheckConstraint("amount_micros > 0 AND amount_micros % 10000 = 0", name=op.f("payouts_whole_cents")),
        sa.CheckConstraint(
            "state <> 'open' OR (iban IS NOT NULL AND holder IS NOT NULL)", name=op.f("payouts_goes_somewhere")
        ),
        sa.CheckConstraint("state <> 'paid' OR batch_id IS NOT NULL", name=op.f("payouts_paid_by_a_batch")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("payouts_user_id_fkey")),
        sa.ForeignKeyConstraint(["batch_id"], ["payout_batches.id"], name=op.f("payouts_batch_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("payouts_pkey")),
    )
    op.create_index("payouts_user_id_idx", "payouts", ["user_id"])
    op.create_index("payouts_batch_id_idx", "payouts", ["batch_id"])
