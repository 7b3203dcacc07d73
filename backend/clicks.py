"""The monthly click list: record, undo, list, and the promises that wait for an owner.

A click stores the site, never the owner: who gets it is asked when it is shown and, for money, at settlement.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import claims, ledger, platforms, sites, users
from backend.claims import Stretch, rule_for, stretches_of
from backend.db import Base, Digest, Micros, PeriodNumber, insert
from backend.errors import InvalidRequest, NotFlattrable, OptedOut, OwnSite, PeriodEnded
from backend.period import ends_at, following, parse_period, period_of
from backend.sites import Page, Site
from backend.urls import canonical
from backend.users import User

PROMISE_MONTHS = 12


class Period(Base):
    """A month with clicks. Settlement freezes its terms, works through it by readers, and seals it with its result."""

    __tablename__ = "periods"
    __table_args__ = (sa.CheckConstraint("state IN ('open', 'closing', 'settled')", name="state_known"),)

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(sa.String(8))
    closed_at: Mapped[datetime | None]
    currency: Mapped[str | None] = mapped_column(sa.String(3))
    fee_bps: Mapped[int | None]
    done_reader_id: Mapped[int] = mapped_column(sa.BigInteger)
    readers: Mapped[int]
    owners: Mapped[int]
    clicks: Mapped[int]
    promises: Mapped[int]
    charged_micros: Mapped[Micros]
    received_micros: Mapped[Micros]
    fee_micros: Mapped[Micros]
    digest: Mapped[Digest | None]


class Click(Base):
    """One reader, one page, one period."""

    __tablename__ = "clicks"
    __table_args__ = {"sqlite_with_rowid": False}

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    reader_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    page_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    site_id: Mapped[int] = mapped_column(sa.BigInteger)
    clicked_at: Mapped[datetime]
    accepted_at: Mapped[datetime]
    author_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    promised_in: Mapped[str | None] = mapped_column(PeriodNumber)


class Promise(Base):
    """A click that was settled without an owner; it joins one later list, once, when its site is claimed."""

    __tablename__ = "promises"
    __table_args__ = {"sqlite_with_rowid": False}

    reader_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    page_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    site_id: Mapped[int] = mapped_column(sa.BigInteger, index=True)
    period: Mapped[str] = mapped_column(PeriodNumber)
    made_at: Mapped[datetime]
    joined: Mapped[str | None] = mapped_column(PeriodNumber)


class Payee(Base):
    """Who owned a site's clicks, over time, when their period was closed: the frozen answer of `claims.stretches`."""

    __tablename__ = "payees"
    __table_args__ = {"sqlite_with_rowid": False}

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    site_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    since: Mapped[datetime] = mapped_column(primary_key=True)
    until: Mapped[datetime]
    owner_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), index=True)


pays = sa.and_(
    Payee.period == Click.period,
    Payee.site_id == Click.site_id,
    Click.accepted_at >= Payee.since,
    Click.accepted_at < Payee.until,
)
paid_to = sa.func.coalesce(Click.author_id, Payee.owner_id)


class Share(Base):
    """What a settled month was for one reader: *owners* people got *share* each out of the *pot*."""

    __tablename__ = "shares"
    __table_args__ = (
        sa.CheckConstraint("share_micros * owners <= pot_micros", name="pot_not_exceeded"),
        {"sqlite_with_rowid": False},
    )

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    reader_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    pot_micros: Mapped[Micros]
    owners: Mapped[int]
    share_micros: Mapped[Micros]


@dataclass(frozen=True)
class PageFacts:
    """What a press says: the page, and the owner's identifier from the page's own tag, a hint and never proof."""

    url: str
    owner_id: str | None = None
    title: str | None = None
    clicked_at: datetime | None = None


@dataclass(frozen=True)
class Shown:
    """A click as its reader sees it: whom it is for, by which rule."""

    page_id: int
    url: str
    title: str | None
    period: str
    clicked_at: datetime
    site: str
    owner: User | None
    rule: str
    promised_in: str | None = None

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
    clicks: list[Shown] = field(default_factory=list)


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

    @property
    def shared(self) -> bool:
        """As `Shown.shared`."""
        return bool(self.site) and platforms.is_shared(self.site or "")


# Pressing -------------------------------------------------------------------------------------------------------------


def record(session: Session, reader: User, facts: PageFacts, *, now: datetime, dev: bool = False) -> tuple[Shown, bool]:
    """Put a page on the reader's list of the open period; whether that was new.

    Sent again, it changes nothing, also when the month has ended in between (same page and `clicked_at`).

    Raises:
        NotFlattrable, OptedOut, OwnSite: The rules refuse the page.
    """
    url = canonical(facts.url, dev=dev)
    site = sites.ensure(session, sites.site_of(url))
    if site.opted_out_at:
        raise OptedOut(f"{site.name} asked not to be part of Flattr.")
    page = sites.ensure_page(session, url, site, facts.title)
    owner = _payee(session, page, claims.owner_now(session, site, now=now))
    if owner and owner.id == reader.id:
        raise OwnSite
    click, is_new = _insert(session, reader, page, facts.clicked_at, now)
    return _shown(click, page, site, owner), is_new


def _payee(session: Session, page: Page | None, claimant: User | None) -> User | None:
    """The page's confirmed author, as long as its site has an owner who lists them; else that owner."""
    return session.get(User, page.author_id) if page and page.author_id and claimant else claimant


