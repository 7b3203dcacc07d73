"""The money: accounts, immutable transfers between them, and the flat-rate split itself.

Every micro that entered is at every instant on exactly one account (RULES 7.1). A balance is what was credited less
what was debited, so what readers and owners have is positive, what the bank holds for them is negative, and all
balances together are zero.

One transfer is identified by what it is for: code, about (period, deposit) and the account it concerns. Posting it
twice changes nothing; posting something else under the same identity is an error.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from enum import IntEnum
from functools import partial
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import bulk
from backend.bulk import Ints
from backend.db import Base, Micros, UtcDateTime, append_only, index_where, insert
from backend.errors import DomainError


class TransferConflict(DomainError):
    """Something different was already posted for the same purpose."""


SOME = 1000  # transfers to look for at once

Amount = TypeVar("Amount", int, Ints)  # micros: a number, or an array of them


# The split ------------------------------------------------------------------------------------------------------------


def pot(budget_micros: int, wallet_micros: int) -> int:
    """What a reader can spend this period."""
    return min(budget_micros, wallet_micros)


def even_share(pot_micros: Amount, owners: Amount) -> Amount:
    """What each of *owners* people gets; the dust stays in the reader's wallet. Of one reader, or of arrays of them.

    Args:
        pot_micros: What the reader can spend this period; zero or more.
        owners: Distinct people on the reader's list; one or more.
    Returns:
        Micros per owner; ``share * owners <= pot_micros < (share + 1) * owners``.
    """
    return pot_micros // owners


def fee(gross_micros: Amount, fee_bps: int) -> Amount:
    """The operator's part of what one owner gets in one period, in micros, rounded down in the owner's favour.

    It is ``gross_micros * fee_bps // 10_000``, in two steps so that arrays of 64 bits hold it.
    """
    return gross_micros // 10_000 * fee_bps + gross_micros % 10_000 * fee_bps // 10_000


# Accounts and transfers -----------------------------------------------------------------------------------------------


class Kind(IntEnum):
    """Where money can sit: wallet, income and transit once per user, transit also for the house, the others once."""

    BANK = 0
    FEES = 1
    CLEARING = 2
    CARDS = 3
    WALLET = 4
    INCOME = 5
    TRANSIT = 6
    RESERVE = 7


def account_of(kind: Kind, user_id: int = 0) -> int:
    """A ledger account's id: computed, so that nothing has to be looked up before posting."""
    return user_id * 8 + kind


# Each code of a transfer in words, for statements and journals; docs/accounts.md says between which accounts it is.
WORDS = {
    "card_back": "given back by the card provider",
    "card_fee": "kept by the card provider",
    "card_paid_out": "paid out by the card provider",
    "card_refund": "on its way back to your card",
    "card_taken": "taken back through your card",
    "card_unrefund": "could not go back to your card",
    "charge": "split between the people you flattred",
    "deposit": "paid in",
    "deposit_taken": "taken back by the bank",
    "fee": "fee",
    "paid_back": "paid back on leaving",
    "payout": "on its way to your bank account",
    "payout_back": "not paid, yours again",
    "payout_paid": "paid to your bank account",
    "payout_return": "sent back by the bank, yours again",
    "rest": "less than a cent, left behind on leaving",
    "sent_back": "sent back to whom it came from",
    "share": "received from readers",
    "suspense": "arrived without its reader's reference",
}
_OF_A_MONTH = "code IN ('charge', 'share', 'fee')"  # what settlement posts: nearly all, and found by its period
_OTHERS = "code NOT IN ('charge', 'share', 'fee')"

BANK = account_of(Kind.BANK)
FEES = account_of(Kind.FEES)
CLEARING = account_of(Kind.CLEARING)
CARDS = account_of(Kind.CARDS)  # what a card provider holds for us, as BANK is what the bank does
RESERVE = account_of(Kind.RESERVE)  # the operator's own: what covers chargebacks that no wallet does
SUSPENSE = account_of(Kind.TRANSIT)  # the house's transit: money that arrived and has not found its reader yet
wallet = partial(account_of, Kind.WALLET)  # what a reader paid in and has not spent
income = partial(account_of, Kind.INCOME)  # what an owner received and was not paid out
transit = partial(account_of, Kind.TRANSIT)  # what is on its way out to a user, and not confirmed by the bank yet


