"""The books: as a journal, and as balances; the log of what operators did."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import click
from rich.progress import track
from rich.table import Table
from sqlalchemy.orm import Session

from backend import auditlog, ledger, users
from backend import journal as journals
from backend.backup import written_whole
from backend.cli.desk import Desk, PeriodOrYear, PeriodType, desk, flattr, messages, table_of
from backend.money import format_money
from backend.period import ends_at, is_year, starts_at


@flattr.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(list(journals.FORMS)), default="hledger", show_default=True)
@click.option("--period", type=PeriodType(), help="A month, by the day on which money moved.")
@click.option("--year", type=PeriodOrYear(), help="A year.")
@desk
def journal(desk: Desk, file: Path | None, form: str, period: str | None, year: str | None) -> None:
    """Write all transfers as a journal for hledger or beancount; without FILE, to standard output."""
    if (period and year) or (year and not is_year(year)) or (desk.as_json and not file):
        raise click.UsageError("Name a month or a year, and with --json a FILE.")
    since = starts_at(period or f"{year}-01") if period or year else None
    until = ends_at(period or f"{year}-12") if period or year else None
    with _one_state(desk) as session, _written(file) as out:
        transfers = journals.count(session, since=since, until=until)
        pieces = journals.write(session, journals.FORMS[form], desk.config.currency, since=since, until=until)
        # Some pieces are accounts, so the bar is a little ahead.
        for piece in track(pieces, "Writing", total=transfers, console=messages, transient=True):
            out.write(piece)
    if file:
        desk.answer({"file": str(file), "transfers": transfers}, f"{transfers} transfers are in {file}.")


@contextmanager
def _one_state(desk: Desk) -> Iterator[Session]:
    """A session that sees one state of the books however long it reads, and keeps nobody from writing."""
    engine = desk.sessions.kw["bind"].execution_options(flattr_writing=False)
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with Session(engine) as session:
        yield session


@contextmanager
def _written(file: Path | None) -> Iterator[TextIO]:
    """A file that is there in whole or, when anything goes wrong, as it was; or standard output."""
    if file is None:
        yield sys.stdout
    else:
        with written_whole(file, mode=0o666) as draft, open(draft, "w", encoding="utf-8") as out:
            yield out


@flattr.command("log")
@click.option("--about", help="A site, a period, or a user's public id.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="From this day on (UTC).")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The newest so many.")
@desk
def log_command(desk: Desk, about: str | None, since: datetime | None, limit: int) -> None:
    """What operators and owners did that matters, newest first; nobody can change it."""
    with desk.reading() as session:
        asked = since.replace(tzinfo=UTC) if since else None
        entries = auditlog.entries(session, about=about, since=asked, limit=limit)
        names = users.public_ids(session, {entry.actor_id for entry in entries if entry.actor_id})
    found = [
        {
            "at": entry.at.isoformat(timespec="seconds"),
            "by": names.get(entry.actor_id or 0),
            "action": entry.action,
            "about": entry.about,
            "details": json.loads(entry.details),
        }
        for entry in entries
    ]
    shown = [row | {"by": row["by"] or "command", "details": json.dumps(row["details"])} for row in found]
    desk.answer({"entries": found}, table_of(("at", "by", "action", "about", "details"), shown))


@flattr.command("trial-balance")
@click.option("--at", type=click.DateTime(["%Y-%m-%d"]), help="At the end of this day (UTC); default: now.")
@desk
def trial_balance(desk: Desk, at: datetime | None) -> None:
    """What is on all accounts, by kind; exit 1 when it is not zero together."""
    before = at.replace(tzinfo=UTC) + timedelta(days=1) if at else None
    with _one_state(desk) as session:
        kinds = ledger.trial_balance(session, before=before)
    total, currency = sum(kinds.values()), desk.config.currency
    table = Table("account", "balance")
    table.columns[1].justify = "right"
    for name, micros in (kinds | {"together": total}).items():
        table.add_row(name, format_money(micros, currency, places=6))
    told = {f"{name}_micros": micros for name, micros in kinds.items()}
    day = f"{at:%Y-%m-%d}" if at else None
    desk.answer({"at": day, "currency": currency} | told | {"total_micros": total}, table)
    sys.exit(1 if total else 0)
