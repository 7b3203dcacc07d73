"""The steps of a settlement. Each is one transaction, and none leaves a micro between two accounts."""

import hashlib
from datetime import datetime
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import auditlog, bulk, card_money, claims, clicks, ledger
from backend.bulk import Ints
from backend.claims import BEGINNING, END, Claim
from backend.clicks import Chunk, Payee, Period, Share
from backend.ledger import CLEARING, FEES, Kind, Posting, Transfer
from backend.period import ends_at
from backend.settlement import lists, split
from backend.settlement.lists import Payees, Source
from backend.sites import Site, is_within
from backend.users import DEFAULT_BUDGET_MICROS, Budget, User

BUCKETS = 16  # of owners, who are paid a bucket at a time
_listed = bulk.working_table("listed_readers", "reader_id")


def number(period: str) -> int:
    """A period as the tables keep it."""
    return int(period.replace("-", ""))


# Close ----------------------------------------------------------------------------------------------------------------


def close(session: Session, period: str, frozen: dict[str, Any], *, now: datetime) -> None:
    """Keep late clicks out and freeze the terms, and who owned which site when. Closed once, closed for good."""
    clicks.ensure_period(session, period)
    row = session.scalars(sa.select(Period).where(Period.period == period).with_for_update()).one()
    if row.state != "open":
        return
    row.state, row.closed_at = "closing", now
    for name, value in frozen.items():
        setattr(row, name, value)
    session.flush()
    _note_another_fee(session, row, now)
    _freeze_plain(session, period)
    _freeze_rest(session, period)


def _note_another_fee(session: Session, row: Period, now: datetime) -> None:
    """Owners get more or less than the month before: the log says since when."""
    earlier = sa.select(Period.fee_bps).where(Period.period < row.period, Period.state == "settled")
    before = session.scalar(earlier.order_by(Period.period.desc()).limit(1))
    if before is not None and before != row.fee_bps:
        auditlog.record(session, "fee.changed", row.period, now=now, before_bps=before, after_bps=row.fee_bps)


def _by_site() -> sa.Select[*tuple[Any, ...]]:
    return sa.select(Claim.site_id).where(Claim.verified_at.is_not(None)).group_by(Claim.site_id)


def _is_plain(period: str) -> sa.ColumnElement[bool]:
    """Whether a site was proven once, by one user, before the period ended, and never in doubt."""
    once = sa.func.count() == 1
    return sa.and_(once, sa.func.min(Claim.state) == "verified", sa.func.min(Claim.verified_at) < ends_at(period))


def _freeze_plain(session: Session, period: str) -> None:
    """Plain sites are their owner's for the whole month: nearly all."""
    plain = _by_site().having(_is_plain(period)).add_columns(sa.func.min(Claim.user_id))
    always = (sa.literal(BEGINNING, Payee.since.type), sa.literal(END, Payee.until.type))
    rows = plain.add_columns(sa.literal(number(period), sa.Integer), *always).order_by(Claim.site_id)  # as the key is
    session.execute(sa.insert(Payee).from_select(["site_id", "owner_id", "period", "since", "until"], rows))


def _freeze_rest(session: Session, period: str) -> None:
    """All other sites: with claims that changed, or below a host that was proven by DNS."""
    named = sa.select(Site.id, Site.name)
    names = dict(session.execute(named.where(Site.id.in_(_by_site().having(~_is_plain(period))))).all())
    by_dns = sa.select(Site.name).join(Claim, Claim.site_id == Site.id)
    above = set(session.scalars(by_dns.where(Claim.method == "dns", Claim.verified_at.is_not(None))))
    if above:
        others = named.where(~sa.exists().where(Payee.period == period, Payee.site_id == Site.id))
        names |= {id_: name for id_, name in session.execute(others) if is_within(name, above)}
    found = claims.proven(session, names.values())
    rows = [
        {"period": period, "site_id": site_id, "since": s.since, "until": s.until, "owner_id": s.owner_id}
        for site_id, name in names.items()
        for s in claims.stretches_of(name, found, by=ends_at(period))
        if s.owner_id is not None
    ]
    if rows:
        session.execute(sa.insert(Payee), rows)


# Charge ---------------------------------------------------------------------------------------------------------------


