"""Statements: what a user gave and received in a period, and every movement on wallet and income, off the ledger.

Money is stated on the day when it moved (docs/decisions/0018): the month of October is charged and paid on the day in
November when it is settled. Page, CSV and JSON show the same `Statement` or `Year`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import bulk, ledger
from backend.clicks import PAGE_MONTHS, Click, Gift, Payee, Period, Share, paid_to, pays
from backend.disclosure import FEWEST, Part, tellable
from backend.ledger import WORDS, Kind, Transfer, income
from backend.period import ends_at, following, period_of
from backend.sites import Page, Site
from backend.users import User

PAGES_GONE = f"Pages are kept for {PAGE_MONTHS} months"


@dataclass(frozen=True)
class GivenLine:
    """One person that a reader's month went to; without pages where no click says so: an earlier month was repeated, or
    they are forgotten.
    """

    owner_id: str
    name: str
    amount_micros: int
    pages: list[str]


@dataclass(frozen=True)
class Given:
    """A reader's month: each of *owners* people got *share*. Without *pages_kept*, its pages are forgotten."""

    charged_micros: int = 0
    owners: int = 0
    share_micros: int = 0
    dust_micros: int = 0
    lines: list[GivenLine] = field(default_factory=list)
    pages_kept: bool = True


@dataclass(frozen=True)
class ReceivedLine:
    """One page of an owner: its readers, and its part of their shares where that tells on nobody (`disclosure`)."""

    url: str
    title: str | None
    site: str
    readers: int
    gross_micros: int | None


@dataclass(frozen=True)
class ReceivedSite:
    """One site of an owner, as `ReceivedLine` has one page."""

    site: str
    readers: int
    gross_micros: int | None


@dataclass(frozen=True)
class Received:
    """An owner's month: net, and the fee that was taken. Without *pages_kept*, what each page brought is forgotten."""

    received_micros: int = 0
    fee_micros: int = 0
    readers: int = 0
    lines: list[ReceivedLine] = field(default_factory=list)
    sites: list[ReceivedSite] = field(default_factory=list)
    pages_kept: bool = True


@dataclass(frozen=True)
class Held:
    """What a user had at one instant."""

    wallet_micros: int = 0
    income_micros: int = 0


@dataclass(frozen=True)
class Movement:
    """One transfer as it changed one of the user's accounts, ``wallet`` or ``income``.

    Attributes:
        id: Of the transfer: the same for ever, and the same as in the journal.
        at: When, in ISO form.
        about: What it is for: a period, or the number of a deposit or payout.
        amount_micros: Negative when it left the account.
        balance_micros: What was on the account then.
        lines: What a charge went to, or where a share came from.
    """

    id: str
    at: str
    account: str
    code: str
    words: str
    about: str
    amount_micros: int
    balance_micros: int
    lines: list[GivenLine] | list[ReceivedLine] = field(default_factory=list)
    pages_kept: bool = True


@dataclass(frozen=True)
class Statement:
    """One user's month: what the list of this period came to once it is settled, and what moved in the month."""

    period: str
    currency: str
    given: Given
    received: Received
    opening: Held
    movements: list[Movement]
    closing: Held

    def as_json(self) -> dict[str, object]:
        """As commands print it."""
        return asdict(self)

    def rows(self) -> Iterator[tuple[object, ...]]:
        """As comma-separated values, the names of the columns first; no cell is a formula (RULES 5.10)."""
        yield "side", "period", "who_or_page", "readers", "amount_micros", "currency", *_MOVED
        for given in self.given.lines:
            yield self._row("given", given.name, "", given.amount_micros)
        for line in self.received.lines:
            yield self._row("received", line.url, line.readers, line.gross_micros)
        if not self.received.pages_kept:
            gross = self.received.received_micros + self.received.fee_micros
            yield self._row("received", PAGES_GONE, self.received.readers, gross)
        yield self._row("fee", "", "", self.received.fee_micros)
        yield from self._balance_rows("opening", self.opening)
        for m in self.movements:
            moved = (max(m.amount_micros, 0) or "", max(-m.amount_micros, 0) or "", m.balance_micros)
            yield self._row(m.account, f"{m.words} ({m.about})", "", "", m.id, m.at, *moved)
        yield from self._balance_rows("closing", self.closing)

    def _balance_rows(self, name: str, held: Held) -> Iterator[tuple[object, ...]]:
        for account, micros in (("wallet", held.wallet_micros), ("income", held.income_micros)):
            yield self._row(account, name, "", "", "", "", "", "", micros)

    def _row(self, side: str, said: str, readers: object, amount: object, *moved: object) -> tuple[object, ...]:
        return side, self.period, text_cell(said), readers, amount, self.currency, *(moved or [""] * 5)


_MOVED = ("id", "at", "in_micros", "out_micros", "balance_micros")


@dataclass(frozen=True)
class Total:
    """What movements of one kind on one account came to together."""

    account: str
    code: str
    words: str
    amount_micros: int


