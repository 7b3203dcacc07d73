"""Settlement: an ended period's clicks become transfers, exactly once, killed and run again as often as it takes.

Close: the period's row, which every click locks, keeps late clicks out, and the terms are frozen with who owns what.
Charge: readers in chunks, one transaction each; money waits on the clearing account.
Seal: owners get their gross, fees are taken, unowned clicks become promises, and a digest says what it came to.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from backend import audit, checks, claims, clicks, ledger, users
from backend.clicks import Click, Payee, Period, Promise, Share, paid_to, pays
from backend.db import exclusive, insert
from backend.errors import DomainError
from backend.ledger import CLEARING, FEES, Posting, income, wallet
from backend.period import ends_at, following, period_of
from backend.sites import Site
from backend.users import User

READERS_PER_CHUNK = 1000
Progress = Callable[[int, int], None]


class NotOver(DomainError):
    """This month is not over yet."""

    code = "not_over"


class EarlierOpen(DomainError):
    """An earlier month has to be settled first."""

    code = "earlier_open"


@dataclass(frozen=True)
class Terms:
    """What a settlement freezes, beside the closing time."""

    currency: str
    fee_bps: int


@dataclass(frozen=True)
class Result:
    """What a settled period came to; micros in the period's currency, the digest in hex."""

    period: str
    state: str
    currency: str
    readers: int
    owners: int
    clicks: int
    promises: int
    charged_micros: int
    received_micros: int
    fee_micros: int
    digest: str

    def as_json(self) -> dict[str, object]:
        """As commands print it."""
        return asdict(self)


def oldest_due(session: Session, *, now: datetime) -> str:
    """The period to settle next; when all are settled, the last one again; the previous month when there was none."""
    ended = sa.select(Period.period).where(Period.period < period_of(now))
    due = session.scalar(ended.where(Period.state != "settled").order_by(Period.period).limit(1))
    return due or session.scalar(ended.order_by(Period.period.desc()).limit(1)) or following(period_of(now), -1)


def settle(
    sessions: sessionmaker[Session],
    period: str | None,
    terms: Terms,
    world: checks.World,
    *,
    now: datetime,
    progress: Progress = lambda done, total: None,
) -> Result:
    """Settle an ended period; one that is settled already answers from what is stored.

    Raises:
        NotOver, EarlierOpen, AnotherRun: Not now.
        AuditFailed: The books do not add up, so no money moves.
    """
    with exclusive(sessions.kw["bind"], "settle"):
        with sessions.begin() as session:
            period = period or oldest_due(session, now=now)
            if result := _stored(session, period):
                return result
            _refuse(session, period, now)
            close(session, period, terms, now=now)
        for step in _charges(sessions, period, progress):
            with sessions.begin() as session:
                step(session)
        with sessions.begin() as session:
            joined = seal(session, period, now=now)
            checks.announce(session, joined, world, now=now)
            return _result(session.get_one(Period, period))


def dry_run(sessions: sessionmaker[Session], period: str | None, terms: Terms, *, now: datetime) -> Result:
    """What `settle` would do, worked through in one transaction that is thrown away."""
    with exclusive(sessions.kw["bind"], "settle"), sessions() as session:
        period = period or oldest_due(session, now=now)
        if result := _stored(session, period):
            return result
        _refuse(session, period, now)
        close(session, period, terms, now=now)
        while chunk := _next_readers(session, period):
            charge(session, period, chunk)
        seal(session, period, now=now)
        result = _result(session.get_one(Period, period))
        session.rollback()
        return result


def _charges(sessions: sessionmaker[Session], period: str, progress: Progress) -> Iterator[Callable[[Session], None]]:
    with sessions() as session:
        readers = sa.select(sa.func.count(Click.reader_id.distinct())).where(Click.period == period)
        total = session.scalar(readers) or 0
        done = session.scalar(readers.where(Click.reader_id <= session.get_one(Period, period).done_reader_id)) or 0
    progress(done, total)
    while True:
        with sessions() as session:
            chunk = _next_readers(session, period)
        if not chunk:
            return
        yield lambda session, chunk=chunk: charge(session, period, chunk)  # type: ignore[misc]
        done += len(chunk)
        progress(done, total)


