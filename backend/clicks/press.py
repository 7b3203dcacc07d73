"""Pressing: putting pages on readers' lists, many presses in one transaction.

A busy server commits what came in together once (`api.together`); every question to the database is asked once for all
of them. Rows are written in the order of their keys, so that two servers do not wait for each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import claims, sites
from backend.clicks.lists import Shown, payee_id, shown
from backend.clicks.months import open_period
from backend.clicks.promises import PROMISE_MONTHS
from backend.clicks.tables import Click
from backend.db import insert
from backend.errors import DomainError, NotFlattrable, OptedOut, OwnSite
from backend.period import following, period_of
from backend.sites import Page, Site
from backend.urls import canonical
from backend.users import User


@dataclass(frozen=True)
class PageFacts:
    """What a press says: the page, and the owner's identifier from the page's own tag, a hint and never proof."""

    url: str
    owner_id: str | None = None
    title: str | None = None
    clicked_at: datetime | None = None


@dataclass(frozen=True)
class Press:
    """A reader presses the button on a page."""

    reader_id: int
    facts: PageFacts


Recorded = tuple[Shown, bool]  # a click as its reader sees it, and whether it was new
Key = tuple[int, int]  # a reader and a page


def record(session: Session, reader: User, facts: PageFacts, *, now: datetime, dev: bool = False) -> Recorded:
    """Put a page on the reader's list of the open period; whether that was new.

    Sent again, it changes nothing, also when the month has ended in between (same page and `clicked_at`).

    Raises:
        NotFlattrable, OptedOut, OwnSite: The rules refuse the page.
    """
    [recorded] = record_batch(session, [Press(reader.id, facts)], now=now, dev=dev)
    if isinstance(recorded, DomainError):
        raise recorded
    return recorded


def record_batch(
    session: Session, presses: Sequence[Press], *, now: datetime, dev: bool = False
) -> list[Recorded | DomainError]:
    """As `record`, for presses of any readers: what each came to, or why it was refused."""
    found = _find(session, presses, now, dev)
    asked = [one for one in found if isinstance(one, _Asked)]
    period = open_period(session, now)
    earlier = _sent_before(session, asked, period)
    wanted = {one.key: _row(one, period, now) for one in asked if one not in earlier and one.refusal is None}
    new = _insert(session, wanted)
    listed = _listed(session, period, wanted)
    results: list[Recorded | DomainError] = []
    for one in found:
        if isinstance(one, DomainError):
            results.append(one)
        elif one in earlier:
            results.append((shown(earlier[one], one.page, one.site, one.owner), False))
        elif one.refusal:
            results.append(one.refusal)
        else:
            results.append((shown(listed[one.key], one.page, one.site, one.owner), one.key in new))
            new.discard(one.key)  # who pressed twice at once has one new click
    return results


@dataclass(frozen=True, eq=False)
class _Asked:
    """A press on a page that can be flattred, and who would get it."""

    press: Press
    page: Page
    site: Site
    owner: User | None

    @property
    def key(self) -> Key:
        return self.press.reader_id, self.page.id

    @property
    def refusal(self) -> DomainError | None:
        if self.site.opted_out_at:
            return OptedOut(f"{self.site.name} asked not to be part of Flattr.")
        return OwnSite() if self.owner and self.owner.id == self.press.reader_id else None


def _find(session: Session, presses: Sequence[Press], now: datetime, dev: bool) -> list[_Asked | NotFlattrable]:
    urls = [_canonical(press.facts.url, dev) for press in presses]
    titles = {url: press.facts.title for url, press in zip(urls, presses, strict=True) if isinstance(url, str)}
    places = _places(session, titles)
    owners = _owners(session, places, now)
    return [
        _Asked(press, *places[url], owners[url]) if isinstance(url, str) else url
        for url, press in zip(urls, presses, strict=True)
    ]


def _canonical(url: str, dev: bool) -> str | NotFlattrable:
    try:
        return canonical(url, dev=dev)
    except NotFlattrable as refusal:
        return refusal


def _places(session: Session, titles: dict[str, str | None]) -> dict[str, tuple[Page, Site]]:
    """Page and site of each address, made if nobody ever mentioned them."""
    query = sa.select(Page, Site).join(Site, Site.id == Page.site_id).where(Page.url.in_(titles))
    places = {page.url: (page, site) for page, site in session.execute(query)}
    for url in sorted(titles.keys() - places.keys()):
        site = sites.ensure(session, sites.site_of(url))
        places[url] = sites.ensure_page(session, url, site, titles[url]), site
    return places


def _owners(session: Session, places: dict[str, tuple[Page, Site]], now: datetime) -> dict[str, User | None]:
    """Who gets a click on each address that is made now."""
    proven = claims.proven(session, {site.name for _, site in places.values()})
    ids = {url: payee_id(page, claims.owner_of(site.name, proven, now)) for url, (page, site) in places.items()}
    users = {user.id: user for user in session.scalars(sa.select(User).where(User.id.in_(set(ids.values()) - {None})))}
    return {url: users[id_] if id_ else None for url, id_ in ids.items()}


def _sent_before(session: Session, asked: Sequence[_Asked], period: str) -> dict[_Asked, Click]:
    """The same clicks, accepted in an earlier period, whose answer was lost."""
    dated = [one for one in asked if one.press.facts.clicked_at]
    if not dated:
        return {}
    first = min(period_of(one.press.facts.clicked_at) for one in dated if one.press.facts.clicked_at)
    months = [following(period, -back) for back in range(1, PROMISE_MONTHS + 1)]
    # From a month before the reader's clock said: that one may be ahead.
    since = [month for month in months if month >= following(first, -1)]
    query = sa.select(Click).where(
        Click.period.in_(since),
        Click.reader_id.in_({one.press.reader_id for one in dated}),
        Click.page_id.in_({one.page.id for one in dated}),
        Click.promised_in.is_(None),
    )
    found = {(click.reader_id, click.page_id, click.clicked_at): click for click in session.scalars(query)}
    keys = {one: (*one.key, one.press.facts.clicked_at) for one in dated}
    return {one: found[key] for one, key in keys.items() if key in found}


def _row(one: _Asked, period: str, now: datetime) -> dict[str, object]:
    return {
        "period": period,
        "reader_id": one.press.reader_id,
        "page_id": one.page.id,
        "site_id": one.page.site_id,
        "clicked_at": one.press.facts.clicked_at or now,
        "accepted_at": now,
        "author_id": one.page.author_id,
    }


def _insert(session: Session, wanted: dict[Key, dict[str, object]]) -> set[Key]:
    """Insert clicks; those of them that were not there."""
    if not wanted:
        return set()
    rows = [wanted[key] for key in sorted(wanted)]
    statement = insert(session, Click).values(rows).on_conflict_do_nothing()
    return {
        (reader_id, page_id)
        for reader_id, page_id in session.execute(statement.returning(Click.reader_id, Click.page_id))
    }


def _listed(session: Session, period: str, wanted: Iterable[Key]) -> dict[Key, Click]:
    keys = sa.tuple_(Click.reader_id, Click.page_id).in_(list(wanted))
    query = sa.select(Click).where(Click.period == period, keys)
    return {(click.reader_id, click.page_id): click for click in session.scalars(query)}