@dataclass(frozen=True)
class Month:
    """A month of a year: what stood on the accounts, and what each kind of movement came to."""

    period: str
    opening: Held
    closing: Held
    totals: list[Total]


@dataclass(frozen=True)
class Year:
    """One user's year, or as much of it as has been, summed up by month."""

    year: str
    currency: str
    opening: Held
    closing: Held
    totals: list[Total]
    months: list[Month]

    def as_json(self) -> dict[str, object]:
        """As commands print it: amounts by account and code."""
        return asdict(self)

    def rows(self) -> Iterator[tuple[object, ...]]:
        """As comma-separated values, the names of the columns first; no cell is a formula (RULES 5.10)."""
        yield "account", "period", "what", "currency", "in_micros", "out_micros", "balance_micros"
        for month in self.months:
            for account in ("wallet", "income"):
                name = f"{account}_micros"
                yield account, month.period, "opening", self.currency, "", "", getattr(month.opening, name)
                for total in month.totals:
                    if total.account == account:
                        moved = (max(total.amount_micros, 0) or "", max(-total.amount_micros, 0) or "")
                        yield account, month.period, total.words, self.currency, *moved, ""
                yield account, month.period, "closing", self.currency, "", "", getattr(month.closing, name)


def text_cell(text: str) -> str:
    """A cell that a spreadsheet would run as a formula, as text (RULES 5.10)."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


_LIST = sa.select(Click.reader_id, paid_to, Click.page_id).join(Payee, pays).where(paid_to != Click.reader_id)


def statement(session: Session, user: User, period: str, currency: str) -> Statement:
    """What a user gave and received in a period, zeros while it is not settled, and what moved in that month."""
    history = _history(session, user, ends_at(period))
    movements = [_with_lines(session, user, m) for m in history if _period(m) == period]
    lists = given(session, user, period), received(session, user, period)
    return Statement(period, currency, *lists, _held(history, period), movements, _held(history))


def year(session: Session, user: User, name: str, currency: str, *, now: datetime) -> Year:
    """A user's year, such as ``2026``, as far as it has come."""
    months = [month for month in (f"{name}-{number:02d}" for number in range(1, 13)) if month <= period_of(now)]
    history = _history(session, user, ends_at(f"{name}-12"))
    found = [Month(m, _held(history, m), _held(history, following(m)), _totals(history, m)) for m in months]
    return Year(name, currency, _held(history, f"{name}-01"), _held(history), _totals(history, name), found)


def months(session: Session, user: User, *, now: datetime) -> list[tuple[str, Held]]:
    """The months since a user's first movement, newest first, and what stood on the accounts at their end."""
    history = _history(session, user, ends_at(period_of(now)))
    month, found = period_of(now), []
    while history and month >= _period(history[0]):
        found.append((month, _held(history, following(month))))
        month = following(month, -1)
    return found


def _history(session: Session, user: User, before: datetime) -> list[Movement]:
    """Everything that moved on a user's wallet and income before an instant, oldest first.

    What came and went at one instant is told in this order, as no account was ever below zero.
    """
    kinds = (Kind.WALLET, Kind.INCOME, Kind.TRANSIT)
    accounts = {ledger.account_of(kind, user.id): kind.name.lower() for kind in kinds}
    settled = session.scalars(sa.select(Period.period).where(Period.state != "open")).all()
    transfers = ledger.transfers_of(session, accounts, settled, before=before)
    shown = {account: name for account, name in accounts.items() if name != "transit"}
    moved = [
        (t.at, -sign, t.code, t.about, account, sign * t.amount_micros, t.account_id)
        for t in transfers
        for account, sign in ((t.credit_account_id, 1), (t.debit_account_id, -1))
        if account in shown
    ]
    found, balances = [], dict.fromkeys(shown, 0)
    for at, _, code, about, account, amount, concerns in sorted(moved):
        balances[account] += amount
        of = ledger.stable_id(code, about, f"{accounts[concerns]}:{user.public_id}")
        name, day = shown[account], at.isoformat()
        found.append(Movement(of, day, name, code, WORDS[code], about, amount, balances[account]))
    return found


def _period(movement: Movement) -> str:
    return movement.at[:7]


def _held(history: list[Movement], period: str | None = None) -> Held:
    """What stood on the accounts when a period began, or at the end."""
    last = {m.account: m.balance_micros for m in history if period is None or _period(m) < period}
    return Held(last.get("wallet", 0), last.get("income", 0))


def _totals(history: list[Movement], when: str) -> list[Total]:
    """What moved in a period or year, by account, the wallet first, and code."""
    sums: Counter[tuple[str, str]] = Counter()
    for m in history:
        if m.at.startswith(when):
            sums[m.account, m.code] += m.amount_micros
    found = [Total(account, code, WORDS[code], micros) for (account, code), micros in sums.items()]
    return sorted(found, key=lambda total: (total.account == "income", total.code))