def charged(session: Session, period: str) -> set[int]:
    """The chunks of readers that are charged already."""
    return set(session.scalars(sa.select(Chunk.number).where(Chunk.period == period)))


def charge(session: Session, period: str, chunk: int, payees: Payees) -> int:
    """Split the pots of one chunk of readers; how many readers were charged, 0 when that was done before."""
    _one_at_a_time(session, period, chunk)
    # Sealing waits for this; and what a killed run left behind does nothing once its successor has sealed.
    query = sa.select(Period, card_money.is_any_young(ends_at(period))).where(Period.period == period)
    row, some_young = session.execute(query.with_for_update(of=Period, read=True, key_share=True)).one()
    was_done = session.get(Chunk, (period, chunk, 0)) is not None
    if was_done or row.state != "closing":
        return 0
    source = Source(session, period, chunk)
    found = lists.read(session, row, source, payees)
    readers, owners = found.lists.readers, found.lists.owners
    pots, wallets = _pots(session, period, readers)
    shares = found.lists.shares(pots)
    columns = {"period": number(period), "reader_id": readers, "pot_micros": pots, "owners": owners}
    bulk.insert(session, cast("sa.Table", Share.__table__), columns | {"share_micros": shares})
    _keep(session, period, chunk, found.owners, found.lists.gross(shares, found.owners.size))
    if some_young:
        _hold(session, row, source, found, shares, wallets)
    count = int(np.count_nonzero(shares))
    posting = Posting("charge", period, Kind.WALLET, CLEARING, 0, concerns=Kind.WALLET)
    ledger.post_many(session, posting, readers * 8 + Kind.WALLET, shares * owners, now=_closed_at(row))
    total = int((shares * owners).sum())
    _add_up(session, period, readers=count, clicks=found.clicks, promises=found.promises, charged_micros=total)
    return count


def _one_at_a_time(session: Session, period: str, step: int) -> None:
    """A process that lives on after its run was killed must not do a step that the next run does (PostgreSQL)."""
    if bulk.on_postgresql(session):
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(number(period), step)))


def _pots(session: Session, period: str, readers: Ints) -> tuple[Ints, Ints]:
    """What each of these readers, in ascending order, can spend, and what is in their wallets, which are locked."""
    bulk.fill(session, _listed, {"reader_id": readers})
    budgets = np.full(readers.size, DEFAULT_BUDGET_MICROS, dtype=np.int64)
    decided = sa.select(Budget.reader_id, Budget.budget_micros).join(_listed, _listed.c.reader_id == Budget.reader_id)
    rows = bulk.read(session, decided.where(Budget.period <= period).order_by(Budget.period))
    budgets[np.searchsorted(readers, rows["reader_id"])] = rows["budget_micros"]  # of several the last one stays
    wallets = np.zeros(readers.size, dtype=np.int64)
    holders, balances = ledger.wallets(session, _listed)
    wallets[np.searchsorted(readers, holders)] = balances
    return np.minimum(budgets, wallets), wallets


def _hold(session: Session, row: Period, source: Source, found: lists.Read, shares: Ints, wallets: Ints) -> None:
    """Write down what of the shares comes from young card money, so that it is not paid out yet (RULES 7.4).

    The oldest is spent first: what only younger payments cover is held until those are ripe.
    """
    readers, ripe, left = card_money.young(session, source.has, _closed_at(row))
    young, longer = np.zeros_like(shares), np.zeros_like(shares)
    here = np.isin(readers, found.lists.readers)
    for day in np.unique(ripe[here])[::-1]:
        mine = here & (ripe == day)
        np.add.at(young, np.searchsorted(found.lists.readers, readers[mine]), left[mine])
        held = split.held_shares(shares, found.lists.owners, wallets, young)
        card_money.hold(
            session, row.period, int(day), found.owners, found.lists.gross(held - longer, found.owners.size)
        )
        longer = held


def _keep(session: Session, period: str, chunk: int, owners: Ints, gross: Ints) -> None:
    """Write down what this chunk gives whom, until they are paid; that also marks the chunk as done."""
    owners, gross = owners[gross > 0], gross[gross > 0]
    for bucket in range(BUCKETS):
        mine = owners % BUCKETS == bucket
        amounts = np.concatenate([owners[mine], gross[mine]]).astype("<i8").tobytes()
        session.add(Chunk(period=period, number=chunk, bucket=bucket, amounts=amounts))
    session.flush()


