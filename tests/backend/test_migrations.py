"""The database that migrations build is the one that the models describe, down to triggers and CHECKs."""

import re
import sqlite3
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic import command

from backend import audit, card_money, cli, db, ledger
from backend.clicks import months
from backend.db import Base
from backend.deposits import imports, reversals
from tests.backend.bank import OURS, Bank

POSTGRESQL_CATALOG = {
    "columns": """
        SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default, is_identity,
               identity_generation, character_maximum_length, numeric_precision, datetime_precision
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "triggers": """
        SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal""",
    "functions": """
        SELECT proname::text, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace""",
    "kinds": """
        SELECT relname::text, relkind::text, relpersistence::text
        FROM pg_class WHERE relnamespace = 'public'::regnamespace""",
}


def catalog(engine):
    """All that the database knows of its tables, without what Alembic keeps for itself."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            query = "SELECT type, name, tbl_name, sql FROM sqlite_master"
            found = {"objects": {(*row[:3], in_order(row.sql)) for row in connection.exec_driver_sql(query)}}
        else:
            found = {
                part: {tuple(row) for row in connection.exec_driver_sql(query)}
                for part, query in POSTGRESQL_CATALOG.items()
            }
    return {
        part: {row for row in rows if not any("alembic" in str(cell) for cell in row)} for part, rows in found.items()
    }


def in_order(sql):
    """A definition without its line breaks; what stands in a table's brackets, in the order of the alphabet."""
    text = re.sub(r"\s+", " ", sql or "").strip()
    if not text.startswith("CREATE TABLE"):
        return text
    head, _, rest = text.partition("(")
    inside, _, tail = rest.rpartition(")")
    return head, tuple(sorted(re.split(r", (?![^(]*\))", inside.strip()))), tail.strip()


@pytest.fixture
def fresh(engine, tmp_path, postgres):
    """A database without a table."""
    if engine.dialect.name == "sqlite":
        fresh = db.make_engine(f"sqlite:///{tmp_path / 'created.db'}")
    else:
        admin, url = postgres
        with admin.connect() as connection:
            connection.exec_driver_sql("DROP DATABASE IF EXISTS created")
            connection.exec_driver_sql("CREATE DATABASE created")
        fresh = db.make_engine(url.format("created"))
    yield fresh
    fresh.dispose()


@pytest.fixture
def created(fresh):
    """A database made from the models alone."""
    with fresh.execution_options(flattr_writing=True).begin() as connection:
        Base.metadata.create_all(connection)
    return fresh


def test_an_upgraded_database_is_the_one_that_the_models_describe(engine, created):
    upgraded, described = catalog(engine), catalog(created)

    for part, rows in described.items():
        assert upgraded[part] - rows == set(), f"{part} that only the migrations make"
        assert rows - upgraded[part] == set(), f"{part} that only the models make: write a migration"
    assert sum(map(len, described.values())) > 40


def test_the_comparison_sees_a_missing_trigger_check_and_index(engine, created):
    upgraded = catalog(engine)
    drop = {
        "sqlite": ("DROP TRIGGER transfers_no_update", "DROP INDEX claims_one_verified_per_site"),
        "postgresql": (
            "DROP TRIGGER transfers_append_only ON transfers",
            "DROP INDEX claims_one_verified_per_site",
            "ALTER TABLE accounts DROP CONSTRAINT accounts_never_below_zero",
            "ALTER TABLE users ALTER COLUMN name DROP NOT NULL",
        ),
    }
    for statement in drop[engine.dialect.name]:
        before = catalog(created)
        with created.begin() as connection:
            connection.exec_driver_sql(statement)
        after = catalog(created)
        assert after != before, statement
        assert after != upgraded


def test_every_module_with_tables_is_known_to_the_migrations(engine):
    assert cli, "the face that imports all nouns"
    upgraded = set(sa.inspect(engine).get_table_names()) - {"alembic_version"}

    assert upgraded == set(Base.metadata.tables)


def test_the_ledger_is_append_only_after_an_upgrade(town, session):
    town.person("Ann", wallet="5.00")

    for change in ("UPDATE transfers SET amount_micros = 1", "DELETE FROM transfers"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            session.execute(sa.text(change))
        session.rollback()
    assert audit.problems(session) == []


def test_a_wallet_cannot_go_below_zero_after_an_upgrade(town, session):
    town.person("Ann", wallet="5.00")

    with pytest.raises(sa.exc.IntegrityError, match="accounts_never_below_zero"):
        session.execute(sa.update(ledger.Account).where(ledger.Account.kind == 4).values(balance_micros=-1))


def test_sqlite_keeps_lists_by_their_key(upgraded_sqlite):
    with sqlite3.connect(upgraded_sqlite) as connection:
        tables = dict(connection.execute("SELECT name, wr FROM pragma_table_list WHERE schema = 'main'"))
    assert [name for name in ("clicks", "payees", "promises", "shares") if not tables[name]] == []


def test_an_upgrade_of_an_upgraded_database_does_nothing(engine):
    before = catalog(engine)

    assert db.upgrade(engine) is False
    assert catalog(engine) == before
    assert db.is_current(engine)


# With rows ------------------------------------------------------------------------------------------------------------


def at_version(engine, revision):
    """Bring a database to a version that is not the newest."""
    config = db.migrations()
    config.attributes["engine"] = engine
    command.upgrade(config, revision)


@pytest.fixture
def october(town, tmp_path):
    """A month of card money, bank entries and deposits: Ann gave 12.00 to Bea and Carl, half of it young card money."""
    for owner in ("Bea", "Carl"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
    town.person("Ann", budget="12.00")
    bank = Bank()
    bank.credit("2026-10-05", "6.00", town.people["Ann"].deposit_reference)
    bank.credit("2026-10-05", "3.00", "who knows whose")
    bank.debit("2026-10-06", "6.00", reversal=True)
    bank.debit("2026-10-06", "1.00", "fee")
    file = tmp_path / "statement.xml"
    file.write_bytes(bank.statement())
    imports.import_file(town.sessions, file, iban=OURS, currency="EUR", now=town.now)
    town.on("2026-10-20")
    town.card("Ann", "10.00")
    for owner in ("bea", "carl"):
        town.press("Ann", f"{owner}.example.org/")
    town.on("2026-11-02")
    town.settle(fee_bps=1000)
    return town


def test_0011_keeps_card_money_bank_entries_and_deposits_as_they_are(october, engine, fresh):
    at_version(fresh, "0010")
    tables = sa.MetaData()
    tables.reflect(fresh, only=lambda name, _: not name.startswith(("alembic", "clicks_")))
    before = {table.name: told(engine, table) for table in tables.sorted_tables}
    owners = [october.people[name].id for name in ("Bea", "Carl")]
    before["held"] = [(202610, owner, 3_000_000) for owner in owners]  # a row for each owner, whenever it is ripe
    assert all(before[name] for name in ("deposits", "bank_entries", "card_payments", "transfers"))
    with fresh.execution_options(flattr_writing=True).begin() as connection:
        if fresh.dialect.name == "postgresql":
            for statement in (*months.partition("2026-10"), "SELECT setval(seqrelid::regclass, 1000) FROM pg_sequence"):
                connection.exec_driver_sql(statement)
        for table in tables.sorted_tables:
            if before[table.name]:
                connection.execute(table.insert().values(before[table.name]))

    db.upgrade(fresh)

    assert {table.name: told(fresh, table) for table in tables.sorted_tables} == before
    with db.session_maker(fresh)() as session:
        assert audit.problems(session, full=True) == []
        assert card_money.held(session, owners, now=at("2026-12-02T23:59")) == dict.fromkeys(owners, 2_700_000)
        assert card_money.held(session, owners, now=at("2026-12-03T00:00")) == {}
        [entry] = reversals.waiting(session)
        reversals.reverse(session, entry.id, october.people["Ann"], now=october.now)
        assert audit.problems(session, full=True) == []


def told(engine, table):
    """The rows of a table, as far as a version has columns for them, in the order of their keys."""
    with engine.connect() as connection:
        return list(map(tuple, connection.execute(sa.select(*table.columns).order_by(*table.primary_key))))


def at(minute):
    return datetime.fromisoformat(minute).replace(tzinfo=UTC)
