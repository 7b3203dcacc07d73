"""What the worker does when it is told to, the log, and the jobs.

An ended month is tried first, so that everybody sees what it comes to, and then settled.
"""

import json
from datetime import UTC, datetime

from flask import render_template, request
from flask.typing import ResponseReturnValue

from backend import auditlog, clicks, jobs, runs, users
from backend.context import clock, session
from backend.errors import InvalidRequest
from backend.period import month_name, period_of
from backend.users import User
from backend.web.base import done, period_typed, user, whole_number
from backend.web.desk.base import A_PAGE, operators


@operators.get("/months")
def desk_months() -> ResponseReturnValue:
    """The month that is due, how far its dry run or settlement is, and the months before."""
    tried, settling = runs.last(session(), "dry_run"), runs.last(session(), "settle")
    return render_template(
        "desk/months.html",
        due=clicks.first_due(session(), period_of(clock())),
        tried=tried,
        settling=settling,
        working=next((seen for seen in (tried, settling) if seen and seen.state == "working"), None),
        settled=clicks.settled(session())[:24],
    )


@operators.post("/months/<any(dry_run, settle):kind>")
def desk_settle(kind: str) -> ResponseReturnValue:
    """Have the worker try a month, or settle it."""
    period = period_typed(request.form.get("period", ""))
    is_new = runs.start(session(), kind, user().id, now=clock(), period=period)
    what = f"{'A dry run of ' if kind == 'dry_run' else 'Settling '}{month_name(period)}"
    said = "has begun." if is_new else "was begun already; nothing else was started."
    return done("/desk/months", f"{what} {said}")


@operators.get("/log")
def desk_log() -> ResponseReturnValue:
    """The audit log, searched and paged."""
    asked = {name: request.args.get(name, "").strip() for name in ("about", "action", "since", "by")}
    found = auditlog.entries(
        session(),
        about=asked["about"] or None,
        action=asked["action"] or None,
        since=_day(asked["since"]),
        actor_id=users.by_email(session(), asked["by"]).id if asked["by"] else None,
        before=whole_number(request.args.get("before", "0")) or None,
        limit=A_PAGE + 1,
    )
    shown = found[:A_PAGE]
    people = {id_: session().get(User, id_) for id_ in {entry.actor_id for entry in shown if entry.actor_id}}
    return render_template(
        "desk/log.html",
        entries=[(entry, json.loads(entry.details)) for entry in shown],
        people=people,
        asked=asked,
        next_before=shown[-1].id if len(found) > A_PAGE else None,
    )


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if text else None
    except ValueError as error:
        raise InvalidRequest("Please type a day like 2026-10-31.") from error


@operators.get("/jobs")
def desk_jobs() -> ResponseReturnValue:
    """Jobs that are late or failed. What a mail says, and to whom, is nobody's business here."""
    return render_template("desk/jobs.html", jobs=jobs.stuck(session(), now=clock(), most=A_PAGE))


@operators.post("/jobs/retry")
def desk_retry() -> ResponseReturnValue:
    """Have a job tried again now."""
    job = jobs.retry(session(), whole_number(request.form.get("job", "")), now=clock())
    auditlog.record(session(), "job.retried", f"{job.kind} {job.id}", now=clock(), actor_id=user().id)
    return done("/desk/jobs", "It is tried again now.")


@operators.get("/audit")
def desk_audit() -> ResponseReturnValue:
    """What the last audit and the last look at the installation found."""
    found = {kind: runs.last(session(), kind) for kind in ("audit", "doctor")}
    working = any(seen and seen.state == "working" for seen in found.values())
    return render_template("desk/audit.html", found=found, working=working)


@operators.post("/audit/<any(audit, doctor):kind>")
def desk_examine(kind: str) -> ResponseReturnValue:
    """Have the worker look."""
    is_new = runs.start(session(), kind, user().id, now=clock())
    return done("/desk/audit", "The worker looks now." if is_new else "The worker looks already.")
