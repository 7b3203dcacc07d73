"""The JSON API at /api/v1: bearer device tokens, no cookies, problem+json. A route translates; the rules are below."""

from typing import Any

from apiflask import APIFlask
from flask import Response, current_app, jsonify
from sqlalchemy.exc import OperationalError

from backend.api import clicks, errors, me
from backend.api.base import PRESS, blueprint
from backend.api.errors import PROBLEM_SCHEMA
from backend.api.presses import Presses
from backend.api.quick import Quick
from backend.db import db, is_current, make_engine, session_maker

__all__ = ["PRESS", "Quick", "blueprint", "clicks", "errors", "init_app", "me"]


def init_app(app: APIFlask) -> None:
    """Register the API, its description, and the two health checks."""
    app.config.update(
        AUTO_404_RESPONSE=False,
        AUTO_AUTH_ERROR_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        OPENAPI_VERSION="3.1.0",
        SERVERS=[{"url": app.config["FLATTR"].base_url}],  # else whatever Host the first caller named
    )
    app.register_blueprint(blueprint)
    # A connection of its own that is not asked whether it is alive before each batch: a dead one fails and is replaced.
    engine = make_engine(app.config["FLATTR"].database_url)
    app.extensions["presses"] = Presses(session_maker(engine), app.config["FLATTR"])
    app.spec_processor(_complete)
    for path, view in (
        ("/openapi.json", _openapi),
        ("/api/v1/openapi.json", _openapi),
        ("/healthz", _healthy),
        ("/readyz", _ready),
    ):
        app.add_url_rule(path, path[1:], app.doc(hide=True)(view))


def _complete(spec: Any) -> Any:
    spec["components"].setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    return spec


def _openapi() -> Response:
    return jsonify(current_app.spec)  # type: ignore[attr-defined]


def _healthy() -> tuple[str, dict[str, str]]:
    """The process answers."""
    return "ok\n", {"Content-Type": "text/plain"}


def _ready() -> tuple[str, int, dict[str, str]]:
    """The database answers and is at this version."""
    try:
        ready = is_current(db.engine)
    except OperationalError:
        ready = False
    return "ready\n" if ready else "not ready\n", 200 if ready else 503, {"Content-Type": "text/plain"}