class Account(Base):
    """Where money sits. The balance is kept beside the transfers that made it; `flattr audit` compares the two."""

    __tablename__ = "accounts"
    __table_args__ = (
        sa.CheckConstraint("id = user_id * 8 + kind", name="id_is_user_and_kind"),
        sa.CheckConstraint(
            "(user_id = 0 AND kind IN (0, 1, 2, 3, 6, 7)) OR (user_id > 0 AND kind IN (4, 5, 6))", name="kind_known"
        ),
        sa.CheckConstraint("kind NOT IN (4, 5, 6) OR balance_micros >= 0", name="never_below_zero"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[int] = mapped_column(sa.SmallInteger)
    user_id: Mapped[int] = mapped_column(sa.BigInteger)
    balance_micros: Mapped[Micros]


class Transfer(Base):
    """One immutable movement: *amount* leaves the debited account for the credited one."""

    __tablename__ = "transfers"
    __table_args__ = (
        sa.CheckConstraint("amount_micros > 0", name="amount_positive"),
        sa.CheckConstraint("debit_account_id <> credit_account_id", name="accounts_differ"),
        sa.CheckConstraint("account_id IN (debit_account_id, credit_account_id)", name="concerns_its_account"),
        # Settlement would pay dearly for an index of all: this one has what it did not post.
        index_where(_OTHERS, "transfers_account_id_idx", "account_id"),
    )

    code: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    about: Mapped[str] = mapped_column(sa.String(140), primary_key=True)
    account_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    # No foreign keys: checking those of a month of millions takes longer than all the rest. The audit looks instead.
    debit_account_id: Mapped[int] = mapped_column(sa.BigInteger)
    credit_account_id: Mapped[int] = mapped_column(sa.BigInteger)
    amount_micros: Mapped[Micros]
    at: Mapped[datetime]


append_only(Transfer)


@dataclass(frozen=True)
class Posting:
    """A transfer to be: *concerns* is the one of the two accounts that it is identified by.

    Where one of the two is a user's, that is the one, so that statements find it.
    """

    code: str
    about: str
    debit: int
    credit: int
    amount_micros: int
    concerns: int

    @property
    def identity(self) -> tuple[str, str, int]:
        """What it is for."""
        return self.code, self.about, self.concerns


_COLUMNS = "code about debit_account_id credit_account_id amount_micros account_id".split()  # as in a posting


def post(session: Session, postings: Iterable[Posting], *, now: datetime) -> int:
    """Move money; how many of the transfers were new.

    Raises:
        TransferConflict: A transfer of the same identity says something else.
        sqlalchemy.exc.IntegrityError: A wallet or income would go below zero, or an amount is not positive.
    """
    new = _not_yet_posted(session, list(postings))
    if not new:
        return 0
    _open_accounts(session, {account for posting in new for account in (posting.debit, posting.credit)})
    rows = [dict(zip(_COLUMNS, astuple(posting), strict=True)) | {"at": now} for posting in new]
    session.execute(sa.insert(Transfer), rows)
    changes: defaultdict[int, int] = defaultdict(int)
    for posting in new:
        changes[posting.debit] -= posting.amount_micros
        changes[posting.credit] += posting.amount_micros
    _change_balances(session, changes)
    return len(new)


_moves = bulk.working_table("moves", "account_id", "amount_micros")


def post_many(session: Session, posting: Posting, accounts: Ints, amounts: Ints, *, now: datetime) -> None:
    """Move money between one account and many, one transfer for each: as `post`, for millions, each of them new.

    Args:
        posting: What it is for. The account that it does not concern is the one; *accounts* stand for the other.
        accounts: Distinct.
        amounts: In micros, for each account; those of zero move nothing.

    Raises:
        sqlalchemy.exc.IntegrityError: One of these transfers was posted before, or a wallet would go below zero.
    """
    moving = amounts > 0
    if not moving.any():
        return
    bulk.fill(session, _moves, {"account_id": accounts[moving], "amount_micros": amounts[moving]})
    each, other = _moves.c.account_id, posting.credit if posting.concerns == posting.debit else posting.debit
    one = sa.literal(other)
    debit, credit, sign = (each, one, -1) if posting.concerns == posting.debit else (one, each, 1)
    about = (sa.literal(posting.code), sa.literal(posting.about))
    rows = sa.select(*about, debit, credit, _moves.c.amount_micros, each, sa.literal(now, UtcDateTime()))
    session.execute(sa.insert(Transfer).from_select([*_COLUMNS, "at"], rows))
    if sign > 0:
        _credit_many(session)
    else:
        account = cast("sa.Table", Account.__table__)
        less = account.c.balance_micros - _moves.c.amount_micros
        session.execute(sa.update(account).where(account.c.id == each).values(balance_micros=less))
    # Last, because everybody who settles at the same time wants this row.
    _open_accounts(session, {other})
    _change_balances(session, {other: -sign * int(amounts.sum())})


def _credit_many(session: Session) -> None:
    """Add to the balances of the accounts, which the first money opens."""
    each, amount = _moves.c
    statement = insert(session, Account).from_select(
        ["id", "kind", "user_id", "balance_micros"],
        sa.select(each, each % 8, each // 8, amount).where(sa.true()),  # SQLite needs the WHERE to see where it ends
    )
    more = Account.balance_micros + statement.excluded.balance_micros
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"balance_micros": more}))


