"""The log, the jobs, and whether all is well."""

import json
from datetime import UTC, datetime

from flask import render_template, request
from flask.typing import ResponseReturnValue

from backend import auditlog, jobs, runs, users
from backend.context import clock, session
from backend.errors import InvalidRequest
from backend.users import User
from backend.web.base import blueprint, done, user
from backend.web.desk.base import A_PAGE, operators
from backend.web.reader import whole_number


@blueprint.get("/desk/log")
@operators
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


@blueprint.get("/desk/jobs")
@operators
def desk_jobs() -> ResponseReturnValue:
    """Jobs that are late or failed. What a mail says, and to whom, is nobody's business here."""
    return render_template("desk/jobs.html", jobs=jobs.stuck(session(), now=clock(), most=A_PAGE), now=clock())


@blueprint.post("/desk/jobs/retry")
@operators
def desk_retry() -> ResponseReturnValue:
    """Have a job tried again now."""
    job = jobs.retry(session(), whole_number(request.form.get("job", "")), now=clock())
    auditlog.record(session(), "job.retried", f"{job.kind} {job.id}", now=clock(), actor_id=user().id)
    return done("/desk/jobs", "It is tried again now.")


@blueprint.get("/desk/audit")
@operators
def desk_audit() -> ResponseReturnValue:
    """What the last audit and the last look at the installation found."""
    found = {kind: runs.last(session(), kind) for kind in ("audit", "doctor")}
    working = any(seen and seen.state == "working" for seen in found.values())
    return render_template("desk/audit.html", found=found, working=working)


@blueprint.post("/desk/audit/<any(audit, doctor):kind>")
@operators
def desk_examine(kind: str) -> ResponseReturnValue:
    """Have the worker look."""
    is_new = runs.start(session(), kind, user().id, now=clock())
    return done("/desk/audit", "The worker looks now." if is_new else "The worker looks already.")
