"""Settlement: an ended period's clicks become transfers, exactly once, killed and run again as often as it takes.

Close: the period's row, which every click locks, keeps late clicks out, and the terms are frozen with who owns what.
Charge: readers in chunks, one transaction each, over a pool of processes; money waits on the clearing account.
Pay: owners in buckets, likewise. Seal: a digest says what it came to. `steps` has the four, `lists` reads what readers
clicked, `split` computes.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import cached_property, partial
from multiprocessing import get_context
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from backend import audit, bulk, checks, clicks, jobs, users
from backend.clicks import Click, Period
from backend.config import Config
from backend.db import exclusive, make_engine, reading, session_maker
from backend.errors import DomainError
from backend.period import ends_at, following, period_of
from backend.settlement import lists, steps
from backend.settlement.lists import Payees

WORTH_A_POOL = 200_000  # clicks; below, processes take longer to start than they save


class NotOver(DomainError):
    """This month is not over yet."""


class EarlierOpen(DomainError):
    """An earlier month has to be settled first."""


class Interrupted(DomainError):
    """One of the processes was killed. Nothing is lost: run it again, and it goes on where it was."""


@dataclass(frozen=True)
class Terms:
    """What a settlement freezes, beside the closing time; *charity_id* is the user who gets empty months so given."""

    currency: str
    fee_bps: int
    charity_id: int | None = None

    @classmethod
    def of(cls, session: Session, config: Config) -> "Terms":
        """As the settings say now."""
        charity = users.charity(session, config.charity)
        return cls(config.currency, config.fee_bps, charity.id if charity else None)


@dataclass(frozen=True)
class Progress:
    """How far a settlement is: readers charged by this run, and steps done of all."""

    readers: int
    steps: int
    of: int


@dataclass(frozen=True)
class Result:
    """What a settled period came to; micros in the period's currency, the digest in hex."""

    period: str
    state: str
    currency: str
    readers: int
    owners: int
    clicks: int
    promises: int
    charged_micros: int
    received_micros: int
    fee_micros: int
    digest: str

    def as_json(self) -> dict[str, object]:
        """As commands print it."""
        return asdict(self)


def oldest_due(session: Session, *, now: datetime) -> str:
    """The period to settle next; when all are settled, the last one again; the previous month when there was none."""
    if due := clicks.first_due(session, period_of(now)):
        return due
    ended = sa.select(sa.func.max(Period.period)).where(Period.period < period_of(now), Period.state == "settled")
    return session.scalar(ended) or following(period_of(now), -1)


def settle(
    sessions: sessionmaker[Session],
    period: str | None,
    terms: Terms,
    world: checks.World,
    *,
    now: datetime,
    progress: Callable[[Progress], None] = lambda progress: None,
    workers: int | None = None,
) -> Result:
    """Settle an ended period; one that is settled already answers from what is stored.

    Args:
        workers: Processes. Default: one for each processor on PostgreSQL if that is worth it; SQLite has one writer.

    Raises:
        NotOver, EarlierOpen, AnotherRun: Not now.
        AuditFailed: The books do not add up, so no money moves.
        Interrupted: A worker process was killed.
    """
    with exclusive(sessions.kw["bind"], "settle"):
        with sessions.begin() as session:
            period = period or oldest_due(session, now=now)
            if result := _stored(session, period):
                return result
            _refuse(session, period, now)
        with _pool(sessions, period, workers or _worth(sessions, period)) as run:
            with ThreadPoolExecutor(1) as beside, sessions.begin() as session:
                looked = beside.submit(_look_through_the_books, sessions)
                steps.close(session, period, asdict(terms), now=now)
                todo = _uncharged(session, period)
                looked.result()  # else nothing of this stays
            _work(run, *todo, progress)
        with sessions.begin() as session:
            joined = steps.seal(session, period, now=now)
            checks.announce(session, joined, world, now=now)
            return _result(session.get_one(Period, period))