def wallets(session: Session, readers: sa.Table) -> tuple[Ints, Ints]:
    """The readers of a working table who have a wallet, and what is in it, locked until the transaction ends."""
    query = sa.select(Account.user_id, Account.balance_micros).join(
        readers, Account.id == readers.c.reader_id * 8 + Kind.WALLET
    )
    found = bulk.read(session, query.with_for_update(of=Account))
    return found["user_id"].astype("int64"), found["balance_micros"].astype("int64")


def balance(session: Session, account_id: int) -> int:
    """What is on an account, in micros; zero for one that never saw money."""
    return session.scalar(sa.select(Account.balance_micros).where(Account.id == account_id)) or 0


def balances(session: Session, account_ids: Collection[int], *, lock: bool = False) -> dict[int, int]:
    """Balances by account id; *lock* keeps them as they are until the transaction ends."""
    query = sa.select(Account.id, Account.balance_micros).where(Account.id.in_(account_ids)).order_by(Account.id)
    found = dict(session.execute(query.with_for_update() if lock else query).all())
    return {account_id: found.get(account_id, 0) for account_id in account_ids}


def held(before: datetime | None = None) -> sa.Select[*tuple[Any, ...]]:
    """A query of all accounts, as `id` and `micros`: as they stand, or as they stood before an instant."""
    if before is None:
        return sa.select(Account.id, Account.balance_micros.label("micros"))
    sides = ((Transfer.credit_account_id, Transfer.amount_micros), (Transfer.debit_account_id, -Transfer.amount_micros))
    since = sa.union_all(
        *(sa.select(id_.label("id"), amount.label("micros")).where(Transfer.at >= before) for id_, amount in sides)
    ).subquery()
    moved = sa.select(since.c.id, sa.func.sum(since.c.micros).label("micros")).group_by(since.c.id).subquery()
    micros = Account.balance_micros - sa.cast(sa.func.coalesce(moved.c.micros, 0), sa.BigInteger)
    return sa.select(Account.id, micros.label("micros")).outerjoin(moved, moved.c.id == Account.id)


def trial_balance(session: Session, *, before: datetime | None = None) -> dict[str, int]:
    """All balances, summed up by kind, as they stand or stood; together they are zero."""
    accounts = held(before).subquery()
    kind = accounts.c.id % 8
    rows = session.execute(sa.select(kind, sa.func.sum(accounts.c.micros)).group_by(kind))
    found = {Kind(kind): int(total) for kind, total in rows}
    return {kind.name.lower(): found.get(kind, 0) for kind in Kind}


def transfers_of(
    session: Session, account_ids: Collection[int], periods: Collection[str], *, before: datetime | None = None
) -> Sequence[Transfer]:
    """All transfers that concern these accounts of a user, made before an instant, in no order.

    Args:
        periods: Those that were, or are being, settled.
    """
    mine = sa.select(Transfer).where(Transfer.account_id.in_(account_ids))
    mine = mine.where(Transfer.at < before) if before else mine
    of_months = mine.where(sa.text(_OF_A_MONTH), Transfer.about.in_(periods))
    return [*session.scalars(of_months), *session.scalars(mine.where(sa.text(_OTHERS)))]


def stable_id(code: str, about: str, account: str) -> str:
    """A transfer's id on statements and in journals: derived from its identity, so the same wherever it is told.

    Args:
        account: The account it concerns, its user by public id: ``wallet:0123456789ab``, ``fees``.
    """
    return hashlib.sha256(f"{code}\n{about}\n{account}".encode()).hexdigest()[:20]


def _not_yet_posted(session: Session, postings: list[Posting]) -> list[Posting]:
    identity = sa.tuple_(Transfer.code, Transfer.about, Transfer.account_id)
    query = sa.select(*(getattr(Transfer, name) for name in _COLUMNS))
    new: list[Posting] = []
    for start in range(0, len(postings), SOME):
        some = postings[start : start + SOME]
        rows = session.execute(query.where(identity.in_([posting.identity for posting in some])))
        posted = {posting.identity: posting for posting in (Posting(*row) for row in rows)}
        for posting in some:
            if posted.get(posting.identity, posting) != posting:
                what = f"{posting.code} {posting.about}"
                raise TransferConflict(f"{what} was already posted with another amount or account.")
        new += [posting for posting in some if posting.identity not in posted]
    return new


def _open_accounts(session: Session, account_ids: Collection[int]) -> None:
    rows = [{"id": i, "kind": i % 8, "user_id": i // 8, "balance_micros": 0} for i in sorted(account_ids)]
    session.execute(insert(session, Account).on_conflict_do_nothing(), rows)


def _change_balances(session: Session, changes: dict[int, int]) -> None:
    """One statement for all, accounts in order, so that two writers cannot wait for each other."""
    account = cast("sa.Table", Account.__table__)
    session.execute(
        sa.update(account)
        .where(account.c.id == sa.bindparam("account"))
        .values(balance_micros=account.c.balance_micros + sa.bindparam("change")),
        [{"account": i, "change": change} for i, change in sorted(changes.items())],
    )
