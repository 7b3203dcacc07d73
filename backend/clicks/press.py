"""Pressing: putting pages on readers' lists, many presses in one transaction.

A busy server commits what came in together once (`api.together`); every question to the database is asked once for all
of them. Rows are written in the order of their keys, so that two servers do not wait for each other.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import bulk, claims, sites
from backend.claims import rule_for
from backend.clicks.lists import Shown, payee_id
from backend.clicks.months import open_period
from backend.clicks.promises import PROMISE_MONTHS
from backend.clicks.tables import Click
from backend.errors import DomainError, NotFlattrable, OptedOut, OwnSite
from backend.period import following, period_of, starts_at
from backend.sites import Page, Site
from backend.urls import canonical
from backend.users import Person, Thanks, User

MOST_A_DAY = 300  # new clicks of one reader (RULES 5.9)


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
    earlier = _sent_before(session, asked, period, now)
    wanted = {one.key: one for one in asked if one not in earlier and one.refusal is None}
    new = _insert(session, wanted, period, now)
    old = _on_lists(session, wanted.keys() - new, period)
    results: list[Recorded | DomainError] = []
    for one in found:
        if isinstance(one, DomainError):
            results.append(one)
        elif one in earlier:
            results.append((one.shown(earlier[one]), False))
        elif one.refusal:
            results.append(one.refusal)
        else:
            results.append((one.shown(old.get(one.key) or one.click(period, now)), one.key in new))
            new.discard(one.key)  # who pressed twice at once has one new click
    return results


class _Place(NamedTuple):
    """A page, and what its site says."""

    id: int
    url: str
    title: str | None
    author_id: int | None
    site_id: int
    site: str
    opted_out_at: datetime | None


class _Click(NamedTuple):
    """A click as a list has it."""

    period: str
    reader_id: int
    page_id: int
    clicked_at: datetime
    author_id: int | None
    promised_in: str | None


@dataclass(frozen=True, eq=False)
class _Asked:
    """A press on a page that can be flattred, and who would get it."""

    press: Press
    place: _Place
    owner: Person | None

    @property
    def key(self) -> Key:
        return self.press.reader_id, self.place.id

    @property
    def refusal(self) -> DomainError | None:
        if self.place.opted_out_at:
            return OptedOut(f"{self.place.site} asked not to be part of Flattr.")
        return OwnSite() if self.owner and self.owner.id == self.press.reader_id else None

    def click(self, period: str, now: datetime) -> _Click:
        """What is put on the list."""
        at = self.press.facts.clicked_at or now
        return _Click(period, self.press.reader_id, self.place.id, at, self.place.author_id, None)

    def shown(self, click: _Click) -> Shown:
        """How the reader sees it."""
        place, owner = self.place, self.owner
        return Shown(
            page_id=place.id,
            url=place.url,
            title=place.title,
            period=click.period,
            clicked_at=click.clicked_at,
            site=place.site,
            owner=owner,
            rule=rule_for(place.site, owner.id if owner else None, by_author=bool(click.author_id)),
            promised_in=click.promised_in,
            thanks=owner.thanks if owner else None,
        )


# Finding: what each press is about ------------------------------------------------------------------------------------

_columns = (Page.id, Page.url, Page.title, Page.author_id, Page.site_id, Site.name, Site.opted_out_at)
_PLACES = bulk.Question(
    lambda given, _: sa.select(*_columns).join(Site, Site.id == Page.site_id).join(given, given.c.url == Page.url),
    url=sa.String(),
)
_PEOPLE = bulk.Question(
    lambda given, _: (
        sa.select(User.id, User.public_id, User.name, Thanks.line)
        .outerjoin(Thanks, Thanks.user_id == User.id)
        .join(given, given.c.id == User.id)
    ),
    id=sa.BigInteger(),
)


def _find(session: Session, presses: Sequence[Press], now: datetime, dev: bool) -> list[_Asked | NotFlattrable]:
    urls = [_canonical(press.facts.url, dev) for press in presses]
    titles = {url: press.facts.title for url, press in zip(urls, presses, strict=True) if isinstance(url, str)}
    places = _places(session, titles)
    owners = _owners(session, places.values(), now)
    return [
        _Asked(press, places[url], owners[url]) if isinstance(url, str) else url
        for url, press in zip(urls, presses, strict=True)
    ]


def _canonical(url: str, dev: bool) -> str | NotFlattrable:
    try:
        return canonical(url, dev=dev)
    except NotFlattrable as refusal:
        return refusal


def _places(session: Session, titles: Mapping[str, str | None]) -> dict[str, _Place]:
    """The page at each address, made if nobody ever mentioned it."""
    places = {place.url: place for place in (_Place(*row) for row in _PLACES.ask(session, url=titles))}
    for url in sorted(titles.keys() - places.keys()):
        site = sites.ensure(session, sites.site_of(url))
        page = sites.ensure_page(session, url, site, titles[url])
        places[url] = _Place(page.id, url, page.title, page.author_id, site.id, site.name, site.opted_out_at)
    return places


def _owners(session: Session, places: Collection[_Place], now: datetime) -> dict[str, Person | None]:
    """Who gets a click on each address that is made now."""
    proven = claims.proven(session, {place.site for place in places})
    ids = {place.url: payee_id(place, claims.owner_of(place.site, proven, now)) for place in places}
    known = (proof for proofs in proven.values() for proof in proofs)
    people = {proof.user_id: Person(proof.user_id, proof.public_id, proof.name, proof.thanks) for proof in known}
    if authors := {id_ for id_ in ids.values() if id_} - people.keys():
        people |= {row[0]: Person(*row) for row in _PEOPLE.ask(session, id=authors)}
    return {url: people[id_] if id_ else None for url, id_ in ids.items()}


# The lists ------------------------------------------------------------------------------------------------------------

_clicks = cast("sa.Table", Click.__table__)


_LISTED = bulk.Question(
    lambda given, _: sa.select(*(_clicks.c[name] for name in _Click._fields)).where(
        _clicks.c.period == sa.bindparam("period", type_=_clicks.c.period.type),
        # Not joined: SQLite would look at each click of the month.
        sa.tuple_(_clicks.c.reader_id, _clicks.c.page_id).in_(sa.select(given.c.reader_id, given.c.page_id)),
    ),
    reader_id=sa.BigInteger(),
    page_id=sa.BigInteger(),
)
_INSERT = bulk.Question(
    lambda given, insert: (
        insert(_clicks)
        .from_select(
            [*given.c.keys(), "period", "accepted_at"],
            sa.select(
                *given.c,
                sa.bindparam("period", type_=_clicks.c.period.type),
                sa.bindparam("now", type_=_clicks.c.accepted_at.type),
            ).where(sa.true()),
        )
        .on_conflict_do_nothing()
        .returning(_clicks.c.reader_id, _clicks.c.page_id)
    ),
    **{name: _clicks.c[name].type for name in ("reader_id", "page_id", "site_id", "clicked_at", "author_id")},
)


def _may_be_old(clicked_at: datetime, period: str, now: datetime) -> bool:
    """Whether a press may have been accepted in an earlier period; readers' clocks are not quite right."""
    return clicked_at < starts_at(period) + timedelta(days=2) or clicked_at > now


