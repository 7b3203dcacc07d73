"""What is missing for production: each line is ok, a warning, or missing, with what to do. No line tells a secret."""

import os
import shutil
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import sqlalchemy as sa
from sqlalchemy.orm import Session
from stdnum import bic, iban
from stdnum.exceptions import ValidationError

from backend import audit, claims, clicks, db, jobs, mail, users
from backend.auditlog import Entry
from backend.config import Config
from backend.period import period_of

OK, WARNING, MISSING = "ok", "warning", "missing"
WORKER_RESTS = timedelta(minutes=10)  # it beats every minute, but may be at work on something slow
BACKUP_LASTS = timedelta(days=1, hours=1)  # a daily timer is never quite on time
SKEW = timedelta(seconds=5)
GIGABYTE = 10**9
MAIL_SECONDS = 10


class Line(NamedTuple):
    """One thing that was looked at."""

    check: str
    state: str
    says: str


def examine(session: Session, config: Config, *, now: datetime) -> list[Line]:
    """Look at everything; reads only, and says hello to the mail server."""
    found = {
        "tables": _tables(session),
        "dev mode": _dev(config),
        "secret": _secret(config),
        "address": _address(config),
        "proxies": _proxies(config),
        "mail": _mail(config),
        "bank": _bank(config),
        "disk": _disk(config),
    }
    if found["tables"][0] == OK:  # the rest is in them
        found |= {
            "charity": _charity(session, config),
            "operators": _operators(session),
            "database": _database(session),
            "worker": _worker(session, now),
            "jobs": _jobs(session, now),
            "backup": _backup(session, now),
            "settlement": _settlement(session, now),
            "claims": _contested(session, now),
            "books": _books(session),
            "clock": _clock(session),
        }
    return [Line(check, *told) for check, told in found.items()]


# Settings -------------------------------------------------------------------------------------------------------------


def _dev(config: Config) -> tuple[str, str]:
    return (MISSING, "Unset FLATTR_DEV: anybody could pretend money.") if config.dev else (OK, "Off.")


def _secret(config: Config) -> tuple[str, str]:
    file = config.instance / "secret_key"
    if file.is_file() and file.read_text() == config.secret_key:
        return MISSING, "Set FLATTR_SECRET_KEY and keep it apart from the backups: this one was generated here."
    if len(config.secret_key) < 32:
        return MISSING, "FLATTR_SECRET_KEY is short: take 32 random characters or more."
    return OK, "Set."


def _address(config: Config) -> tuple[str, str]:
    if not config.secure:
        return MISSING, "Set FLATTR_BASE_URL to the https:// address that people use."
    return OK, config.base_url


def _proxies(config: Config) -> tuple[str, str]:
    if not config.proxies:
        return MISSING, "Set FLATTR_PROXIES to how many proxies stand in front: everybody has their address."
    return OK, f"{config.proxies} in front."


def _mail(config: Config) -> tuple[str, str]:
    if not config.mail_url:
        return MISSING, "Set FLATTR_MAIL_URL: without it, mails become files and nobody can sign in."
    url, found = urlsplit(config.mail_url), []
    # A server that answers a byte at a time keeps each of its deadlines, but not this one.
    greeting = threading.Thread(target=lambda: found.append(_greet(url)), daemon=True)
    greeting.start()
    greeting.join(MAIL_SECONDS)
    return found[0] if found else (MISSING, f"{url.hostname} does not answer in time: see FLATTR_MAIL_URL.")


def _greet(url: SplitResult) -> tuple[str, str]:
    try:
        with mail.connection(url) as server:
            is_sealed = isinstance(server.sock, ssl.SSLSocket)
    except (OSError, ValueError) as error:
        return MISSING, f"{url.hostname} cannot be reached or trusted ({type(error).__name__}): see FLATTR_MAIL_URL."
    if not is_sealed:
        return WARNING, f"{url.hostname} answers, but offers no STARTTLS: mails go out in the clear."
    return OK, f"{url.hostname} answers, {'over TLS' if url.scheme == 'smtps' else 'with STARTTLS'}."


def _bank(config: Config) -> tuple[str, str]:
    if not (config.bank_name and config.bank_iban):
        return MISSING, "Set FLATTR_BANK_NAME and FLATTR_BANK_IBAN: readers do not know where to pay in."
    try:
        iban.validate(config.bank_iban)
        if config.bank_bic:
            bic.validate(config.bank_bic)
    except ValidationError:
        return MISSING, "FLATTR_BANK_IBAN or FLATTR_BANK_BIC has a typing error: its check digits or form are wrong."
    return OK, f"{config.bank_name}, IBAN ending in {config.bank_iban[-4:]}."


def _charity(session: Session, config: Config) -> tuple[str, str]:
    if not config.charity:
        return OK, "None; it is not offered."
    try:
        found = users.charity(session, config.charity)
    except users.BadAddress:
        found = None
    return (OK, "Is here.") if found else (MISSING, "Nobody here has the address in FLATTR_CHARITY: add that user.")


