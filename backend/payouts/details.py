"""Where a user is paid: the IBAN they gave, shown masked only, and on hold for 7 days after a change (RULES 7.5)."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session
from stdnum import iban as ibans
from stdnum.exceptions import ValidationError

from backend import auditlog, jobs
from backend.errors import InvalidRequest
from backend.payouts.tables import PayoutDetails
from backend.urls import clean_title
from backend.users import User

HOLD = timedelta(days=7)
# Where SEPA reaches (EPC409-09), by the letters that IBANs begin with.
SEPA = frozenset(
    "AD AL AT BE BG CH CY CZ DE DK EE ES FI FR GB GI GR HR HU IE IS IT LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS SE "
    "SI SK SM VA".split()
)


class BadIban(InvalidRequest):
    """This is not an IBAN that can be paid."""


class Target(NamedTuple):
    """A bank account to pay, and from when on."""

    iban: str
    holder: str
    usable_at: datetime


def valid_iban(text: str, currency: str) -> str:
    """An IBAN in one spelling.

    Raises:
        BadIban: It has a typing mistake, or its country cannot be paid in euros.
    """
    try:
        found: str = ibans.validate(text)
    except ValidationError as error:
        raise BadIban("This IBAN has a typing mistake. Please compare it with the one your bank tells.") from error
    if currency == "EUR" and found[:2] not in SEPA:
        raise BadIban("This account is in a country that SEPA payments do not reach.")
    return found


def masked(iban: str) -> str:
    """An IBAN as it may be shown and logged: its country and its last four characters."""
    return f"{iban[:2]} \N{HORIZONTAL ELLIPSIS} {iban[-4:]}"


def usable_at(found: PayoutDetails) -> datetime | None:
    """From when on an account is paid; None for one that sent money back."""
    return None if found.returned_at else found.changed_at + HOLD


def change(session: Session, user: User, iban: str, holder: str, currency: str, *, now: datetime) -> PayoutDetails:
    """Pay a user there from now on, after the hold. Saying the same again changes nothing.

    Raises:
        BadIban: Nothing that could be paid.
        InvalidRequest: No name of the holder.
    """
    valid, name = valid_iban(iban, currency), (clean_title(holder) or "")[:70].strip()
    if not any(character.isalnum() for character in name):
        raise InvalidRequest("Please type the name of the account's holder, as the bank knows it.")
    found = session.get(PayoutDetails, user.id, with_for_update=True, populate_existing=True)
    if found and (found.iban, found.holder, found.returned_at) == (valid, name, None):
        return found
    found = session.merge(PayoutDetails(user_id=user.id, iban=valid, holder=name, changed_at=now, returned_at=None))
    session.flush()
    auditlog.record(
        session, "payout_details.changed", user.public_id, now=now, actor_id=user.id, iban=masked(found.iban)
    )
    day = now + HOLD
    said = _CHANGED.format(iban=masked(valid), holder=name, day=f"{day.day} {day:%B %Y}")
    tell(session, user, "Where you are paid was changed", said, now=now)
    return found


def tell(session: Session, user: User, subject: str, text: str, *, now: datetime) -> None:
    """Mail a user who is still here."""
    if not user.left_at:
        jobs.mail(session, user.id, user.email, f"{now.isoformat()} {subject}", subject, text, now=now)


_CHANGED = """\
From {day} on your income is paid to the account {iban} of {holder}. Until then nothing is paid to it, nor to another.

This was not you? Sign in, choose "Sign out everywhere" on the settings page, enter your own account again, and write
to the operator: nothing is lost until that day.
"""
