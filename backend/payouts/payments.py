"""Payments to users: the money is in transit from when one is made until the bank has paid it, or it comes back."""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import ledger
from backend.ledger import BANK, Posting
from backend.payouts.details import Target
from backend.payouts.tables import Batch, Payout
from backend.users import User


def make(
    session: Session, wanted: Iterable[tuple[int, str, int, Target]], *, now: datetime, batch: Batch | None = None
) -> list[Payout]:
    """Payouts, each of a user's id, a purpose, micros in whole cents and where to; the money goes into transit.

    Raises:
        sqlalchemy.exc.IntegrityError: More than the user has.
    """
    made = [
        Payout(
            user_id=user_id,
            batch_id=batch.id if batch else None,
            purpose=purpose,
            state="open",
            amount_micros=amount_micros,
            iban=target.iban,
            holder=target.holder,
            created_at=now,
            due_at=max(now, target.usable_at),
        )
        for user_id, purpose, amount_micros, target in wanted
    ]
    session.add_all(made)
    session.flush()
    _post(session, "payout", made, now)
    return made


def settle(session: Session, payouts: list[Payout], *, now: datetime) -> None:
    """The bank has paid: what was in transit has left."""
    _post(session, "payout_paid", payouts, now)
    _become(session, payouts, "paid")


def give_back(session: Session, payouts: list[Payout], state: str, *, now: datetime) -> None:
    """It was not paid, or the bank sent it back: the money goes back to where it came from.

    Args:
        state: What they become: ``failed`` or ``cancelled``.
    """
    for code, of in (("payout_back", "open"), ("payout_return", "paid")):
        _post(session, code, [payout for payout in payouts if payout.state == of], now)
    _become(session, payouts, state)


def _become(session: Session, payouts: list[Payout], state: str) -> None:
    for payout in payouts:
        payout.state = state
    session.flush()


def _post(session: Session, code: str, payouts: list[Payout], now: datetime) -> None:
    ledger.post(session, [_posting(code, payout) for payout in payouts], now=now)


def source_of(payout: Payout) -> int:
    """The account that a payout's money comes from, and goes back to."""
    return (ledger.income if payout.purpose == "income" else ledger.wallet)(payout.user_id)


def _posting(code: str, payout: Payout) -> Posting:
    """The four movements a payout can make, each at most once; all concern the user's own account."""
    source, transit = source_of(payout), ledger.transit(payout.user_id)
    debit, credit, concerns = {
        "payout": (source, transit, source),
        "payout_paid": (transit, BANK, transit),
        "payout_back": (transit, source, source),
        "payout_return": (BANK, source, source),
    }[code]
    return Posting(code, str(payout.id), debit, credit, payout.amount_micros, concerns=concerns)


def latest(session: Session, user: User) -> list[Payout]:
    """A user's last payments, the newest first, without those that no bank ever saw."""
    query = sa.select(Payout).where(Payout.user_id == user.id, Payout.state != "cancelled")
    return list(session.scalars(query.order_by(Payout.id.desc()).limit(12)))


def forget_left(session: Session, user_ids: Iterable[int]) -> None:
    """Of those users who have left, keep no IBAN and no name where nothing can happen to a payment any more.

    The files that such payments stand in go, too; their digests stay.
    """
    left = session.scalars(sa.select(User.id).where(User.id.in_(user_ids), User.left_at.is_not(None))).all()
    if not left:
        return
    over = sa.select(Batch.id).where(Batch.state.in_(("confirmed", "cancelled")))
    theirs = (Payout.user_id.in_(left), Payout.state != "open")
    done = sa.or_(Payout.batch_id.is_(None), Payout.batch_id.in_(over))
    in_files = sa.select(Payout.batch_id).where(*theirs, Payout.batch_id.in_(over))
    session.execute(sa.update(Batch).where(Batch.id.in_(in_files)).values(file=None))
    session.execute(sa.update(Payout).where(*theirs, done).values(iban=None, holder=None))
