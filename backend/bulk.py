"""Many rows at once, between the database and NumPy: here alone SQLite and PostgreSQL read and write differently.

PostgreSQL packs rows into one binary value and takes them by COPY; SQLite streams them. Integers are 64 bit; text has
a fixed width. The caller's SQL is the same for both.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from itertools import chain
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.orm import Session

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.void]
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)


def on_postgresql(session: Session) -> bool:
    """Whether the database is PostgreSQL; else it is SQLite."""
    return session.get_bind().dialect.name == "postgresql"


def read(session: Session, query: sa.SelectBase) -> Rows:
    """All rows of a query, as a structured array with a field for each column: integers, and text of a fixed width."""
    rows = query.subquery()
    kinds = [(c.name, f"S{c.type.length}" if isinstance(c.type, sa.String) else ">i8") for c in rows.c]
    if on_postgresql(session):
        packed = sa.func.string_agg(_packed(rows.c), sa.cast(b"", BYTEA), type_=BYTEA)
        with _binary(session):
            return np.frombuffer(session.scalar(sa.select(packed)) or b"", dtype=kinds)
    session.flush()
    cursor: Any = session.connection().execute(cast("Any", query)).cursor
    if all(kind == ">i8" for _, kind in kinds):
        numbers = np.fromiter(chain.from_iterable(cursor), dtype=">i8")
        return numbers.view(kinds)
    return np.array([tuple(row) for row in cursor], dtype=kinds)


class _BinaryCursor(psycopg.Cursor[Any]):
    """A cursor that is answered in bytes; the driver's own has them written in hexadecimal."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.format = psycopg.pq.Format.BINARY


@contextmanager
def _binary(session: Session) -> Iterator[None]:
    driver = cast("Any", session.connection().connection.driver_connection)
    usual, driver.cursor_factory = driver.cursor_factory, _BinaryCursor
    try:
        yield
    finally:
        driver.cursor_factory = usual


def column(session: Session, query: sa.SelectBase) -> Ints:
    """The one column of a query, of integers."""
    found = read(session, query)
    return found[found.dtype.names[0]].astype(np.int64)  # type: ignore[index]


def _packed(columns: Any) -> sa.ColumnElement[bytes]:
    packed = [
        sa.func.varcharsend(c) if isinstance(c.type, sa.String) else sa.func.int8send(sa.cast(c, sa.BigInteger))
        for c in columns
    ]
    return reduce(lambda left, right: left.op("||")(right), packed)


def insert(session: Session, table: sa.Table, columns: Mapping[str, Any]) -> None:
    """Insert integers: an array for each column that differs from row to row, one number for one that does not."""
    arrays = np.broadcast_arrays(*columns.values())
    if on_postgresql(session):
        _copy(session, table, dict(zip(columns, arrays, strict=True)))
    elif arrays[0].size:
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 (names of our own)
        rows = zip(*(array.tolist() for array in arrays), strict=True)
        session.connection().exec_driver_sql(statement, list(rows))


def _copy(session: Session, table: sa.Table, arrays: Mapping[str, Ints]) -> None:
    """The rows in PostgreSQL's binary COPY format: a count of fields, then each field's length and bytes."""
    kinds: list[tuple[str, str]] = [("fields", ">i2")]
    for name in arrays:
        size = 8 if isinstance(table.c[name].type, sa.BigInteger) else 4
        kinds += [(f"{name} size", ">i4"), (name, f">i{size}")]
    rows = np.empty(next(iter(arrays.values())).size, dtype=kinds)
    rows["fields"] = len(arrays)
    for name, array in arrays.items():
        rows[f"{name} size"], rows[name] = rows.dtype[name].itemsize, array
    driver = cast("Any", session.connection().connection.driver_connection)
    into = f"COPY {table.name} ({', '.join(arrays)}) FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor, cursor.copy(into) as copy:
        copy.write(_COPY_HEADER)
        copy.write(rows.tobytes())
        copy.write(b"\xff\xff")


def working_table(name: str, *columns: str) -> sa.Table:
    """A table of 64-bit integers that lives for one transaction."""
    fields = [sa.Column(column, sa.BigInteger) for column in columns]
    return sa.Table(name, sa.MetaData(), *fields, prefixes=["TEMPORARY"], postgresql_on_commit="DROP")


