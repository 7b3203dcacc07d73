"""What a request works with: the settings, the clock, the database session, and who asks how often."""

from datetime import datetime, timedelta

from flask import current_app, request
from sqlalchemy.orm import Session

from backend import checks, limits, users
from backend.config import Config
from backend.db import db
from backend.users import User


def config() -> Config:
    """The settings of this application."""
    settings: Config = current_app.config["FLATTR"]
    return settings


def clock() -> datetime:
    """Now, for everything that is stored or compared."""
    return config().now()


def session() -> Session:
    """The request's database session; it ends with the request, uncommitted work undone."""
    return db.session()


def world() -> checks.World:
    """What looks at sites need to know."""
    return checks.World(config().base_url, config().dev, config().secret_key)


def charity_user() -> User | None:
    """Who gets the empty months of readers who chose so; None where no charity is set."""
    return users.charity(session(), config().charity)


def choices() -> list[str]:
    """What a reader can choose for an empty month."""
    return ["keep", "repeat", *(["charity"] if charity_user() else [])]


def is_counted() -> bool:
    """Whether limits hold for who asks: in dev mode not for people at this machine."""
    return not (config().dev and (request.remote_addr or "").startswith(("127.", "::1")))


def limit(key: str, times: int, window: timedelta) -> None:
    """Count one use of *key*; in dev mode, people at this machine are not counted.

    Raises:
        RateLimited: Too often.
    """
    if is_counted():
        limits.use(session(), key, times, window, now=clock())
