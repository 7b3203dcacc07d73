"""What the bank's statements told, and what becomes of credits that name no reader."""

from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import auditlog, deposits, ledger
from backend.db import Base, Digest, Id, Micros, existing
from backend.deposits import Deposit, Origin
from backend.errors import DomainError, NotFound
from backend.ledger import BANK, SUSPENSE, Posting
from backend.users import NoSuchUser, User

TAKEN_BACK = ("reversal", "returned_payout")  # why a debit is ignored of which the bank says so itself


class NoSuchEntry(NotFound):
    """No bank statement brought an entry of this number."""


class NotUnmatched(DomainError):
    """This entry does not wait for a reader (any more)."""


class BankStatement(Base):
    """A statement that was imported."""

    __tablename__ = "bank_statements"
    __table_args__ = (sa.UniqueConstraint("file_sha256", "number"),)

    id: Mapped[Id]
    account: Mapped[str] = mapped_column(sa.String(34), index=True)
    identifier: Mapped[str] = mapped_column(sa.String(70))
    opening_micros: Mapped[Micros]
    closing_micros: Mapped[Micros]
    opened_on: Mapped[date]  # the day of its first movement
    closed_on: Mapped[date]
    file_sha256: Mapped[Digest]
    number: Mapped[int]  # in its file
    at: Mapped[datetime]


class BankEntry(Base):
    """A movement that a statement told of, and what became of it.

    matched: it named its reader. unmatched: it waits on SUSPENSE. assigned: an operator said whose it is. returned: an
    operator took it from SUSPENSE, to send it back. ignored: it left, or moved nothing.

    Who paid, and what they wrote, is kept only while somebody has to read it; a deposit has its own payer. What stays
    is *content*, the SHA-256 of all that the bank said, by which the movement is known again.
    """

    __tablename__ = "bank_entries"
    __table_args__ = (
        sa.CheckConstraint("state IN ('matched', 'unmatched', 'assigned', 'returned', 'ignored')", name="state_known"),
        sa.CheckConstraint("amount_micros > 0 OR state = 'ignored'", name="only_what_came_is_booked"),
        sa.Index("bank_entries_account_booked_on_idx", "account", "booked_on"),
    )

    id: Mapped[Id]
    account: Mapped[str] = mapped_column(sa.String(34))
    booked_on: Mapped[date]
    amount_micros: Mapped[Micros]  # below zero: it left
    content: Mapped[Digest]
    bank_reference: Mapped[str | None] = mapped_column(sa.String(70))
    state: Mapped[str] = mapped_column(sa.String(9), index=True)
    reason: Mapped[str | None] = mapped_column(sa.String(20))
    end_to_end_id: Mapped[str | None] = mapped_column(sa.String(70))
    payer_name: Mapped[str | None] = mapped_column(sa.String(140))
    payer_iban: Mapped[str | None] = mapped_column(sa.String(34))
    text: Mapped[str | None] = mapped_column(sa.String(300))
    at: Mapped[datetime]

    @property
    def deposit_reference(self) -> str:
        """What the deposit that it became is known by."""
        return f"{deposits.FROM_BANK}{self.id}"

    def forget_payer(self) -> None:
        """Nobody has to read any more who paid."""
        self.payer_name = self.payer_iban = self.end_to_end_id = self.text = None

    def as_json(self) -> dict[str, object]:
        """As commands print it."""
        names = ("id", "amount_micros", "state", "reason", "payer_name", "payer_iban", "end_to_end_id", "text")
        return {"booked_on": self.booked_on.isoformat()} | {name: getattr(self, name) for name in names}


def unmatched(session: Session, *, most: int | None = None) -> list[BankEntry]:
    """What waits for its reader, the oldest first."""
    query = sa.select(BankEntry).where(BankEntry.state == "unmatched")
    return list(session.scalars(query.order_by(BankEntry.booked_on, BankEntry.id).limit(most)))


def assign(
    session: Session, entry_id: int, user: User, *, now: datetime, actor_id: int | None = None
) -> tuple[Deposit, bool]:
    """Say whose an unmatched entry is; the deposit, and whether it is new.

    Raises:
        NoSuchEntry: There is no entry of this number.
        NotUnmatched: It is somebody else's, was sent back, or is no deposit at all.
        NoSuchUser: The user has left.
    """
    entry = existing(session, BankEntry, entry_id, NoSuchEntry, lock=True)
    if user.left_at:
        raise NoSuchUser(f"{user.email} has left.")
    found = session.scalar(sa.select(Deposit).where(Deposit.reference == entry.deposit_reference))
    if found is not None and found.user_id == user.id:
        return found, False
    if entry.state != "unmatched":
        raise NotUnmatched(f"Entry {entry.id} does not wait for a reader: it is {entry.state}.")
    if entry.reason == "returned_payout":
        raise NotUnmatched(f"Entry {entry.id} is a payout that came back, not a deposit.")
    auditlog.record(session, "bank_entry.assigned", str(entry.id), now=now, actor_id=actor_id, user=user.public_id)
    return book_later(session, entry, user, "assigned", now=now), True


def release(session: Session, entry_id: int, *, now: datetime, actor_id: int | None = None) -> tuple[BankEntry, bool]:
    """Take an unmatched entry from SUSPENSE, because it is sent back or booked otherwise; and whether that is new.

    A debit that took back no deposit is released, too: nobody is asked about it any more.

    Raises:
        NoSuchEntry: There is no entry of this number.
        NotUnmatched: It is somebody's, or never came.
    """
    entry = existing(session, BankEntry, entry_id, NoSuchEntry, lock=True)
    if entry.state == "returned" or entry.reason == "released":
        return entry, False
    if entry.amount_micros < 0 and entry.reason in TAKEN_BACK:
        entry.reason = "released"
    elif entry.state == "unmatched":
        posting = Posting("sent_back", str(entry.id), SUSPENSE, BANK, entry.amount_micros, concerns=SUSPENSE)
        ledger.post(session, [posting], now=now)
        entry.state = "returned"
    else:
        raise NotUnmatched(f"Entry {entry.id} does not wait for a reader: it is {entry.state}.")
    amount = entry.amount_micros
    auditlog.record(session, "bank_entry.returned", str(entry.id), now=now, actor_id=actor_id, amount_micros=amount)
    return entry, True


def book_later(session: Session, entry: BankEntry, user: User, state: str, *, now: datetime) -> Deposit:
    """Make a deposit of what waited on SUSPENSE."""
    origin = Origin("bank", SUSPENSE, entry.payer_name, entry.payer_iban)
    deposit, _ = deposits.add(session, user, entry.amount_micros, entry.deposit_reference, now=now, origin=origin)
    entry.state, entry.reason = state, None
    entry.forget_payer()
    session.flush()
    return deposit
