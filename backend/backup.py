"""A consistent copy of the database while it is served, looked through before it counts.

SQLite is copied by its own online backup, PostgreSQL by `pg_dump`. The copy is complete under its name or not there.
"""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from backend import audit, jobs
from backend.db import exclusive, make_engine
from backend.errors import DomainError

PAGES = 1000  # of SQLite at a time; between them others write
WITHOUT = "Not in it: the secret key (FLATTR_SECRET_KEY or the file secret_key) and the outbox. Keep them apart."


class BackupFailed(DomainError):
    """The backup was not made; what there was before is as it was."""


def make(
    sessions: sessionmaker[Session],
    file: Path,
    *,
    now: datetime,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> int:
    """Write a backup, look through it, and note when; its size in bytes.

    Args:
        progress: Told how many pages of how many are copied (SQLite).

    Raises:
        AnotherRun: Another backup is being made.
        BackupFailed: The file is there already, `pg_dump` is missing, too old or failed, or the copy is not sound.
        OSError: The disk refused.
    """
    engine = sessions.kw["bind"]
    with exclusive(engine, "backup"):
        if file.exists():
            raise BackupFailed(f"{file} is there already: name a new file.")
        with written_whole(file) as draft:
            if engine.dialect.name == "sqlite":
                _copy_sqlite(Path(engine.url.database), draft, progress)
                _check_sqlite(draft)
            else:
                _dump_postgresql(engine, draft)
                _run(["pg_restore", "--list", str(draft)], {})
        with sessions.begin() as session:
            jobs.beat(session, "backup", now=now)
    return file.stat().st_size


@contextmanager
def written_whole(file: Path, *, mode: int = 0o600) -> Iterator[Path]:
    """A draft of a file, which takes its place once it is on the disk; when anything goes wrong, all is as it was.

    Args:
        mode: Who may read it, from the first moment on, as far as the umask lets them: only its owner.
    """
    draft = file.with_name(f"{file.name}.partial")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    try:
        yield draft
        _sync(draft)
        draft.replace(file)
        _sync(file.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """From now on it is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# SQLite ---------------------------------------------------------------------------------------------------------------


def _copy_sqlite(source: Path, draft: Path, progress: Callable[[int, int], None]) -> None:
    def told(_status: int, remaining: int, total: int) -> None:
        progress(total - remaining, total)

    reading, writing = sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True), sqlite3.connect(draft)
    try:
        # A writer between two steps would have a copy begin anew: one that reads from here on sees this moment.
        reading.execute("BEGIN")
        reading.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        reading.backup(writing, pages=PAGES, progress=told, sleep=0)
    except sqlite3.Error as error:
        raise BackupFailed(f"SQLite could not copy its database: {error}.") from error
    finally:
        writing.close()
        reading.close()


def _check_sqlite(draft: Path) -> None:
    engine = make_engine(f"sqlite:///{draft}")
    try:
        with Session(engine) as session:
            said = session.scalars(sa.text("PRAGMA integrity_check(3)")).all()
            if said != ["ok"]:
                raise BackupFailed(f"The copy is damaged: {'; '.join(said)}.")
            if found := audit.problems(session):
                raise BackupFailed(f"The books in the copy do not add up: {found[0]}")
    finally:
        engine.dispose()
    copy = sqlite3.connect(draft)
    copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
    copy.close()


# PostgreSQL -----------------------------------------------------------------------------------------------------------


def _dump_postgresql(engine: sa.Engine, draft: Path) -> None:
    for program in ("pg_dump", "pg_restore"):
        if shutil.which(program) is None:
            raise BackupFailed(f"{program} is not here: install PostgreSQL's client programs (postgresql-client).")
    with engine.connect() as connection:
        server = int(connection.scalar(sa.text("SHOW server_version_num")) or 0) // 10_000
    version = _run(["pg_dump", "--version"], {})
    ours = int((re.search(r"\d+", version) or [0])[0])
    if ours < server:
        raise BackupFailed(f"pg_dump is of version {ours}, the server of {server}: install postgresql-client-{server}.")
    url = engine.url
    said = {"PGHOST": url.query.get("host") or url.host, "PGPORT": url.port, "PGSSLMODE": url.query.get("sslmode")}
    said |= {"PGUSER": url.username, "PGPASSWORD": url.password, "PGDATABASE": url.database}
    env = {name: str(value) for name, value in said.items() if value}  # never on the command line, where others look
    _run(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--file", str(draft)], env)


def _run(command: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [""]
        raise BackupFailed(f"{command[0]} failed: {said[-1]}")
    return done.stdout
