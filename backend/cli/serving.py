"""How the server and the worker start, and the database comes to this version."""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import count

import click
from sqlalchemy.orm import Session, sessionmaker

from backend import card_payments, cards, checks, clicks, db, jobs, limits, notices, retention, runs
from backend.cli.desk import Desk, desk, flattr, messages
from backend.config import Config

log = logging.getLogger(__name__)


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
        interface=Interfaces.ASGINL,
        workers=workers or (1 if on_sqlite else 2),
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
    done = 0
    for rounds in count():
        if rounds % 120 == 0:
            _tend(desk)
        done += jobs.work(desk.sessions, handlers, desk.config.now)
        if once:
            break
        time.sleep(0.5)
    desk.answer({"done": done}, f"{done} jobs done.")


def _tend(desk: Desk) -> None:
    """What is to be done now and then: re-checks, card payments, mails, the months to come, what is to be forgotten."""
    checks.enqueue_due(desk.sessions, now=desk.config.now())
    notices.begin_due(desk.sessions, now=desk.config.now())
    retention.begin_due(desk.sessions, now=desk.config.now())
    with desk.sessions.begin() as session:
        card_payments.enqueue_due(session, now=desk.config.now())
        clicks.make_ahead(session, now=desk.config.now())
        limits.forget_old(session, now=desk.config.now())
        jobs.beat(session, "worker", now=desk.config.now())


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def job_handlers(config: Config, sessions: sessionmaker[Session]) -> dict[str, jobs.Handler]:
    """What the worker does for each kind of job."""
    world = checks.World(config.base_url, config.dev, config.secret_key)
    return {
        "look": lambda job: checks.look(sessions, job["site"], world, now=config.now(), asker_id=job.get("asker")),
        "card": lambda job: look_at_card(config, sessions, job["payment"]),
        "page": lambda job: checks.look_at_page(sessions, job["page_id"], world, now=config.now()),
        "mail": lambda job: notices.deliver(sessions, job, config),
        "notices": lambda job: notices.spread(sessions, job, config, now=config.now()),
        "forget": lambda job: retention.forget(sessions, job, now=config.now()),
        "run": lambda job: runs.perform(sessions, config, job["kind"]),
    }


def look_at_card(config: Config, sessions: sessionmaker[Session], payment_id: int) -> bool:
    """Bring what the provider says of a card payment into the books; whether that changed anything.

    Raises:
        CardsOff: There is no provider any more.
    """
    if not (provider := cards.provider(config)):
        raise cards.CardsOff
    return card_payments.reconcile(sessions, provider, payment_id, config.currency, now=config.now())


@flattr.group("db")
def db_group() -> None:
    """The database."""


@db_group.command("upgrade")
@partial(desk, upgraded=False)
def db_upgrade(desk: Desk) -> None:
    """Bring the database to this version."""
    upgraded = db.upgrade(desk.sessions.kw["bind"])
    desk.answer({"upgraded": upgraded}, "Upgraded." if upgraded else "It was at this version already.")
