"""The first tables"""

import sqlalchemy as sa
from alembic import op

from backend.db import PeriodNumber, UtcDateTime

revision = "0001"
down_revision = None

APPEND_ONLY = {
    "sqlite": [
        (
            "CREATE TRIGGER transfers_no_update BEFORE UPDATE ON transfers "
            "BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END"
        ),
        (
            "CREATE TRIGGER transfers_no_delete BEFORE DELETE ON transfers "
            "BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END"
        ),
    ],
    "postgresql": [
        (
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        ),
        (
            "CREATE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        ),
    ],
}


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("balance_micros", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = user_id * 8 + kind", name=op.f("accounts_id_is_user_and_kind")),
        sa.CheckConstraint("kind < 3 OR balance_micros >= 0", name=op.f("accounts_never_below_zero")),
        sa.CheckConstraint("kind IN (0, 1, 2, 4, 5)", name=op.f("accounts_kind_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("accounts_pkey")),
    )
    op.create_table(
        "budgets",
        sa.Column("reader_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period", PeriodNumber(), nullable=False),
        sa.Column("budget_micros", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("budget_micros >= 0", name=op.f("budgets_not_negative")),
        sa.PrimaryKeyConstraint("reader_id", "period", name=op.f("budgets_pkey")),
    )
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
        sqlite_with_rowid=False,
    )
    op.create_table(
        "jobs",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=320), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("due_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("jobs_pkey")),
        sa.UniqueConstraint("kind", "key", name=op.f("jobs_kind_key_key")),
    )
    op.create_index(op.f("jobs_due_at_idx"), "jobs", ["due_at"], unique=False)
    op.create_table(
        "periods",
        sa.Column("period", PeriodNumber(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("closed_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("fee_bps", sa.Integer(), nullable=True),
        sa.Column("done_reader_id", sa.BigInteger(), nullable=False),
        sa.Column("readers", sa.Integer(), nullable=False),
        sa.Column("owners", sa.Integer(), nullable=False),
        sa.Column("clicks", sa.Integer(), nullable=False),
        sa.Column("promises", sa.Integer(), nullable=False),
        sa.Column("charged_micros", sa.BigInteger(), nullable=False),
        sa.Column("received_micros", sa.BigInteger(), nullable=False),
        sa.Column("fee_micros", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=True),
        sa.CheckConstraint("state IN ('open', 'closing', 'settled')", name=op.f("periods_state_known")),
        sa.PrimaryKeyConstraint("period", name=op.f("periods_pkey")),
    )
    op.create_table(
        "promises",
        sa.Column("reader_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("page_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("period", PeriodNumber(), nullable=False),
        sa.Column("made_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("joined", PeriodNumber(), nullable=True),
        sa.PrimaryKeyConstraint("reader_id", "page_id", name=op.f("promises_pkey")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("promises_site_id_idx"), "promises", ["site_id"], unique=False)
    op.create_table(
        "rates",
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("since", UtcDateTime(timezone=True), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", "since", name=op.f("rates_pkey")),
    )
    op.create_table(
        "shares",
        sa.Column("period", PeriodNumber(), autoincrement=False, nullable=False),
        sa.Column("reader_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pot_micros", sa.BigInteger(), nullable=False),
        sa.Column("owners", sa.Integer(), nullable=False),
        sa.Column("share_micros", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("share_micros * owners <= pot_micros", name=op.f("shares_pot_not_exceeded")),
        sa.PrimaryKeyConstraint("period", "reader_id", name=op.f("shares_pkey")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sign_in_links",
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("next_path", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("email", name=op.f("sign_in_links_pkey")),
        sa.UniqueConstraint("token_hash", name=op.f("sign_in_links_token_hash_key")),
    )
    op.create_table(
        "sites",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("opted_out_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("account_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("sites_pkey")),
        sa.UniqueConstraint("name", name=op.f("sites_name_key")),
    )
    op.create_table(
        "users",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("public_id", sa.String(length=12), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("is_operator", sa.Boolean(), nullable=False),
        sa.Column("empty_month", sa.String(length=8), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.CheckConstraint("empty_month IN ('keep', 'repeat', 'charity')", name=op.f("users_empty_month_known")),
        sa.CheckConstraint("length(public_id) = 12", name=op.f("users_public_id_has_12_characters")),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("email", name=op.f("users_email_key")),
        sa.UniqueConstraint("public_id", name=op.f("users_public_id_key")),
    )
    op.create_table(
        "authors",
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("authors_site_id_fkey")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("authors_user_id_fkey")),
        sa.PrimaryKeyConstraint("site_id", "user_id", name=op.f("authors_pkey")),
    )
    op.create_index(op.f("authors_user_id_idx"), "authors", ["user_id"], unique=False)
    op.create_table(
        "claims",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("method", sa.String(length=8), nullable=False),
        sa.Column("token", sa.String(length=26), nullable=False),
        sa.Column("token_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("verified_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("proved_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("doubtful_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("ended_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("next_check_at", UtcDateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state IN ('lapsed', 'ended', 'revoked')) = (ended_at IS NOT NULL)", name=op.f("claims_ended_has_a_time")
        ),
        sa.CheckConstraint(
            "state <> 'verified' OR (verified_at IS NOT NULL AND doubtful_at IS NULL)", name=op.f("claims_is_sure")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'verified', 'lapsing', 'lapsed', 'contested', 'ended', 'revoked')",
            name=op.f("claims_state_known"),
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("claims_site_id_fkey")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("claims_user_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("claims_pkey")),
    )
    op.create_index("claims_next_check_at_idx", "claims", ["next_check_at"], unique=False)
    op.create_index(
        "claims_one_open_per_user",
        "claims",
        ["site_id", "user_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "claims_one_verified_per_site",
        "claims",
        ["site_id"],
        unique=True,
        sqlite_where=sa.text("state = 'verified'"),
        postgresql_where=sa.text("state = 'verified'"),
    )
    op.create_index(op.f("claims_user_id_idx"), "claims", ["user_id"], unique=False)
    op.create_table(
        "deposits",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("reference", sa.String(length=140), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_micros > 0", name=op.f("deposits_amount_positive")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("deposits_user_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("deposits_pkey")),
        sa.UniqueConstraint("reference", name=op.f("deposits_reference_key")),
    )
    op.create_index(op.f("deposits_user_id_idx"), "deposits", ["user_id"], unique=False)
    op.create_table(
        "devices",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("used_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("devices_user_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("devices_pkey")),
        sa.UniqueConstraint("token_hash", name=op.f("devices_token_hash_key")),
    )
    op.create_index(op.f("devices_user_id_idx"), "devices", ["user_id"], unique=False)
    op.create_table(
        "looks",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("method", sa.String(length=8), nullable=False),
        sa.Column("code", sa.String(length=24), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("looks_site_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("looks_pkey")),
    )
    op.create_index(op.f("looks_site_id_idx"), "looks", ["site_id"], unique=False)
    op.create_table(
        "pages",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("site_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=True),
        sa.Column("author_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("pages_site_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("pages_pkey")),
        sa.UniqueConstraint("url", name=op.f("pages_url_key")),
    )
    op.create_index(op.f("pages_site_id_idx"), "pages", ["site_id"], unique=False)
    op.create_table(
        "pairings",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("challenge", sa.LargeBinary(length=32), nullable=False),
        sa.Column("device_name", sa.String(length=80), nullable=False),
        sa.Column("code", sa.String(length=6), nullable=False),
        sa.Column("wrong_codes", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("pairings_user_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("pairings_pkey")),
    )
    op.create_table(
        "payees",
        sa.Column("period", PeriodNumber(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since", UtcDateTime(timezone=True), nullable=False),
        sa.Column("until", UtcDateTime(timezone=True), nullable=False),
        sa.Column("owner_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("payees_owner_id_fkey")),
        sa.PrimaryKeyConstraint("period", "site_id", "since", name=op.f("payees_pkey")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("payees_owner_id_idx"), "payees", ["owner_id"], unique=False)
    op.create_table(
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
        sa.ForeignKeyConstraint(["credit_account_id"], ["accounts.id"], name=op.f("transfers_credit_account_id_fkey")),
        sa.ForeignKeyConstraint(["debit_account_id"], ["accounts.id"], name=op.f("transfers_debit_account_id_fkey")),
        sa.PrimaryKeyConstraint("code", "about", "account_id", name=op.f("transfers_pkey")),
    )
    op.create_table(
        "web_sessions",
        sa.Column("id_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("signed_in_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("web_sessions_user_id_fkey")),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("web_sessions_pkey")),
    )
    op.create_index(op.f("web_sessions_user_id_idx"), "web_sessions", ["user_id"], unique=False)
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(sa.text(statement))
