"""Promises: clicks that were settled without an owner, and wait for one."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import claims
from backend.claims import Stretch, stretches_of
from backend.clicks.months import open_period
from backend.clicks.tables import Click, Promise
from backend.db import insert
from backend.period import following
from backend.sites import Page, Site

PROMISE_MONTHS = 12


def keep_promises(session: Session, names: Collection[str], *, now: datetime) -> dict[int, list[str]]:
    """Promises to sites that have an owner now, and to hosts below them, join the open lists, each once.

    Those older than twelve months, or from the time of another user's earlier claim, do not (DESIGN 2.4).

    Returns:
        The names of the sites whose promises came true, by reader.
    """
    joined: dict[int, list[str]] = {}
    for site in session.scalars(_promised(names)).all():
        current = stretches_of(site.name, claims.proven(session, [site.name]), by=claims.END)[-1:]
        if not current or current[0].owner_id is None or current[0].until != claims.END:
            continue
        period = open_period(session, now)
        for promise in session.scalars(_waiting(site.id, current[0], period)):
            promise.joined = period
            _join(session, promise, period, now)
            joined.setdefault(promise.reader_id, []).append(site.name)
    session.flush()
    return joined


def _promised(names: Collection[str]) -> sa.Select[Site]:
    """The sites of these names, and the hosts below them, to which promises wait."""
    below = (Site.name.endswith(f".{name}", autoescape=True) for name in names)
    waits = sa.exists().where(Promise.site_id == Site.id, Promise.joined.is_(None))
    return sa.select(Site).where(sa.or_(Site.name.in_(names), *below), waits, Site.opted_out_at.is_(None))


def _waiting(site_id: int, current: Stretch, period: str) -> sa.Select[Promise]:
    query = sa.select(Promise).where(
        Promise.site_id == site_id,
        Promise.joined.is_(None),
        Promise.reader_id != current.owner_id,
        Promise.made_at >= current.since,
        Promise.period >= following(period, -PROMISE_MONTHS),
    )
    # Looks at a host and at the one above it, or a settlement, may keep the same promise at the same moment.
    return query.order_by(Promise.reader_id, Promise.page_id).with_for_update()


def _join(session: Session, promise: Promise, period: str, now: datetime) -> None:
    row = {
        "period": period,
        "reader_id": promise.reader_id,
        "page_id": promise.page_id,
        "site_id": promise.site_id,
        "clicked_at": promise.made_at,
        "accepted_at": now,
        "author_id": session.get_one(Page, promise.page_id).author_id,
        "promised_in": promise.period,
    }
    session.execute(insert(session, Click).on_conflict_do_nothing(), [row])
