"""The tables of payouts: whom a bank is to pay where, each payment, and the batches that go to the bank."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Digest, Id, Micros, index_where
from backend.money import CENT_MICROS
from backend.users import User


class PayoutDetails(Base):
    """The bank account that a user gave; `returned_at`: when the bank sent a payment back, so that none goes there."""

    __tablename__ = "payout_details"

    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), primary_key=True)
    iban: Mapped[str] = mapped_column(sa.String(34))
    holder: Mapped[str] = mapped_column(sa.String(70))
    changed_at: Mapped[datetime]
    returned_at: Mapped[datetime | None]


class Batch(Base):
    """Payments that go to the bank in one file: prepared -> approved -> exported -> confirmed, or cancelled before.

    `file` is what was prepared, to the byte, and `digest` its SHA-256. It is kept until the batch is over and somebody
    in it has left.
    """

    __tablename__ = "payout_batches"
    __table_args__ = (
        sa.CheckConstraint(
            "state IN ('prepared', 'approved', 'exported', 'confirmed', 'cancelled')", name="state_known"
        ),
        sa.CheckConstraint(
            "state IN ('prepared', 'cancelled') OR (approved_by IS NOT NULL AND approved_at IS NOT NULL)",
            name="approved_first",
        ),
        sa.CheckConstraint("approved_by <> prepared_by", name="by_two_people"),
        sa.CheckConstraint("file IS NOT NULL OR state IN ('confirmed', 'cancelled')", name="has_a_file"),
        sa.CheckConstraint("payouts > 0 AND total_micros > 0", name="pays_something"),
        index_where("state = 'prepared'", "payout_batches_one_prepared_idx", "state", unique=True),
    )

    id: Mapped[Id]
    state: Mapped[str] = mapped_column(sa.String(9))
    created_at: Mapped[datetime]
    currency: Mapped[str] = mapped_column(sa.String(3))
    payouts: Mapped[int]
    total_micros: Mapped[Micros]
    digest: Mapped[Digest]
    file: Mapped[bytes | None]
    prepared_by: Mapped[int | None] = mapped_column(sa.ForeignKey(User.id))
    approved_by: Mapped[int | None] = mapped_column(sa.ForeignKey(User.id))
    approved_at: Mapped[datetime | None]

    @property
    def message_id(self) -> str:
        """What the bank knows the file by."""
        return f"FLATTR-B-{self.id}-{self.created_at:%Y%m%dT%H%M%S}"


class Payout(Base):
    """One payment to a user. Its money is in transit while it is open; one without a batch waits for the next.

    `purpose` says where it came from and goes back to: ``income``, or ``refund`` from the wallet. Before `due_at` it
    goes into no batch. Of those who left, IBAN and holder are forgotten once nothing can happen to it any more.
    """

    __tablename__ = "payouts"
    __table_args__ = (
        sa.CheckConstraint("purpose IN ('income', 'refund')", name="purpose_known"),
        sa.CheckConstraint("state IN ('open', 'paid', 'failed', 'cancelled')", name="state_known"),
        sa.CheckConstraint(f"amount_micros > 0 AND amount_micros % {CENT_MICROS} = 0", name="whole_cents"),
        sa.CheckConstraint("state <> 'open' OR (iban IS NOT NULL AND holder IS NOT NULL)", name="goes_somewhere"),
        sa.CheckConstraint("state <> 'paid' OR batch_id IS NOT NULL", name="paid_by_a_batch"),
    )

    id: Mapped[Id]
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), index=True)
    batch_id: Mapped[int | None] = mapped_column(sa.ForeignKey(Batch.id), index=True)
    purpose: Mapped[str] = mapped_column(sa.String(6))
    state: Mapped[str] = mapped_column(sa.String(9))
    amount_micros: Mapped[Micros]
    iban: Mapped[str | None] = mapped_column(sa.String(34))
    holder: Mapped[str | None] = mapped_column(sa.String(70))
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]

    @property
    def end_to_end_id(self) -> str:
        """What comes back in the bank's statements."""
        return f"FLATTR-P-{self.id}"
