"""Months as partitions, what an empty month does, people who leave, and settlement in chunks"""

import sqlalchemy as sa
from alembic import op

from backend.clicks.months import partition
from backend.db import PeriodNumber, UtcDateTime
from backend.errors import DomainError
from backend.migrations.sqlite import rebuild

revision = "0002"
down_revision = "0001"

EMPTY_MONTHS = "empty_month IN ('keep', 'repeat', 'charity')"
LEFT = "left_at IS NULL OR email LIKE '%@left.invalid'"
COUNTERS = ("readers", "owners", "clicks", "promises")
APPEND_ONLY = [
    f"CREATE TRIGGER transfers_no_{verb.lower()} BEFORE {verb} ON transfers "
    "BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END"
    for verb in ("UPDATE", "DELETE")
]


class SettlementBegun(DomainError):
    """A month is half settled. Run `flattr settle` of the version before to its end, then upgrade."""

    code = "settlement_begun"


def upgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT COUNT(*) FROM periods WHERE state = 'closing'")):
        raise SettlementBegun
    if op.get_bind().dialect.name == "postgresql":
        change_postgresql()
    else:
        rebuild_sqlite()
    op.create_index(
        "budgets_not_kept_idx",
        "budgets",
        ["reader_id"],
        sqlite_where=sa.text("empty_month <> 'keep'"),
        postgresql_where=sa.text("empty_month <> 'keep'"),
    )
    op.create_index("claims_site_id_idx", "claims", ["site_id"])
    op.create_index("payees_owner_id_period_idx", "payees", ["owner_id", "period"])
    op.create_index("clicks_site_id_period_idx", "clicks", ["site_id", "period"])
    op.create_index(
        "clicks_author_id_period_idx",
        "clicks",
        ["author_id", "period"],
        sqlite_where=sa.text("author_id IS NOT NULL"),
        postgresql_where=sa.text("author_id IS NOT NULL"),
    )
    op.create_table(
        "gifts",
        sa.Column("period", PeriodNumber(), autoincrement=False, nullable=False),
        sa.Column("reader_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("owner_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("period", "reader_id", "owner_id", name=op.f("gifts_pkey")),
        sqlite_with_rowid=False,
    )
    op.create_index("gifts_owner_id_period_idx", "gifts", ["owner_id", "period"])
    op.create_table(
        "chunks",
        sa.Column("period", PeriodNumber(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("amounts", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("period", "number", "bucket", name=op.f("chunks_pkey")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE chunks ALTER COLUMN amounts SET STORAGE EXTERNAL")


def change_postgresql() -> None:
    op.add_column("budgets", sa.Column("empty_month", sa.String(8), nullable=False, server_default="keep"))
    op.alter_column("budgets", "empty_month", server_default=None)
    op.create_check_constraint(op.f("budgets_empty_month_known"), "budgets", EMPTY_MONTHS)
    op.drop_column("users", "empty_month")
    op.add_column("users", sa.Column("left_at", UtcDateTime(timezone=True), nullable=True))
    op.create_check_constraint(op.f("users_left_without_address"), "users", LEFT)
    op.drop_column("periods", "done_reader_id")
    op.add_column("periods", sa.Column("charity_id", sa.BigInteger(), nullable=True))
    for counter in COUNTERS:
        op.alter_column("periods", counter, type_=sa.BigInteger())
    op.drop_constraint("payees_owner_id_fkey", "payees")
    op.drop_index("payees_owner_id_idx", "payees")
    op.drop_constraint("transfers_debit_account_id_fkey", "transfers")
    op.drop_constraint("transfers_credit_account_id_fkey", "transfers")
    op.execute("CREATE TABLE clicks_before AS SELECT * FROM clicks")
    op.drop_table("clicks")
    create_clicks(postgresql_partition_by="LIST (period)")
    for period in op.get_bind().scalars(sa.text("SELECT period FROM periods ORDER BY period")).all():
        for statement in partition(f"{period // 100}-{period % 100:02d}"):
            op.execute(statement)
    op.execute("INSERT INTO clicks SELECT * FROM clicks_before")
    op.drop_table("clicks_before")


def create_clicks(**options: str) -> None:
    op.create_table(
        "clicks",
        sa.Column("period", PeriodNumber(), autoincrement=False, nullable=False),
        sa.Column("reader_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("page_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("clicked_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("author_id", sa.BigInteger(), nullable=True),
        sa.Column("promised_in", PeriodNumber(), nullable=True),
        sa.PrimaryKeyConstraint("period", "reader_id", "page_id", name=op.f("clicks_pkey")),
        **options,
    )


def rebuild_sqlite() -> None:
    """SQLite cannot drop a foreign key or a checked column: the tables are made anew."""
    op.drop_index("payees_owner_id_idx")
    rebuild(
        "budgets",
        sa.Column("reader_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period", PeriodNumber(), nullable=False),
        sa.Column("budget_micros", sa.BigInteger(), nullable=False),
        sa.Column("empty_month", sa.String(length=8), nullable=False),
        sa.CheckConstraint("budget_micros >= 0", name=op.f("budgets_not_negative")),
        sa.CheckConstraint(EMPTY_MONTHS, name=op.f("budgets_empty_month_known")),
        sa.PrimaryKeyConstraint("reader_id", "period", name=op.f("budgets_pkey")),
        new={"empty_month": "'keep'"},
    )
    rebuild(
        "users",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("public_id", sa.String(length=12), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("is_operator", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("left_at", UtcDateTime(timezone=True), nullable=True),
        sa.CheckConstraint(LEFT, name=op.f("users_left_without_address")),
        sa.CheckConstraint("length(public_id) = 12", name=op.f("users_public_id_has_12_characters")),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("email", name=op.f("users_email_key")),
        sa.UniqueConstraint("public_id", name=op.f("users_public_id_key")),
        new={"left_at": "NULL"},
    )
    rebuild(
        "periods",
        sa.Column("period", PeriodNumber(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("closed_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("fee_bps", sa.Integer(), nullable=True),
        sa.Column("charity_id", sa.BigInteger(), nullable=True),
        *(sa.Column(counter, sa.BigInteger(), nullable=False) for counter in COUNTERS),
        sa.Column("charged_micros", sa.BigInteger(), nullable=False),
        sa.Column("received_micros", sa.BigInteger(), nullable=False),
        sa.Column("fee_micros", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=True),
        sa.CheckConstraint("state IN ('open', 'closing', 'settled')", name=op.f("periods_state_known")),
        sa.PrimaryKeyConstraint("period", name=op.f("periods_pkey")),
        new={"charity_id": "NULL"},
    )
    rebuild(
        "payees",
        sa.Column("period", PeriodNumber(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since", UtcDateTime(timezone=True), nullable=False),
        sa.Column("until", UtcDateTime(timezone=True), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("period", "site_id", "since", name=op.f("payees_pkey")),
        sqlite_with_rowid=False,
    )
    for trigger in ("transfers_no_update", "transfers_no_delete"):
        op.execute(f"DROP TRIGGER {trigger}")
    rebuild(
        "transfers",
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("about", sa.String(length=140), nullable=False),
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("debit_account_id", sa.BigInteger(), nullable=False),
        sa.Column("credit_account_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "account_id IN (debit_account_id, credit_account_id)", name=op.f("transfers_concerns_its_account")
        ),
        sa.CheckConstraint("amount_micros > 0", name=op.f("transfers_amount_positive")),
        sa.CheckConstraint("debit_account_id <> credit_account_id", name=op.f("transfers_accounts_differ")),
        sa.PrimaryKeyConstraint("code", "about", "account_id", name=op.f("transfers_pkey")),
    )
    for statement in APPEND_ONLY:
        op.execute(sa.text(statement))
