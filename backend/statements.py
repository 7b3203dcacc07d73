"""Statements: what a reader gave and an owner received in a period, derived from the ledger and the lists."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.clicks import Click, Gift, Payee, Share, paid_to, pays
from backend.ledger import Transfer, income
from backend.sites import Page, Site
from backend.users import User

FEWEST_READERS = 3  # below this many readers an owner sees no amount for a page (RULES 6)


@dataclass(frozen=True)
class GivenLine:
    """One person that a reader's month went to; without pages where no click says so, as when an earlier month was
    repeated.
    """

    owner_id: str
    name: str
    amount_micros: int
    pages: list[str]


@dataclass(frozen=True)
class Given:
    """A reader's month: each of *owners* people got *share*."""

    charged_micros: int = 0
    owners: int = 0
    share_micros: int = 0
    dust_micros: int = 0
    lines: list[GivenLine] = field(default_factory=list)


@dataclass(frozen=True)
class ReceivedLine:
    """One page of an owner: its readers, and its part of their shares where that tells on nobody."""

    url: str
    title: str | None
    site: str
    readers: int
    gross_micros: int | None


@dataclass(frozen=True)
class Received:
    """An owner's month: net, and the fee that was taken."""

    received_micros: int = 0
    fee_micros: int = 0
    readers: int = 0
    lines: list[ReceivedLine] = field(default_factory=list)


@dataclass(frozen=True)
class Statement:
    """Both sides of one user's settled month."""

    period: str
    currency: str
    given: Given
    received: Received

    def as_json(self) -> dict[str, object]:
        """As commands print it."""
        return asdict(self)


_LIST = sa.select(Click.reader_id, paid_to, Click.page_id).join(Payee, pays).where(paid_to != Click.reader_id)


def statement(session: Session, user: User, period: str, currency: str) -> Statement:
    """What a user gave and received in a period; zeros for one that is not settled."""
    return Statement(period, currency, given(session, user, period), received(session, user, period))


def given(session: Session, reader: User, period: str) -> Given:
    """Whom a reader's settled month went to."""
    share = session.get(Share, (period, reader.id))
    if share is None or share.share_micros == 0:
        return Given()
    rows = session.execute(
        _LIST.with_only_columns(User.public_id, User.name, Page.url)
        .join(User, User.id == paid_to)
        .join(Page, Page.id == Click.page_id)
        .where(Click.period == period, Click.reader_id == reader.id)
        .order_by(User.name, User.public_id, Page.url)
    )
    pages: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for public_id, name, url in rows:
        pages[public_id, name].append(url)
    gifts = sa.select(User.public_id, User.name).join(Gift, Gift.owner_id == User.id)
    for owner in session.execute(gifts.where(Gift.period == period, Gift.reader_id == reader.id).order_by(User.name)):
        pages.setdefault((owner.public_id, owner.name), [])
    charged = share.share_micros * share.owners
    lines = [GivenLine(owner_id, name, share.share_micros, urls) for (owner_id, name), urls in pages.items()]
    return Given(charged, share.owners, share.share_micros, share.pot_micros - charged, lines)


def received(session: Session, owner: User, period: str) -> Received:
    """What an owner's settled month brought, by page."""
    amounts = _posted(session, owner, period)
    gross, fee = amounts.get("share", 0), amounts.get("fee", 0)
    rows = session.execute(
        _LIST.with_only_columns(Click.reader_id, Click.page_id, Share.share_micros)
        .join(Share, sa.and_(Share.period == Click.period, Share.reader_id == Click.reader_id))
        .where(Click.period == period, paid_to == owner.id, Share.share_micros > 0)
        .order_by(Click.reader_id, Click.page_id)
    )
    lists: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for reader_id, page_id, share in rows:
        lists[reader_id, share].append(page_id)
    shared = sa.and_(Share.period == Gift.period, Share.reader_id == Gift.reader_id)
    gifts = sa.select(sa.func.count()).select_from(Gift).join(Share, shared)
    given_so = gifts.where(Gift.period == period, Gift.owner_id == owner.id, Share.share_micros > 0)
    readers = len(lists) + (session.scalar(given_so) or 0)
    return Received(gross - fee, fee, readers, _received_lines(session, lists.items()))


def _posted(session: Session, owner: User, period: str) -> dict[str, int]:
    query = sa.select(Transfer.code, Transfer.amount_micros).where(
        Transfer.code.in_(("share", "fee")), Transfer.about == period, Transfer.account_id == income(owner.id)
    )
    return dict(session.execute(query).all())


def _received_lines(session: Session, lists: Iterable[tuple[tuple[int, int], list[int]]]) -> list[ReceivedLine]:
    """One reader's share is spread evenly over the owner's pages on that reader's list, the rest to the first."""
    readers: defaultdict[int, int] = defaultdict(int)
    gross: defaultdict[int, int] = defaultdict(int)
    for (_, share), page_ids in lists:
        each, rest = divmod(share, len(page_ids))
        gross[page_ids[0]] += rest
        for page_id in page_ids:
            readers[page_id] += 1
            gross[page_id] += each
    query = sa.select(Page, Site).join(Site, Site.id == Page.site_id).where(Page.id.in_(readers)).order_by(Page.url)
    return [
        ReceivedLine(
            page.url,
            page.title,
            site.name,
            readers[page.id],
            gross[page.id] if readers[page.id] >= FEWEST_READERS else None,
        )
        for page, site in session.execute(query)
    ]
