"""What the bank did not pay, or sent back: its payee has it again; who has left proves anew where to be paid."""

import json
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import auditlog, ledger
from backend.auditlog import Entry
from backend.db import existing
from backend.errors import AnotherRun, InvalidRequest, NotFound
from backend.ledger import Account, Kind
from backend.money import format_money
from backend.payouts import details, payments
from backend.payouts.batches import BatchOver, NoSuchBatch
from backend.payouts.details import Target
from backend.payouts.payments import forget_left
from backend.payouts.tables import Batch, Payout, PayoutDetails
from backend.users import User


class NoSuchPayout(NotFound):
    """There is no such payout."""


def fail(
    session: Session, payout_id: int, currency: str, *, now: datetime, reason: str = "", by: User | None = None
) -> bool:
    """The bank did not pay, or sent it back: the money is the user's again; false when that was known already.

    The account is not paid any more until its owner enters it again.

    Raises:
        NoSuchPayout: There is none.
        BatchOver: Its batch was not exported, or was cancelled: no bank can have sent anything back.
    """
    batch_id = existing(session, Payout, payout_id, NoSuchPayout).batch_id
    batch = existing(session, Batch, batch_id, NoSuchBatch, lock=True) if batch_id else None
    payout = existing(session, Payout, payout_id, NoSuchPayout, lock=True)
    if payout.batch_id != batch_id:
        raise AnotherRun  # a batch took it, or let go of it, in this moment
    if payout.state == "failed":
        return False
    if payout.state == "cancelled" or (batch and batch.state in ("prepared", "approved")):
        raise BatchOver(f"Payout {payout.id} is in no file that a bank has. `flattr payouts cancel` drops a batch.")
    payments.give_back(session, [payout], "failed", now=now)
    user = session.get_one(User, payout.user_id)
    given = session.get(PayoutDetails, user.id, with_for_update=True, populate_existing=True)
    if given and given.iban == payout.iban:
        given.returned_at = now
    said = {"amount_micros": payout.amount_micros, "reason": reason[:140]}
    auditlog.record(session, "payout.failed", str(payout.id), now=now, actor_id=by.id if by else None, **said)
    _tell(session, user, payout, currency, now)
    forget_left(session, [user.id])
    return True


def _tell(session: Session, user: User, payout: Payout, currency: str, now: datetime) -> None:
    amount = format_money(payout.amount_micros, currency)
    if user.left_at:
        for operator in session.scalars(sa.select(User).where(User.is_operator)):
            said = f"Payout {payout.id}, {amount}, came back. Its payee, {user.public_id}, has left. "
            said += f"`flattr payouts again {payout.id} --iban IBAN --holder NAME` pays it once they prove where to.\n"
            details.tell(session, operator, f"Payout {payout.id} came back", said, now=now)
        return
    where = "income" if payout.purpose == "income" else "wallet"
    said = _CAME_BACK.format(amount=amount, iban=details.masked(payout.iban or ""), where=where)
    details.tell(session, user, f"{amount} came back from your bank", said, now=now)


_CAME_BACK = """\
The bank could not pay {amount} to the account {iban}. Nothing is lost: it is in your {where} again.

That account is not paid any more. Please enter yours anew, on the page Payout settings.
"""


def again(
    session: Session, payout_id: int, iban: str, holder: str, currency: str, *, now: datetime
) -> tuple[Payout, bool]:
    """Pay what came back to the same person, who has left and proved where to, as far as it is still there; it is in
    the next batch. Whether that is new.

    Raises:
        NoSuchPayout: There is none, or it did not come back after its payee had left, or nothing of it is there.
        BadIban, InvalidRequest: Nothing that could be paid, or nobody.
    """
    if not any(character.isalnum() for character in holder):
        raise InvalidRequest("Whose account is it?")
    target = Target(details.valid_iban(iban, currency), holder.strip()[:70], now)
    none = NoSuchPayout("Nothing that came back from somebody who has left, and is still there, has this number.")
    found = existing(session, Payout, payout_id, none, lock=True)
    if made := auditlog.entries(session, about=str(payout_id), action="payout.again", limit=1):
        return session.get_one(Payout, json.loads(made[0].details)["payout"]), False
    amount = _still_there(session, found)
    if amount == 0:
        raise none
    [payout] = payments.make(session, [(found.user_id, found.purpose, amount, target)], now=now)
    iban_shown = details.masked(target.iban)
    auditlog.record(session, "payout.again", str(found.id), now=now, payout=payout.id, iban=iban_shown)
    return payout, True


def _still_there(session: Session, payout: Payout) -> int:
    """What came back with a payout after its payee had left, as far as nothing took it since; micros."""
    source = payments.source_of(payout)
    there = ledger.balances(session, [source], lock=True)[source]
    is_stranded = any(one is payout for _, one in stranded(session))
    return min(payout.amount_micros, there) if is_stranded else 0


def stranded(session: Session) -> list[tuple[User, Payout]]:
    """What came back after its payee had left, is still there and was not paid again; the oldest first.

    When it came back and what it was paid again with, the audit log says, which nobody can change.
    """
    kind = sa.case((Payout.purpose == "income", int(Kind.INCOME)), else_=int(Kind.WALLET))
    has = sa.exists().where(Account.user_id == User.id, Account.kind == kind, Account.balance_micros > 0)
    logged = sa.select(Entry.id).where(Entry.about == sa.cast(Payout.id, sa.String))
    came_back = logged.where(Entry.action == "payout.failed", Entry.at >= User.left_at).exists()
    paid_again = logged.where(Entry.action == "payout.again").exists()
    query = sa.select(User, Payout).join(Payout, Payout.user_id == User.id).where(User.left_at.is_not(None))
    query = query.where(Payout.state == "failed", has, came_back, ~paid_again)
    return [(user, payout) for user, payout in session.execute(query.order_by(Payout.id))]
