"""Settling an ended month: tried first, so that everybody sees what it comes to, then done. The worker does both."""

import sqlalchemy as sa
from flask import render_template, request
from flask.typing import ResponseReturnValue

from backend import clicks, runs
from backend.clicks import Period
from backend.context import clock, session
from backend.period import month_name, period_of
from backend.web.base import blueprint, done, user
from backend.web.desk.base import operators
from backend.web.reader import period_typed


@blueprint.get("/desk/months")
@operators
def desk_months() -> ResponseReturnValue:
    """The month that is due, how far its dry run or settlement is, and the months before."""
    settled = sa.select(Period).where(Period.state == "settled").order_by(Period.period.desc()).limit(24)
    tried, settling = runs.last(session(), "dry_run"), runs.last(session(), "settle")
    return render_template(
        "desk/months.html",
        due=clicks.first_due(session(), period_of(clock())),
        tried=tried,
        settling=settling,
        working=next((seen for seen in (tried, settling) if seen and seen.state == "working"), None),
        settled=session().scalars(settled).all(),
    )


@blueprint.post("/desk/months/<any(dry_run, settle):kind>")
@operators
def desk_settle(kind: str) -> ResponseReturnValue:
    """Have the worker try a month, or settle it."""
    period = period_typed(request.form.get("period", ""))
    is_new = runs.start(session(), kind, user().id, now=clock(), period=period)
    what = f"{'A dry run of ' if kind == 'dry_run' else 'Settling '}{month_name(period)}"
    said = "has begun." if is_new else "was begun already; nothing else was started."
    return done("/desk/months", f"{what} {said}")
