"""What the bank takes back of a deposit: out of the reader's wallet as far as it reaches, else the reserve bears it."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import auditlog, ledger
from backend.db import Base, Micros, append_only, existing
from backend.deposits import Deposit
from backend.deposits.entries import TAKEN_BACK, BankEntry, NoSuchEntry
from backend.deposits.reference import public_ids
from backend.errors import DomainError
from backend.ledger import BANK, RESERVE, Posting, wallet
from backend.users import NoSuchUser, User, by_email


class NotReversible(DomainError):
    """The bank took back nothing that this reader paid in."""


class Reversal(Base):
    """A debit on the bank's statement that took back a deposit, and who bore it."""

    __tablename__ = "reversals"
    __table_args__ = (sa.CheckConstraint("wallet_micros >= 0 AND reserve_micros >= 0", name="not_negative"),)

    entry_id: Mapped[int] = mapped_column(sa.ForeignKey(BankEntry.id), primary_key=True, autoincrement=False)
    deposit_id: Mapped[int] = mapped_column(sa.ForeignKey(Deposit.id), index=True)
    wallet_micros: Mapped[Micros]
    reserve_micros: Mapped[Micros]
    at: Mapped[datetime]


append_only(Reversal)


def waiting(session: Session, *, most: int | None = None) -> list[BankEntry]:
    """What the bank says it took back, and nobody has said of whom; the oldest first."""
    told = sa.select(BankEntry).where(BankEntry.state == "ignored", BankEntry.amount_micros < 0)
    open_ = told.where(BankEntry.reason.in_(TAKEN_BACK), ~sa.exists().where(Reversal.entry_id == BankEntry.id))
    return list(session.scalars(open_.order_by(BankEntry.booked_on, BankEntry.id).limit(most)))


def payer(session: Session, asked: str) -> User:
    """By address, or by reference or public id, so that those who left are found, too.

    Raises:
        NoSuchUser: Nobody, or several.
    """
    if "@" in asked:
        return by_email(session, asked)
    ids = public_ids([asked])[0] or {asked.strip().lower()}
    found = session.scalars(sa.select(User).where(User.public_id.in_(ids))).all()
    if len(found) != 1:
        raise NoSuchUser("Nobody has this address or reference.")
    return found[0]


def reverse(
    session: Session, entry_id: int, user: User, *, now: datetime, actor_id: int | None = None
) -> tuple[Reversal, bool]:
    """Book that a debit took back what a reader paid in; and whether that is new.

    It is their latest deposit of this amount, or else of more, that was not taken back yet. What settled months spent
    of it stays with whom it went to: the reserve bears that, and gets nothing of what the reader pays in later.

    Raises:
        NoSuchEntry: There is no entry of this number.
        NotReversible: It is no debit, was of another reader, or no deposit is as large.
    """
    entry = existing(session, BankEntry, entry_id, NoSuchEntry, lock=True)
    if found := session.get(Reversal, entry.id):
        if session.get_one(Deposit, found.deposit_id).user_id != user.id:
            raise NotReversible(f"Entry {entry.id} took back what another reader paid in.")
        return found, False
    if entry.amount_micros >= 0:
        raise NotReversible(f"With entry {entry.id} nothing left the bank account.")
    ledger.balances(session, [BANK, RESERVE, wallet(user.id)], lock=True)
    micros = -entry.amount_micros
    deposit = _deposit(session, user, micros)
    from_wallet = min(micros, ledger.balance(session, wallet(user.id)))
    parts = {"wallet_micros": from_wallet, "reserve_micros": micros - from_wallet}
    made = Reversal(entry_id=entry.id, deposit_id=deposit.id, at=now, **parts)
    session.add(made)
    session.flush()
    about, bearers = str(entry.id), zip((wallet(user.id), RESERVE), parts.values(), strict=True)
    postings = [Posting("deposit_taken", about, of, BANK, part, concerns=of) for of, part in bearers if part]
    ledger.post(session, postings, now=now)
    said = {"deposit": deposit.id, "user": user.public_id} | parts
    auditlog.record(session, "deposit.reversed", about, now=now, actor_id=actor_id, **said)
    return made, True


def _deposit(session: Session, user: User, micros: int) -> Deposit:
    total = sa.func.coalesce(sa.func.sum(Reversal.wallet_micros + Reversal.reserve_micros), 0)
    taken = sa.select(total).where(Reversal.deposit_id == Deposit.id).scalar_subquery()
    query = sa.select(Deposit).where(Deposit.user_id == user.id, Deposit.source != "card")
    nearest = (Deposit.amount_micros != micros, Deposit.at.desc(), Deposit.id.desc())
    found = session.scalar(query.where(Deposit.amount_micros - taken >= micros).order_by(*nearest).limit(1))
    if found is None:
        raise NotReversible
    return found