def _add_up(session: Session, period: str, **amounts: int) -> None:
    counters = {name: getattr(Period, name) + amount for name, amount in amounts.items()}
    session.execute(sa.update(Period).where(Period.period == period).values(counters))


# Pay ------------------------------------------------------------------------------------------------------------------


def pay(session: Session, period: str, bucket: int) -> int:
    """Pay one bucket of owners what all chunks gave them, less the fee; how many, 0 when that was done before."""
    _one_at_a_time(session, period, -1 - bucket)
    kept = session.scalars(sa.select(Chunk.amounts).where(Chunk.period == period, Chunk.bucket == bucket)).all()
    parts = [np.frombuffer(amounts, dtype="<i8").reshape(2, -1) for amounts in kept if amounts]
    if not parts:
        return 0
    owners, gross = split.sum_by_owner(*np.concatenate(parts, axis=1).astype(np.int64))
    row = session.get_one(Period, period)
    fees = ledger.fee(gross, row.fee_bps or 0)
    incomes, now = owners * 8 + Kind.INCOME, _closed_at(row)
    share = Posting("share", period, CLEARING, Kind.INCOME, 0, concerns=Kind.INCOME)
    ledger.post_many(session, share, incomes, gross, now=now)
    ledger.post_many(
        session, Posting("fee", period, Kind.INCOME, FEES, 0, concerns=Kind.INCOME), incomes, fees, now=now
    )
    session.execute(sa.update(Chunk).where(Chunk.period == period, Chunk.bucket == bucket).values(amounts=None))
    taken = int(fees.sum())
    _add_up(session, period, owners=owners.size, received_micros=int(gross.sum()) - taken, fee_micros=taken)
    return int(owners.size)


# Seal -----------------------------------------------------------------------------------------------------------------


def seal(session: Session, period: str, *, now: datetime) -> dict[int, list[str]]:
    """Write down what the month came to; promises that came true meanwhile join the open list, by reader."""
    row = session.get_one(Period, period, with_for_update=True, populate_existing=True)
    row.digest = _digest(session, row)
    row.state = "settled"
    digest, charged = row.digest.hex(), row.charged_micros
    auditlog.record(
        session, "period.settled", period, now=now, digest=digest, charged_micros=charged, fee_bps=row.fee_bps
    )
    session.execute(sa.delete(Chunk).where(Chunk.period == period))
    session.flush()
    # What was unowned when the month ended can only be owned now by a claim that was proven since.
    since = sa.select(Site.name).join(Claim, Claim.site_id == Site.id).where(Claim.verified_at >= ends_at(period))
    return clicks.keep_promises(session, session.scalars(since.distinct()).all(), now=now)


def _digest(session: Session, row: Period) -> bytes:
    """SHA-256 over public ids and amounts: the same for the same month, wherever it is settled.

    Of the line ``flattr 2026-11 EUR 250`` (period, currency, fee in basis points), then for each reader who was
    charged, in the order of public ids, the 12 characters of the id, what each owner got and how many owners, then for
    each owner the id and the gross amount; numbers as 64 bits, most significant byte first.
    """
    given = sa.select(User.public_id, Share.share_micros, Share.owners).join(User, User.id == Share.reader_id)
    got = sa.select(User.public_id, Transfer.amount_micros).join(User, Transfer.account_id == User.id * 8 + Kind.INCOME)
    digest = hashlib.sha256(f"flattr {row.period} {row.currency} {row.fee_bps}\n".encode())
    for query in (
        given.where(Share.period == row.period, Share.share_micros > 0),
        got.where(Transfer.code == "share", Transfer.about == row.period),
    ):
        found = bulk.read(session, query)
        digest.update(found[_order(found["public_id"])].tobytes())
    return digest.digest()


def _order(public_ids: npt.NDArray[np.bytes_]) -> Ints:
    """The order of public ids, which sort as numbers faster than as text."""
    parts = np.ascontiguousarray(public_ids).view([("first", ">u8"), ("last", ">u4")])
    return np.lexsort((parts["last"].astype(np.uint32), parts["first"].astype(np.uint64)))


def _closed_at(row: Period) -> datetime:
    assert row.closed_at is not None, "a period is closed before it is charged"
    return row.closed_at
