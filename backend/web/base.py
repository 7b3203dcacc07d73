"""The blueprints that all pages hang on, who is signed in, and what was typed."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from apiflask import APIBlueprint
from flask import Response, flash, g, redirect, request

from backend import access
from backend.context import clock, config, session
from backend.db import Base, existing
from backend.errors import InvalidRequest, NotFound
from backend.money import parse_amount
from backend.period import parse_period
from backend.users import User

blueprint = APIBlueprint("web", __name__, enable_openapi=False)  # pages for everybody
signed_in = APIBlueprint("signed_in", __name__, enable_openapi=False)  # and those for people who are signed in
blueprint.register_blueprint(signed_in)
Row = TypeVar("Row", bound=Base)


@blueprint.before_request
def load_user() -> None:
    """Put the signed-in user on `g`, or None."""
    found = access.signed_in(session(), request.cookies.get(cookie_name()), now=clock())
    g.user, g.web_session = found or (None, None)


@signed_in.before_request
def ask_who_is_there() -> Response | None:
    """Others are asked to sign in, and come back."""
    back = request.full_path.rstrip("?") if request.method == "GET" else "/month"
    return None if g.user else to_sign_in(back)


def user() -> User:
    """Who is signed in; only where somebody is."""
    found: User = g.user
    return found


def to_sign_in(path: str) -> Response:
    """Ask who is there; afterwards they are back at *path*."""
    return back_to(f"/sign-in?next={quote(path)}")


def cookie_name() -> str:
    """The web session's cookie; over TLS browsers hold it to this host alone."""
    return "__Host-sid" if config().secure else "sid"


class Part(NamedTuple):
    """As much of a long list as one page takes."""

    items: Sequence[Any]
    number: int
    of: int


def part_of(items: Sequence[Any], size: int = 30) -> Part:
    """The part of a list that the address asks for, from 1 on; the nearest there is."""
    of = max(1, -(-len(items) // size))
    number = min(_part_number(request.args.get("part", "")), of)
    return Part(items[(number - 1) * size : number * size], number, of)


def _part_number(asked: str) -> int:
    return max(int(asked), 1) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1


def in_its_part(path: str) -> str:
    """The address of a long list in the part of it that a form was in."""
    number = _part_number(request.form.get("part", ""))
    return f"{path}?part={number}" if number > 1 else path


def row(kind: type[Row], number: int, refusal: type[NotFound] = NotFound) -> Row:
    """The row with the number in an address.

    Raises:
        NotFound: There is none.
    """
    return existing(session(), kind, number, refusal)


def period_typed(text: str) -> str:
    """A month from an address or a form.

    Raises:
        InvalidRequest: Not a month.
    """
    try:
        return parse_period(text)
    except ValueError as error:
        raise InvalidRequest(f"{error}.") from error


def amount_typed(text: str) -> int:
    """An amount from a form, in micros.

    Raises:
        InvalidRequest: Not an amount.
    """
    try:
        return parse_amount(text)
    except ValueError as error:
        raise InvalidRequest("Please type an amount like 5.00.") from error


def whole_number(text: str) -> int:
    """A number from a form's hidden field.

    Raises:
        InvalidRequest: Not a number.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidRequest
    return int(text)


def back_to(path: str) -> Response:
    """After a form: show the page anew, so that reloading it does not send the form again."""
    return redirect(path, 303)  # type: ignore[return-value]


def done(path: str, *said: str) -> Response:
    """After a form: keep what it asked for, and say so on the page that is shown."""
    session().commit()
    for sentence in said:
        flash(sentence)
    return back_to(path)


def download(content: Any, name: str, content_type: str) -> Response:
    """A file to keep."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, content_type=content_type, headers=headers)
