"""Payments by card: what the provider says of each is brought into our books, however often and in whatever order.

Whatever prompts it - a message of the provider, a reader who comes back, the time - `reconcile` reads the payment
again from the provider and books the difference to what is booked. So a message that is lost, doubled, late or out of
order does no harm, and neither does being killed anywhere.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from secrets import token_hex

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from backend import auditlog, cards, deposits, jobs, ledger
from backend.card_money import CardMove, CardPayment, CardRefund
from backend.cards import CardsAway, CardsRefused, Provider, Taking
from backend.deposits import Origin
from backend.deposits.unspent import unspent
from backend.errors import DomainError, InvalidRequest
from backend.ledger import BANK, CARDS, RESERVE, Posting, TransferConflict, transit, wallet
from backend.money import CENT_MICROS, MAX_MICROS, MICROS, whole_cents
from backend.users import User

LEAST_MICROS, MOST_MICROS = 5 * MICROS, 500 * MICROS
GIVEN_UP = timedelta(hours=26)  # a checkout is open for a day
LOOKED_AFTER = timedelta(days=200)  # most disputes come within 120 days
AT_ONCE = 200  # payments that are asked about in a round
_TRIES = 5
_ANEW = {"populate_existing": True}


class BadCardAmount(InvalidRequest):
    """Please choose between 5 and 500, in whole cents."""


class NothingToRefund(DomainError):
    """So much of what you paid by card is not in your wallet any more."""

    code = "not_from_cards"


class CardMismatch(DomainError):
    """The card provider says something else of a payment than what was asked for. Nothing was booked."""


# A reader pays --------------------------------------------------------------------------------------------------------


def begin(session: Session, user: User, amount_micros: int, *, now: datetime) -> CardPayment:
    """Write a payment down, before the provider hears of it.

    Raises:
        BadCardAmount: Too little, too much, or less than a cent of it.
    """
    if not LEAST_MICROS <= amount_micros <= MOST_MICROS or amount_micros % CENT_MICROS:
        raise BadCardAmount
    payment = CardPayment(key=token_hex(12), user_id=user.id, amount_micros=amount_micros, taken_micros=0)
    payment.state, payment.created_at, payment.look_at, payment.version = "open", now, now + timedelta(minutes=1), 0
    session.add(payment)
    session.flush()
    return payment


def keep_checkout(session: Session, key: str, checkout_id: str) -> None:
    """Write down where a payment is made."""
    session.execute(sa.update(CardPayment).where(CardPayment.key == key).values(checkout_id=checkout_id))


def find(session: Session, user: User, key: str) -> CardPayment | None:
    """A payment of a reader."""
    return session.scalar(sa.select(CardPayment).where(CardPayment.key == key, CardPayment.user_id == user.id))


def look(session: Session, payment: CardPayment, *, now: datetime) -> None:
    """Have the provider asked about a payment soon."""
    jobs.enqueue(session, "card", str(payment.id), {"payment": payment.id}, now=now)


def hear(session: Session, ids: frozenset[str], *, now: datetime) -> bool:
    """A verified message of the provider: have the payment that it is about looked at; whether it is one of ours."""
    known = sa.or_(CardPayment.checkout_id.in_(ids), CardPayment.provider_id.in_(ids))
    found = session.scalars(sa.select(CardPayment).where(known)).all()
    for payment in found:
        look(session, payment, now=now)
    return bool(found)


def enqueue_due(session: Session, *, now: datetime) -> None:
    """Have those payments looked at whose time has come: messages get lost."""
    due = sa.select(CardPayment).where(CardPayment.look_at <= now).order_by(CardPayment.look_at).limit(AT_ONCE)
    for payment in session.scalars(due.with_for_update(skip_locked=True)):
        look(session, payment, now=now)
        payment.look_at = _next_look(payment, now)


def _next_look(payment: CardPayment, now: datetime, *, soon: bool = False) -> datetime | None:
    """When to ask again: after as long as the payment is old, with bounds; *soon* while something is undecided."""
    age = now - payment.created_at
    if payment.state == "open":
        return now + min(max(age, timedelta(minutes=1)), timedelta(hours=1))
    if soon:
        return now + timedelta(days=1)
    return now + max(age, timedelta(days=1)) if payment.state == "paid" and age < LOOKED_AFTER else None


def looked_after(session: Session) -> list[int]:
    """All payments that something may still happen to, oldest first."""
    return list(session.scalars(sa.select(CardPayment.id).where(CardPayment.look_at.is_not(None)).order_by("id")))


# A reader wants it back -----------------------------------------------------------------------------------------------


def refundable_by_card(session: Session, user: User) -> int:
    """What of a reader's wallet can go back to the cards it came from, in micros, in whole cents."""
    return sum(amount for _, amount in _refundable(session, user))


def _refundable(session: Session, user: User) -> list[tuple[CardPayment, int]]:
    """Payments, newest first, and what of each can go back."""
    left, found = unspent(session, user.id).by_card, []
    paid = sa.select(CardPayment).where(CardPayment.user_id == user.id, CardPayment.state == "paid")
    for payment in session.scalars(paid.order_by(CardPayment.id.desc())):
        part = min(left, max(payment.left_micros, 0))
        left -= part
        if cents := whole_cents(part):
            found.append((payment, cents))
    return found


