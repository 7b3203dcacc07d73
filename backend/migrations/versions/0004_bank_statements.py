"""Bank statements, and what became of their entries"""

import sqlalchemy as sa
from alembic import op

from backend.db import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "bank_statements",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), nullable=False),
        sa.Column("account", sa.String(length=34), nullable=False),
        sa.Column("identifier", sa.String(length=70), nullable=False),
        sa.Column("opening_micros", sa.BigInteger(), nullable=False),
        sa.Column("closing_micros", sa.BigInteger(), nullable=False),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("closed_on", sa.Date(), nullable=False),
        sa.Column("file_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("bank_statements_pkey")),
        sa.UniqueConstraint("file_sha256", "number", name=op.f("bank_statements_file_sha256_number_key")),
    )
    op.create_index("bank_statements_account_idx", "bank_statements", ["account"])
    op.create_table(
        "bank_entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), nullable=False),
        sa.Column("account", sa.String(length=34), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(length=32), nullable=False),
        sa.Column("bank_reference", sa.String(length=70), nullable=True),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=True),
        sa.Column("end_to_end_id", sa.String(length=70), nullable=True),
        sa.Column("payer_name", sa.String(length=140), nullable=True),
        sa.Column("payer_iban", sa.String(length=34), nullable=True),
        sa.Column("text", sa.String(length=300), nullable=True),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('matched', 'unmatched', 'assigned', 'returned', 'ignored')",
            name=op.f("bank_entries_state_known"),
        ),
        sa.CheckConstraint(
            "amount_micros > 0 OR state = 'ignored'", name=op.f("bank_entries_only_what_came_is_booked")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("bank_entries_pkey")),
    )
    op.create_index("bank_entries_account_booked_on_idx", "bank_entries", ["account", "booked_on"])
    op.create_index("bank_entries_state_idx", "bank_entries", ["state"])
