"""The database that migrations build is the one that the models describe, down to triggers and CHECKs."""

import re
import sqlite3

import pytest
import sqlalchemy as sa

from backend import audit, cli, db, ledger
from backend.db import Base

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
def created(engine, tmp_path, postgres):
    """A database made from the models alone."""
    if engine.dialect.name == "sqlite":
        fresh = db.make_engine(f"sqlite:///{tmp_path / 'created.db'}")
    else:
        admin, url = postgres
        with admin.connect() as connection:
            connection.exec_driver_sql("DROP DATABASE IF EXISTS created")
            connection.exec_driver_sql("CREATE DATABASE created")
        fresh = db.make_engine(url.format("created"))
    with fresh.execution_options(flattr_writing=True).begin() as connection:
        Base.metadata.create_all(connection)
    yield fresh
    fresh.dispose()


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
