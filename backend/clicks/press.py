"""Pressing and undoing, and what else changes an open list."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import claims, sites
from backend.clicks.lists import Shown, parsed, payee, people_of, shown
from backend.clicks.months import open_period
from backend.clicks.tables import Click, Gift, Period, Promise, Share
from backend.db import insert
from backend.errors import OptedOut, OwnSite, PeriodEnded
from backend.period import following, period_of
from backend.sites import Page, Site
from backend.urls import canonical
from backend.users import User

PROMISE_MONTHS = 12


@dataclass(frozen=True)
class PageFacts:
    """What a press says: the page, and the owner's identifier from the page's own tag, a hint and never proof."""

    url: str
    owner_id: str | None = None
    title: str | None = None
    clicked_at: datetime | None = None


def record(session: Session, reader: User, facts: PageFacts, *, now: datetime, dev: bool = False) -> tuple[Shown, bool]:
    """Put a page on the reader's list of the open period; whether that was new.

    Sent again, it changes nothing, also when the month has ended in between (same page and `clicked_at`).

    Raises:
        NotFlattrable, OptedOut, OwnSite: The rules refuse the page.
    """
    url = canonical(facts.url, dev=dev)
    site = sites.ensure(session, sites.site_of(url))
    page = sites.ensure_page(session, url, site, facts.title)
    owner = payee(session, page, claims.owner_now(session, site, now=now))
    if facts.clicked_at and (earlier := _sent_before(session, reader, page, facts.clicked_at, now)):
        return shown(earlier, page, site, owner), False
    if site.opted_out_at:
        raise OptedOut(f"{site.name} asked not to be part of Flattr.")
    if owner and owner.id == reader.id:
        raise OwnSite
    click, is_new = _insert(session, reader, page, facts.clicked_at or now, now)
    return shown(click, page, site, owner), is_new


def _insert(session: Session, reader: User, page: Page, clicked_at: datetime, now: datetime) -> tuple[Click, bool]:
    row = {
        "period": open_period(session, now),
        "reader_id": reader.id,
        "page_id": page.id,
        "site_id": page.site_id,
        "clicked_at": clicked_at,
        "accepted_at": now,
        "author_id": page.author_id,
    }
    is_new = bool(
        session.execute(insert(session, Click).values(row).on_conflict_do_nothing().returning(Click.page_id)).all()
    )
    return session.get_one(Click, (row["period"], reader.id, page.id)), is_new


def _sent_before(session: Session, reader: User, page: Page, clicked_at: datetime, now: datetime) -> Click | None:
    """The same click, accepted in an earlier period, whose answer was lost."""
    earlier = [following(period_of(now), -months) for months in range(PROMISE_MONTHS + 1)]
    return session.scalar(
        sa.select(Click).where(
            Click.period.in_(earlier),
            Click.reader_id == reader.id,
            Click.page_id == page.id,
            Click.clicked_at == clicked_at,
            Click.promised_in.is_(None),
        )
    )


def undo(session: Session, reader: User, page_id: int, period: str, *, now: datetime) -> None:
    """Take a click back; one that is not there is fine.

    Raises:
        PeriodEnded: The period has ended: its list stays as it is.
    """
    parsed(period)
    state = session.scalar(sa.select(Period.state).where(Period.period == period).with_for_update(read=True))
    if period < period_of(now) or state not in ("open", None):
        raise PeriodEnded
    if -(2**63) <= page_id < 2**63:
        session.execute(
            sa.delete(Click).where(Click.period == period, Click.reader_id == reader.id, Click.page_id == page_id)
        )


def remove_open(session: Session, site: Site, *, now: datetime) -> list[int]:
    """Take a site that opted out off all open lists (DESIGN 2.10); the readers it was taken from."""
    query = sa.delete(Click).where(Click.period >= period_of(now), Click.site_id == site.id)
    readers = session.scalars(query.returning(Click.reader_id)).all()
    session.execute(sa.delete(Promise).where(Promise.site_id == site.id, Promise.joined.is_(None)))
    return sorted(set(readers))


def forget(session: Session, reader: User) -> None:
    """Erase a reader's clicks and promises; whom settled months went to stays, without pages."""
    months = sa.select(Share.reader_id, Share.period).where(Share.reader_id == reader.id).subquery()
    people = people_of(months).subquery()
    row = ["reader_id", "owner_id", "period"]
    given = insert(session, Gift).from_select(row, sa.select(*(people.c[name] for name in row)).where(sa.true()))
    session.execute(given.on_conflict_do_nothing())
    session.execute(sa.delete(Click).where(Click.reader_id == reader.id))
    session.execute(sa.delete(Promise).where(Promise.reader_id == reader.id))


def confirm_author(session: Session, page: Page, author: User | None, *, now: datetime) -> None:
    """The server saw whose tag a page carries: its clicks on open lists are theirs, or the claimant's again."""
    page.author_id = author.id if author else None
    open_clicks = sa.update(Click).where(Click.page_id == page.id, Click.period >= period_of(now))
    session.execute(open_clicks.values(author_id=page.author_id))
    session.flush()


def remove_author(session: Session, site: Site, author: User, *, now: datetime) -> None:
    """Take an author off a site's list: their pages' clicks on open lists are the claimant's again."""
    session.execute(
        sa.delete(claims.Author).where(claims.Author.site_id == site.id, claims.Author.user_id == author.id)
    )
    for page in session.scalars(sa.select(Page).where(Page.site_id == site.id, Page.author_id == author.id)):
        confirm_author(session, page, None, now=now)