def _refuse(session: Session, period: str, now: datetime) -> None:
    if ends_at(period) > now:
        raise NotOver(f"{period} is not over yet: it ends at {ends_at(period):%Y-%m-%d %H:%M} UTC.")
    query = sa.select(Period.period).where(Period.period < period, Period.state != "settled").order_by(Period.period)
    if earlier := session.scalar(query.limit(1)):
        raise EarlierOpen(f"{earlier} has to be settled first.")
    audit.ensure_clean(session)


def _stored(session: Session, period: str) -> Result | None:
    row = session.get(Period, period)
    return _result(row) if row and row.state == "settled" else None


def _result(row: Period) -> Result:
    return Result(
        period=row.period,
        state=row.state,
        currency=row.currency or "",
        readers=row.readers,
        owners=row.owners,
        clicks=row.clicks,
        promises=row.promises,
        charged_micros=row.charged_micros,
        received_micros=row.received_micros,
        fee_micros=row.fee_micros,
        digest=(row.digest or b"").hex(),
    )


# Close ----------------------------------------------------------------------------------------------------------------


def close(session: Session, period: str, terms: Terms, *, now: datetime) -> None:
    """Keep late clicks out and freeze the terms, and who owned which site when. Closed once, closed for good."""
    session.execute(insert(session, Period).on_conflict_do_nothing(), [clicks.new_period(period)])
    row = session.scalars(sa.select(Period).where(Period.period == period).with_for_update()).one()
    if row.state != "open":
        return
    row.state, row.closed_at, row.currency, row.fee_bps = "closing", now, terms.currency, terms.fee_bps
    session.flush()
    clicked = sa.exists().where(Click.period == period, Click.site_id == Site.id)
    names = dict(session.execute(sa.select(Site.id, Site.name).where(clicked)).all())
    found = claims.proven(session, names.values())
    payees = [
        {"period": period, "site_id": site_id, "since": s.since, "until": s.until, "owner_id": s.owner_id}
        for site_id, name in names.items()
        for s in claims.stretches_of(name, found, by=ends_at(period))
        if s.owner_id is not None
    ]
    if payees:
        session.execute(sa.insert(Payee), payees)


# Charge ---------------------------------------------------------------------------------------------------------------


def _next_readers(session: Session, period: str) -> list[int]:
    done = sa.select(Period.done_reader_id).where(Period.period == period).scalar_subquery()
    query = sa.select(Click.reader_id).where(Click.period == period, Click.reader_id > done).distinct()
    return list(session.scalars(query.order_by(Click.reader_id).limit(READERS_PER_CHUNK)))


def charge(session: Session, period: str, readers: list[int]) -> None:
    """Split each reader's pot: the charges and shares of one chunk of readers, in ascending order."""
    row = session.get_one(Period, period, with_for_update=True)
    owners = _owners(session, period, readers)
    budgets = users.budgets(session, list(owners), period)
    wallets = ledger.balances(session, [wallet(reader) for reader in owners], lock=True)
    shares = [
        _share(period, reader, len(found), ledger.pot(budgets[reader], wallets[wallet(reader)]))
        for reader, found in owners.items()
    ]
    if shares:
        session.execute(sa.insert(Share), shares)
    ledger.post(session, _charge_postings(period, shares), now=_closed_at(row))
    row.done_reader_id = readers[-1]
    session.flush()


def _owners(session: Session, period: str, readers: Collection[int]) -> dict[int, set[int]]:
    """Whom each reader's list pays; readers whose list pays nobody are left out (an empty month is kept)."""
    query = (
        sa.select(Click.reader_id, paid_to)
        .join(Payee, pays)
        .where(Click.period == period, Click.reader_id.in_(readers), paid_to != Click.reader_id)
        .distinct()
        .order_by(Click.reader_id)
    )
    owners: defaultdict[int, set[int]] = defaultdict(set)
    for reader_id, owner_id in session.execute(query):
        owners[reader_id].add(owner_id)
    return owners


def _share(period: str, reader_id: int, owners: int, pot: int) -> dict[str, object]:
    share = ledger.even_share(pot, owners)
    return {"period": period, "reader_id": reader_id, "pot_micros": pot, "owners": owners, "share_micros": share}


def _charge_postings(period: str, shares: list[dict[str, object]]) -> list[Posting]:
    amounts = [(wallet(int(str(s["reader_id"]))), int(str(s["share_micros"])) * int(str(s["owners"]))) for s in shares]
    return [
        Posting("charge", period, account, CLEARING, amount, concerns=account) for account, amount in amounts if amount
    ]


# Seal -----------------------------------------------------------------------------------------------------------------


