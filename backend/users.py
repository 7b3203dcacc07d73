"""Users: people with an e-mail address, who may be reader, owner and operator at once."""

import secrets
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import email_validator
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column
from stdnum.iso7064 import mod_97_10

from backend import auditlog
from backend.db import Base, Id, Micros, PeriodNumber, index_where, insert, put
from backend.errors import DomainError, InvalidRequest, NotFound
from backend.money import MICROS
from backend.period import period_of
from backend.urls import clean_title

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: nothing that is misread
DEFAULT_BUDGET_MICROS = 5 * MICROS
MAX_BUDGET_MICROS = 1_000_000 * MICROS

email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()  # people try Flattr with names like demo.test; such mail just bounces


class BadAddress(InvalidRequest):
    """This is not an e-mail address."""


class NoSuchUser(NotFound):
    """There is no user with this address."""


class BudgetOutOfRange(DomainError):
    """A monthly budget is between nothing and a million."""


class User(Base):
    """A person. `public_id` is what stands in the tag of their sites and on their statements.

    Whoever left at `left_at` is a tombstone, without address and name: what was transferred stays.
    """

    __tablename__ = "users"
    __table_args__ = (
        sa.CheckConstraint("length(public_id) = 12", name="public_id_has_12_characters"),
        sa.CheckConstraint("left_at IS NULL OR email LIKE '%@left.invalid'", name="left_without_address"),
    )

    id: Mapped[Id]
    public_id: Mapped[str] = mapped_column(sa.String(12), unique=True)
    email: Mapped[str] = mapped_column(sa.String(254), unique=True)
    name: Mapped[str] = mapped_column(sa.String(80))
    is_operator: Mapped[bool]
    created_at: Mapped[datetime]
    left_at: Mapped[datetime | None]

    @property
    def deposit_reference(self) -> str:
        """What to write on a bank transfer: an ISO 11649 creditor reference, which banks check while it is typed."""
        return deposit_reference(self.public_id)


class Person(NamedTuple):
    """As much of a user as others see."""

    id: int
    public_id: str
    name: str
    thanks: str | None = None


class Thanks(Base):
    """What an owner says to who flattrs them, and what the public page of their sites tells of them.

    Without a row: nothing is said, the name is shown, and nothing is counted in public.
    """

    __tablename__ = "thanks"

    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), primary_key=True, autoincrement=False)
    line: Mapped[str | None] = mapped_column(sa.String(140))
    shows_name: Mapped[bool]
    shows_supporters: Mapped[bool]


class UnwantedMail(Base):
    """A user wants no mails of this kind (`notices.KINDS`)."""

    __tablename__ = "unwanted_mails"

    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(sa.String(16), primary_key=True)


class Budget(Base):
    """What a reader decided from *period* on, until a later row says otherwise: the budget, and for an empty month."""

    __tablename__ = "budgets"
    __table_args__ = (
        sa.CheckConstraint("budget_micros >= 0", name="not_negative"),
        sa.CheckConstraint("empty_month IN ('keep', 'repeat', 'charity')", name="empty_month_known"),
        index_where("empty_month <> 'keep'", "budgets_not_kept_idx", "reader_id"),
    )

    reader_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True)
    budget_micros: Mapped[Micros]
    empty_month: Mapped[str] = mapped_column(sa.String(8))


def deposit_reference(public_id: str) -> str:
    """RF, two check digits over the rest, and the public id."""
    text = public_id.upper()
    return f"RF{mod_97_10.calc_check_digits(text + 'RF')}{text}"


def normal_address(text: str) -> str:
    """One spelling per address.

    Raises:
        BadAddress: It has not the form of one.
    """
    try:
        return email_validator.validate_email(text.strip(), check_deliverability=False).normalized.lower()
    except email_validator.EmailNotValidError as error:
        raise BadAddress(f"{clean_title(text) or 'Nothing'} is not an e-mail address.") from error


def add(session: Session, email: str, *, now: datetime, name: str | None = None, operator: bool = False) -> User:
    """The user of this address, made if there is none. What is not given stays as it was.

    Raises:
        BadAddress: *email* has not the form of an address.
    """
    address = normal_address(email)
    row: dict[str, object] = {"public_id": new_id(12), "email": address, "name": address.partition("@")[0][:80]}
    row |= {"is_operator": False, "created_at": now}
    session.execute(insert(session, User).on_conflict_do_nothing(index_elements=["email"]), row)
    user = session.scalars(sa.select(User).where(User.email == address)).one()
    user.name = (clean_title(name) or user.name)[:80]
    if operator and not user.is_operator:
        user.is_operator = True
        auditlog.record(session, "operator.granted", user.public_id, now=now)
    session.flush()
    return user


