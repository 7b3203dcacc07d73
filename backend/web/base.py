"""The blueprint that all pages hang on, and who is signed in."""

from collections.abc import Callable
from functools import wraps
from urllib.parse import quote

from apiflask import APIBlueprint
from flask import Response, g, redirect, request
from flask.typing import ResponseReturnValue

from backend import access
from backend.context import clock, config, session
from backend.users import User

blueprint = APIBlueprint("web", __name__, enable_openapi=False)
View = Callable[..., ResponseReturnValue]


@blueprint.before_request
def load_user() -> None:
    """Put the signed-in user on `g`, or None."""
    found = access.signed_in(session(), request.cookies.get(cookie_name()), now=clock())
    g.user, g.web_session = found or (None, None)


def user() -> User:
    """Who is signed in; only for views behind `signed_in`."""
    found: User = g.user
    return found


def signed_in(view: View) -> View:
    """A view for people who are signed in; others are asked to, and come back."""

    @wraps(view)
    def guarded(*args: object, **kwargs: object) -> ResponseReturnValue:
        if g.user is None:
            return redirect(f"/sign-in?next={quote(request.path if request.method == 'GET' else '/month')}", 303)
        return view(*args, **kwargs)

    return guarded


def cookie_name() -> str:
    """The web session's cookie; over TLS browsers hold it to this host alone."""
    return "__Host-sid" if config().secure else "sid"


def set_cookie(response: Response, secret: str) -> None:
    """Hand a web session to the browser."""
    age = int(access.SESSION_LIFE.total_seconds())
    response.set_cookie(
        cookie_name(), secret, max_age=age, secure=config().secure, httponly=True, samesite="Lax", path="/"
    )


def back_to(path: str) -> Response:
    """After a form: show the page anew, so that reloading it does not send the form again."""
    return redirect(path, 303)  # type: ignore[return-value]
