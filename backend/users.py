"""Users: people with an e-mail address, who may be reader, owner and operator at once."""

import secrets
from collections.abc import Collection
from datetime import datetime

import email_validator
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column
from stdnum.iso7064 import mod_97_10

from backend.db import Base, Id, Micros, PeriodNumber, insert
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

    code = "bad_address"


class NoSuchUser(NotFound):
    """There is no user with this address."""

    code = "no_such_user"


class BudgetOutOfRange(DomainError):
    """A monthly budget is between nothing and a million."""

    code = "budget_out_of_range"


class User(Base):
    """A person. `public_id` is what stands in the tag of their sites and on their statements."""

    __tablename__ = "users"
    __table_args__ = (
        sa.CheckConstraint("length(public_id) = 12", name="public_id_has_12_characters"),
        sa.CheckConstraint("empty_month IN ('keep', 'repeat', 'charity')", name="empty_month_known"),
    )

    id: Mapped[Id]
    public_id: Mapped[str] = mapped_column(sa.String(12), unique=True)
    email: Mapped[str] = mapped_column(sa.String(254), unique=True)
    name: Mapped[str] = mapped_column(sa.String(80))
    is_operator: Mapped[bool]
    empty_month: Mapped[str] = mapped_column(sa.String(8))
    created_at: Mapped[datetime]

    @property
    def deposit_reference(self) -> str:
        """What to write on a bank transfer: an ISO 11649 creditor reference, which banks check while it is typed."""
        return deposit_reference(self.public_id)


class Budget(Base):
    """A reader's budget from *period* on, until a later row says otherwise."""

    __tablename__ = "budgets"
    __table_args__ = (sa.CheckConstraint("budget_micros >= 0", name="not_negative"),)

    reader_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True)
    budget_micros: Mapped[Micros]


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
    session.execute(
        insert(session, User).on_conflict_do_nothing(index_elements=["email"]),
        {
            "public_id": new_id(12),
            "email": address,
            "name": address.partition("@")[0][:80],
            "is_operator": False,
            "empty_month": "keep",
            "created_at": now,
        },
    )
    user = session.scalars(sa.select(User).where(User.email == address)).one()
    user.name = (clean_title(name) or user.name)[:80]
    user.is_operator = user.is_operator or operator
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


def by_public_id(session: Session, public_id: str) -> User | None:
    """The user whose tag says *public_id*: the text of a stranger, so most of it is nobody's."""
    if len(public_id) != 12 or not set(public_id) <= set(ALPHABET):
        return None
    return session.scalar(sa.select(User).where(User.public_id == public_id))


def set_budget(session: Session, user: User, budget_micros: int, *, now: datetime) -> None:
    """What a month is worth to the reader, from the open period on.

    Raises:
        BudgetOutOfRange: Negative, or more than a million.
    """
    if not 0 <= budget_micros <= MAX_BUDGET_MICROS:
        raise BudgetOutOfRange
    row = {"reader_id": user.id, "period": period_of(now), "budget_micros": budget_micros}
    session.execute(
        insert(session, Budget).on_conflict_do_update(
            index_elements=["reader_id", "period"], set_={"budget_micros": budget_micros}
        ),
        row,
    )


def budgets(session: Session, user_ids: Collection[int], period: str) -> dict[int, int]:
    """The budgets in force at the period's end, by user id, in micros."""
    rows = session.execute(
        sa.select(Budget.reader_id, Budget.budget_micros)
        .where(Budget.reader_id.in_(user_ids), Budget.period <= period)
        .order_by(Budget.period)
    )
    return dict.fromkeys(user_ids, DEFAULT_BUDGET_MICROS) | dict(rows.all())


def new_id(length: int) -> str:
    """Random characters that survive being read out; 5 bits each."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
