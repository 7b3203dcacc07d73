"""What came from cards: payments, refunds, what providers took back, and what of incomes waits because of it.

A card payment can be undone for months, mostly within the first weeks. So money from a card pays nobody out before it
is 30 days old (RULES 7.4): what a settlement had to take from younger card money is held until it is.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import bulk, ledger
from backend.bulk import Ints
from backend.clicks import Period
from backend.db import Base, Id, Micros, PeriodNumber, append_only, insert
from backend.users import User

RIPENS = timedelta(days=30)
DAY = 24 * 60 * 60  # seconds


class CardPayment(Base):
    """A payment by card, from the moment a reader goes to the provider's page: one deposit once it is paid."""

    __tablename__ = "card_payments"
    __table_args__ = (
        sa.CheckConstraint("amount_micros > 0", name="amount_positive"),
        sa.CheckConstraint("taken_micros >= 0", name="taken_not_negative"),
        sa.CheckConstraint("state IN ('open', 'paid', 'expired')", name="state_known"),
        sa.CheckConstraint(
            "(state = 'paid') = (provider_id IS NOT NULL) AND (state = 'paid') = (paid_at IS NOT NULL)",
            name="paid_is_known",
        ),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(sa.String(32), unique=True)  # what the provider knows it by
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), index=True)
    amount_micros: Mapped[Micros]
    taken_micros: Mapped[Micros]  # what of it went back or is on its way: refunds and disputes
    state: Mapped[str] = mapped_column(sa.String(8))
    created_at: Mapped[datetime]
    paid_at: Mapped[datetime | None] = mapped_column(index=True)
    checkout_id: Mapped[str | None] = mapped_column(sa.String(120), unique=True)
    provider_id: Mapped[str | None] = mapped_column(sa.String(120), unique=True)
    look_at: Mapped[datetime | None] = mapped_column(index=True)  # when to ask the provider again; null: never
    version: Mapped[int]  # counts the changes: what was read from the provider before one is not booked after it

    @property
    def left_micros(self) -> int:
        """What of it did not go back; below zero where more was taken than paid."""
        return self.amount_micros - self.taken_micros


class CardRefund(Base):
    """What a reader asked to have back on the card: ``asked``, then ``done`` or ``refused``."""

    __tablename__ = "card_refunds"
    __table_args__ = (
        sa.CheckConstraint("amount_micros > 0", name="amount_positive"),
        sa.CheckConstraint("state IN ('asked', 'done', 'refused')", name="state_known"),
    )

    id: Mapped[Id]
    payment_id: Mapped[int] = mapped_column(sa.ForeignKey(CardPayment.id), index=True)
    amount_micros: Mapped[Micros]
    state: Mapped[str] = mapped_column(sa.String(8))
    asked_at: Mapped[datetime]


class CardMove(Base):
    """One change of what the provider has taken for one *cause*, a refund or a dispute, and who bore it.

    Positive amounts went to the provider, negative ones came back. Transfers about it are about ``CAUSE NUMBER``.
    """

    __tablename__ = "card_moves"

    cause: Mapped[str] = mapped_column(sa.String(120), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    payment_id: Mapped[int] = mapped_column(sa.ForeignKey(CardPayment.id), index=True)
    wallet_micros: Mapped[Micros]
    transit_micros: Mapped[Micros]
    reserve_micros: Mapped[Micros]
    at: Mapped[datetime]


append_only(CardMove)


class Held(Base):
    """What of an owner's gross income of a period came from young card money, by the day on which that is ripe."""

    __tablename__ = "held"
    __table_args__ = (sa.CheckConstraint("held_micros > 0", name="held_positive"), {"sqlite_with_rowid": False})

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    owner_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    ripe_day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # days since 1970: then it is payable
    held_micros: Mapped[Micros]


_left = CardPayment.amount_micros - CardPayment.taken_micros
_holding = bulk.working_table("holding", "owner_id", "ripe_day", "held_micros")


def held(session: Session, owner_ids: Collection[int], *, now: datetime) -> dict[int, int]:
    """What of these owners' incomes may not be paid out yet, in micros, by owner; without those who wait for nothing.

    The fee is taken off as it was from the income, so that all of an income can be held and no more.
    """
    found: defaultdict[int, int] = defaultdict(int)
    for owner_id, micros, fee_bps in _UNRIPE.ask(session, values={"today": int(now.timestamp()) // DAY}, id=owner_ids):
        found[owner_id] += int(micros) - ledger.fee(int(micros), fee_bps or 0)
    return dict(found)


_UNRIPE = bulk.Question(
    lambda given, _: (
        sa.select(Held.owner_id, sa.func.sum(Held.held_micros), Period.fee_bps)
        .join(Period, Period.period == Held.period)
        # Not joined: SQLite would look at all that is held for each owner.
        .where(Held.owner_id.in_(sa.select(given.c.id)))
        .where(Held.ripe_day > sa.bindparam("today", type_=Held.ripe_day.type))
        .group_by(Held.owner_id, Held.period, Period.fee_bps)
    ),
    id=sa.BigInteger(),
)


def is_any_young(period_ends_at: datetime) -> sa.Exists:
    """Whether there is card money that may be young when a period is closed, as part of another query."""
    return sa.exists().where(CardPayment.paid_at > period_ends_at - RIPENS)


def young(session: Session, among: Any, closed_at: datetime) -> tuple[Ints, Ints, Ints]:
    """Card payments younger than 30 days at *closed_at*, in any order: whose, ripe on which day, and how many micros.

    A payment is ripe when the day begins on which it is 30 days old at every hour.

    Args:
        among: Says of a column of reader ids which of them are meant.
    """
    left = sa.case((CardPayment.amount_micros > CardPayment.taken_micros, _left), else_=0)
    paid = sa.cast(sa.extract("epoch", CardPayment.paid_at), sa.BigInteger).label("paid")
    query = sa.select(CardPayment.user_id, paid, sa.cast(left, sa.BigInteger).label("left"))
    found = bulk.read(session, query.where(CardPayment.paid_at > closed_at - RIPENS, among(CardPayment.user_id)))
    readers, seconds, micros = (found[name].astype(np.int64) for name in ("user_id", "paid", "left"))
    return readers, seconds // DAY + RIPENS.days + 1, micros


def hold(session: Session, period: str, ripe_day: int, owners: Ints, amounts: Ints) -> None:
    """Add to what is held of owners' incomes of a period until a day; *amounts* in micros, for each owner."""
    some = amounts > 0
    columns = {"owner_id": owners[some], "ripe_day": np.int64(ripe_day), "held_micros": amounts[some]}
    bulk.fill(session, _holding, columns)
    number = sa.literal(int(period.replace("-", "")), sa.Integer)
    rows = sa.select(number, *_holding.c).where(sa.true()).order_by(_holding.c.owner_id)  # as all who settle at once
    statement = insert(session, Held).from_select(["period", "owner_id", "ripe_day", "held_micros"], rows)
    more = Held.held_micros + statement.excluded.held_micros
    session.execute(
        statement.on_conflict_do_update(index_elements=["period", "owner_id", "ripe_day"], set_={"held_micros": more})
    )