def _sent_before(session: Session, asked: Sequence[_Asked], period: str, now: datetime) -> dict[_Asked, _Click]:
    """The same clicks, accepted in an earlier period, whose answer was lost."""
    dated = {one: at for one in asked if (at := one.press.facts.clicked_at) and _may_be_old(at, period, now)}
    if not dated:
        return {}
    # From a month before the reader's clock said, which may be ahead, but no longer back than promises go.
    first = max(following(min(period_of(at) for at in dated.values()), -1), following(period, -PROMISE_MONTHS))
    found: dict[tuple[int, int, datetime], _Click] = {}
    while first < period:  # month by month: a database reads a range of them from end to end
        rows = _on_lists(session, [one.key for one in dated], first).values()
        found |= {(row.reader_id, row.page_id, row.clicked_at): row for row in rows if row.promised_in is None}
        first = following(first)
    keys = {one: (*one.key, at) for one, at in dated.items()}
    return {one: found[key] for one, key in keys.items() if key in found}


def _insert(session: Session, wanted: Mapping[Key, _Asked], period: str, now: datetime) -> set[Key]:
    """Put clicks on the lists, in the order of their keys; those that were not there."""
    if not wanted:
        return set()
    rows = [wanted[key] for key in sorted(wanted)]
    new = _INSERT.ask(
        session,
        values={"period": period, "now": now},
        reader_id=[one.press.reader_id for one in rows],
        page_id=[one.place.id for one in rows],
        site_id=[one.place.site_id for one in rows],
        clicked_at=[one.press.facts.clicked_at or now for one in rows],
        author_id=[one.place.author_id for one in rows],
    )
    return {(reader_id, page_id) for reader_id, page_id in new}


def _on_lists(session: Session, keys: Collection[Key], period: str) -> dict[Key, _Click]:
    """What the lists say where they have these clicks already."""
    if not keys:
        return {}
    reader_ids, page_ids = [key[0] for key in keys], [key[1] for key in keys]
    rows = _LISTED.ask(session, values={"period": period}, reader_id=reader_ids, page_id=page_ids)
    return {(row.reader_id, row.page_id): row for row in (_Click(*row) for row in rows)}
