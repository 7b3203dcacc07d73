"""The tables of the monthly click list: periods, clicks, promises, and what a settled month came to."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Digest, Micros, PeriodNumber, index_where


class Period(Base):
    """A month with clicks. Settlement freezes its terms, works through it by readers, and seals it with its result."""

    __tablename__ = "periods"
    __table_args__ = (sa.CheckConstraint("state IN ('open', 'closing', 'settled')", name="state_known"),)

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(sa.String(8), default="open")
    closed_at: Mapped[datetime | None]
    currency: Mapped[str | None] = mapped_column(sa.String(3))
    fee_bps: Mapped[int | None]
    charity_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    readers: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    owners: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    clicks: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    promises: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    charged_micros: Mapped[Micros] = mapped_column(default=0)
    received_micros: Mapped[Micros] = mapped_column(default=0)
    fee_micros: Mapped[Micros] = mapped_column(default=0)
    digest: Mapped[Digest | None]
    pages_gone_at: Mapped[datetime | None]  # no click of it is kept any longer, nor any promise of it, below
    promises_gone_at: Mapped[datetime | None]


class Click(Base):
    """One reader, one page, one period. On PostgreSQL a month is a partition, of parts by reader (`clicks.months`)."""

    __tablename__ = "clicks"
    __table_args__ = (
        sa.Index("clicks_site_id_period_idx", "site_id", "period"),
        index_where("author_id IS NOT NULL", "clicks_author_id_period_idx", "author_id", "period"),
        {"sqlite_with_rowid": False, "postgresql_partition_by": "LIST (period)"},
    )

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
    __table_args__ = (sa.Index("payees_owner_id_period_idx", "owner_id", "period"), {"sqlite_with_rowid": False})

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    site_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    since: Mapped[datetime] = mapped_column(primary_key=True)
    until: Mapped[datetime]
    owner_id: Mapped[int] = mapped_column(sa.BigInteger)  # no foreign key: checking a million takes seconds


def pays_for(listed: Any) -> sa.ColumnElement[bool]:
    """Joins clicks, of the table or a part of it, with the payees of their sites at their time."""
    return sa.and_(
        Payee.period == listed.period,
        Payee.site_id == listed.site_id,
        listed.accepted_at >= Payee.since,
        listed.accepted_at < Payee.until,
    )


pays = pays_for(Click)
paid_to = sa.func.coalesce(Click.author_id, Payee.owner_id)


class Gift(Base):
    """A reader's settled month went to this owner, though no click says so.

    It was empty, it is so long ago that its pages are forgotten, or the reader left.
    """

    __tablename__ = "gifts"
    __table_args__ = (sa.Index("gifts_owner_id_period_idx", "owner_id", "period"), {"sqlite_with_rowid": False})

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    reader_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    owner_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)


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


class Chunk(Base):
    """Readers of a period that are charged, while it is being settled: what they gave a part of the owners.

    `amounts` is two arrays of 64-bit integers, owners' ids and micros, as bytes; null once these owners were paid.
    """

    __tablename__ = "chunks"

    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bucket: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amounts: Mapped[bytes | None] = mapped_column(sa.LargeBinary)


NOT_COMPRESSED = "ALTER TABLE chunks ALTER COLUMN amounts SET STORAGE EXTERNAL"  # it costs more than it saves
sa.event.listen(Chunk.__table__, "after_create", sa.DDL(NOT_COMPRESSED).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]