def on_its_way(session: Session, user: User) -> int:
    """What was taken out of the wallet and the provider has not sent to the cards yet, in micros."""
    query = sa.select(sa.func.sum(CardRefund.amount_micros)).join(CardPayment, CardPayment.id == CardRefund.payment_id)
    return int(session.scalar(query.where(CardPayment.user_id == user.id, CardRefund.state == "asked")) or 0)


def refund(session: Session, user: User, amount_micros: int, *, now: datetime) -> list[CardRefund]:
    """Take money out of the wallet, to be sent back to the cards that it came from, newest payment first.

    Raises:
        NothingToRefund: More than `refundable_by_card`, or nothing, or less than a cent of it.
    """
    paid = sa.select(CardPayment).where(CardPayment.user_id == user.id, CardPayment.state == "paid")
    locked = session.scalars(paid.order_by(CardPayment.id).with_for_update(), execution_options=_ANEW).all()
    ledger.balances(session, [wallet(user.id)], lock=bool(locked))
    possible = _refundable(session, user)
    if not 0 < amount_micros <= sum(amount for _, amount in possible) or amount_micros % CENT_MICROS:
        raise NothingToRefund
    asked = []
    for payment, most in possible:
        if part := min(amount_micros, most):
            asked.append(_ask(session, payment, part, now))
            amount_micros -= part
    return asked


def _ask(session: Session, payment: CardPayment, amount_micros: int, now: datetime) -> CardRefund:
    wanted = CardRefund(payment_id=payment.id, amount_micros=amount_micros, state="asked", asked_at=now)
    session.add(wanted)
    _change(payment, taken=amount_micros)
    session.flush()
    from_wallet, to_transit = wallet(payment.user_id), transit(payment.user_id)
    posting = Posting("card_refund", str(wanted.id), from_wallet, to_transit, amount_micros, concerns=from_wallet)
    ledger.post(session, [posting], now=now)
    look(session, payment, now=now)
    return wanted


def _change(payment: CardPayment, *, taken: int = 0) -> None:
    """Note a change of a payment, whose row is locked."""
    payment.taken_micros += taken
    payment.version += 1


# What the provider says -----------------------------------------------------------------------------------------------


def reconcile(
    sessions: sessionmaker[Session], provider: Provider, payment_id: int, currency: str, *, now: datetime
) -> bool:
    """Ask the provider about a payment, have made what is to be refunded, and book the difference; whether any was.

    Nothing is locked while the provider is asked. What was read before somebody else booked a change is thrown away
    and read again: it may be older than what is booked.

    Raises:
        CardsAway: The provider does not answer, or not to a refund; what is known by then is booked.
        CardMismatch: The provider speaks of another payment, amount or currency.
    """
    for _ in range(_TRIES):
        with sessions() as session:
            payment = session.get_one(CardPayment, payment_id)
            asked = session.scalars(_asked(payment)).all()
        truth, refused = _ask_provider(provider, payment, asked)
        with sessions.begin() as session:
            current = session.get_one(CardPayment, payment_id, with_for_update=True)
            if current.version == payment.version:
                waits = _book(session, current, truth, refused, currency, now)
                changed = current.version != payment.version
                break
    else:
        raise CardsAway
    if waits:
        raise CardsAway
    return changed


def _asked(payment: CardPayment) -> sa.Select[CardRefund]:
    return sa.select(CardRefund).where(CardRefund.payment_id == payment.id, CardRefund.state == "asked")


def _key(payment: CardPayment, refund: CardRefund) -> str:
    return f"{payment.key}-{refund.id}"


def _ask_provider(
    provider: Provider, payment: CardPayment, asked: Iterable[CardRefund]
) -> tuple[cards.Payment | None, set[int]]:
    """What the provider says, once it was asked for all refunds; and which of them it will never make."""
    if payment.checkout_id is None:
        return None, set()
    truth = provider.payment(payment.checkout_id)
    made = {taking.key for taking in truth.takings}
    missing = [refund for refund in asked if _key(payment, refund) not in made]
    refused: set[int] = set()
    for refund in missing:
        try:
            provider.refund(truth.id or "", refund.amount_micros, _key(payment, refund))
        except CardsRefused:
            refused.add(refund.id)
        except CardsAway:
            pass  # it may have been made all the same: the provider is asked once more
    return provider.payment(payment.checkout_id) if missing else truth, refused


def _book(
    session: Session, payment: CardPayment, truth: cards.Payment | None, refused: set[int], currency: str, now: datetime
) -> bool:
    """Book what was read; whether a refund still waits for the provider's word."""
    # In the order of their ids, as all who change balances lock them.
    ledger.balances(session, [CARDS, RESERVE, wallet(payment.user_id)], lock=True)
    takings = truth.takings if truth else ()
    asked = {_key(payment, refund): refund for refund in session.scalars(_asked(payment))}
    if payment.state != "paid":
        _book_payment(session, payment, truth, currency, now)  # may ask for a refund, of which nothing was read yet
    for taking in takings:
        _book_taking(session, payment, taking, asked.pop(taking.key or "", None), now)
    for refund in asked.values():
        if refund.id in refused:
            _book_refusal(session, payment, refund, now)
    waits = any(refund.id not in refused for refund in asked.values())
    is_open = any(taking.is_open for taking in takings)
    payment.look_at = _next_look(payment, now, soon=is_open or waits)
    return waits


