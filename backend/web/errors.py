"""Refusals as pages."""

from apiflask.exceptions import HTTPError
from flask import g, render_template
from flask.typing import ResponseReturnValue

from backend.errors import DomainError

_SAY = {
    400: "That form could not be read, or waited too long. Go back, reload the page and try again.",
    404: "There is no such page.",
    405: "This address is used by a form; there is nothing to see.",
    413: "That was too much at once.",
    500: "Something is broken on our side. It was noted; please try again later.",
}


def of_refusal(refusal: DomainError, status: int) -> ResponseReturnValue:
    """A rule said no: what it said, and the way back."""
    return page(str(refusal), status)


def of_http_error(error: HTTPError) -> ResponseReturnValue:
    """What Flask refuses by itself."""
    return page(_SAY.get(error.status_code, error.message or ""), error.status_code)


def page(text: str, status: int) -> tuple[str, int]:
    """Why something was not done."""
    g.setdefault("user", None)
    return render_template("refused.html", text=text), status
