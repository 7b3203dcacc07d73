"""The blueprint that all pages hang on, and who is signed in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Generic, TypeVar
from urllib.parse import quote

from apiflask import APIBlueprint
from flask import Response, flash, g, redirect, request
from flask.typing import ResponseReturnValue

from backend import access
from backend.context import clock, config, session
from backend.users import User

blueprint = APIBlueprint("web", __name__, enable_openapi=False)
View = Callable[..., ResponseReturnValue]
Item = TypeVar("Item")


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
            return to_sign_in(request.full_path.rstrip("?") if request.method == "GET" else "/month")
        return view(*args, **kwargs)

    return guarded


def to_sign_in(path: str) -> ResponseReturnValue:
    """Ask who is there; afterwards they are back at *path*."""
    return redirect(f"/sign-in?next={quote(path)}", 303)


def cookie_name() -> str:
    """The web session's cookie; over TLS browsers hold it to this host alone."""
    return "__Host-sid" if config().secure else "sid"


def set_cookie(response: Response, secret: str) -> None:
    """Hand a web session to the browser."""
    age = int(access.SESSION_LIFE.total_seconds())
    response.set_cookie(
        cookie_name(), secret, max_age=age, secure=config().secure, httponly=True, samesite="Lax", path="/"
    )


@dataclass(frozen=True)
class Part(Generic[Item]):
    """As much of a long list as one page takes."""

    items: Sequence[Item]
    number: int
    of: int
    total: int


def part_of(items: Sequence[Item], size: int = 30) -> Part[Item]:
    """The part of a list that the address asks for, from 1 on; the nearest there is."""
    of = max(1, -(-len(items) // size))
    number = min(_part_number(request.args), of)
    return Part(items[(number - 1) * size : number * size], number, of, len(items))


def _part_number(said: Mapping[str, str]) -> int:
    asked = said.get("part", "1")
    return max(int(asked), 1) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1


def in_its_part(path: str) -> str:
    """The address of a long list in the part of it that a form was in."""
    number = _part_number(request.form)
    return f"{path}?part={number}" if number > 1 else path


def back_to(path: str) -> Response:
    """After a form: show the page anew, so that reloading it does not send the form again."""
    return redirect(path, 303)  # type: ignore[return-value]


def done(path: str, said: str) -> Response:
    """After a form: keep what it asked for, and say so on the page that is shown."""
    session().commit()
    flash(said)
    return back_to(path)
