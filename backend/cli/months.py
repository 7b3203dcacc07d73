"""Months: settling them, what they gave and brought, and whether everything adds up."""

import csv
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import click
import sqlalchemy as sa
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from backend import audit, clicks, settlement, users
from backend import statements as st
from backend.cli.desk import Desk, PeriodOrYear, PeriodType, desk, flattr, messages
from backend.money import format_money
from backend.period import is_year


@flattr.command()
@click.argument("period", required=False, type=PeriodType())
@click.option("--dry-run", is_flag=True, help="Say what it would come to; move nothing.")
@desk
def settle(desk: Desk, period: str | None, dry_run: bool) -> None:
    """Settle an ended month: the oldest that is due. Run again, it answers the same."""
    with desk.reading() as session:
        terms = settlement.Terms.of(session, desk.config)
    if desk.config.charity and terms.charity_id is None:
        messages.print(f"Nobody here has the address in FLATTR_CHARITY, {desk.config.charity}.", style="red")
    with _progress("Trying" if dry_run else "Settling") as tell:
        if dry_run:
            result = settlement.dry_run(desk.sessions, period, terms, now=desk.config.now(), progress=tell)
        else:
            result = settlement.settle(desk.sessions, period, terms, desk.world, now=desk.config.now(), progress=tell)
    foretold = dry_run and not _is_settled(desk, result.period)
    desk.answer(result.as_json() | ({"state": "dry_run"} if foretold else {}))


def _is_settled(desk: Desk, period: str) -> bool:
    with desk.reading() as session:
        stored = session.get(clicks.Period, period)
        return stored is not None and stored.state == "settled"


@contextmanager
def _progress(verb: str) -> Iterator[Callable[[settlement.Progress], None]]:
    """A bar on stderr: steps done, readers a second, time left."""
    columns = (TextColumn(verb), BarColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
    start = time.monotonic()
    with Progress(*columns, console=messages, transient=True) as bar:
        task = bar.add_task(verb, total=None, speed="")

        def tell(told: settlement.Progress) -> None:
            speed = f"{told.readers:,} readers, {told.readers / (time.monotonic() - start):,.0f} a second"
            bar.update(task, completed=told.steps, total=told.of, speed=speed)

        yield tell


@flattr.command()
@click.argument("email")
@click.argument("period", metavar="PERIOD|YEAR", type=PeriodOrYear())
@click.option("--csv", "as_csv", is_flag=True, help="As comma-separated values.")
@desk
def statement(desk: Desk, email: str, period: str, as_csv: bool) -> None:
    """What a user gave and received in a month or year, and all that moved on their accounts."""
    with desk.reading() as session:
        user = users.by_email(session, email)
        found: st.Statement | st.Year
        if is_year(period):
            found = st.year(session, user, period, desk.config.currency, now=desk.config.now())
        else:
            found = st.statement(session, user, period, desk.config.currency)
    if as_csv:
        csv.writer(sys.stdout).writerows(found.rows())
    else:
        desk.answer(found.as_json(), _table_of(user.email, found))


def _table_of(email: str, found: st.Statement | st.Year) -> Table:
    """A statement for people; amounts to the micro."""
    exact = partial(format_money, currency=found.currency, places=6)
    named = found.year if isinstance(found, st.Year) else found.period
    table = Table("", "micro-exact amount", title=f"{email}, {named}")
    table.columns[1].justify = "right"
    if isinstance(found, st.Statement):
        given, received = found.given, found.received
        for line in given.lines:
            table.add_row(f"to {line.name}", exact(line.amount_micros))
        table.add_row(f"given, {given.owners} x", exact(given.charged_micros), style="bold")
        for page in received.lines:
            amount = "-" if page.gross_micros is None else exact(page.gross_micros)
            table.add_row(f"{page.readers} readers of {page.url}", amount)
        if not (given.pages_kept and received.pages_kept):
            table.add_row(st.PAGES_GONE, "", style="italic")
        if received.fee_micros:
            table.add_row("fee", exact(-received.fee_micros))
        table.add_row("received", exact(received.received_micros), style="bold")
    for account in ("wallet", "income"):
        table.add_section()
        table.add_row(f"{account}, opening", exact(getattr(found.opening, f"{account}_micros")), style="bold")
        for moved in found.totals if isinstance(found, st.Year) else found.movements:
            if moved.account == account:
                said = f"{moved.at[:10]} {moved.words} {moved.about}" if isinstance(moved, st.Movement) else moved.words
                table.add_row(said, exact(moved.amount_micros))
        table.add_row(f"{account}, closing", exact(getattr(found.closing, f"{account}_micros")), style="bold")
    return table


@flattr.command("audit")
@click.option("--full", is_flag=True, help="Every list and income, not a sample of them.")
@desk
def audit_command(desk: Desk, full: bool) -> None:
    """Recompute everything; exit 1 and say where when anything does not add up."""
    with desk.reading() as session:
        problems = audit.problems(session, full=full)
        transfers = session.scalar(sa.text("SELECT COUNT(*) FROM transfers"))
    text = "\n".join(problems) or f"Everything adds up: {transfers} transfers."
    desk.answer({"ok": not problems, "transfers": transfers, "problems": problems}, text)
    sys.exit(1 if problems else 0)