def _book_payment(
    session: Session, payment: CardPayment, truth: cards.Payment | None, currency: str, now: datetime
) -> None:
    if truth is None:
        if now - payment.created_at > GIVEN_UP:  # nobody was ever sent to the provider
            payment.state = "expired"
            _change(payment)
        return
    if (truth.key, truth.amount_micros, truth.currency) != (payment.key, payment.amount_micros, currency):
        raise CardMismatch
    if truth.state == payment.state:
        return
    payment.state, payment.provider_id = truth.state, truth.id
    _change(payment)
    if truth.id:
        payment.paid_at = now
        user = session.get_one(User, payment.user_id)
        deposits.add(session, user, payment.amount_micros, truth.id, now=now, origin=Origin("card", CARDS))
        if user.left_at:  # nobody is there to spend it
            _ask(session, payment, payment.amount_micros, now)


def _book_taking(
    session: Session, payment: CardPayment, taking: Taking, refund: CardRefund | None, now: datetime
) -> None:
    """Bring what is booked for a refund or dispute to what the provider has taken for it by now."""
    if refund and not taking.amount_micros:
        _book_refusal(session, payment, refund, now)
        return
    moves = session.scalars(sa.select(CardMove).where(CardMove.cause == taking.id)).all()
    more = taking.amount_micros - sum(move.wallet_micros + move.transit_micros + move.reserve_micros for move in moves)
    if not more:
        return
    from_transit = refund.amount_micros if refund else 0
    if refund:
        refund.state = "done"
    if more > 0:
        from_wallet = min(more - from_transit, ledger.balance(session, wallet(payment.user_id)))
    else:
        from_wallet = min(more + sum(move.reserve_micros for move in moves), 0)  # the reserve gets back what it lent
    move = CardMove(cause=taking.id, number=len(moves) + 1, payment_id=payment.id, at=now)
    move.wallet_micros, move.transit_micros = from_wallet, from_transit
    move.reserve_micros = more - from_transit - from_wallet
    session.add(move)
    _change(payment, taken=more - from_transit)
    session.flush()
    ledger.post(session, _postings(payment, move), now=now)


def _postings(payment: CardPayment, move: CardMove) -> list[Posting]:
    parts = {
        wallet(payment.user_id): move.wallet_micros,
        transit(payment.user_id): move.transit_micros,
        RESERVE: move.reserve_micros,
    }
    about = f"{move.cause} {move.number}"
    return [
        Posting("card_taken", about, account, CARDS, amount, concerns=account)
        if amount > 0
        else Posting("card_back", about, CARDS, account, -amount, concerns=account)
        for account, amount in parts.items()
        if amount
    ]


def _book_refusal(session: Session, payment: CardPayment, refund: CardRefund, now: datetime) -> None:
    """What cannot go back to the card is the reader's again."""
    refund.state = "refused"
    _change(payment, taken=-refund.amount_micros)
    session.flush()
    back, to = transit(payment.user_id), wallet(payment.user_id)
    posting = Posting("card_unrefund", str(refund.id), back, to, refund.amount_micros, concerns=to)
    ledger.post(session, [posting], now=now)
    user = session.get_one(User, payment.user_id)
    if not user.left_at:
        subject = "Money could not go back to your card"
        jobs.mail(session, user.id, user.email, f"card refund {refund.id}", subject, _REFUSED, now=now)


_REFUSED = """\
The card provider could not send the money back to the card that you paid with. It is in your wallet again.
"""


# The operator's side --------------------------------------------------------------------------------------------------


def paid_out(session: Session, amount_micros: int, fee_micros: int, reference: str, *, now: datetime) -> bool:
    """The provider paid what it held to our bank, and kept its fee, which the reserve bears; whether that was new.

    Raises:
        InvalidRequest: No reference, or no positive amount.
        TransferConflict: The reference was booked with other amounts.
    """
    text = reference.strip()
    if not text or len(text) > 140 or not 0 < amount_micros <= MAX_MICROS or not 0 <= fee_micros <= MAX_MICROS:
        raise InvalidRequest("A payout of the provider needs a reference and a positive amount.")
    parts = [(BANK, "card_paid_out", amount_micros), (RESERVE, "card_fee", fee_micros)]
    postings = [Posting(code, text, account, CARDS, part, concerns=account) for account, code, part in parts if part]
    new = ledger.post(session, postings, now=now)
    if new not in (0, len(postings)):
        raise TransferConflict(f"{text} was booked before without a fee.")
    if new:
        auditlog.record(session, "cards.paid_out", text, now=now, amount_micros=amount_micros, fee_micros=fee_micros)
    return bool(new)
