"""Who may do what on the desk: operators see it; to change anything they must have signed in just now."""

from functools import wraps

from flask import Request, abort, flash, g, request
from flask.typing import ResponseReturnValue

from backend import access
from backend.bank.camt import MAX_BYTES
from backend.context import clock, session
from backend.web.base import View, cookie_name, to_sign_in

IMPORT = "web.desk_import"
A_PAGE = 50  # rows
AROUND = 64 * 1024  # what a form adds to a file


def operators(view: View) -> View:
    """A view for operators. Its address without the last part is the page that its form is on."""

    @wraps(view)
    def guarded(*args: object, **kwargs: object) -> ResponseReturnValue:
        if g.user is None or not g.user.is_operator:
            g.user = None  # where there is no page, nobody is known
            abort(404)
        if request.method == "POST" and not access.is_fresh(g.web_session, now=clock()):
            flash("Please sign in again, then press once more: nothing was done. We want to be sure that it is you.")
            return to_sign_in(request.path.rpartition("/")[0])
        return view(*args, **kwargs)

    return guarded


def allow_statements(asked: Request) -> None:
    """Let operators send a bank statement, which is larger than anything else; strangers are not even read."""
    if asked.endpoint != IMPORT or asked.method != "POST":
        return
    found = access.signed_in(session(), asked.cookies.get(cookie_name()), now=clock())
    if found and found[0].is_operator:
        asked.max_content_length = MAX_BYTES + AROUND
    session().rollback()  # what follows begins as a writer