def _insert(
    session: Session, reader: User, page: Page, clicked_at: datetime | None, now: datetime
) -> tuple[Click, bool]:
    if clicked_at and (earlier := _sent_before(session, reader, page, clicked_at, now)):
        return earlier, False
    row = {
        "period": open_period(session, now),
        "reader_id": reader.id,
        "page_id": page.id,
        "site_id": page.site_id,
        "clicked_at": clicked_at or now,
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


def open_period(session: Session, now: datetime) -> str:
    """The period that takes clicks now, kept open until this transaction ends.

    A click that comes while its period is being closed belongs to the next one: that is when it was accepted.
    """
    for period in (period_of(now), following(period_of(now))):
        session.execute(insert(session, Period).on_conflict_do_nothing(), [new_period(period)])
        query = sa.select(Period.state).where(Period.period == period).with_for_update(read=True)
        if session.scalar(query) == "open":
            return period
    raise PeriodEnded


def new_period(period: str) -> dict[str, object]:
    """The row of a period that nothing happened in yet."""
    counts = (
        "done_reader_id",
        "readers",
        "owners",
        "clicks",
        "promises",
        "charged_micros",
        "received_micros",
        "fee_micros",
    )
    return {"period": period, "state": "open"} | dict.fromkeys(counts, 0)


def undo(session: Session, reader: User, page_id: int, period: str, *, now: datetime) -> None:
    """Take a click back; one that is not there is fine.

    Raises:
        PeriodEnded: The period has ended: its list stays as it is.
    """
    _parsed(period)
    state = session.scalar(sa.select(Period.state).where(Period.period == period).with_for_update(read=True))
    if period < period_of(now) or state not in ("open", None):
        raise PeriodEnded
    if -(2**63) <= page_id < 2**63:
        session.execute(
            sa.delete(Click).where(Click.period == period, Click.reader_id == reader.id, Click.page_id == page_id)
        )


def _parsed(period: str) -> str:
    try:
        return parse_period(period)
    except ValueError as error:
        raise InvalidRequest(f"{error}.") from error


def remove_open(session: Session, site: Site, *, now: datetime) -> list[int]:
    """Take a site that opted out off all open lists (DESIGN 2.10); the readers it was taken from."""
    query = sa.delete(Click).where(Click.period >= period_of(now), Click.site_id == site.id)
    readers = session.scalars(query.returning(Click.reader_id)).all()
    session.execute(sa.delete(Promise).where(Promise.site_id == site.id, Promise.joined.is_(None)))
    return sorted(set(readers))


# Looking --------------------------------------------------------------------------------------------------------------


def explain(session: Session, url: str, *, now: datetime, reader: User | None = None, dev: bool = False) -> Answer:
    """Who would be paid for a page, by which rule. Never refuses; changes nothing."""
    try:
        url = canonical(url, dev=dev)
    except NotFlattrable:
        return Answer(None, None, None, "not_flattrable", None)
    name = sites.site_of(url)
    site, page = sites.find(session, name), sites.find_page(session, url)
    owner = claims.owner_now(session, site or Site(name=name), now=now) if not (site and site.opted_out_at) else None
    owner = _payee(session, page, owner)
    by_author = bool(page and page.author_id)
    opted_out = bool(site and site.opted_out_at)
    rule = rule_for(name, owner.id if owner else None, opted_out=opted_out, by_author=by_author)
    period = period_of(now)
    return Answer(
        page=url,
        site=name,
        owner=owner,
        rule=rule,
        state=None if rule == "opted_out" else "counts" if owner else "promise",
        clicked=bool(reader and page and session.get(Click, (period, reader.id, page.id))),
        promises=_promising(session, site, period) if site and not owner and rule != "opted_out" else 0,
    )


def _promising(session: Session, site: Site, period: str) -> int:
    """How many readers have promised this site a share; a number below three is nobody's business (RULES 6)."""
    waiting = sa.select(Promise.reader_id).where(Promise.site_id == site.id, Promise.joined.is_(None))
    fresh = sa.select(Click.reader_id).where(Click.period == period, Click.site_id == site.id)
    readers = session.scalar(sa.select(sa.func.count()).select_from(waiting.union(fresh).subquery())) or 0
    return readers if readers >= 3 else 0


def month(session: Session, reader: User, period: str, *, now: datetime) -> Month:
    """A reader's list of a period, newest first, and what a share is worth or was.

    Raises:
        InvalidRequest: *period* is not of the form ``YYYY-MM``.
    """
    stored = session.get(Period, _parsed(period))
    shown = _list(session, reader, period)
    owners = {click.owner.id for click in shown if click.owner}
    share = session.get(Share, (period, reader.id)) if stored and stored.state == "settled" else None
    if stored and stored.state == "settled":
        pot = share.pot_micros if share else 0
        each = share.share_micros if share else 0
        return Month(period, "settled", pot, len(owners), each, each, shown)
    budget = users.budgets(session, [reader.id], period)[reader.id]
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
    return [
        _shown(click, page, site, owners[owner_id] if owner_id and owner_id != reader.id else None)
        for (click, page, site), owner_id in zip(rows, owner_ids, strict=True)
    ]


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


def _shown(click: Click, page: Page, site: Site, owner: User | None) -> Shown:
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
    )


# Authors --------------------------------------------------------------------------------------------------------------


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


# Promises -------------------------------------------------------------------------------------------------------------


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