def seal(session: Session, period: str, *, now: datetime) -> dict[int, list[str]]:
    """Pay the owners, keep the promises, write down what it came to; promises that came true meanwhile, by reader."""
    row = session.get_one(Period, period, with_for_update=True)
    gross = _gross(session, period)
    fees = {owner_id: ledger.fee(amount, row.fee_bps or 0) for owner_id, amount in gross.items()}
    ledger.post(session, _owner_postings(period, gross, fees), now=_closed_at(row))
    _promise(session, period)
    _count(session, row, gross, fees)
    row.digest = _digest(session, period, gross, fees)
    row.state = "settled"
    session.flush()
    made = sa.exists().where(Promise.site_id == Site.id, Promise.period == period, Promise.joined.is_(None))
    return clicks.keep_promises(session, session.scalars(sa.select(Site.name).where(made)).all(), now=now)


def _gross(session: Session, period: str) -> dict[int, int]:
    """What each owner gets before the fee: the shares of all readers whose list pays them."""
    pairs = (
        sa.select(Click.reader_id, paid_to.label("owner_id"))
        .join(Payee, pays)
        .where(Click.period == period, paid_to != Click.reader_id)
        .distinct()
        .subquery()
    )
    query = (
        sa.select(pairs.c.owner_id, sa.func.sum(Share.share_micros))
        .join(Share, sa.and_(Share.period == period, Share.reader_id == pairs.c.reader_id))
        .where(Share.share_micros > 0)
        .group_by(pairs.c.owner_id)
        .order_by(pairs.c.owner_id)
    )
    return {owner_id: int(gross) for owner_id, gross in session.execute(query)}


def _owner_postings(period: str, gross: dict[int, int], fees: dict[int, int]) -> list[Posting]:
    shares = [Posting("share", period, CLEARING, income(o), amount, concerns=income(o)) for o, amount in gross.items()]
    taken = [
        Posting("fee", period, income(o), FEES, amount, concerns=income(o)) for o, amount in fees.items() if amount
    ]
    return shares + taken


def _unowned(period: str) -> sa.ColumnElement[bool]:
    return sa.and_(Click.period == period, ~sa.exists().where(pays))


def _promise(session: Session, period: str) -> None:
    """Clicks that took no money wait for an owner; a newer promise to the same page renews the older one."""
    statement = insert(session, Promise).from_select(
        ["reader_id", "page_id", "site_id", "period", "made_at"],
        sa.select(Click.reader_id, Click.page_id, Click.site_id, Click.period, Click.accepted_at).where(
            _unowned(period)
        ),
    )
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["reader_id", "page_id"],
            set_={"period": new.period, "made_at": new.made_at, "joined": None},
        )
    )


def _count(session: Session, row: Period, gross: dict[int, int], fees: dict[int, int]) -> None:
    charged = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(Share.share_micros * Share.owners), 0))
    readers, total = session.execute(charged.where(Share.period == row.period, Share.share_micros > 0)).one()
    listed = sa.select(sa.func.count()).select_from(Click).where(Click.period == row.period)
    row.promises = session.scalar(listed.where(_unowned(row.period))) or 0
    row.clicks = session.scalar(listed.where(sa.exists().where(pays, paid_to != Click.reader_id))) or 0
    row.readers, row.owners = readers, len(gross)
    row.charged_micros, row.fee_micros = int(total), sum(fees.values())
    row.received_micros = sum(gross.values()) - row.fee_micros


def _digest(session: Session, period: str, gross: dict[int, int], fees: dict[int, int]) -> bytes:
    """SHA-256 over public ids and amounts: the same for the same month, wherever it is settled."""
    charged = session.execute(
        sa.select(User.public_id, Share.share_micros, Share.owners)
        .join(User, User.id == Share.reader_id)
        .where(Share.period == period, Share.share_micros > 0)
    )
    lines = [f"charged {public_id} {share} x {owners}\n" for public_id, share, owners in charged]
    for public_id, owner_id in session.execute(sa.select(User.public_id, User.id).where(User.id.in_(gross))):
        lines.append(f"received {public_id} {gross[owner_id]} fee {fees[owner_id]}\n")
    digest = hashlib.sha256(f"flattr {period}\n".encode())
    digest.update("".join(sorted(lines)).encode())
    return digest.digest()


def _closed_at(row: Period) -> datetime:
    assert row.closed_at is not None, "a period is closed before it is charged"
    return row.closed_at
