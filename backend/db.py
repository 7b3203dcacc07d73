"""Engine, sessions and column types; the same models on SQLite and PostgreSQL.

Nouns declare tables on `Base` and know nothing of Flask. Faces use `db.session`; processes and commands open
sessions of their own with `session_maker`.
"""

import fcntl
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Condition
from typing import Annotated, Any, ClassVar, TypeVar, cast

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, sessionmaker
from sqlalchemy.orm.interfaces import ORMOption

from backend.errors import AnotherRun, DomainError, NotFound


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An aware UTC instant; naive ones are a bug and refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("instants are aware UTC, never naive")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value and value.astimezone(UTC)


class PeriodNumber(sa.TypeDecorator[str]):
    """A period such as ``2026-11``, stored as the integer 202611."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else int(value.replace("-", ""))

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else f"{value // 100}-{value % 100:02d}"


Id = Annotated[int, mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True)]
Micros = Annotated[int, mapped_column(sa.BigInteger)]
Digest = Annotated[bytes, mapped_column(sa.LargeBinary(32))]


class Base(DeclarativeBase):
    """All tables, with constraint names that read well in an error."""

    type_annotation_map = {datetime: UtcDateTime}
    metadata = sa.MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        }
    )


db = SQLAlchemy(metadata=Base.metadata)


class NotUpgraded(DomainError):
    """The database does not have the tables of this version."""


# SQLite ---------------------------------------------------------------------------------------------------------------


BUSY = 20  # seconds to wait for others who write


class _Line:
    """Where a process's threads wait, first come first served, for their turn to write.

    SQLite itself has whoever waits ask again and again: on a busy machine those who just wrote are always quicker,
    and somebody is told "database is locked" in the end.
    """

    def __init__(self) -> None:
        self._waiting, self._taken, self._changed = deque[object](), False, Condition()

    def enter(self, seconds: float) -> bool:
        """Wait for a turn; false when it did not come in that time."""
        me = object()
        with self._changed:
            self._waiting.append(me)
            try:
                mine = self._changed.wait_for(lambda: not self._taken and self._waiting[0] is me, seconds)
            finally:  # whoever is interrupted, too, must not stand in the others' way
                self._waiting.remove(me)
            self._taken = self._taken or mine
        return mine

    def leave(self) -> None:
        """Hand the turn to who waits longest."""
        with self._changed:
            self._taken = False
            self._changed.notify_all()


class _Connection(sqlite3.Connection):
    """A connection that holds its process's turn from the begin of a transaction that writes to its end."""

    lines: ClassVar[dict[str, _Line]] = {}  # by file
    has_turn = False

    def __init__(self, file: str, *arguments: Any, **named: Any) -> None:
        super().__init__(file, *arguments, **named)
        self.line = self.lines.setdefault(file, _Line())

    def wait_for_turn(self) -> None:
        """Be the one of this process who may begin to write."""
        self.has_turn = self.line.enter(BUSY)  # if that was too long, SQLite is asked all the same, and says so

    def commit(self) -> None:
        super().commit()
        self._end()

    def rollback(self) -> None:
        super().rollback()
        self._end()

    def close(self) -> None:
        super().close()
        self._end()

    def _end(self) -> None:
        if self.has_turn:
            self.has_turn = False
            self.line.leave()


@event.listens_for(sa.Engine, "do_connect")
def _make_sqlite(dialect: sa.Dialect, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
    if dialect.name == "sqlite":
        named["factory"] = _Connection


@event.listens_for(sa.Engine, "connect")
def _set_up_sqlite(connection: Any, _record: Any) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    connection.isolation_level = None  # the driver must not begin by itself: we do, below
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY * 1000}"):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("unhexed", 1, bytes.fromhex, deterministic=True)  # JSON knows no bytes


