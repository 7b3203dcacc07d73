"""What both databases keep for us, and the traps that SQLite has for the unwary."""

import itertools
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend import db, users
from backend.access import WebSession
from backend.clicks import Period
from backend.errors import AnotherRun
from backend.limits import Rate
from tests.backend.at_once import at_once
from tests.backend.serving import until

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
HOLD = """
import sys
from backend import db
with db.exclusive(db.make_engine(sys.argv[1]), "settle"):
    print("held", flush=True)
    sys.stdin.read()
"""
UPGRADE = "import sys; from backend import db; print(db.upgrade(db.make_engine(sys.argv[1])))"
_numbers = itertools.count()


def start(script, url):
    """Another process of ours."""
    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", script, url], env=env, stdin=pipe, stdout=pipe, text=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    """A database without any tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'flattr.db'}"
        return
    admin, url = request.getfixturevalue("postgres")
    name = f"empty_{next(_numbers)}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield url.format(name)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


# Types ----------------------------------------------------------------------------------------------------------------


def test_an_instant_without_a_zone_is_refused_when_stored(session):
    session.add(Rate(key="a", since=datetime(2026, 10, 5), used=1))  # noqa: DTZ001 -- the mistake itself
    with pytest.raises(sa.exc.StatementError, match="never naive"):
        session.flush()


def test_an_instant_without_a_zone_is_refused_when_compared(session):
    with pytest.raises(sa.exc.StatementError, match="never naive"):
        session.scalars(sa.select(Rate).where(Rate.since < datetime(2026, 10, 5))).all()  # noqa: DTZ001 -- as above


def test_an_instant_comes_back_as_aware_utc_to_the_microsecond(session):
    tokyo = datetime(2026, 11, 1, 8, 59, 59, 123_456, tzinfo=timezone(timedelta(hours=9)))
    session.add(Rate(key="a", since=tokyo, used=1))
    session.commit()
    session.expire_all()

    kept = session.scalars(sa.select(Rate.since)).one()
    assert (kept, kept.tzinfo) == (tokyo, UTC)


def test_instants_from_different_zones_compare_as_instants(session):
    tokyo, berlin = (datetime(2026, 11, 1, 9, tzinfo=timezone(timedelta(hours=h))) for h in (9, 1))
    session.add_all([Rate(key="tokyo", since=tokyo, used=1), Rate(key="berlin", since=berlin, used=1)])
    session.flush()
    assert session.scalars(sa.select(Rate.key).order_by(Rate.since)).all() == ["tokyo", "berlin"]


def test_a_period_is_a_number_inside_and_sorts_across_years(session):
    session.execute(sa.insert(Period), [{"period": p} for p in ("2027-01", "2026-12", "2026-02")])

    assert session.scalars(sa.select(Period.period).order_by(Period.period)).all() == ["2026-02", "2026-12", "2027-01"]
    assert session.scalar(sa.text("SELECT MAX(period) FROM periods")) == 202_701


def test_nothing_refers_to_a_user_who_is_not_there(session):
    session.add(WebSession(id_hash=b"x" * 32, user_id=999, signed_in_at=NOON))
    with pytest.raises(sa.exc.IntegrityError):
        session.flush()


# SQLite's traps -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sqlite_file(tmp_path, upgraded_sqlite):
    file = tmp_path / "flattr.db"
    file.write_bytes(upgraded_sqlite.read_bytes())
    return file


def test_sqlite_checks_keys_survives_power_cuts_and_waits_for_its_turn(sqlite_file):
    engine = db.make_engine(f"sqlite:///{sqlite_file}")
    with engine.connect() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("foreign_keys", "journal_mode", "synchronous", "busy_timeout")
        ]
    engine.dispose()
    assert pragmas == [1, "wal", 2, 20_000]


