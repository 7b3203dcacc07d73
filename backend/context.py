"""What a request works with: the settings, the clock, the database session, and who asks how often."""

from datetime import datetime, timedelta

from flask import current_app, request
from sqlalchemy.orm import Session, sessionmaker

from backend import cards, checks, limits, users
from backend.config import Config
from backend.db import db, session_maker
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


def sessions() -> sessionmaker[Session]:
    """Sessions for a process that owns its transactions. The request's own ends here, so that it holds no lock."""
    session().commit()
    return session_maker(db.engine)


def world() -> checks.World:
    """What looks at sites need to know."""
    return checks.World(config().base_url, config().dev, config().secret_key)


def card_provider() -> cards.Provider:
    """Who takes cards for this installation.

    Raises:
        CardsOff: Nobody does.
    """
    if not (found := cards.provider(config())):
        raise cards.CardsOff
    return found


def charity_user() -> User | None:
    """Who gets the empty months of readers who chose so; None where no charity is set."""
    return users.charity(session(), config().charity)


def choices() -> list[str]:
    """What a reader can choose for an empty month."""
    return ["keep", "repeat", *(["charity"] if charity_user() else [])]


def is_counted() -> bool:
    """Whether limits hold for who asks: in dev mode not for people at this machine."""
    return is_counted_for(config(), request.remote_addr)


def is_counted_for(settings: Config, address: str | None) -> bool:
    """As `is_counted`, for somebody at *address*."""
    return not (settings.dev and (address or "").startswith(("127.", "::1")))


def limit(key: str, times: int, window: timedelta) -> None:
    """Count one use of *key*; in dev mode, people at this machine are not counted.

    Raises:
        RateLimited: Too often.
    """
    if is_counted():
        limits.use(session(), key, times, window, now=clock())
