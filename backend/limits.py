"""How often something may be done, counted in the database so that it holds over several workers (RULES 5.9)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import bulk
from backend.db import Base, insert
from backend.errors import RateLimited


class Rate(Base):
    """How often *key* was used in the window that began at *since*."""

    __tablename__ = "rates"

    key: Mapped[str] = mapped_column(sa.String(300), primary_key=True)
    since: Mapped[datetime] = mapped_column(primary_key=True)
    used: Mapped[int]


def use(session: Session, key: str, limit: int, window: timedelta, *, now: datetime) -> None:
    """Count one use of *key*.

    Raises:
        RateLimited: It was used *limit* times in this window already.
    """
    since, left = _window(window, now)
    row = {"key": key[:300], "since": since, "used": 1}
    statement = (
        insert(session, Rate)
        .values(row)
        .on_conflict_do_update(index_elements=["key", "since"], set_={"used": Rate.used + 1})
    )
    if (session.scalar(statement.returning(Rate.used)) or 0) > limit:
        raise RateLimited(left)


def use_each(session: Session, uses: Mapping[str, int], limit: int, window: timedelta, *, now: datetime) -> set[str]:
    """Count uses of several keys at once; those that are over *limit* in this window, whose uses are not counted."""
    since, _ = _window(window, now)
    if not uses:
        return set()
    keys = sorted(uses)
    counted = _USE.ask(session, values={"since": since}, key=keys, used=[uses[key] for key in keys])
    over = {key for key, used in counted if used > limit}
    for key in sorted(over):
        same = sa.update(Rate).where(Rate.key == key, Rate.since == since)
        session.execute(same.values(used=Rate.used - uses[key]))
    return over


_rates = cast("sa.Table", Rate.__table__)


def _use(given: sa.FromClause, insert: Any) -> Any:
    rows = sa.select(given.c.key, given.c.used, sa.bindparam("since", type_=_rates.c.since.type)).where(sa.true())
    statement = insert(_rates).from_select(["key", "used", "since"], rows)
    more = {"used": _rates.c.used + statement.excluded.used}
    return statement.on_conflict_do_update(index_elements=["key", "since"], set_=more).returning(
        _rates.c.key, _rates.c.used
    )


_USE = bulk.Question(_use, key=sa.String(), used=sa.BigInteger())


def refusal(window: timedelta, *, now: datetime) -> RateLimited:
    """What to say to somebody who was there too often in this window."""
    return RateLimited(_window(window, now)[1])


def give_back(session: Session, key: str, window: timedelta, *, now: datetime) -> None:
    """What was counted as a use of *key* turned out not to be one."""
    since, _ = _window(window, now)
    same = sa.update(Rate).where(Rate.key == key[:300], Rate.since == since, Rate.used > 0)
    session.execute(same.values(used=Rate.used - 1))


def _window(window: timedelta, now: datetime) -> tuple[datetime, int]:
    """When the window around *now* began, and the seconds that are left of it."""
    seconds = int(window.total_seconds())
    left = seconds - int(now.timestamp()) % seconds
    return now.replace(microsecond=0) + timedelta(seconds=left) - window, left


def forget_old(session: Session, *, now: datetime) -> None:
    """Delete the counts of windows long past."""
    session.execute(sa.delete(Rate).where(Rate.since < now - timedelta(days=2)))
