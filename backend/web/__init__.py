"""The pages: plain forms that work without script; only My month has some, which keeps it as it stands.

A view translates; the rules are in the nouns and processes.
"""

from apiflask import APIFlask

from backend.web import (
    anywhere,
    cards,
    charts,
    desk,
    errors,
    owner,
    payouts,
    public,
    reader,
    settings,
    show,
    statements,
)
from backend.web.base import blueprint
from backend.web.cards import HOOK, hooks
from backend.web.desk.base import allow_statements

__all__ = [
    "HOOK",
    "allow_statements",
    "anywhere",
    "cards",
    "charts",
    "desk",
    "errors",
    "hooks",
    "init_app",
    "owner",
    "payouts",
    "public",
    "reader",
    "settings",
    "statements",
]


def init_app(app: APIFlask) -> None:
    """Register the pages and what templates may call."""
    app.register_blueprint(blueprint)
    app.register_blueprint(hooks)
    show.init_app(app)
