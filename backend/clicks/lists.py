"""Looking at the list: whom each click is for, why, and what a share is worth."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import claims, ledger, platforms, sites, users
from backend.claims import Author, Claim, Stretch, rule_for, stretches_of
from backend.clicks.tables import Click, Gift, Payee, Period, Promise, Share, paid_to, pays
from backend.disclosure import FEWEST
from backend.errors import InvalidRequest, NotFlattrable
from backend.period import ends_at, following, parse_period, period_of
from backend.sites import Page, Site
from backend.urls import canonical
from backend.users import Person, User

REPEAT_MONTHS = 12
MOST_COUNTED = 10_000  # readers, or their promises: more need not be counted each time somebody asks


class Authored(Protocol):
    """A page, or what is known of one."""

    @property
    def author_id(self) -> int | None:
        """Who wrote it, as the server saw itself."""


@dataclass(frozen=True)
class Shown:
    """A click as its reader sees it: whom it is for, by which rule."""

    page_id: int
    url: str
    title: str | None
    period: str
    clicked_at: datetime
    site: str
    owner: User | Person | None
    rule: str
    promised_in: str | None = None
    thanks: str | None = None

    @property
    def shared(self) -> bool:
        """Whether the site is a host that many people share, so that the address does not say whose the page is."""
        return platforms.is_shared(self.site)

    @property
    def state(self) -> str:
        """``counts`` or ``promise``."""
        return "counts" if self.owner else "promise"


@dataclass(frozen=True)
class Month:
    """A reader's list of one period and what a share of it is worth, in micros."""

    period: str
    state: str
    pot_micros: int
    owners: int
    share_micros: int
    projected_share_micros: int
    clicks: list[Shown]


@dataclass(frozen=True)
class Answer:
    """Who would be paid for a page, and why."""

    page: str | None
    site: str | None
    owner: User | None
    rule: str
    state: str | None
    clicked: bool = False
    promises: int = 0
    place: int = 0
    thanks: str | None = None

    @property
    def shared(self) -> bool:
        """As `Shown.shared`."""
        return bool(self.site) and platforms.is_shared(self.site or "")


def explain(session: Session, url: str, *, now: datetime, reader: User | None = None, dev: bool = False) -> Answer:
    """Who would be paid for a page, by which rule. Never refuses; changes nothing."""
    try:
        url = canonical(url, dev=dev)
    except NotFlattrable:
        return Answer(None, None, None, "not_flattrable", None)
    name = sites.site_of(url)
    site, page, period = sites.find(session, name), sites.find_page(session, url), period_of(now)
    opted_out = bool(site and site.opted_out_at)
    claimant = None if opted_out else claims.owner_now(session, site or Site(name=name), now=now)
    owner_id = payee_id(page, claimant.id if claimant else None)
    owner = session.get(User, owner_id) if owner_id else None
    rule = rule_for(name, owner_id, opted_out=opted_out, by_author=bool(page and page.author_id))
    waits = site and not owner and not opted_out
    promises, place = promising(session, site, period, reader) if site and waits else (0, 0)
    return Answer(
        page=url,
        site=name,
        owner=owner,
        rule=rule,
        state=None if opted_out else "counts" if owner else "promise",
        clicked=bool(reader and page and session.get(Click, (period, reader.id, page.id))),
        promises=promises,
        place=place,
        thanks=users.thanks_of(session, owner.id).line if owner else None,
    )


def promising(session: Session, site: Site, period: str, reader: User | None = None) -> tuple[int, int]:
    """How many readers have promised this site a share, and which of them, by their first promise, *reader* is.

    A number below three is nobody's business: then both are 0, and so is the place of who has promised nothing. Of more
    than `MOST_COUNTED` promises no more are looked at, which tells no places.
    """
    waiting = sa.select(Promise.reader_id, Promise.made_at.label("at")).where(
        Promise.site_id == site.id, Promise.joined.is_(None)
    )
    fresh = sa.select(Click.reader_id, Click.accepted_at.label("at")).where(
        Click.period == period, Click.site_id == site.id
    )
    each = waiting.union_all(fresh).limit(MOST_COUNTED).subquery()
    of_each = (each.c.reader_id, sa.func.min(each.c.at).label("at"), sa.func.count().label("promises"))
    first = sa.select(*of_each).group_by(each.c.reader_id).cte("first")
    readers, promises = session.execute(sa.select(sa.func.count(), sa.func.sum(first.c.promises))).one()
    if readers < FEWEST:
        return 0, 0
    if promises == MOST_COUNTED:
        return readers, 0
    mine = sa.select(first.c.at).where(first.c.reader_id == (reader.id if reader else None)).scalar_subquery()
    before = sa.or_(first.c.at < mine, sa.and_(first.c.at == mine, first.c.reader_id <= (reader.id if reader else 0)))
    return readers, session.scalar(sa.select(sa.func.count()).select_from(first).where(before)) or 0


def supporters(session: Session, site: Site, period: str) -> int:
    """How many readers flattred a site in a period, counted up to `MOST_COUNTED`; 0 below three, as with promises.

    Asked for a month that is over, it tells nobody when somebody presses.
    """
    readers = sa.select(Click.reader_id).where(Click.site_id == site.id, Click.period == period).distinct()
    counted = sa.select(sa.func.count()).select_from(readers.limit(MOST_COUNTED).subquery())
    count = session.scalar(counted) or 0
    return count if count >= FEWEST else 0


