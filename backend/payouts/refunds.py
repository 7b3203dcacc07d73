"""Readers take unspent money back the way it came, and who leaves takes all of it."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import auditlog, clicks, ledger
from backend.card_money import RIPENS, held
from backend.deposits import Deposit
from backend.deposits.unspent import unspent
from backend.errors import DomainError
from backend.money import whole_cents
from backend.payouts import payments
from backend.payouts.details import BadIban, Target, usable_at, valid_iban
from backend.payouts.tables import Payout, PayoutDetails
from backend.users import User


class NothingToRefund(DomainError):
    """There is nothing in the wallet that a bank transfer could bring back."""


class NoAccount(DomainError):
    """It is not known which bank account to pay. Please say so on the page Payout settings first."""


def refundable_by_bank(session: Session, user: User) -> int:
    """Micros in the wallet that came through the bank, in whole cents. What came by card goes back by card."""
    return whole_cents(unspent(session, user.id).by_bank)


def target(session: Session, user: User, currency: str, *, for_refund: bool = True) -> Target | None:
    """The bank account to pay a user on: for refunds first the one that the latest deposit came from, else the one
    that the user gave. One that sent money back is not paid again. None where none is known.
    """
    given = session.get(PayoutDetails, user.id)
    usable = usable_at(given) if given else None
    known = [Target(given.iban, given.holder, usable)] if given and usable else []
    came_from = _came_from(session, user, currency)
    return next(iter([*came_from, *known] if for_refund else [*known, *came_from]), None)


def _came_from(session: Session, user: User, currency: str) -> list[Target]:
    query = sa.select(Deposit.payer_iban, Deposit.payer_name, Deposit.at)
    query = query.where(Deposit.user_id == user.id, Deposit.source == "bank", Deposit.payer_iban.is_not(None))
    latest = session.execute(query.order_by(Deposit.at.desc(), Deposit.id.desc()).limit(1)).one_or_none()
    if latest is None:
        return []
    try:
        iban = valid_iban(latest.payer_iban, currency)
    except BadIban:
        return []
    failed = sa.select(Payout.id).where(Payout.user_id == user.id, Payout.iban == iban, Payout.state == "failed")
    if session.scalar(failed.where(Payout.created_at >= latest.at).limit(1)):
        return []
    return [Target(iban, (latest.payer_name or user.name)[:70], latest.at)]


def request(session: Session, user: User, currency: str, *, now: datetime, actor_id: int | None = None) -> Payout:
    """Take out of the wallet what came through the bank: it is in the next batch, whatever the minimum.

    Raises:
        NotSettledYet: A month that has ended may still charge the wallet.
        NothingToRefund, NoAccount: It cannot be done.
    """
    ledger.balances(session, [ledger.wallet(user.id)], lock=True)
    clicks.ensure_settled(session, now=now)
    amount = refundable_by_bank(session, user)
    if not amount:
        raise NothingToRefund
    to = target(session, user, currency)
    if to is None:
        raise NoAccount
    [payout] = payments.make(session, [(user.id, "refund", amount, to)], now=now)
    auditlog.record(
        session, "refund.requested", user.public_id, now=now, actor_id=actor_id, payout=payout.id, amount_micros=amount
    )
    return payout


def waiting(session: Session, user: User) -> list[Payout]:
    """Refunds that are on their way."""
    query = sa.select(Payout).where(Payout.user_id == user.id, Payout.purpose == "refund", Payout.state == "open")
    return list(session.scalars(query.order_by(Payout.id)))


def leave(session: Session, user: User, currency: str, *, now: datetime) -> int:
    """Put on its way what a user who leaves has, as far as it is known where to; micros. Bank data is forgotten.

    Income from cards is still held; what came by card into the wallet stays there for who calls.
    """
    balances = ledger.balances(session, [ledger.wallet(user.id), ledger.income(user.id)], lock=True)
    income = balances[ledger.income(user.id)]
    kept_back = min(income, held(session, [user.id], now=now).get(user.id, 0))
    wanted: list[tuple[int, str, int, Target]] = []
    if back := target(session, user, currency):
        wanted.append((user.id, "refund", refundable_by_bank(session, user), back))
    if to := target(session, user, currency, for_refund=False):
        at_once = whole_cents(income - kept_back)
        wanted.append((user.id, "income", at_once, to))
        later = to._replace(usable_at=max(to.usable_at, now + RIPENS))
        wanted.append((user.id, "income", whole_cents(income - at_once) if kept_back else 0, later))
    made = payments.make(session, [one for one in wanted if one[2]], now=now)
    session.execute(sa.delete(PayoutDetails).where(PayoutDetails.user_id == user.id))
    session.execute(sa.update(Deposit).where(Deposit.user_id == user.id).values(payer_iban=None, payer_name=None))
    return sum(payout.amount_micros for payout in made)
