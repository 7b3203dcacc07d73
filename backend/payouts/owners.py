"""What owners can be paid now, and why not all of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import ledger
from backend.card_money import held
from backend.claims import Claim, Look
from backend.ledger import Account, Kind
from backend.money import CENT_MICROS, whole_cents
from backend.payouts.details import usable_at
from backend.payouts.tables import PayoutDetails
from backend.sites import Site
from backend.users import User

FRESH = timedelta(hours=72)  # how long ago a claim may have been proven when its owner is paid (RULES 3.8)


@dataclass
class Standing:
    """What an owner has, micros; `payable_micros` are whole cents.

    Attributes:
        reason: Why nothing is paid now: ``below_minimum``, ``no_account``, ``account_returned``, ``account_on_hold``,
            ``waits_for_look`` (a site was not looked at within 72 hours) or ``not_proven`` (it was, in vain); or None.
        sites: Those that wait for a look, or are not proven.
    """

    owner: User
    balance_micros: int
    held_micros: int
    minimum_micros: int
    details: PayoutDetails | None
    sites: list[str]
    reason: str | None = None

    @property
    def payable_micros(self) -> int:
        """Whole cents of what is not held; the rest stays."""
        return whole_cents(self.balance_micros - self.held_micros)

    @property
    def usable_at(self) -> datetime | None:
        """From when on the account is paid; None without one, or where it sent money back."""
        return usable_at(self.details) if self.details else None


def standing(session: Session, owner: User, minimum_micros: int, *, now: datetime) -> Standing:
    """How it stands with one owner."""
    balance = ledger.balance(session, ledger.income(owner.id))
    row = (owner, balance, session.get(PayoutDetails, owner.id))
    return _judged(session, [row], minimum_micros, now)[0]


def standings(session: Session, minimum_micros: int, *, now: datetime) -> list[Standing]:
    """How it stands with all owners who have the minimum; their income is locked until the transaction ends."""
    query = sa.select(User, Account.balance_micros, PayoutDetails).join(Account, Account.user_id == User.id)
    query = query.outerjoin(PayoutDetails, PayoutDetails.user_id == User.id)
    some = (Account.kind == Kind.INCOME, Account.balance_micros >= minimum_micros, User.left_at.is_(None))
    locked = query.where(*some).order_by(Account.id).with_for_update(of=Account)
    rows = [(owner, balance, given) for owner, balance, given in session.execute(locked)]
    return _judged(session, rows, minimum_micros, now)


def _judged(
    session: Session, rows: Sequence[tuple[User, int, PayoutDetails | None]], minimum_micros: int, now: datetime
) -> list[Standing]:
    kept_back = held(session, [owner.id for owner, *_ in rows], now=now)
    stale = _stale(session, rows[0][0].id if len(rows) == 1 else None, now)
    found = []
    for owner, balance, details in rows:
        unseen, unproven = stale.get((owner.id, False), []), stale.get((owner.id, True), [])
        one = Standing(owner, balance, kept_back.get(owner.id, 0), minimum_micros, details, unseen or unproven)
        one.reason = _account_reason(one, now)
        if one.reason is None and one.sites:
            one.reason = "waits_for_look" if unseen else "not_proven"
        found.append(one)
    return found


def _account_reason(one: Standing, now: datetime) -> str | None:
    if one.payable_micros < max(one.minimum_micros, CENT_MICROS):
        return "below_minimum"
    if one.details is None:
        return "no_account"
    if one.usable_at is None:
        return "account_returned"
    return "account_on_hold" if one.usable_at > now else None


def _stale(session: Session, owner_id: int | None, now: datetime) -> dict[tuple[int, bool], list[str]]:
    """Sites whose verified claim was not proven lately, by owner and by whether somebody looked at them since.

    The operator's word stands until it is taken back, and a site that takes no part is not proven any more: neither
    waits for a look. Claims in doubt pay nothing new, and what they brought before is their owner's.
    """
    since = now - FRESH
    seen = sa.exists().where(Look.site_id == Site.id, Look.at > since)
    query = sa.select(Claim.user_id, seen, Site.name).join(Site, Site.id == Claim.site_id)
    query = query.where(
        Claim.state == "verified",
        Claim.method != "operator",
        Claim.proved_at <= since,
        Site.opted_out_at.is_(None),
    ).order_by(Claim.user_id, Site.name)
    found: dict[tuple[int, bool], list[str]] = {}
    if owner_id is not None:
        query = query.where(Claim.user_id == owner_id)
    for user_id, was_seen, name in session.execute(query):
        found.setdefault((user_id, bool(was_seen)), []).append(name)
    return found