def month(session: Session, reader: User, period: str, *, now: datetime) -> Month:
    """A reader's list of a period, newest first, and what a share is worth or was.

    Raises:
        InvalidRequest: *period* is not of the form ``YYYY-MM``.
    """
    stored = session.get(Period, parsed(period))
    shown = _list(session, reader, period)
    if stored and stored.state == "settled":
        nothing = Share(pot_micros=0, owners=0, share_micros=0)
        share = session.get(Share, (period, reader.id)) or nothing
        each = share.share_micros
        return Month(period, "settled", share.pot_micros, share.owners, each, each, shown)
    owners = {click.owner.id for click in shown if click.owner}
    budget, _ = users.decision(session, reader.id, period)
    pot = ledger.pot(budget, ledger.balance(session, ledger.wallet(reader.id)))
    state = "ended" if ends_at(period) <= now else "open"
    each, projected = (ledger.even_share(money, len(owners)) if owners else 0 for money in (pot, budget))
    return Month(period, state, pot, len(owners), each, projected, shown)


def _list(session: Session, reader: User, period: str) -> list[Shown]:
    query = (
        sa.select(Click, Page, Site)
        .join(Page, Page.id == Click.page_id)
        .join(Site, Site.id == Click.site_id)
        .where(Click.period == period, Click.reader_id == reader.id)
        .order_by(Click.clicked_at.desc(), Click.page_id.desc())
    )
    rows = session.execute(query).all()
    payees = payees_of(session, period, {site.id: site.name for _, _, site in rows})
    claimants = [claims.owner_in(payees.get(site.id, ()), click.accepted_at) for click, _, site in rows]
    owner_ids = [id_ and (click.author_id or id_) for id_, (click, _, _) in zip(claimants, rows, strict=True)]
    owners = {user.id: user for user in session.scalars(sa.select(User).where(User.id.in_(set(owner_ids) - {None})))}
    lines = users.lines_of(session, owners)
    return [
        shown(click, page, site, owners[owner_id] if owner_id and owner_id != reader.id else None, lines)
        for (click, page, site), owner_id in zip(rows, owner_ids, strict=True)
    ]


def people_of(months: sa.FromClause) -> sa.CompoundSelect[int, int, str]:
    """Whom settled months of readers went to.

    Args:
        months: Rows of reader_id and period.
    Returns:
        A query of reader_id, owner_id and period, each once.
    """
    by_click = (
        sa.select(Click.reader_id, paid_to.label("owner_id"), Click.period)
        .join(months, sa.and_(Click.period == months.c.period, Click.reader_id == months.c.reader_id))
        .join(Payee, pays)
        .where(paid_to != Click.reader_id)
    )
    by_gift = sa.select(Gift.reader_id, Gift.owner_id, Gift.period).join(
        months, sa.and_(Gift.period == months.c.period, Gift.reader_id == months.c.reader_id)
    )
    return by_click.union(by_gift)


def last_paid(period: str) -> sa.Select[int, str]:
    """Each reader's last month before *period* that paid anybody, as far back as one is repeated (DESIGN 2.6)."""
    earlier = [following(period, -months) for months in range(1, REPEAT_MONTHS + 1)]
    last = sa.select(Share.reader_id, sa.func.max(Share.period).label("period"))
    return last.where(Share.period.in_(earlier), Share.share_micros > 0).group_by(Share.reader_id)


def repeatable(session: Session, reader: User, period: str) -> int:
    """How many people this month would pay if it stayed empty and the last one that paid anybody were repeated."""
    people = people_of(last_paid(period).where(Share.reader_id == reader.id).subquery()).subquery()
    held = sa.exists().where(Claim.user_id == people.c.owner_id, Claim.state == "verified")
    listed = sa.exists().where(
        Author.user_id == people.c.owner_id, Author.site_id == Claim.site_id, Claim.state == "verified"
    )
    return session.scalar(sa.select(sa.func.count()).select_from(people).where(sa.or_(held, listed))) or 0


def payees_of(session: Session, period: str, names: dict[int, str]) -> dict[int, list[Stretch]]:
    """Who owns each site's clicks of a period: as frozen, or as far as known for one that is still open.

    Args:
        names: The sites' names, by id.
    """
    stored = session.get(Period, period)
    if stored is None or stored.state == "open":
        found = claims.proven(session, names.values())
        return {id_: stretches_of(name, found, by=ends_at(period)) for id_, name in names.items()}
    frozen: dict[int, list[Stretch]] = {}
    for payee in session.scalars(sa.select(Payee).where(Payee.period == period, Payee.site_id.in_(names))):
        frozen.setdefault(payee.site_id, []).append(Stretch(payee.since, payee.until, payee.owner_id))
    return frozen


def shown(click: Click, page: Page, site: Site, owner: User | None, lines: dict[int, str]) -> Shown:
    return Shown(
        page_id=page.id,
        url=page.url,
        title=page.title,
        period=click.period,
        clicked_at=click.clicked_at,
        site=site.name,
        owner=owner,
        rule=rule_for(site.name, owner.id if owner else None, by_author=bool(click.author_id)),
        promised_in=click.promised_in,
        thanks=lines.get(owner.id) if owner else None,
    )


def payee_id(page: Authored | None, claimant_id: int | None) -> int | None:
    """The page's confirmed author, as long as its site has an owner who lists them; else that owner."""
    return page.author_id if page and page.author_id and claimant_id else claimant_id


def parsed(period: str) -> str:
    try:
        return parse_period(period)
    except ValueError as error:
        raise InvalidRequest(f"{error}.") from error
