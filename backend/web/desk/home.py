"""The desk: this month so far, and what waits for an operator."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from flask import render_template
from flask.typing import ResponseReturnValue

from backend import claims, clicks, jobs, payouts, runs
from backend.clicks.live import so_far
from backend.context import clock, config, session
from backend.deposits import entries, reversals
from backend.doctor import BACKUP_LASTS, WORKER_RESTS
from backend.money import format_money
from backend.period import month_name, period_of
from backend.web.desk.base import operators

MOST = 100  # of each thing to count: more is "100 or more"
NEXT = {
    "prepared": "waits for another operator's approval",
    "approved": "is approved: download its file and hand it to the bank",
    "exported": "is at the bank: confirm it once the bank has paid",
}


@operators.get("")
def desk() -> ResponseReturnValue:
    """Numbers of this month, work that waits, and signs of life."""
    now, period = clock(), period_of(clock())
    return render_template(
        "desk/home.html",
        period=period,
        month=so_far(session(), period),
        waiting=_waiting(now),
        signs=[_sign("worker", WORKER_RESTS, now), _sign("backup", BACKUP_LASTS, now)],
        audit=runs.last(session(), "audit"),
    )


def _sign(name: str, lasts: timedelta, now: datetime) -> tuple[str, datetime | None, bool]:
    """Of what, when last, and whether that is too long ago."""
    last = jobs.last_beat(session(), name)
    return name, last, last is None or last < now - lasts


def _waiting(now: datetime) -> list[tuple[str, str]]:
    """What waits: where to, and a sentence."""
    found: list[tuple[str, str]] = []
    if due := clicks.first_due(session(), period_of(now)):
        found.append(("/desk/months", f"{month_name(due)} has ended and is not settled."))
    if unmatched := entries.unmatched(session(), most=MOST):
        total = format_money(sum(entry.amount_micros for entry in unmatched), config().currency)
        said = f"{_count(unmatched, 'payment', 'payments')} into the bank account, {total}, without a reader."
        found.append(("/desk/deposits", said))
    if taken_back := reversals.waiting(session(), most=MOST):
        said = f"{_count(taken_back, 'payment was', 'payments were')} taken back by the bank."
        found.append(("/desk/deposits", said))
    found += [
        (f"/desk/payouts/{batch.id}", f"Batch {batch.id} of payouts {NEXT[batch.state]}.")
        for batch in payouts.listing(session(), most=10)
        if batch.state in NEXT
    ]
    if contested := claims.contested(session(), most=MOST):
        days = max((now - claim.doubtful_at).days for claim, _, _ in contested if claim.doubtful_at)
        said = f"{_count(contested, 'claim is', 'claims are')} contested, the longest for {days} days."
        found.append(("/desk/claims", said))
    if review := claims.to_review(session(), most=MOST):
        found.append(("/desk/claims", f"{_count(review, 'claim needs', 'claims need')} an operator's word."))
    if stuck := jobs.stuck(session(), now=now, most=MOST):
        found.append(("/desk/jobs", f"{_count(stuck, 'job is', 'jobs are')} late or failed."))
    return found


def _count(found: Sequence[object], one: str, more: str) -> str:
    return f"1 {one}" if len(found) == 1 else f"{len(found)}{' or more' if len(found) == MOST else ''} {more}"