def by_email(session: Session, email: str) -> User:
    """The user of this address.

    Raises:
        NoSuchUser: There is none.
    """
    try:
        user = session.scalar(sa.select(User).where(User.email == normal_address(email)))
    except BadAddress:
        user = None
    if user is None:
        raise NoSuchUser(f"There is no user with the address {clean_title(email)}.")
    return user


def charity(session: Session, email: str) -> User | None:
    """The user who gets empty months that are given away, by the address in the settings; None where none is set."""
    return session.scalar(sa.select(User).where(User.email == normal_address(email))) if email else None


def by_public_id(session: Session, public_id: str) -> User | None:
    """The user whose tag says *public_id*: the text of a stranger, so most of it is nobody's."""
    if len(public_id) != 12 or not set(public_id) <= set(ALPHABET):
        return None
    return session.scalar(sa.select(User).where(User.public_id == public_id, User.left_at.is_(None)))


def public_ids(session: Session, user_ids: Collection[int]) -> dict[int, str]:
    """By id, as others know them."""
    return dict(session.execute(sa.select(User.id, User.public_id).where(User.id.in_(user_ids))).all())


def set_budget(session: Session, user: User, budget_micros: int, *, now: datetime) -> None:
    """What a month is worth to the reader, from the open period on.

    Raises:
        BudgetOutOfRange: Negative, or more than a million.
    """
    if not 0 <= budget_micros <= MAX_BUDGET_MICROS:
        raise BudgetOutOfRange
    _decide(session, user, now, budget_micros=budget_micros)


def set_empty_month(session: Session, user: User, choice: str, *, now: datetime) -> None:
    """What becomes of a month in which nobody is flattred, from the open period on: keep, repeat or charity."""
    _decide(session, user, now, empty_month=choice)


def _decide(session: Session, user: User, now: datetime, **decided: object) -> None:
    budget_micros, empty_month = decision(session, user.id, period_of(now))
    row = {"reader_id": user.id, "period": period_of(now), "budget_micros": budget_micros, "empty_month": empty_month}
    statement = insert(session, Budget).values(row | decided)
    session.execute(statement.on_conflict_do_update(index_elements=["reader_id", "period"], set_=decided))


def decision(session: Session, reader_id: int, period: str) -> tuple[int, str]:
    """The budget in micros and the choice for an empty month, as in force at the period's end."""
    query = sa.select(Budget.budget_micros, Budget.empty_month).where(
        Budget.reader_id == reader_id, Budget.period <= period
    )
    found = session.execute(query.order_by(Budget.period.desc()).limit(1)).one_or_none()
    return (found.budget_micros, found.empty_month) if found else (DEFAULT_BUDGET_MICROS, "keep")


# What owners say and show ---------------------------------------------------------------------------------------------


def thanks_of(session: Session, user_id: int) -> Thanks:
    """What an owner says and shows."""
    default = Thanks(user_id=user_id, line=None, shows_name=True, shows_supporters=False)
    return session.get(Thanks, user_id) or default


def lines_of(session: Session, user_ids: Collection[int]) -> dict[int, str]:
    """The thank-you lines of those of these users who have one."""
    query = sa.select(Thanks.user_id, Thanks.line).where(Thanks.user_id.in_(user_ids), Thanks.line.is_not(None))
    return {user_id: line for user_id, line in session.execute(query) if line}


def set_thanks(session: Session, user: User, line: str, *, shows_name: bool, shows_supporters: bool) -> None:
    """What an owner says to who flattrs them, as text of one line, and what their sites' pages tell.

    Raises:
        InvalidRequest: The line is longer than 140 characters.
    """
    said = clean_title(line)
    if said and len(said) > 140:
        raise InvalidRequest(f"A thank-you has 140 characters at most; this one has {len(said)}.")
    row = {"line": said, "shows_name": shows_name, "shows_supporters": shows_supporters}
    put(session, Thanks, {"user_id": user.id}, row)


# Mails ----------------------------------------------------------------------------------------------------------------


def unwanted_mails(session: Session, user_id: int) -> set[str]:
    """The kinds of mails that a user does not want."""
    return set(session.scalars(sa.select(UnwantedMail.kind).where(UnwantedMail.user_id == user_id)))


def set_unwanted_mails(session: Session, user_id: int, kinds: Collection[str]) -> None:
    """A user wants all mails but these."""
    session.execute(sa.delete(UnwantedMail).where(UnwantedMail.user_id == user_id))
    if kinds:
        session.execute(sa.insert(UnwantedMail), [{"user_id": user_id, "kind": kind} for kind in sorted(kinds)])


def forget(session: Session, user: User) -> None:
    """Delete what a user who leaves had decided, said and shown."""
    for whose in (Budget.reader_id, UnwantedMail.user_id, Thanks.user_id):
        session.execute(sa.delete(whose.class_).where(whose == user.id))


def new_id(length: int) -> str:
    """Random characters that survive being read out; 5 bits each."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
