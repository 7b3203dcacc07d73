"""The desk: this month so far, and what waits for an operator."""

from datetime import datetime, timedelta

from flask import render_template
from flask.typing import ResponseReturnValue

from backend import claims, clicks, jobs, runs
from backend.clicks.live import so_far
from backend.context import clock, session
from backend.deposits import entries, reversals
from backend.doctor import BACKUP_LASTS, WORKER_RESTS
from backend.payouts import batches
from backend.period import period_of
from backend.web.desk.base import operators

MOST = 100  # of each thing to count: more is "100 or more"


@operators.get("")
def desk() -> ResponseReturnValue:
    """Numbers of this month, work that waits, and signs of life."""
    now, period = clock(), period_of(clock())
    contested = claims.contested(session(), most=MOST)
    days = [(now - claim.doubtful_at).days for claim, _, _ in contested if claim.doubtful_at]
    return render_template(
        "desk/home.html",
        period=period,
        month=so_far(session(), period),
        due=clicks.first_due(session(), period),
        unmatched=entries.unmatched(session(), most=MOST),
        taken_back=reversals.waiting(session(), most=MOST),
        batches=batches.listing(session(), most=10),
        contested=contested,
        contested_days=max(days, default=0),
        review=claims.to_review(session(), most=MOST),
        stuck=jobs.stuck(session(), now=now, most=MOST),
        most=MOST,
        signs=[_sign("worker", WORKER_RESTS, now), _sign("backup", BACKUP_LASTS, now)],
        audit=runs.last(session(), "audit"),
    )


def _sign(name: str, lasts: timedelta, now: datetime) -> tuple[str, datetime | None, bool]:
    """Of what, when last, and whether that is too long ago."""
    last = jobs.last_beat(session(), name)
    return name, last, last is None or last < now - lasts
