"""What a reader is mailed, and taking everything along."""

from typing import Any

from flask import Response, render_template, request, stream_with_context
from flask.typing import ResponseReturnValue

from backend import export, notices, users
from backend.context import clock, config, session
from backend.web.base import blueprint, done, signed_in, user


@blueprint.post("/settings/mails")
@signed_in
def save_mails() -> ResponseReturnValue:
    """Which mails the reader wants."""
    users.set_unwanted_mails(session(), user().id, notices.KINDS.keys() - set(request.form.getlist("kind")))
    return done("/settings", "Saved.")


@blueprint.get("/mails/<token>")
def confirm_no_mails(token: str) -> ResponseReturnValue:
    """Show a button: mail scanners follow links, people press buttons."""
    _, kind = notices.of_link(session(), token, config().secret_key)
    return render_template("public/no_mails.html", token=token, what=notices.KINDS[kind], done=False)


@blueprint.post("/mails/<token>")
def no_mails(token: str) -> ResponseReturnValue:
    """Switch a kind of mails off, for whoever has the link. Mail programs do it for their people (RFC 8058), without a
    form, so there is no form token: the link itself is the secret.
    """
    found, kind = notices.of_link(session(), token, config().secret_key)
    users.set_unwanted_mails(session(), found.id, users.unwanted_mails(session(), found.id) | {kind})
    session().commit()
    return render_template("public/no_mails.html", token=token, what=notices.KINDS[kind], done=True)


@blueprint.get("/export")
@blueprint.get("/export.csv")
@signed_in
def export_all() -> ResponseReturnValue:
    """Everything that is kept of the user, as JSON or as one table."""
    written, ending, content_type = export.as_json, "json", "application/json"
    if request.path.endswith(".csv"):
        written, ending, content_type = export.as_csv, "csv", "text/csv; charset=utf-8"
    text: Any = stream_with_context(written(session(), user(), now=clock()))
    name = f"flattr-{user().public_id}.{ending}"
    return Response(text, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})
