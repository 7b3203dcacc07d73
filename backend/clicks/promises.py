"""Promises: clicks that were settled without an owner, and wait for one."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import bulk, claims
from backend.claims import stretches_of
from backend.clicks.months import open_period
from backend.clicks.tables import Click, Promise
from backend.db import PeriodNumber, UtcDateTime, insert
from backend.errors import DomainError
from backend.period import following, period_of
from backend.sites import Page, Site, is_within
from backend.users import User

PROMISE_MONTHS = 12


Promised = sa.Row[*tuple[Any, ...]]  # page_id, url, title, site, period, joined and outcome of a promise


def promises_of(session: Session, reader: User, *, now: datetime, limit: int | None = None) -> Iterable[Promised]:
    """A reader's promises of settled months, newest first, and what became of each.

    The outcome is ``waiting``, ``came_true``, ``withdrawn`` or ``expired``.
    """
    on_list = sa.and_(
        Click.period == Promise.joined, Click.reader_id == Promise.reader_id, Click.page_id == Promise.page_id
    )
    outcome = sa.case(
        (Click.page_id.is_not(None), "came_true"),
        (Promise.joined.is_not(None), "withdrawn"),
        (Promise.period >= following(period_of(now), -PROMISE_MONTHS), "waiting"),
        else_="expired",
    )
    said = (Page.url, Page.title, Site.name.label("site"), Promise.period, Promise.joined, outcome.label("outcome"))
    query = (
        sa.select(Promise.page_id, *said)
        .join(Page, Page.id == Promise.page_id)
        .join(Site, Site.id == Promise.site_id)
        .outerjoin(Click, on_list)
        .where(Promise.reader_id == reader.id)
        .order_by(Promise.made_at.desc(), Promise.page_id)
        .limit(limit)
    )
    return session.execute(query.execution_options(yield_per=1000))


class PromiseKept(DomainError):
    """This promise has come true: the page is on the list of a month. As long as that is open, undo it there."""


def withdraw(session: Session, reader: User, page_id: int) -> bool:
    """Drop a promise that waits. It took no money, and its month was settled without it: nothing else changes.

    Returns:
        Whether there was one; it may have been withdrawn already.

    Raises:
        PromiseKept: It waits no more.
    """
    mine = sa.and_(Promise.reader_id == reader.id, Promise.page_id == page_id)
    dropped = session.scalar(sa.delete(Promise).where(mine, Promise.joined.is_(None)).returning(Promise.page_id))
    if dropped is None and session.scalar(sa.select(Promise.joined).where(mine)):
        raise PromiseKept
    return dropped is not None


def keep_promises(session: Session, names: Collection[str], *, now: datetime) -> dict[int, list[str]]:
    """Promises to sites that have an owner now, and to hosts below them, join the open lists, each once.

    Those older than twelve months, or from the time of another user's earlier claim, do not (DESIGN 2.4).

    Returns:
        The names of the sites whose promises came true, by reader.
    """
    promised = _promised(session, frozenset(names))
    found = claims.proven(session, promised.values())
    owned = [
        (id_, last.owner_id, last.since)
        for id_, name in promised.items()
        for last in stretches_of(name, found, by=claims.END)[-1:]
        if last.owner_id is not None and last.until == claims.END
    ]
    if not owned:
        return {}
    period = open_period(session, now)
    joined: dict[int, list[str]] = {}
    if waiting := _waiting(session, owned, period):
        _join(session, waiting, period, now)
    for promise in waiting:
        joined.setdefault(promise.reader_id, []).append(promised[promise.site_id])
    return joined


def _promised(session: Session, names: frozenset[str]) -> dict[int, str]:
    """The names, by id, of the sites of these names, and the hosts below them, to which promises wait."""
    waits = sa.exists().where(Promise.site_id == Site.id, Promise.joined.is_(None))
    waiting = sa.select(Site.id, Site.name).where(waits, Site.opted_out_at.is_(None))
    if len(names) == 1:
        [name] = names
        here = sa.or_(Site.name == name, Site.name.endswith(f".{name}", autoescape=True))
        return dict(session.execute(waiting.where(here)).all())
    # Of many, a database would compare each with each, and takes no condition that long.
    found = session.execute(waiting).all() if names else []
    return {id_: name for id_, name in found if is_within(name, names)}


class _Waiting(NamedTuple):
    """A promise that comes true."""

    reader_id: int
    page_id: int
    site_id: int
    made_at: datetime
    period: str
    author_id: int | None


def _waiting(session: Session, owned: list[tuple[int, int, datetime]], period: str) -> list[_Waiting]:
    """The promises to sites that somebody owns, each a site's id, its owner's and since when."""
    site_ids, owner_ids, since = zip(*owned, strict=True)
    first = {"first": following(period, -PROMISE_MONTHS)}
    rows = _WAITING.ask(session, values=first, site_id=site_ids, owner_id=owner_ids, since=since)
    return [_Waiting(*row) for row in rows]


_WAITING = bulk.Question(
    lambda given, _: (
        sa.select(*(getattr(Promise, name) for name in _Waiting._fields[:-1]), Page.author_id)
        .join(given, given.c.site_id == Promise.site_id)
        .join(Page, Page.id == Promise.page_id)
        .where(
            Promise.joined.is_(None),
            Promise.reader_id != given.c.owner_id,
            Promise.made_at >= given.c.since,
            Promise.period >= sa.bindparam("first", type_=PeriodNumber()),
        )
        # Looks at a host and at the one above it, or a settlement, may keep the same promise at the same moment.
        .order_by(Promise.reader_id, Promise.page_id)
        .with_for_update(of=Promise)
    ),
    site_id=sa.BigInteger(),
    owner_id=sa.BigInteger(),
    since=UtcDateTime(),
)


def _join(session: Session, waiting: list[_Waiting], period: str, now: datetime) -> None:
    rows = [
        {
            "period": period,
            "reader_id": promise.reader_id,
            "page_id": promise.page_id,
            "site_id": promise.site_id,
            "clicked_at": promise.made_at,
            "accepted_at": now,
            "author_id": promise.author_id,
            "promised_in": promise.period,
        }
        for promise in waiting
    ]
    session.execute(insert(session, Click).on_conflict_do_nothing(), rows)
    kept = [{"reader_id": row["reader_id"], "page_id": row["page_id"], "joined": period} for row in rows]
    session.execute(sa.update(Promise), kept)