def _with_lines(session: Session, user: User, movement: Movement) -> Movement:
    if movement.code not in ("charge", "share"):
        return movement
    of = (given if movement.code == "charge" else received)(session, user, movement.about)
    return replace(movement, lines=of.lines, pages_kept=of.pages_kept)


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
    kept = _keeps_pages(session, period)
    return Given(charged, share.owners, share.share_micros, share.pot_micros - charged, lines, kept)


def received(session: Session, owner: User, period: str) -> Received:
    """What an owner's settled month brought, by page."""
    amounts = {code: amount for _, code, amount in _posted(session, owner, [period])}
    gross, fee = amounts.get("share", 0), amounts.get("fee", 0)
    listed = (
        _LIST.with_only_columns(Click.reader_id, Click.page_id, Share.share_micros)
        .join(Share, sa.and_(Share.period == Click.period, Share.reader_id == Click.reader_id))
        .where(Click.period == period, Share.share_micros > 0)
    )
    # One question would look at every click of the month: for each of these two there is an index.
    by_site = listed.where(Payee.owner_id == owner.id, Click.author_id.is_(None))
    by_author = listed.where(Click.author_id == owner.id)
    rows = sorted(tuple(row) for way in (by_site, by_author) for row in session.execute(way))
    lists: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for reader_id, page_id, share in rows:
        lists[reader_id, share].append(page_id)
    shared = sa.and_(Share.period == Gift.period, Share.reader_id == Gift.reader_id)
    given_so = sa.select(sa.func.count()).select_from(Gift).join(Share, shared)
    given_so = given_so.where(Gift.period == period, Gift.owner_id == owner.id, Share.share_micros > 0)
    gifts = session.scalar(given_so) or 0
    told = _received_lines(session, lists.items(), gifts)
    kept = not gross or _keeps_pages(session, period)
    return Received(gross - fee, fee, len(lists) + gifts, *told, kept)


def _keeps_pages(session: Session, period: str) -> bool:
    """Whether the pages of a settled month are not forgotten yet."""
    return session.get_one(Period, period).pages_gone_at is None


def _posted(session: Session, owner: User, periods: Collection[str]) -> Iterable[tuple[str, str, int]]:
    """What settled months brought and what was taken of it: period, code, amount."""
    query = sa.select(Transfer.about, Transfer.code, Transfer.amount_micros).where(
        Transfer.code.in_(("share", "fee")), Transfer.about.in_(periods), Transfer.account_id == income(owner.id)
    )
    return session.execute(query)


def _received_lines(
    session: Session, lists: Collection[tuple[tuple[int, int], list[int]]], gifts: int
) -> tuple[list[ReceivedLine], list[ReceivedSite]]:
    """One reader's share is spread evenly over the owner's pages on that reader's list, the rest to the first."""
    on_lists = {page_id for _, page_ids in lists for page_id in page_ids}
    found = sorted(_PAGES.ask(session, id=on_lists))
    site_of = {page_id: site for _, _, site, page_id in found}
    pages: defaultdict[int, Part] = defaultdict(Part)
    sites: defaultdict[str, Part] = defaultdict(Part)
    for (reader_id, share), page_ids in lists:
        each, rest = divmod(share, len(page_ids))
        brought: Counter[str] = Counter()
        for at, page_id in enumerate(page_ids):
            gross = each if at else each + rest
            pages[page_id].add(reader_id, gross)
            brought[site_of[page_id]] += gross
        for site, gross in brought.items():
            sites[site].add(reader_id, gross)
    unknown = range(-min(gifts, FEWEST), 0)  # readers without a page, who are nobody above
    told_sites, told_pages = tellable(pages, sites, site_of, unknown)
    lines = [
        ReceivedLine(url, title, site, part.readers, part.gross_micros if page_id in told_pages else None)
        for url, title, site, page_id in found
        for part in [pages[page_id]]
    ]
    return lines, [
        ReceivedSite(site, part.readers, part.gross_micros if site in told_sites else None)
        for site, part in sorted(sites.items())
    ]


_PAGES = bulk.Question(
    lambda given, _: (
        sa.select(Page.url, Page.title, Site.name, Page.id)
        .join(Site, Site.id == Page.site_id)
        .join(given, given.c.id == Page.id)
    ),
    id=sa.BigInteger(),
)


# Over months ----------------------------------------------------------------------------------------------------------


def given_over(session: Session, reader: User, periods: Collection[str]) -> list[Share]:
    """What settled months were for a reader, oldest first; those without anything are left out."""
    query = sa.select(Share).where(Share.reader_id == reader.id, Share.period.in_(periods), Share.share_micros > 0)
    return list(session.scalars(query.order_by(Share.period)))


def received_over(session: Session, owner: User, periods: Collection[str]) -> dict[str, int]:
    """What settled months brought an owner, net; those that brought nothing are left out."""
    brought: Counter[str] = Counter()
    for period, code, amount in _posted(session, owner, periods):
        brought[period] += amount if code == "share" else -amount
    return dict(brought)
