"""Who may do what on the desk: operators see it; to change anything they must have signed in just now."""

from apiflask import APIBlueprint
from flask import Request, abort, flash, g, request
from flask.typing import ResponseReturnValue

from backend import access
from backend.bank.camt import MAX_BYTES
from backend.context import clock, session
from backend.web.base import blueprint, cookie_name, to_sign_in

operators = APIBlueprint("operators", __name__, enable_openapi=False, url_prefix="/desk")
blueprint.register_blueprint(operators)
IMPORT = "web.operators.desk_import"
A_PAGE = 50  # rows
AROUND = 64 * 1024  # what a form adds to a file


@operators.before_request
def let_operators_in() -> ResponseReturnValue | None:
    """The address of a form without the last part is the page that it is on."""
    if g.user is None or not g.user.is_operator:
        g.user = None  # where there is no page, nobody is known
        abort(404)
    if request.method == "POST" and not access.is_fresh(g.web_session, now=clock()):
        flash("Please sign in again, then press once more: nothing was done. We want to be sure that it is you.")
        return to_sign_in(request.path.rpartition("/")[0])
    return None


def allow_statements(asked: Request) -> None:
    """Let operators send a bank statement, which is larger than anything else; strangers are not even read."""
    if asked.endpoint != IMPORT or asked.method != "POST":
        return
    found = access.signed_in(session(), asked.cookies.get(cookie_name()), now=clock())
    if found and found[0].is_operator:
        asked.max_content_length = MAX_BYTES + AROUND
    session().rollback()  # what follows begins as a writer
