"""Long work that an operator starts on the desk and the worker does: a dry run, a settlement, the audit, the doctor.

Of each kind the last one is kept: who asked for it, how far it is, and what came of it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from backend import audit, auditlog, bulk, checks, doctor, jobs, settlement
from backend.config import Config
from backend.db import Base, PeriodNumber, put, reading
from backend.errors import AnotherRun, DomainError
from backend.settlement import Interrupted, Progress

TELLS_EVERY = 1.0  # seconds
SETTLING = ("dry_run", "settle")
MOST_TOLD = 50  # findings of an audit: more say nothing new


class Run(Base):
    """The last run of its kind. *done* of *of* steps; *result* is what it came to, *refusal* why it was not done."""

    __tablename__ = "runs"
    __table_args__ = (sa.CheckConstraint("kind IN ('dry_run', 'settle', 'audit', 'doctor')", name="kind_known"),)

    kind: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    period: Mapped[str | None] = mapped_column(PeriodNumber)
    asked_by: Mapped[int] = mapped_column(sa.BigInteger)
    asked_at: Mapped[datetime]
    done: Mapped[int]
    of: Mapped[int]
    ended_at: Mapped[datetime | None]
    refusal: Mapped[str | None] = mapped_column(sa.Text)
    result: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))


@dataclass(frozen=True)
class Seen:
    """A run as the desk shows it: ``working``, ``done``, ``refused``, or ``given_up`` after too many tries."""

    run: Run
    state: str


def last(session: Session, kind: str) -> Seen | None:
    """The last run of a kind."""
    run = session.get(Run, kind)
    return Seen(run, _state(session, run)) if run else None


def _state(session: Session, run: Run) -> str:
    if run.ended_at:
        return "refused" if run.refusal else "done"
    return "working" if jobs.is_waiting(session, "run", run.kind) else "given_up"


def start(session: Session, kind: str, actor_id: int, *, now: datetime, period: str | None = None) -> bool:
    """Have the worker do it; false when it is at work on it already.

    Raises:
        AnotherRun: A month is being settled, or tried, already.
    """
    for other in SETTLING if kind in SETTLING else (kind,):
        seen = last(session, other)
        if seen and seen.state == "working":
            if other == kind and seen.run.period == period:
                return False
            raise AnotherRun
    row = {"period": period, "asked_by": actor_id, "asked_at": now, "done": 0, "of": 0}
    row |= {"ended_at": None, "refusal": None, "result": None}
    put(session, Run, {"kind": kind}, row)
    jobs.enqueue(session, "run", kind, {"kind": kind}, now=now)
    auditlog.record(session, f"{kind}.started", period or "", now=now, actor_id=actor_id)
    return True


def perform(sessions: sessionmaker[Session], config: Config, kind: str) -> None:
    """Do what was asked for. Killed and called again, it goes on; called once more, it does nothing.

    Raises:
        AnotherRun, Interrupted: Not now; to be called again.
    """
    with sessions() as session:
        run = session.get(Run, kind)
    if run is None or run.ended_at:
        return
    try:
        result: dict[str, Any] | None = _do(sessions, config, run)
        refusal = None
    except (AnotherRun, Interrupted):
        raise
    except DomainError as refused:
        result, refusal = None, str(refused)
    with sessions.begin() as session:
        ended = sa.update(Run).where(Run.kind == kind, Run.ended_at.is_(None))
        session.execute(ended.values(ended_at=config.now(), result=result, refusal=refusal))


def _do(sessions: sessionmaker[Session], config: Config, run: Run) -> dict[str, Any]:
    if run.kind in SETTLING:
        return _settle(sessions, config, run).as_json()
    # These read for long: on SQLite, nobody should have to wait until they have.
    with reading(sessions) as session:
        if run.kind == "doctor":
            return {"lines": [line._asdict() for line in doctor.examine(session, config, now=config.now())]}
        found = audit.problems(session)
        return {"problems": found[:MOST_TOLD], "count": len(found)}


def _settle(sessions: sessionmaker[Session], config: Config, run: Run) -> settlement.Result:
    with sessions() as session:
        terms = settlement.Terms.of(session, config)
        on_postgresql = bulk.on_postgresql(session)
    if run.kind == "dry_run":
        # On SQLite a dry run is the one writer until it ends: nobody can write down how far it is.
        tell = _tell(sessions, run) if on_postgresql else lambda _: None
        return settlement.dry_run(sessions, run.period, terms, now=config.now(), progress=tell)
    world = checks.World(config.base_url, config.dev, config.secret_key)
    tell = _tell(sessions, run)
    return settlement.settle(sessions, run.period, terms, world, now=config.now(), progress=tell)


def _tell(sessions: sessionmaker[Session], run: Run) -> Callable[[Progress], None]:
    """Writes down how far a run is, now and then."""
    told = 0.0

    def tell(progress: Progress) -> None:
        nonlocal told
        if time.monotonic() - told < TELLS_EVERY:
            return
        told = time.monotonic()
        with sessions.begin() as session:
            session.execute(sa.update(Run).where(Run.kind == run.kind).values(done=progress.steps, of=progress.of))

    return tell
