"""What changes lists besides pressing: undo, opting out, authors, leaving, and age."""

from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import claims
from backend.clicks.lists import Shown, parsed, people_of
from backend.clicks.tables import Click, Gift, Period, Promise, Share
from backend.db import insert
from backend.errors import PeriodEnded
from backend.period import period_of
from backend.sites import Page, Site
from backend.users import User


def undo(session: Session, reader: User, page_id: int, period: str, *, now: datetime) -> None:
    """Take a click back; one that is not there is fine.

    Raises:
        PeriodEnded: The period has ended: its list stays as it is.
    """
    parsed(period)
    state = session.scalar(
        sa.select(Period.state).where(Period.period == period).with_for_update(read=True, key_share=True)
    )
    if period < period_of(now) or state not in ("open", None):
        raise PeriodEnded
    if -(2**63) <= page_id < 2**63:
        session.execute(
            sa.delete(Click).where(Click.period == period, Click.reader_id == reader.id, Click.page_id == page_id)
        )


def take_back(session: Session, reader_id: int, click: Shown) -> None:
    """A click of this transaction is not to be one after all."""
    same = sa.and_(Click.period == click.period, Click.reader_id == reader_id, Click.page_id == click.page_id)
    session.execute(sa.delete(Click).where(same))


def remove_open(session: Session, site: Site, *, now: datetime) -> list[int]:
    """Take a site that opted out off all open lists (DESIGN 2.10); the readers it was taken from."""
    query = sa.delete(Click).where(Click.period >= period_of(now), Click.site_id == site.id)
    readers = session.scalars(query.returning(Click.reader_id)).all()
    session.execute(sa.delete(Promise).where(Promise.site_id == site.id, Promise.joined.is_(None)))
    return sorted(set(readers))


def forget(session: Session, user: User, *, now: datetime) -> None:
    """Erase a user's clicks and promises; whom settled months went to stays, without pages.

    Others' open clicks on what the user wrote are the claimants'.
    """
    written = sa.update(Click).where(Click.author_id == user.id, Click.period >= period_of(now))
    session.execute(written.values(author_id=None))
    _keep_people(session, Share.reader_id == user.id)
    session.execute(sa.delete(Click).where(Click.reader_id == user.id))
    session.execute(sa.delete(Promise).where(Promise.reader_id == user.id))


def forget_pages(session: Session, period: str, readers: range) -> int:
    """Erase which pages some readers flattred in a settled month, and what they had promised before; how many clicks.

    Whom their month went to stays, without pages.
    """
    _keep_people(session, Share.period == period, *_of(Share.reader_id, readers))
    session.execute(sa.delete(Promise).where(Promise.joined == period, *_of(Promise.reader_id, readers)))
    return _erase(session, sa.delete(Click).where(Click.period == period, *_of(Click.reader_id, readers)))


def forget_promises(session: Session, period: str, readers: range) -> int:
    """Erase what some readers promised in a month from which nothing can come true any more; how many promises."""
    old = sa.delete(Promise).where(Promise.period == period, Promise.joined.is_(None))
    return _erase(session, old.where(*_of(Promise.reader_id, readers)))


def _of(reader_id: Any, readers: range) -> tuple[sa.ColumnElement[bool], ...]:
    return reader_id >= readers.start, reader_id < readers.stop


def _erase(session: Session, statement: sa.Delete) -> int:
    return cast("sa.CursorResult[Any]", session.execute(statement)).rowcount


def _keep_people(session: Session, *which: sa.ColumnElement[bool]) -> None:
    """Write down whom settled months of readers went to, so that their clicks can go."""
    people = people_of(sa.select(Share.reader_id, Share.period).where(*which).subquery()).subquery()
    row = ["reader_id", "owner_id", "period"]
    given = insert(session, Gift).from_select(row, sa.select(*(people.c[name] for name in row)).where(sa.true()))
    session.execute(given.on_conflict_do_nothing())


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
    theirs = sa.and_(Page.site_id == site.id, Page.author_id == author.id)
    open_clicks = sa.update(Click).where(Click.site_id == site.id, Click.period >= period_of(now))
    session.execute(open_clicks.where(Click.page_id.in_(sa.select(Page.id).where(theirs))).values(author_id=None))
    session.execute(sa.update(Page).where(theirs).values(author_id=None))
