"""The `flattr` command: what operators do, and how the server and the worker start.

Results go to stdout (`--json` for programs), everything else to stderr. Exit codes: 0 done or already done, 1 a check
that failed, 2 wrong usage, 3 refused.
"""

import csv
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, NoReturn, TextIO

import click
import sqlalchemy as sa
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy.orm import Session, sessionmaker

from backend import (
    access,
    audit,
    checks,
    claims,
    clicks,
    db,
    deposits,
    jobs,
    leaving,
    limits,
    mail,
    settlement,
    sites,
    users,
)
from backend import statements as st
from backend.claims import states
from backend.claims.states import Outcome
from backend.config import Config, from_environment
from backend.errors import DomainError, InvalidRequest
from backend.money import format_money, parse_amount
from backend.period import parse_period

THREADS = 16  # of each server process; the database pool is as large
log = logging.getLogger(__name__)
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
    except (OSError, sa.exc.OperationalError) as error:
        # The database, the disk or the network is not there. That is no failed check: scripts read exit 1 as one.
        _refuse(str(getattr(error, "orig", error)).partition("\n")[0], 3)


def _refuse(said: str, code: int) -> NoReturn:
    messages.print(said, style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(code)


def desk(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command its `Desk` as first argument, and the option ``--json``."""

    def command(*args: Any, as_json: bool, **kwargs: Any) -> None:
        function(open_desk(as_json=as_json), *args, **kwargs)

    option = click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")
    return option(update_wrapper(command, function))


def open_desk(*, as_json: bool = False, upgraded: bool = True) -> Desk:
    """Read the settings and open the database."""
    config = from_environment()
    engine = db.make_engine(config.database_url)
    if upgraded:
        db.ensure_current(engine)
    return Desk(config, db.session_maker(engine), as_json)


class Amount(click.ParamType[int]):
    """Decimal euros on the command line, micros in the program."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse_amount(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


class PeriodType(click.ParamType[str]):
    """A month such as 2026-11."""

    name = "period"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_period(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flattr")
def flattr() -> None:
    """Run a Flattr: a monthly flat rate, split evenly between the people a reader flattred."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)


# Serving --------------------------------------------------------------------------------------------------------------


@flattr.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=None, type=click.IntRange(1, 64), help="Processes; SQLite takes one.")
@desk
def serve(desk: Desk, host: str, port: int, workers: int | None) -> None:
    """Serve the pages and the API; on SQLite the background worker too."""
    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    on_sqlite = desk.sessions.kw["bind"].dialect.name == "sqlite"
    if on_sqlite and (workers or 1) > 1:
        raise click.UsageError("SQLite is served by one process: leave --workers out, or use PostgreSQL.")
    if not is_free(host, port):
        raise click.UsageError(f"Port {port} of {host} is in use: another --port, or end what uses it.")
    os.environ.setdefault("FLATTR_BASE_URL", f"http://{host}:{port}")
    messages.print(f"Flattr serves at {os.environ['FLATTR_BASE_URL']} (Ctrl+C ends it)", highlight=False)
    server = Granian(
        "backend.app:create_served_app",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers or (1 if on_sqlite else 2),
        blocking_threads=THREADS,
        workers_kill_timeout=5,  # a connection that is kept open must not keep the server from ending
        websockets=False,
        log_level=LogLevels.error,
    )
    if on_sqlite:
        # Started before the server forks: a fork in the middle of it would keep this process waiting for good.
        threading.Thread(target=_keep_worker_running, args=[_start_worker()], daemon=True).start()
    server.serve()


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False


def _start_worker() -> subprocess.Popen[bytes]:
    """A worker beside the server. It ends when its input does: with this process, however that dies."""
    command = [sys.executable, "-m", "backend.cli", "worker", "--until-input-ends"]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def _keep_worker_running(worker: subprocess.Popen[bytes]) -> None:
    while True:
        log.warning("the worker ended with %s; starting another", worker.wait())
        time.sleep(2)
        worker = _start_worker()


@flattr.command()
@click.option("--once", is_flag=True, help="Do what is due and end.")
@click.option("--until-input-ends", is_flag=True, hidden=True)
@desk
def worker(desk: Desk, once: bool, until_input_ends: bool) -> None:
    """Do the background jobs: looks at sites, and mail."""
    if until_input_ends:
        threading.Thread(target=_end_with_input, daemon=True).start()
    handlers = job_handlers(desk.config, desk.sessions)
    _tend(desk)
    done = jobs.work(desk.sessions, handlers, desk.config.now)
    rounds = 0
    while not once:
        time.sleep(0.5)
        done += jobs.work(desk.sessions, handlers, desk.config.now)
        rounds += 1
        if rounds % 120 == 0:
            _tend(desk)
    desk.answer({"done": done}, f"{done} jobs done.")


def _tend(desk: Desk) -> None:
    """What is to be done now and then: re-checks, the months to come, counts of long ago."""
    checks.enqueue_due(desk.sessions, now=desk.config.now())
    with desk.sessions.begin() as session:
        clicks.make_ahead(session, now=desk.config.now())
        limits.forget_old(session, now=desk.config.now())


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def job_handlers(config: Config, sessions: sessionmaker[Session]) -> dict[str, jobs.Handler]:
    """What the worker does for each kind of job."""
    world = checks.World(config.base_url, config.dev, config.secret_key)
    return {
        "look": lambda job: _done(
            checks.look(sessions, job["site"], world, now=config.now(), asker_id=job.get("asker"))
        ),
        "page": lambda job: checks.look_at_page(sessions, job["page_id"], world, now=config.now()),
        "mail": lambda job: mail.send(config, job["to"], job["subject"], job["text"]),
    }


def _done(_outcome: Outcome) -> None:
    """A look has no answer: what follows from it is in the database."""


@flattr.group("db")
def db_group() -> None:
    """The database."""


@db_group.command("upgrade")
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")
def db_upgrade(as_json: bool) -> None:
    """Bring the database to this version."""
    desk = open_desk(as_json=as_json, upgraded=False)
    upgraded = db.upgrade(desk.sessions.kw["bind"])
    desk.answer({"upgraded": upgraded}, "Upgraded." if upgraded else "It was at this version already.")


# People and money -----------------------------------------------------------------------------------------------------


@flattr.group("users")
def users_group() -> None:
    """The people."""


@users_group.command("add")
@click.argument("email")
@click.option("--name", help="How others see them.")
@click.option("--budget", type=Amount(), help="What a month is worth to them, like 5.00.")
@click.option("--operator", is_flag=True, help="Make them an operator.")
@desk
def users_add(desk: Desk, email: str, name: str | None, budget: int | None, operator: bool) -> None:
    """Add a user, or change what is given of one."""
    with desk.sessions.begin() as session:
        user = users.add(session, email, now=desk.config.now(), name=name, operator=operator)
        if budget is not None:
            users.set_budget(session, user, budget, now=desk.config.now())
    fields = ("email", "public_id", "deposit_reference")
    desk.answer({name: getattr(user, name) for name in fields} | {"operator": user.is_operator})


@users_group.command("link")
@click.argument("email")
@desk
def users_link(desk: Desk, email: str) -> None:
    """A fresh sign-in link, for someone whose mail does not arrive."""
    with desk.sessions.begin() as session:
        user = users.by_email(session, email)
        token = access.new_link(session, user.email, now=desk.config.now())
    link = f"{desk.config.base_url}/sign-in/{token}"
    desk.answer({"link": link}, link)


@users_group.command("token")
@click.argument("email")
@desk
def users_token(desk: Desk, email: str) -> None:
    """A device token, for programs."""
    with desk.sessions.begin() as session:
        user = users.by_email(session, email)
        token, _ = access.new_device(session, user, "Command line", now=desk.config.now())
    desk.answer({"token": token}, token)


@users_group.command("delete")
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
@desk
def users_delete(desk: Desk, email: str, yes: bool) -> None:
    """Delete a user who leaves: says what to pay back. What was transferred stays, without a name."""
    with desk.sessions() as session:
        users.by_email(session, email)
    if not yes:
        click.confirm(f"Delete {email}, with lists, sites and devices? This cannot be undone", abort=True, err=True)
    with desk.sessions.begin() as session:
        user = users.by_email(session, email)
        left = leaving.leave(session, user, desk.world, desk.config.currency, now=desk.config.now())
    amount = format_money(left.paid_back_micros, desk.config.currency)
    result = left.as_json() | {"currency": desk.config.currency}
    desk.answer(result, f"{email} has left. Pay {amount} back; their deposits had the reference {left.reference}.")


@flattr.group("deposits")
def deposits_group() -> None:
    """Money in."""


@deposits_group.command("add")
@click.argument("email")
@click.argument("amount", type=Amount())
@click.option("--reference", required=True, help="What identifies it, such as the bank's reference.")
@desk
def deposits_add(desk: Desk, email: str, amount: int, reference: str) -> None:
    """Book money that arrived for a reader; the same reference counts once."""
    with desk.sessions.begin() as session:
        user = users.by_email(session, email)
        deposit, is_new = deposits.add(session, user, amount, reference, now=desk.config.now())
    shown = format_money(amount, desk.config.currency)
    result = {"email": user.email, "reference": deposit.reference, "amount_micros": amount}
    result |= {"currency": desk.config.currency, "state": "booked" if is_new else "already"}
    desk.answer(result, f"{shown} {'booked for' if is_new else 'was booked already for'} {user.email}.")


# Claims ---------------------------------------------------------------------------------------------------------------


@flattr.group("claims")
def claims_group() -> None:
    """Who proved to own which site."""


@claims_group.command("check")
@click.argument("site")
@desk
def claims_check(desk: Desk, site: str) -> None:
    """Look at a site now and record what it proves; exit 1 when that is nothing."""
    name = sites.site_name(site, dev=desk.config.dev)
    outcome = checks.look(desk.sessions, name, desk.world, now=desk.config.now())
    with desk.sessions() as session:
        looks = claims.latest_looks(session, sites.ensure(session, name))
    details = [
        str(look.evidence["detail"]) for look in looks if look.code == outcome.code and "detail" in look.evidence
    ]
    advice = " ".join([claims.ADVICE[outcome.code], *(f"({detail})" for detail in details if detail != outcome.code)])
    desk.answer({"site": name, "code": outcome.code, "detail": advice}, f"{name}: {advice}")
    sys.exit(0 if outcome.code == "proved" else 1)


@claims_group.command("list")
@desk
def claims_list(desk: Desk) -> None:
    """All claims, with their states."""
    with desk.sessions() as session:
        found = [
            {
                "site": site.name,
                "email": user.email,
                "state": claim.state,
                "method": claim.method,
                "days_in_doubt": (desk.config.now() - claim.doubtful_at).days if claim.doubtful_at else None,
            }
            for claim, site, user in claims.listing(session)
        ]
    desk.answer({"claims": found}, _table(("site", "email", "state", "method", "days_in_doubt"), found))


@claims_group.command("approve")
@click.argument("site")
@click.argument("email")
@desk
def claims_approve(desk: Desk, site: str, email: str) -> None:
    """Vouch for a claim that no tag can prove."""
    name, now = sites.site_name(site, dev=desk.config.dev), desk.config.now()
    with desk.sessions.begin() as session:
        claimed = sites.ensure(session, name)
        outcome = states.approve(session, claimed, users.by_email(session, email), now=now)
        checks.follow(session, claimed, outcome, desk.world, now=now)
    desk.answer({"site": name, "email": email, "state": "verified"}, f"{name} belongs to {email}.")


@claims_group.command("revoke")
@click.argument("site")
@desk
def claims_revoke(desk: Desk, site: str) -> None:
    """Take a verified claim back: it pays nothing that is not settled yet."""
    name, now = sites.site_name(site, dev=desk.config.dev), desk.config.now()
    with desk.sessions.begin() as session:
        revoked = sites.ensure(session, name)
        outcome = Outcome("revoked", [("revoked", states.revoke(session, revoked, now=now))])
        checks.follow(session, revoked, outcome, desk.world, now=now)
    desk.answer({"site": name, "state": "revoked"}, f"The claim on {name} is revoked.")


# Explaining -----------------------------------------------------------------------------------------------------------


@flattr.command()
@click.argument("url")
@click.option("--html", type=click.File("rb"), help="The page's HTML, to say what its tags say.")
@desk
def explain(desk: Desk, url: str, html: Any) -> None:
    """Who would be paid for a page, and by which rule. With - for URL: JSON lines in, JSON lines out."""
    with desk.sessions() as session:
        if url == "-":
            with click.open_file("-", encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    click.echo(json.dumps(_explained(desk, session, *_parsed(line))))
            return
        result = _explained(desk, session, url, html.read() if html else None)
        owner = clicks.explain(session, url, now=desk.config.now(), dev=desk.config.dev).owner
    desk.answer(result | {"owner": owner.public_id if owner else None})


def _parsed(line: str) -> tuple[str, str | None]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):  # brackets without end are no JSON either
        return "", None
    url, html = (said.get("url"), said.get("html")) if isinstance(said, dict) else ("", None)
    return url if isinstance(url, str) else "", html if isinstance(html, str) else None


def _explained(desk: Desk, session: Session, url: str, html: str | bytes | None) -> dict[str, Any]:
    found = clicks.explain(session, url, now=desk.config.now(), dev=desk.config.dev)
    ids = claims.ids_in_head(html) if html else []
    return {"canonical": found.page, "site": found.site, "rule": found.rule, "ids": ids}


# Months ---------------------------------------------------------------------------------------------------------------


@flattr.command()
@click.argument("period", required=False, type=PeriodType())
@click.option("--dry-run", is_flag=True, help="Say what it would come to; move nothing.")
@desk
def settle(desk: Desk, period: str | None, dry_run: bool) -> None:
    """Settle an ended month: the oldest that is due. Run again, it answers the same."""
    with desk.sessions() as session:
        terms = settlement.Terms(desk.config.currency, desk.config.fee_bps, _charity_id(desk, session))
    with _progress("Trying" if dry_run else "Settling") as tell:
        if dry_run:
            result = settlement.dry_run(desk.sessions, period, terms, now=desk.config.now(), progress=tell)
        else:
            result = settlement.settle(desk.sessions, period, terms, desk.world, now=desk.config.now(), progress=tell)
    foretold = dry_run and not _is_settled(desk, result.period)
    desk.answer(result.as_json() | ({"state": "dry_run"} if foretold else {}))


def _charity_id(desk: Desk, session: Session) -> int | None:
    found = users.charity(session, desk.config.charity)
    if desk.config.charity and found is None:
        messages.print(f"Nobody here has the address in FLATTR_CHARITY, {desk.config.charity}.", style="red")
    return found.id if found else None


def _is_settled(desk: Desk, period: str) -> bool:
    with desk.sessions() as session:
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
@click.argument("period", type=PeriodType())
@click.option("--csv", "as_csv", is_flag=True, help="As comma-separated values.")
@desk
def statement(desk: Desk, email: str, period: str, as_csv: bool) -> None:
    """What a user gave and received in a settled month."""
    with desk.sessions() as session:
        user = users.by_email(session, email)
        found = st.statement(session, user, period, desk.config.currency)
    if as_csv:
        write_csv(sys.stdout, found)
    else:
        desk.answer(found.as_json(), statement_table(user.email, found))


def write_csv(out: TextIO, found: st.Statement) -> None:
    """A statement's lines; cells that a spreadsheet would run as formulas are made text (RULES 5.10)."""
    rows = csv.writer(out)
    rows.writerow(("side", "period", "who_or_page", "readers", "amount_micros", "currency"))
    for given in found.given.lines:
        rows.writerow(("given", found.period, _cell(given.name), "", given.amount_micros, found.currency))
    for line in found.received.lines:
        rows.writerow(("received", found.period, _cell(line.url), line.readers, line.gross_micros, found.currency))
    rows.writerow(("fee", found.period, "", "", -found.received.fee_micros, found.currency))


def _cell(text: str) -> str:
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def statement_table(email: str, found: st.Statement) -> Table:
    """A statement for people; amounts to the micro."""
    given, received, table = (
        found.given,
        found.received,
        Table("", "micro-exact amount", title=f"{email}, {found.period}"),
    )
    table.columns[1].justify = "right"
    for line in given.lines:
        table.add_row(f"to {line.name}", format_money(line.amount_micros, found.currency, places=6))
    table.add_row(
        f"given, {given.owners} x", format_money(given.charged_micros, found.currency, places=6), style="bold"
    )
    for page in received.lines:
        amount = "-" if page.gross_micros is None else format_money(page.gross_micros, found.currency, places=6)
        table.add_row(f"{page.readers} readers of {page.url}", amount)
    if received.fee_micros:
        table.add_row("fee", format_money(-received.fee_micros, found.currency, places=6))
    table.add_row("received", format_money(received.received_micros, found.currency, places=6), style="bold")
    return table


@flattr.command("audit")
@click.option("--full", is_flag=True, help="Every list and income, not a sample of them.")
@desk
def audit_command(desk: Desk, full: bool) -> None:
    """Recompute everything; exit 1 and say where when anything does not add up."""
    with desk.sessions() as session:
        problems = audit.problems(session, full=full)
        transfers = session.scalar(sa.text("SELECT COUNT(*) FROM transfers"))
    text = "\n".join(problems) or f"Everything adds up: {transfers} transfers."
    desk.answer({"ok": not problems, "transfers": transfers, "problems": problems}, text)
    sys.exit(1 if problems else 0)


def _table(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> Table:
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    return table


if __name__ == "__main__":
    main()
