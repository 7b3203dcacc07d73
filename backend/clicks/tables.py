"""The tables of the monthly click list: periods, clicks, promises, and what a settled month came to."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Digest, Micros, PeriodNumber
from backend.users import User


class Period(Base):
    """A month with clicks. Settlement freezes its terms, works through it by readers, and seals it with its result."""

    __tablename__ = "periods"
    __table_args__ = (sa.CheckConstraint("state IN ('open', 'closing', 'settled')", name="state_known"),)

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(sa.String(8))
    closed_at: Mapped[datetime | None]
    currency: Mapped[str | None] = mapped_column(sa.String(3))
    fee_bps: Mapped[int | None]
    done_reader_id: Mapped[int] = mapped_column(sa.BigInteger)
    readers: Mapped[int]
    owners: Mapped[int]
    clicks: Mapped[int]
    promises: Mapped[int]
    charged_micros: Mapped[Micros]
    received_micros: Mapped[Micros]
    fee_micros: Mapped[Micros]
    digest: Mapped[Digest | None]


class Click(Base):
    """One reader, one page, one period."""

    __tablename__ = "clicks"
    __table_args__ = {"sqlite_with_rowid": False}

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    reader_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    page_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    site_id: Mapped[int] = mapped_column(sa.BigInteger)
    clicked_at: Mapped[datetime]
    accepted_at: Mapped[datetime]
    author_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    promised_in: Mapped[str | None] = mapped_column(PeriodNumber)


class Promise(Base):
    """A click that was settled without an owner; it joins one later list, once, when its site is claimed."""

    __tablename__ = "promises"
    __table_args__ = {"sqlite_with_rowid": False}

    reader_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    page_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    site_id: Mapped[int] = mapped_column(sa.BigInteger, index=True)
    period: Mapped[str] = mapped_column(PeriodNumber)
    made_at: Mapped[datetime]
    joined: Mapped[str | None] = mapped_column(PeriodNumber)


class Payee(Base):
    """Who owned a site's clicks, over time, when their period was closed: the frozen answer of `claims.stretches`."""

    __tablename__ = "payees"
    __table_args__ = {"sqlite_with_rowid": False}

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    site_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    since: Mapped[datetime] = mapped_column(primary_key=True)
    until: Mapped[datetime]
    owner_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), index=True)


pays = sa.and_(
    Payee.period == Click.period,
    Payee.site_id == Click.site_id,
    Click.accepted_at >= Payee.since,
    Click.accepted_at < Payee.until,
)
paid_to = sa.func.coalesce(Click.author_id, Payee.owner_id)


class Share(Base):
    """What a settled month was for one reader: *owners* people got *share* each out of the *pot*."""

    __tablename__ = "shares"
    __table_args__ = (
        sa.CheckConstraint("share_micros * owners <= pot_micros", name="pot_not_exceeded"),
        {"sqlite_with_rowid": False},
    )

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    reader_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    pot_micros: Mapped[Micros]
    owners: Mapped[int]
    share_micros: Mapped[Micros]
