"""The pages: plain forms that work without script; only My month has some, which keeps it as it stands.

A view translates; the rules are in the nouns and processes.
"""

from apiflask import APIFlask

from backend.web import anywhere, desk, errors, money, owner, public, reader, settings, show
from backend.web.base import blueprint
from backend.web.desk.base import allow_statements
from backend.web.money import HOOK, hooks

VIEWS = (anywhere, desk, money, owner, public, reader, settings)
__all__ = ["HOOK", "VIEWS", "allow_statements", "errors", "hooks", "init_app", "settings"]


def init_app(app: APIFlask) -> None:
    """Register the pages and what templates may call."""
    app.register_blueprint(blueprint)
    app.register_blueprint(hooks)
    show.init_app(app)
