"""Money in: what a reader paid, booked once however often it is reported."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import auditlog, ledger
from backend.db import Base, Id, Micros, insert
from backend.errors import DomainError, InvalidRequest
from backend.money import MAX_MICROS
from backend.urls import clean_title
from backend.users import User

FROM_BANK = "bank entry "  # so begin the references of deposits from bank statements (`deposits.entries`)


class DepositConflict(DomainError):
    """This reference was booked before with another amount or for another user."""


class BadDeposit(InvalidRequest):
    """A deposit needs a reference and a positive amount."""


class Deposit(Base):
    """Money that arrived for a reader, identified by the reference of whoever reported it."""

    __tablename__ = "deposits"
    __table_args__ = (
        sa.CheckConstraint("amount_micros > 0", name="amount_positive"),
        sa.CheckConstraint("source IN ('operator', 'bank', 'card')", name="source_known"),
    )

    id: Mapped[Id]
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), index=True)
    reference: Mapped[str] = mapped_column(sa.String(140), unique=True)
    amount_micros: Mapped[Micros]
    at: Mapped[datetime]
    # Where it came from, so that it can go back the same way.
    source: Mapped[str] = mapped_column(sa.String(8))
    payer_name: Mapped[str | None] = mapped_column(sa.String(140))
    payer_iban: Mapped[str | None] = mapped_column(sa.String(34))


@dataclass(frozen=True)
class Origin:
    """Where a deposit came from, and thus which account holds it and how it goes back.

    Attributes:
        source: ``operator`` (booked by hand), ``bank`` (from a bank statement) or ``card``.
        account: The ledger account that the money comes from.
    """

    source: str = "operator"
    account: int = ledger.BANK
    payer_name: str | None = None
    payer_iban: str | None = None


BY_HAND = Origin()


def add(
    session: Session, user: User, amount_micros: int, reference: str, *, now: datetime, origin: Origin = BY_HAND
) -> tuple[Deposit, bool]:
    """Book a deposit into the reader's wallet; whether it was new.

    Raises:
        BadDeposit: No reference, or no positive amount.
        DepositConflict: The reference was booked before with another amount or for another user.
    """
    text = clean_title(reference)
    if not text or len(text) > 140 or not 0 < amount_micros <= MAX_MICROS:
        raise BadDeposit
    if text.startswith(FROM_BANK) and origin.source != "bank":
        raise BadDeposit(f"References that begin with '{FROM_BANK}' are for bank statements.")
    row = {"user_id": user.id, "reference": text, "amount_micros": amount_micros, "at": now}
    row |= {"source": origin.source, "payer_name": origin.payer_name, "payer_iban": origin.payer_iban}
    statement = insert(session, Deposit).values(row).on_conflict_do_nothing(index_elements=["reference"])
    is_new = bool(session.scalar(statement.returning(Deposit.id)))
    deposit = session.scalars(sa.select(Deposit).where(Deposit.reference == text)).one()
    if (deposit.user_id, deposit.amount_micros) != (user.id, amount_micros):
        raise DepositConflict
    ledger.post(session, [_posting(deposit, origin.account)], now=now)
    if is_new and origin.source == BY_HAND.source:
        said = {"deposit": deposit.id, "amount_micros": amount_micros}
        auditlog.record(session, "deposit.by_hand", user.public_id, now=now, **said)
    return deposit, is_new


def add_new(session: Session, new: Sequence[Deposit], *, now: datetime) -> None:
    """Book many deposits from the bank at once, whose references are new."""
    session.add_all(new)
    session.flush()
    ledger.post(session, [_posting(deposit, ledger.BANK) for deposit in new], now=now)


def _posting(deposit: Deposit, account: int) -> ledger.Posting:
    into = ledger.wallet(deposit.user_id)
    return ledger.Posting("deposit", str(deposit.id), account, into, deposit.amount_micros, concerns=into)


def recent(session: Session, user: User) -> Sequence[Deposit]:
    """What a reader paid in, the latest first."""
    query = sa.select(Deposit).where(Deposit.user_id == user.id)
    return session.scalars(query.order_by(Deposit.at.desc(), Deposit.id.desc()).limit(12)).all()