def test_a_session_that_will_write_is_the_only_writer_before_it_has_read_anything(sqlite_file):
    engine = db.make_engine(f"sqlite:///{sqlite_file}")
    with db.session_maker(engine)() as session:
        session.scalar(sa.select(sa.func.count()).select_from(users.User))
        impatient = sqlite3.connect(sqlite_file, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            impatient.execute("BEGIN IMMEDIATE")
        impatient.close()
    engine.dispose()


def test_who_waits_longest_writes_next(sqlite_file):
    """And not who has just written and is quicker."""
    engine = db.make_engine(f"sqlite:///{sqlite_file}")
    sessions, order = db.session_maker(engine), []
    line = db._Connection.lines.setdefault(str(sqlite_file), db._Line())

    def write(name):
        with sessions.begin() as session:
            session.scalar(sa.select(sa.func.count()).select_from(users.User))
            order.append(name)

    with ThreadPoolExecutor(3) as others, sessions() as session:
        for turn in range(3):
            session.scalar(sa.select(sa.func.count()).select_from(users.User))
            order.append("quick")
            if turn == 0:
                for place, name in enumerate(("first", "second", "third"), start=1):
                    others.submit(write, name)
                    until(lambda place=place: len(line._waiting) == place)
            session.commit()
    engine.dispose()
    assert order == ["quick", "first", "second", "third", "quick", "quick"]


def test_a_turn_that_does_not_come_is_given_up_and_the_next_gets_it():
    line = db._Line()
    assert line.enter(0)
    assert not line.enter(0.01)
    line.leave()
    assert line.enter(0)


def test_readers_do_not_wait_for_the_writer(sqlite_file):
    engine = db.make_engine(f"sqlite:///{sqlite_file}")
    with db.session_maker(engine).begin() as session:
        users.add(session, "ann@example.org", now=NOON)
        with engine.connect() as reader:
            assert reader.scalar(sa.select(sa.func.count()).select_from(users.User)) == 0
    with engine.connect() as reader:
        assert reader.scalar(sa.select(sa.func.count()).select_from(users.User)) == 1
    engine.dispose()


def test_writers_at_once_all_have_their_turn(sessions):
    def count():
        with sessions.begin() as session:
            rate = session.get(Rate, ("a", NOON), with_for_update=True)
            rate.used += 1

    with sessions.begin() as session:
        session.add(Rate(key="a", since=NOON, used=0))
    assert at_once(*[count] * 12) == [None] * 12
    with sessions() as session:
        assert session.get(Rate, ("a", NOON)).used == 12


# One at a time --------------------------------------------------------------------------------------------------------


def test_only_one_process_settles_and_a_killed_one_lets_go(engine, database_url):
    other = start(HOLD, database_url)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(AnotherRun), db.exclusive(engine, "settle"):
        pass
    with db.exclusive(engine, "another command"):
        pass

    other.kill()
    other.communicate(timeout=60)
    with db.exclusive(engine, "settle", wait=True):
        pass


def test_a_run_that_fails_lets_go(engine):
    with pytest.raises(KeyError), db.exclusive(engine, "settle"):
        raise KeyError
    with db.exclusive(engine, "settle"):
        pass


# Upgrading ------------------------------------------------------------------------------------------------------------


def test_processes_that_upgrade_at_once_upgrade_once(empty_url):
    said = [run.communicate(timeout=60)[0] for run in [start(UPGRADE, empty_url) for _ in range(3)]]

    assert sorted(said) == ["False\n", "False\n", "True\n"]
    engine = db.make_engine(empty_url)
    assert db.is_current(engine)
    assert not db.upgrade(engine)
    engine.dispose()


def test_sqlite_upgrades_itself_and_postgresql_waits_for_the_operator(empty_url):
    engine = db.make_engine(empty_url)
    if engine.dialect.name == "sqlite":
        db.ensure_current(engine)
        assert db.is_current(engine)
    else:
        with pytest.raises(db.NotUpgraded, match="flattr db upgrade"):
            db.ensure_current(engine)
    engine.dispose()
