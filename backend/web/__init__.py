"""The pages: plain forms that work without script. A view translates; the rules are in the nouns and processes."""

from apiflask import APIFlask

from backend.web import errors, owner, public, reader, show
from backend.web.base import blueprint

__all__ = ["errors", "init_app", "owner", "public", "reader"]


def init_app(app: APIFlask) -> None:
    """Register the pages and what templates may call."""
    app.register_blueprint(blueprint)
    show.init_app(app)