def dry_run(
    sessions: sessionmaker[Session],
    period: str | None,
    terms: Terms,
    *,
    now: datetime,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """What `settle` would do, worked through in one transaction that is thrown away."""
    with exclusive(sessions.kw["bind"], "settle"), sessions() as session:
        period = period or oldest_due(session, now=now)
        if result := _stored(session, period):
            return result
        _refuse(session, period, now)
        audit.ensure_clean(session)
        steps.close(session, period, asdict(terms), now=now)
        do = partial(_do, session, period, Payees(session, period))
        _work(lambda step, numbers: map(partial(do, step), numbers), *_uncharged(session, period), progress)
        steps.seal(session, period, now=now)
        result = _result(session.get_one(Period, period))
        session.rollback()
        return result


def _look_through_the_books(sessions: sessionmaker[Session]) -> None:
    with reading(sessions) as session:
        audit.ensure_clean(session)


def _refuse(session: Session, period: str, now: datetime) -> None:
    if ends_at(period) > now:
        raise NotOver(f"{period} is not over yet: it ends at {ends_at(period):%Y-%m-%d %H:%M} UTC.")
    if earlier := clicks.first_due(session, period):
        raise EarlierOpen(f"{earlier} has to be settled first.")


def _stored(session: Session, period: str) -> Result | None:
    row = session.get(Period, period)
    return _result(row) if row and row.state == "settled" else None


def _result(row: Period) -> Result:
    result = {field.name: getattr(row, field.name) for field in fields(Result)}
    return Result(**result | {"currency": row.currency or "", "digest": (row.digest or b"").hex()})


# Running the steps ----------------------------------------------------------------------------------------------------

Run = Callable[[str, Iterable[int]], Iterable[int]]  # does a step for each number, in any order: what each came to


def _uncharged(session: Session, period: str) -> tuple[list[int], int]:
    """The chunks that are still to be charged, and how many there are in all."""
    chunks, done = lists.chunks(session, period), steps.charged(session, period)
    return [number for number in chunks if number not in done], len(chunks)


def _work(run: Run, chunks: list[int], of: int, progress: Callable[[Progress], None]) -> None:
    """Charge these chunks of readers, then pay all buckets of owners."""
    readers, done, total = 0, of - len(chunks), of + steps.BUCKETS
    progress(Progress(readers, done, total))
    for step, numbers in (("charge", chunks), ("pay", range(steps.BUCKETS))):
        for count in run(step, numbers):
            readers, done = readers + (count if step == "charge" else 0), done + 1
            progress(Progress(readers, done, total))


def _do(session: Session, period: str, payees: Payees, step: str, number: int) -> int:
    return steps.charge(session, period, number, payees) if step == "charge" else steps.pay(session, period, number)


class Worker:
    """Does steps of one period, each in a transaction of its own; in this process, or in one of a pool."""

    current: ClassVar["Worker"]

    def __init__(self, sessions: sessionmaker[Session], period: str) -> None:
        self.sessions, self.period = sessions, period

    @cached_property
    def payees(self) -> Payees:
        """Who owned what, once that is frozen."""
        with self.sessions() as session:
            return Payees(session, self.period)

    def do(self, step: str, number: int) -> int:
        """What one step came to."""
        payees = self.payees
        with self.sessions.begin() as session:
            return _do(session, self.period, payees, step, number)

    @classmethod
    def start(cls, url: str, period: str) -> None:
        """Begin work in a process of the pool, which ends when the settling process does, however that dies."""
        jobs.end_with_parent()
        cls.current = cls(session_maker(make_engine(url)), period)

    @classmethod
    def do_here(cls, step: str, number: int) -> int:
        """As `do`, by the worker of this process."""
        return cls.current.do(step, number)


@contextmanager
def _pool(sessions: sessionmaker[Session], period: str, workers: int) -> Iterator[Run]:
    if workers == 1:
        do = Worker(sessions, period).do
        yield lambda step, numbers: map(partial(do, step), numbers)
        return
    url = sessions.kw["bind"].url.render_as_string(hide_password=False)
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once, not by each worker
    pool = ProcessPoolExecutor(workers, context, Worker.start, (url, period))
    for _ in range(workers):
        pool.submit(os.getpid)  # whatever it is: processes start while this one looks through the books

    def run(step: str, numbers: Iterable[int]) -> Iterator[int]:
        waiting = [pool.submit(Worker.do_here, step, number) for number in numbers]
        return (done.result() for done in as_completed(waiting))

    try:
        yield run
    except BrokenProcessPool as error:
        raise Interrupted from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _worth(sessions: sessionmaker[Session], period: str) -> int:
    """How many processes a period is worth."""
    with sessions() as session:
        if not bulk.on_postgresql(session):
            return 1
        some = sa.select(sa.literal(1)).where(Click.period == period).limit(WORTH_A_POOL).subquery()
        many = (session.scalar(sa.select(sa.func.count()).select_from(some)) or 0) == WORTH_A_POOL
    return (os.cpu_count() or 1) if many else 1