@event.listens_for(sa.Engine, "begin")
def _begin_sqlite(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        writing = connection.get_execution_options().get("flattr_writing")
        if writing:
            cast("_Connection", connection.connection.driver_connection).wait_for_turn()
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def begin_writing(session: Session) -> None:
    """Start a transaction that will write, before it has read anything.

    SQLite takes its one write lock here: a reader that turns writer half-way could overdraw a wallet or fail.
    """
    session.connection(execution_options={"flattr_writing": True})


# Sessions -------------------------------------------------------------------------------------------------------------


def make_engine(url: str) -> sa.Engine:
    """An engine for commands and processes; faces get theirs from Flask-SQLAlchemy."""
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    # A thread that finds no connection makes one: a pool that is too small starves whoever waits at it.
    return sa.create_engine(url, max_overflow=-1)


def session_maker(engine: sa.Engine) -> sessionmaker[Session]:
    """Sessions of commands and processes: they begin as writers, and their objects stay readable after a commit."""
    return sessionmaker(engine.execution_options(flattr_writing=True), expire_on_commit=False)


def reading(sessions: sessionmaker[Session]) -> Session:
    """A session of a command or process that only reads: on SQLite it keeps nobody from writing, however long."""
    return sessions(bind=sessions.kw["bind"].execution_options(flattr_writing=False))


def index_where(condition: str, name: str, *columns: str, unique: bool = False) -> sa.Index:
    """An index of the rows of which a condition holds; a query finds it that says the same in constants."""
    where = sa.text(condition)
    return sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


def constant(value: str | int) -> sa.BindParameter[Any]:
    """Written into the statement, for `index_where`."""
    return sa.literal(value, literal_execute=True)


def insert(session: Session, table: Any) -> Any:
    """The dialect's INSERT, which knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    return (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert(table)


def put(session: Session, table: Any, key: dict[str, Any], row: dict[str, Any]) -> None:
    """Write the row of a key, or these columns of the one that is there."""
    put_all(session, table, list(key), [key | row])


def put_all(session: Session, table: Any, key: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """As `put`, for any number of rows with the same columns, *key* among them."""
    if rows:
        statement = insert(session, table)
        new = {name: statement.excluded[name] for name in rows[0] if name not in key}
        session.execute(statement.on_conflict_do_update(index_elements=key, set_=new), rows)


Row = TypeVar("Row", bound=Base)


def existing(
    session: Session,
    table: type[Row],
    row_id: int,
    refusal: NotFound | type[NotFound],
    *,
    lock: bool = False,
    options: Sequence[ORMOption] = (),
) -> Row:
    """The row of an id that anybody may have typed; *lock* keeps it as it is until the transaction ends.

    Raises:
        NotFound: There is none; as *refusal* says it.
    """
    found = None
    if row_id < 2**63:
        found = session.get(table, row_id, options=options, with_for_update=lock or None, populate_existing=lock)
    if found is None:
        raise refusal
    return found


@contextmanager
def exclusive(engine: sa.Engine, name: str, *, wait: bool = False) -> Iterator[None]:
    """Only one process at a time holds *name*; a killed one lets go of it.

    Raises:
        AnotherRun: It is held and *wait* is false.
    """
    if engine.dialect.name == "sqlite":
        with open(f"{engine.url.database}.{name}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise AnotherRun from error
            yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = {"key": f"flattr:{name}"}
        call = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
        if connection.scalar(sa.text(f"SELECT {call}(hashtextextended(:key, 0))"), key) is False:
            raise AnotherRun
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), key)


# Append-only tables ---------------------------------------------------------------------------------------------------


def append_only(model: type[Base]) -> None:
    """Let the database refuse every change of a table's rows."""

    def arm(table: sa.Table, connection: sa.Connection, **_: object) -> None:
        for statement in append_only_triggers(table.name, connection.dialect.name):
            connection.execute(sa.text(statement))

    event.listen(model.__table__, "after_create", arm)


def append_only_triggers(table: str, dialect: str) -> list[str]:
    """The statements that make a table append-only; migrations run them too."""
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        (
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        ),
        (
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        ),
    ]


# Migrations -----------------------------------------------------------------------------------------------------------


def migrations() -> AlembicConfig:
    """Alembic's settings; the scripts lie beside this module."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def is_current(engine: sa.Engine) -> bool:
    """Whether the database has the tables of this version."""
    with engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    return revision == ScriptDirectory.from_config(migrations()).get_current_head()


def upgrade(engine: sa.Engine) -> bool:
    """Bring the database to this version; false when it was there already. Safe to run from many processes at once."""
    if is_current(engine):
        return False
    with exclusive(engine, "upgrade", wait=True):
        if is_current(engine):
            return False
        config = migrations()
        config.attributes["engine"] = engine
        command.upgrade(config, "head")
    return True


def ensure_current(engine: sa.Engine) -> None:
    """SQLite upgrades itself; PostgreSQL waits for the operator.

    Raises:
        NotUpgraded: A PostgreSQL database is not at this version.
    """
    if engine.dialect.name == "sqlite":
        upgrade(engine)
    elif not is_current(engine):
        raise NotUpgraded("The database is not at this version: run 'flattr db upgrade' first.")
