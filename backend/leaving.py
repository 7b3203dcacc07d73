"""Leaving: a user's money is paid back, lists and claims end, and name, address and pages are erased (DESIGN 2.11).

What was transferred stays, under a tombstone; whom a settled month went to stays with it, but no page.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import access, auditlog, card_payments, checks, claims, clicks, jobs, ledger, users
from backend.checks import World
from backend.claims import Author, states
from backend.ledger import BANK, FEES, Posting, income, wallet
from backend.money import format_money, whole_cents
from backend.payouts import payments, refunds
from backend.sites import Site
from backend.users import User

TOMBSTONE = "Somebody who left"


@dataclass(frozen=True)
class Left:
    """What whoever left gets, in micros.

    Attributes:
        on_its_way_micros: In the next batch of payouts, to an account that is known.
        paid_back_micros: For the operator to pay back the way it came, in whole cents.
        rest_micros: What a bank cannot pay, and stays with the operator.
    """

    public_id: str
    reference: str
    on_its_way_micros: int
    paid_back_micros: int
    rest_micros: int


def leave(
    session: Session, user: User, world: World, currency: str, *, now: datetime, actor_id: int | None = None
) -> Left:
    """Delete a user, as *actor_id* wants it, or a command.

    What they have goes back to their cards and their bank account; what goes to neither, operators are told to pay.

    Raises:
        NotSettledYet: An ended month may still charge or pay the user.
    """
    clicks.ensure_settled(session, now=now)
    # In the order in which everybody locks accounts, so that a deposit and this do not wait for each other.
    ledger.balances(session, [BANK, FEES, wallet(user.id), income(user.id)], lock=True)
    on_its_way = card_payments.refundable_by_card(session, user)
    if on_its_way:
        card_payments.refund(session, user, on_its_way, now=now)
    on_its_way += refunds.leave(session, user, currency, now=now)
    left = Left(user.public_id, user.deposit_reference, on_its_way, *_pay_back(session, user, now))
    for claim, _ in claims.of_user(session, user):
        checks.give_up(session, claim, world, now=now, actor_id=actor_id)
    states.void(session, user)
    listed = sa.select(Site).join(Author, Author.site_id == Site.id).where(Author.user_id == user.id)
    for site in session.scalars(listed).all():
        clicks.remove_author(session, site, user, now=now)
    clicks.forget(session, user, now=now)
    users.forget(session, user)
    access.forget(session, user)
    jobs.forget_mails(session, user.id)
    _tell(session, user, left, currency, now)
    if user.is_operator:
        auditlog.record(session, "operator.lost", user.public_id, now=now, actor_id=actor_id)
    amounts = {"paid_back_micros": left.paid_back_micros, "rest_micros": left.rest_micros}
    auditlog.record(session, "user.left", user.public_id, now=now, actor_id=actor_id, **amounts)
    user.email, user.name = f"{user.public_id}@left.invalid", TOMBSTONE
    user.is_operator, user.left_at = False, now
    session.flush()
    payments.forget_left(session, [user.id])
    return left


def _pay_back(session: Session, user: User, now: datetime) -> tuple[int, int]:
    """Empty wallet and income of what went into no payout: whole cents leave, the rest stays; both in micros."""
    held = ledger.balances(session, [wallet(user.id), income(user.id)], lock=True)
    paid, rest = 0, 0
    for account, balance in held.items():
        cents = whole_cents(balance)
        moves = ((BANK, "paid_back", cents), (FEES, "rest", balance - cents))
        postings = (Posting(code, "leaving", account, to, amount, concerns=account) for to, code, amount in moves)
        ledger.post(session, [posting for posting in postings if posting.amount_micros], now=now)
        paid, rest = paid + cents, rest + balance - cents
    return paid, rest


def _tell(session: Session, user: User, left: Left, currency: str, now: datetime) -> None:
    operators = session.scalars(sa.select(User).where(User.is_operator, User.id != user.id)).all()
    amount = format_money(left.paid_back_micros, currency)
    text = f"Somebody has left. Pay {amount} back the way it came: their deposits had the reference {left.reference}.\n"
    for operator in operators if left.paid_back_micros else ():
        about = f"left {left.public_id}"
        jobs.mail(session, operator.id, operator.email, about, f"Pay {amount} back", text, now=now)
    total = format_money(left.on_its_way_micros + left.paid_back_micros, currency)
    goodbye = _GOODBYE.format(amount=total)
    jobs.mail(session, user.id, user.email, "left", "You have left Flattr", goodbye, now=now)


_GOODBYE = """\
Your lists, sites and connected browsers are deleted, and so is this address once this mail is sent.

{amount} is paid back to you the way it came. What you gave and received stays in the books, without your name.
"""
