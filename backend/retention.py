"""What is kept for a while only (RULES 6): which pages a reader flattred for three months, a promise for twelve.

The worker forgets month by month, some readers at a time, each step in one transaction that also queues the next one:
killed anywhere it goes on where it was. Whom a month went to stays (docs/decisions/0030), and so does all that moved.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from backend import auditlog, clicks, jobs
from backend.clicks import PAGE_MONTHS, PROMISE_MONTHS, Period
from backend.period import following, period_of, starts_at
from backend.users import User

READERS = 1000  # by id, at a time: on SQLite, presses wait for that long
log = logging.getLogger(__name__)

FORGET: dict[str, Callable[[Session, str, range], int]] = {
    "pages": clicks.forget_pages,
    "promises": clicks.forget_promises,
}


def begin_due(sessions: sessionmaker[Session], *, now: datetime) -> None:
    """Queue what is old enough to be forgotten, as far as that is not done."""
    with sessions.begin() as session:
        for what, query in _due(now).items():
            for period in session.scalars(query):
                key = f"{what} {period}"
                if not jobs.is_waiting(session, "forget", key):
                    job = {"what": what, "period": period, "first": 0, "rows": 0}
                    jobs.enqueue(session, "forget", key, job, now=now)


def _due(now: datetime) -> dict[str, sa.Select[str]]:
    """Settled months whose pages or promises are to be forgotten, the oldest first.

    A month that was settled late is kept longer: its readers saw only then what it came to.
    """
    settled = sa.select(Period.period).where(Period.state == "settled").order_by(Period.period)
    this = period_of(now)
    closed_before = starts_at(following(this, 1 - PAGE_MONTHS))
    return {
        "pages": settled.where(Period.pages_gone_at.is_(None), Period.closed_at < closed_before),
        "promises": settled.where(Period.promises_gone_at.is_(None), Period.period < following(this, -PROMISE_MONTHS)),
    }


def forget(sessions: sessionmaker[Session], job: dict[str, Any], *, now: datetime) -> None:
    """One step: some readers of a month, and the job for the next ones; after the last one the month is done with.

    Raises:
        AnotherRun: On PostgreSQL somebody reads lists for long; to be called again.
    """
    what, period, readers = job["what"], job["period"], range(job["first"], job["first"] + READERS)
    with sessions.begin() as session:
        month = session.get_one(Period, period, with_for_update=True)
        if getattr(month, f"{what}_gone_at"):
            return
        rows = job["rows"] + FORGET[what](session, period, readers)
        if readers.stop <= (session.scalar(sa.select(sa.func.max(User.id))) or 0):
            following_job = job | {"first": readers.stop, "rows": rows}
            jobs.enqueue(session, "forget", f"{what} {period}", following_job, now=now)
            return
        if what == "pages":
            clicks.drop_partition(session, period)
        setattr(month, f"{what}_gone_at", now)
        auditlog.record(session, f"{what}.forgotten", period, now=now, rows=rows)
    log.info("%s: %d %s are forgotten", period, rows, what)
