"""What every command works with: the settings, the database, how to answer and how to refuse.

Results go to stdout (`--json` for programs), everything else to stderr. Exit codes: 0 done or already done, 1 a check
that failed, 2 wrong usage, 3 refused.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import Any, NoReturn

import click
import psycopg
import sqlalchemy as sa
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy.orm import Session, sessionmaker

from backend import checks, db
from backend.config import Config, from_environment
from backend.errors import DomainError, InvalidRequest
from backend.money import format_money, parse_amount
from backend.period import is_year, parse_period

messages = Console(stderr=True)


@dataclass(frozen=True)
class Desk:
    """What a command works with: the settings, a database at this version, and how to answer."""

    config: Config
    sessions: sessionmaker[Session]
    as_json: bool

    @property
    def world(self) -> checks.World:
        """What looks at sites need to know."""
        return checks.World(self.config.base_url, self.config.dev, self.config.secret_key)

    def reading(self) -> Session:
        """A session for what only reads: on SQLite it keeps nobody from writing, however long it takes."""
        return db.reading(self.sessions)

    def money(self, micros: int) -> str:
        """An amount for people."""
        return format_money(micros, self.config.currency)

    def answer(self, result: dict[str, Any], text: str | Table | None = None) -> None:
        """Print a result for programs or for people."""
        if self.as_json:
            click.echo(json.dumps(result))
        elif isinstance(text, Table):
            Console(markup=False, emoji=False).print(text)  # names of people are text
        else:
            click.echo(text or "\n".join(f"{name}: {value}" for name, value in result.items()))


def main() -> None:
    """The console script: refusals become one line and an exit code."""
    try:
        flattr(standalone_mode=True)
    except DomainError as refusal:
        _refuse(str(refusal), 2 if isinstance(refusal, InvalidRequest) else 3)
    except (OSError, sa.exc.DBAPIError) as error:
        if isinstance(error, sa.exc.DBAPIError) and not _is_of_the_database(error):
            raise
        # The database, the disk or the network is not there, or refuses. That is no failed check: scripts read exit 1
        # as one.
        _refuse(str(getattr(error, "orig", error)).partition("\n")[0], 3)


def _is_of_the_database(error: sa.exc.DBAPIError) -> bool:
    """Whether the database cannot or may not do it; anything else is a bug of ours."""
    refused = isinstance(error.orig, psycopg.errors.InsufficientPrivilege | psycopg.errors.ReadOnlySqlTransaction)
    is_broken = type(error) is sa.exc.DatabaseError  # SQLite: no database, or a damaged one
    return refused or is_broken or isinstance(error, sa.exc.OperationalError)


def _refuse(said: str, code: int) -> NoReturn:
    messages.print(said, style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(code)


def desk(function: Callable[..., None], *, upgraded: bool = True) -> Callable[..., None]:
    """Give a command its `Desk` (as `open_desk`) as first argument, and the option ``--json``."""

    def command(*args: Any, as_json: bool, **kwargs: Any) -> None:
        function(open_desk(as_json=as_json, upgraded=upgraded), *args, **kwargs)

    option = click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")
    return option(update_wrapper(command, function))


def open_desk(*, as_json: bool = False, upgraded: bool = True) -> Desk:
    """Read the settings and open the database."""
    config = from_environment()
    engine = db.make_engine(config.database_url)
    if upgraded:
        db.ensure_current(engine)
    return Desk(config, db.session_maker(engine), as_json)


class _Typed(click.ParamType[Any]):
    """What is typed, as *read* understands it."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name, self.read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.read(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


Amount = partial(_Typed, "amount", parse_amount)  # decimal euros on the command line, micros in the program
PeriodType = partial(_Typed, "period", parse_period)  # such as 2026-11
PeriodOrYear = partial(_Typed, "period", lambda text: text if is_year(text) else parse_period(text))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flattr")
def flattr() -> None:
    """Run a Flattr: a monthly flat rate, split evenly between the people a reader flattred."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)


@contextmanager
def bar(verb: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar on stderr, which is told how much is done, and of how much if that was not known."""
    with Progress(console=messages, transient=True) as shown:
        task = shown.add_task(verb, total=total)
        yield lambda done, of=total: shown.update(task, completed=done, total=of)


def table_of(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> Table:
    """Rows for people."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    return table