def fill(session: Session, table: sa.Table, columns: Mapping[str, Any]) -> None:
    """Make a working table anew, with these rows."""
    session.execute(sa.text(f"DROP TABLE IF EXISTS {table.name}"))
    table.create(session.connection())
    insert(session, table, columns)


class Question:
    """A statement about rows of our own, built and compiled once for each database, however many rows there are.

    What is asked with every press goes to the driver directly: building, caching and wrapping a statement costs more
    than a database at hand takes to answer it.

    Args:
        build: The statement, of these rows as something to select from or join with, and of the dialect's INSERT.
        columns: The rows' columns, with their types.
    """

    def __init__(self, build: Callable[[sa.FromClause, Any], Any], **columns: Any) -> None:
        self._build, self._columns = build, columns
        self._compiled: dict[str, _Compiled] = {}

    def ask(
        self, session: Session, *, values: Mapping[str, Any] | None = None, **columns: Iterable[Any]
    ) -> list[tuple[Any, ...]]:
        """The answer about these rows; *values* for the statement's other parameters."""
        session.flush()
        dialect = session.get_bind().dialect
        if dialect.name not in self._compiled:
            self._compiled[dialect.name] = _Compiled(self._build(*self._given(dialect)), dialect)
        if dialect.name == "postgresql":
            rows: dict[str, Any] = {f"rows_{name}": list(column) for name, column in columns.items()}
        else:
            stored = (
                [_stored(kind, dialect)(value) for value in column]
                for kind, column in zip(self._columns.values(), columns.values(), strict=True)
            )
            rows = {"rows": json.dumps(list(zip(*stored, strict=True)), default=_hex)}
        return self._compiled[dialect.name].run(session, rows | dict(values or {}))

    def _given(self, dialect: sa.Dialect) -> tuple[sa.FromClause, Any]:
        if dialect.name == "postgresql":
            arrays = (sa.bindparam(f"rows_{name}", type_=ARRAY(kind)) for name, kind in self._columns.items())
            typed = (sa.column(name, kind) for name, kind in self._columns.items())
            return sa.func.unnest(*arrays).table_valued(*typed, name="given").render_derived(), postgresql.insert
        rows = sa.func.json_each(sa.bindparam("rows")).table_valued("value", name="given_json")
        columns = enumerate(self._columns.items())
        cells = ((name, kind, sa.func.json_extract(rows.c.value, f"$[{at}]")) for at, (name, kind) in columns)
        fields = (
            sa.type_coerce(sa.func.unhexed(cell) if isinstance(kind, sa.LargeBinary) else cell, kind).label(name)
            for name, kind, cell in cells
        )
        return sa.select(*fields).subquery("given"), sqlite.insert


def _hex(data: bytes) -> str:
    return bytes(data).hex()


class _Compiled:
    """A statement as its driver takes it."""

    def __init__(self, statement: Any, dialect: sa.Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._sql, self._order = str(compiled), compiled.positiontup
        self._fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self._stored = {name: _stored(bind.type, dialect) for name, bind in compiled.binds.items()}
        self._read = [_result(column.type, dialect) for column in statement.exported_columns]
        self._error: Any = dialect.dbapi.Error if dialect.dbapi else sa.exc.DBAPIError
        self._is_lost = dialect.is_disconnect

    def run(self, session: Session, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        given = self._fixed | dict(values)
        parameters = {name: store(given[name]) for name, store in self._stored.items()}
        connection = session.connection()
        cursor: Any = connection.connection.cursor()
        try:
            cursor.execute(self._sql, [parameters[name] for name in self._order] if self._order else parameters)
            rows: list[tuple[Any, ...]] = list(cursor.fetchall())
        except self._error as error:
            if self._is_lost(error, connection.connection.dbapi_connection, cursor):
                connection.invalidate(error)
            raise sa.exc.DBAPIError(self._sql, None, error) from error
        finally:
            cursor.close()
        if not any(self._read):
            return rows
        return [tuple(read(cell) if read else cell for read, cell in zip(self._read, row, strict=True)) for row in rows]


def _stored(kind: Any, dialect: sa.Dialect) -> Callable[[Any], Any]:
    """What the driver is handed for a value of a type."""
    return kind.dialect_impl(dialect).bind_processor(dialect) or (lambda value: value)


def _result(kind: Any, dialect: sa.Dialect) -> Any:
    """What makes a value of what the driver hands out; None where it is one as it comes."""
    return kind.dialect_impl(dialect).result_processor(dialect, None)
