"""Money in: what a reader paid, booked once however often it is reported."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import ledger
from backend.db import Base, Id, Micros, insert
from backend.errors import DomainError, InvalidRequest
from backend.money import MAX_MICROS
from backend.urls import clean_title
from backend.users import User


class DepositConflict(DomainError):
    """This reference was booked before with another amount or for another user."""

    code = "deposit_conflict"


class BadDeposit(InvalidRequest):
    """A deposit needs a reference and a positive amount."""

    code = "bad_deposit"


class Deposit(Base):
    """Money that arrived for a reader, identified by the reference of whoever reported it."""

    __tablename__ = "deposits"
    __table_args__ = (sa.CheckConstraint("amount_micros > 0", name="amount_positive"),)

    id: Mapped[Id]
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), index=True)
    reference: Mapped[str] = mapped_column(sa.String(140), unique=True)
    amount_micros: Mapped[Micros]
    at: Mapped[datetime]


def add(session: Session, user: User, amount_micros: int, reference: str, *, now: datetime) -> tuple[Deposit, bool]:
    """Book a deposit into the reader's wallet; whether it was new.

    Raises:
        BadDeposit: No reference, or no positive amount.
        DepositConflict: The reference was booked before with another amount or for another user.
    """
    text = clean_title(reference)
    if not text or len(text) > 140 or not 0 < amount_micros <= MAX_MICROS:
        raise BadDeposit
    row = {"user_id": user.id, "reference": text, "amount_micros": amount_micros, "at": now}
    statement = insert(session, Deposit).values(row).on_conflict_do_nothing(index_elements=["reference"])
    is_new = bool(session.scalar(statement.returning(Deposit.id)))
    deposit = session.scalars(sa.select(Deposit).where(Deposit.reference == text)).one()
    if (deposit.user_id, deposit.amount_micros) != (user.id, amount_micros):
        raise DepositConflict
    into = ledger.wallet(user.id)
    posting = ledger.Posting("deposit", str(deposit.id), ledger.BANK, into, amount_micros, concerns=into)
    ledger.post(session, [posting], now=now)
    return deposit, is_new
