"""Batches: prepared by one operator, approved by another who types the digest, exported, confirmed.

Each step is one transaction: killed anywhere, it was done or it was not, and run again it says so.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from backend import audit, auditlog, jobs
from backend.bank import pain
from backend.config import Config
from backend.db import exclusive, existing
from backend.errors import DomainError, NotFound
from backend.money import CENT_MICROS
from backend.payouts import details, owners, payments
from backend.payouts.details import Target
from backend.payouts.owners import Standing
from backend.payouts.tables import Batch, Payout
from backend.users import User

MOST = 10_000  # payments in a file: what banks take
_NO_FILE = sa.orm.defer(Batch.file)
SKIPPED = {
    "below_minimum": "are below the minimum",
    "no_account": "gave no bank account",
    "account_returned": "gave an account that sent money back",
    "account_on_hold": "changed their account less than 7 days ago",
    "waits_for_look": "wait for a look at their sites; run again in some minutes",
    "not_proven": "have a site that did not prove it is theirs",
    "next_batch": "are for the next batch: this one is full",
}


class NoBank(DomainError):
    """Payouts need the account that they are paid from: set FLATTR_BANK_NAME and FLATTR_BANK_IBAN."""


class NoSuchBatch(NotFound):
    """There is no such batch of payouts."""


class NotApproved(DomainError):
    """This batch is not approved."""


class NotAnOperator(DomainError):
    """Only operators prepare and approve payouts."""


class OneOperator(DomainError):
    """Who prepared a batch does not approve it: ask another operator."""


class WrongDigest(DomainError):
    """This is not the digest of the batch."""


class BatchChanged(DomainError):
    """The batch is not what was prepared. Cancel it, and find out who changed it."""


class BatchOver(DomainError):
    """For this batch it is too late."""


@dataclass(frozen=True)
class Terms:
    """What payouts go by: the account that is debited, the currency, and from what amount on owners are paid."""

    debtor: pain.Party
    currency: str
    minimum_micros: int

    @classmethod
    def of(cls, config: Config) -> "Terms":
        """As the settings say."""
        return cls(debtor_of(config), config.currency, config.payout_min_micros)


def debtor_of(config: Config) -> pain.Party:
    """The account that payouts are paid from."""
    return pain.Party(config.bank_name, config.bank_iban, config.bank_bic)


@dataclass(frozen=True)
class Prepared:
    """A prepared batch, or None where there was nothing to pay; and how many were left out, by reason."""

    batch: Batch | None
    is_new: bool
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def left_out(self) -> list[str]:
        """Who was left out, a sentence for each reason."""
        who = {reason: "1 owner" if count == 1 else f"{count} owners" for reason, count in self.skipped.items()}
        return [f"Left out: {owners}, who {SKIPPED[reason]}." for reason, owners in who.items()]


# Prepare --------------------------------------------------------------------------------------------------------------


def prepare(sessions: sessionmaker[Session], terms: Terms, *, now: datetime, by: User | None = None) -> Prepared:
    """Freeze a batch of all that can be paid; while one waits for approval, that one is the answer.

    Owners whose sites were not looked at within 72 hours are left out, and the looks are queued.

    Raises:
        AnotherRun: Another run is at work, or a month is being settled.
        AuditFailed: The books do not add up, so no money moves.
        NoBank: The operator's own account is not set.
        NotAnOperator: Who prepares is none.
    """
    with exclusive(sessions.kw["bind"], "settle"), sessions.begin() as session:
        if by and not by.is_operator:
            raise NotAnOperator
        audit.ensure_clean(session)
        if waiting := session.scalar(sa.select(Batch).where(Batch.state == "prepared")):
            return Prepared(waiting, is_new=False)
        _ensure_bank(terms)
        found = owners.standings(session, terms.minimum_micros, now=now)
        _queue_looks(session, found, now)
        skipped = Counter(one.reason for one in found if one.reason)
        requested = _requested(session, now)
        paid = [one for one in found if one.reason is None][: MOST - len(requested)]
        if not (requested or paid):
            return Prepared(None, is_new=False, skipped=dict(skipped))
        batch = _freeze(session, terms, requested, paid, now, by)
        more = sum(one.reason is None for one in found) - len(paid)
        return Prepared(batch, is_new=True, skipped=dict(skipped) | ({"next_batch": more} if more else {}))


def _ensure_bank(terms: Terms) -> None:
    if not terms.debtor.name or not terms.debtor.iban:
        raise NoBank
    try:
        details.valid_iban(terms.debtor.iban, terms.currency)
    except details.BadIban as error:
        raise NoBank(f"FLATTR_BANK_IBAN cannot be used. {error}") from error


def _queue_looks(session: Session, found: list[Standing], now: datetime) -> None:
    waiting = {site for one in found if one.reason == "waits_for_look" for site in one.sites}
    jobs.enqueue_all(session, "look", {site: {"site": site} for site in sorted(waiting)}, now=now)


def _requested(session: Session, now: datetime) -> list[Payout]:
    """Refunds, and payments to those who left, that wait for a batch."""
    query = sa.select(Payout).where(Payout.batch_id.is_(None), Payout.state == "open", Payout.due_at <= now)
    return list(session.scalars(query.order_by(Payout.id).limit(MOST).with_for_update()))


def _freeze(
    session: Session, terms: Terms, requested: list[Payout], paid: list[Standing], now: datetime, by: User | None
) -> Batch:
    wanted = [_wanted(one, now) for one in paid]
    batch = Batch(
        state="prepared",
        created_at=now,
        currency=terms.currency,
        payouts=len(requested) + len(paid),
        total_micros=sum(payout.amount_micros for payout in requested) + sum(amount for _, _, amount, _ in wanted),
        digest=bytes(32),  # until the payments have their ids
        file=b"",
        prepared_by=by.id if by else None,
    )
    session.add(batch)
    session.flush()
    for payout in requested:
        payout.batch_id = batch.id
    payments.make(session, wanted, now=now, batch=batch)
    batch.file = _file(batch, _payouts(session, batch), terms.debtor)
    batch.digest = hashlib.sha256(batch.file).digest()
    session.flush()
    _log(session, batch, "prepared", now, by, digest=batch.digest.hex(), total_micros=batch.total_micros)
    return batch


def _wanted(one: Standing, now: datetime) -> tuple[int, str, int, Target]:
    assert one.details is not None
    amount = min(one.payable_micros, pain.MOST_CENTS * CENT_MICROS)
    return one.owner.id, "income", amount, Target(one.details.iban, one.details.holder, now)


def _file(batch: Batch, payouts: list[Payout], debtor: pain.Party) -> bytes:
    return pain.payment_file(
        debtor,
        [
            pain.Payment(
                id=payout.end_to_end_id,
                name=payout.holder or "",
                iban=payout.iban or "",
                cents=payout.amount_micros // CENT_MICROS,
                said=f"Flattr {payout.purpose}, {payout.end_to_end_id}",
            )
            for payout in payouts
        ],
        message_id=batch.message_id,
        currency=batch.currency,
        at=batch.created_at,
    )


# Approve, export, confirm, cancel -------------------------------------------------------------------------------------


def approve(session: Session, batch_id: int, by: User, digest: str, debtor: pain.Party, *, now: datetime) -> bool:
    """A second operator vouches for a batch by its digest; false when it was approved already.

    Raises:
        NotAnOperator, OneOperator: Not by this user.
        WrongDigest, BatchChanged: It is not what was prepared.
        BatchOver: It was cancelled.
    """
    batch = existing(session, Batch, batch_id, NoSuchBatch, lock=True)
    if not by.is_operator:
        raise NotAnOperator
    if by.id == batch.prepared_by:
        raise OneOperator
    if digest.strip().lower() != batch.digest.hex():
        raise WrongDigest(f"This is not the digest of batch {batch.id}. `flattr payouts show {batch.id}` prints it.")
    if batch.state == "cancelled":
        raise BatchOver(f"Batch {batch.id} was cancelled.")
    if batch.state != "prepared":
        return False
    rows = _payouts(session, batch)
    totals = (len(rows), sum(payout.amount_micros for payout in rows))
    is_open = all(payout.state == "open" for payout in rows)
    # Made anew from the rows: neither they nor the file, nor the account that pays, is another than was prepared.
    if not is_open or totals != (batch.payouts, batch.total_micros) or _file(batch, rows, debtor) != batch.file:
        raise BatchChanged
    _ensure_unchanged(batch)
    batch.state, batch.approved_by, batch.approved_at = "approved", by.id, now
    _log(session, batch, "approved", now, by, digest=batch.digest.hex())
    return True


def export(session: Session, batch_id: int, *, now: datetime, by: User | None = None) -> bytes:
    """The file for the bank, the same bytes each time.

    Raises:
        NotApproved: Nobody approved it yet.
        BatchChanged: It is not what was approved.
        BatchOver: It was cancelled, or forgotten because somebody in it has left.
    """
    batch = existing(session, Batch, batch_id, NoSuchBatch, lock=True)
    if batch.state == "prepared":
        raise NotApproved(f"Batch {batch.id} is not approved. Another operator runs `flattr payouts approve`.")
    if batch.file is None:
        why = "was cancelled" if batch.state == "cancelled" else "is paid, and its file was forgotten with who left"
        raise BatchOver(f"Batch {batch.id} {why}.")
    _ensure_unchanged(batch)
    if batch.state == "approved":
        batch.state = "exported"
        _log(session, batch, "exported", now, by)
    return batch.file


def confirm(session: Session, batch_id: int, *, now: datetime, by: User | None = None) -> bool:
    """The bank has paid a batch, but what failed; false when that was known already.

    Raises:
        NotApproved: It was never exported, so no bank can have paid it.
        BatchOver: It was cancelled.
    """
    batch = existing(session, Batch, batch_id, NoSuchBatch, lock=True)
    if batch.state == "cancelled":
        raise BatchOver(f"Batch {batch.id} was cancelled.")
    if batch.state in ("prepared", "approved"):
        raise NotApproved(f"Batch {batch.id} is {batch.state} and was never exported: no bank can have paid it.")
    if batch.state == "confirmed":
        return False
    rows = _payouts(session, batch)
    payments.settle(session, [payout for payout in rows if payout.state == "open"], now=now)
    batch.state = "confirmed"
    _log(session, batch, "confirmed", now, by)
    payments.forget_left(session, [payout.user_id for payout in rows])
    return True


def cancel(session: Session, batch_id: int, *, now: datetime, by: User | None = None) -> bool:
    """A batch that no bank has seen is dropped, and the money goes back; false when that was done already.

    What was asked for, refunds and payments to those who left, waits for the next batch.

    Raises:
        BatchOver: Its file is out: the bank may pay it.
    """
    batch = existing(session, Batch, batch_id, NoSuchBatch, lock=True)
    if batch.state == "cancelled":
        return False
    if batch.state not in ("prepared", "approved"):
        raise BatchOver(f"The file of batch {batch.id} is out: `flattr payouts fail` says what the bank did not pay.")
    rows = _payouts(session, batch)
    asked = _asked_for(session, batch)
    payments.give_back(session, [payout for payout in rows if payout.id not in asked], "cancelled", now=now)
    for payout in rows:
        payout.batch_id = None if payout.id in asked else batch.id
    batch.state, batch.file = "cancelled", None
    _log(session, batch, "cancelled", now, by)
    payments.forget_left(session, [payout.user_id for payout in rows])
    return True


def _asked_for(session: Session, batch: Batch) -> set[int]:
    """Payouts of a batch that still have to be paid when it is cancelled: nobody would ask for them again."""
    left = sa.exists().where(User.id == Payout.user_id, User.left_at.is_not(None))
    query = sa.select(Payout.id).where(Payout.batch_id == batch.id, sa.or_(Payout.purpose == "refund", left))
    return set(session.scalars(query))


# Shared ---------------------------------------------------------------------------------------------------------------


def listing(session: Session, *, most: int | None = None) -> list[Batch]:
    """All batches, the newest first, without their files."""
    query = sa.select(Batch).options(_NO_FILE).order_by(Batch.id.desc())
    return list(session.scalars(query.limit(most)))


def of_batch(session: Session, batch_id: int, *, after: int = 0, most: int | None = None) -> tuple[Batch, list[Payout]]:
    """A batch without its file, and the payouts in it: all, or as many as a page shows of those that follow one.

    Raises:
        NoSuchBatch: There is none.
    """
    batch = existing(session, Batch, batch_id, NoSuchBatch, options=[_NO_FILE])
    return batch, _payouts(session, batch, after, most)


def _payouts(session: Session, batch: Batch, after: int = 0, most: int | None = None) -> list[Payout]:
    query = sa.select(Payout).where(Payout.batch_id == batch.id, Payout.id > after)
    return list(session.scalars(query.order_by(Payout.id).limit(most)))


def _ensure_unchanged(batch: Batch) -> None:
    if batch.file is None or hashlib.sha256(batch.file).digest() != batch.digest:
        raise BatchChanged


def _log(session: Session, batch: Batch, done: str, now: datetime, by: User | None = None, **said: object) -> None:
    auditlog.record(session, f"payout_batch.{done}", str(batch.id), now=now, actor_id=by.id if by else None, **said)