def _operators(session: Session) -> tuple[str, str]:
    count = session.scalar(sa.select(sa.func.count()).where(users.User.is_operator)) or 0
    if not count:
        return MISSING, "There is none: flattr users add EMAIL --operator."
    return (OK, f"{count}.") if count > 1 else (WARNING, "There is one: payouts take two.")


# The database ---------------------------------------------------------------------------------------------------------


def _database(session: Session) -> tuple[str, str]:
    if session.get_bind().dialect.name == "sqlite":
        return (
            WARNING,
            "SQLite, which has one writer at a time. Where many press at once, take PostgreSQL: FLATTR_DATABASE_URL.",
        )
    settings = {name: str(session.scalar(sa.text(f"SHOW {name}"))) for name in _SHOWN}
    version = int(settings["server_version_num"]) // 10_000
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        if settings[name] == "off":
            return MISSING, f"PostgreSQL's {name} is off: an answered press may be lost. Switch it on."
    if version < 15:
        return MISSING, f"PostgreSQL {version} is too old: 15 or newer."
    buffers = session.scalar(sa.text("SELECT pg_size_bytes(current_setting('shared_buffers'))")) or 0
    if buffers < GIGABYTE // 4:
        said = f"shared_buffers is {settings['shared_buffers']}: give it a quarter of the machine's memory."
        return WARNING, f"PostgreSQL {version}. {said}"
    if settings["random_page_cost"] == "4":
        return WARNING, f"PostgreSQL {version}. On solid-state disks, set random_page_cost to 1.1."
    return OK, f"PostgreSQL {version}."


_SHOWN = ("server_version_num", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "random_page_cost")


def _tables(session: Session) -> tuple[str, str]:
    bind = session.get_bind()
    engine = bind if isinstance(bind, sa.Engine) else bind.engine
    return (OK, "Of this version.") if db.is_current(engine) else (MISSING, "Run flattr db upgrade.")


# What goes on ---------------------------------------------------------------------------------------------------------


def _worker(session: Session, now: datetime) -> tuple[str, str]:
    last = jobs.last_beat(session, "worker")
    if last is None or last < now - WORKER_RESTS:
        seen = f"last seen {last:%Y-%m-%d %H:%M} UTC" if last else "never seen"
        return MISSING, f"It does not run ({seen}): start flattr worker."
    return OK, f"Seen {last:%H:%M} UTC."


def _jobs(session: Session, now: datetime) -> tuple[str, str]:
    late = session.scalar(sa.select(sa.func.count()).where(jobs.Job.due_at < now - jobs.LATE)) or 0
    failing = session.scalar(sa.select(sa.func.count()).where(jobs.Job.tries >= jobs.MAX_TRIES // 2)) or 0
    if late:
        return MISSING, f"{late} wait for more than an hour: is the worker at work?"
    if failing:
        return WARNING, f"{failing} failed again and again; the worker's log says why."
    return OK, "None is late."


def _backup(session: Session, now: datetime) -> tuple[str, str]:
    last = jobs.last_beat(session, "backup")
    if last is None:
        return MISSING, "There is none: flattr backup FILE, every day, to another machine."
    if last < now - BACKUP_LASTS:
        return MISSING, f"The last one is of {last:%Y-%m-%d %H:%M} UTC: is the timer on?"
    return OK, f"Of {last:%Y-%m-%d %H:%M} UTC."


def _settlement(session: Session, now: datetime) -> tuple[str, str]:
    due = clicks.first_due(session, period_of(now))
    return (WARNING, f"{due} has ended: flattr settle.") if due else (OK, "Nothing is due.")


def _contested(session: Session, now: datetime) -> tuple[str, str]:
    days = [(now - claim.doubtful_at).days for claim, _, _ in claims.contested(session) if claim.doubtful_at]
    if days:
        return WARNING, f"{len(days)} contested, the longest for {max(days)} days: flattr claims list."
    return OK, "None is contested."


def _books(session: Session) -> tuple[str, str]:
    found = audit.problems(session)
    return (MISSING, f"{found[0]} flattr audit says more.") if found else (OK, "All adds up (lists by sample).")


# The machine ----------------------------------------------------------------------------------------------------------


def _clock(session: Session) -> tuple[str, str]:
    """The clock itself, not the one that dev mode may hold still."""
    here = datetime.now(UTC)
    there = here
    if session.get_bind().dialect.name == "postgresql":
        there = session.scalar(sa.text("SELECT clock_timestamp()")) or here
    if abs(there - datetime.now(UTC)) > SKEW:
        return MISSING, f"The database's clock is off by {abs(there - here).total_seconds():.0f} seconds: set both."
    newest = session.scalar(sa.select(sa.func.max(Entry.at)))
    if newest and newest > here + SKEW:
        return MISSING, f"The clock is behind the log: an entry is of {newest:%Y-%m-%d %H:%M} UTC."
    return OK, f"{here:%Y-%m-%d %H:%M} UTC."


def _disk(config: Config) -> tuple[str, str]:
    if not os.access(config.instance, os.W_OK):
        return MISSING, f"{config.instance} cannot be written to."
    free = shutil.disk_usage(config.instance).free // (GIGABYTE // 1000)
    state = MISSING if free < 500 else WARNING if free < 5_000 else OK
    return state, f"{free:,} MB are free in the instance folder."
