"""Months: the period's row that every click locks, and PostgreSQL's partitions, made ahead so that old ones can go."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import bulk
from backend.clicks.tables import Click, Period
from backend.db import PeriodNumber, insert
from backend.errors import AnotherRun, DomainError, PeriodEnded
from backend.period import following, is_period, period_of
from backend.users import Budget

PAGE_MONTHS = 3  # after a month: for so long its readers can look up their pages (RULES 6)
PARTS = 16  # of a new month on PostgreSQL, by hash of the reader: what one settlement step reads in one go


def open_period(session: Session, now: datetime) -> str:
    """The period that takes clicks now, kept open until this transaction ends.

    A click that comes while its period is being closed belongs to the next one: that is when it was accepted.
    """
    for period in (period_of(now), following(period_of(now))):
        state = _LOCKED.ask(session, period=[period])
        if not state:
            ensure_period(session, period)
            state = _LOCKED.ask(session, period=[period])
        if state == [("open",)]:
            return period
    raise PeriodEnded


_LOCKED = bulk.Question(
    lambda given, _: (
        sa.select(Period.state)
        .join(given, given.c.period == Period.period)
        .with_for_update(read=True, key_share=True, of=Period)
    ),
    period=PeriodNumber(),
)


def ensure_period(session: Session, period: str) -> None:
    """The row of a period, and on PostgreSQL its partition, made if nothing happened in it yet."""
    statement = insert(session, Period).values(period=period).on_conflict_do_nothing()
    is_new = session.execute(statement.returning(Period.period)).all()
    if is_new and session.get_bind().dialect.name == "postgresql":
        for definition in partition(period):
            session.execute(sa.text(definition))


def make_ahead(session: Session, *, now: datetime) -> None:
    """Have this month's and the next one's partitions before the first click needs them (PostgreSQL)."""
    if session.get_bind().dialect.name == "postgresql":
        for period in (period_of(now), following(period_of(now))):
            if session.get(Period, period) is None:
                ensure_period(session, period)


def drop_partition(session: Session, period: str) -> None:
    """On PostgreSQL, remove the partition of a month whose clicks are gone.

    Raises:
        AnotherRun: Somebody reads lists for long, and presses should not wait for that.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    session.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
    try:
        session.execute(sa.text(f"DROP TABLE IF EXISTS {name(period)}"))
    except sa.exc.OperationalError as error:
        raise AnotherRun from error


def first_due(session: Session, before: str) -> str | None:
    """The first unsettled period before another in which anything is to be settled."""
    begun = session.scalar(sa.select(sa.func.min(Period.period)))
    chosen = session.scalar(sa.select(sa.func.min(Budget.period)).where(Budget.empty_month != "keep"))
    period: str | None = min(filter(None, (begun, chosen)), default=None)
    while period and period < before:
        row = session.get(Period, period)
        if not (row and row.state == "settled") and _has_something(session, period, row):
            return period
        period = following(period)
    return None


class NotSettledYet(DomainError):
    """A month that has ended is not settled yet, and may still charge you. Please come back once it is."""


def ensure_settled(session: Session, *, now: datetime) -> None:
    """Refuse what would take money out of a wallet that an ended month may still charge.

    Raises:
        NotSettledYet: There is such a month.
    """
    if due := first_due(session, period_of(now)):
        raise NotSettledYet(f"{due} has ended and is not settled yet. Please come back once it is.")


def settled(session: Session, period: str | None = None) -> list[Period]:
    """The settled months, newest first; or one of them, if *period* is one."""
    query = sa.select(Period).where(Period.state == "settled").order_by(Period.period.desc())
    if period is None:
        return list(session.scalars(query))
    return list(session.scalars(query.where(Period.period == period))) if is_period(period) else []


def _has_something(session: Session, period: str, row: Period | None) -> bool:
    """Whether a month was begun, has clicks, or may pay somebody although it is empty."""
    clicked = sa.select(Click.reader_id).where(Click.period == period)
    chosen = sa.select(Budget.reader_id).where(Budget.period <= period, Budget.empty_month != "keep")
    return bool(row and row.state == "closing") or any(
        session.scalar(query.limit(1)) is not None for query in (clicked, chosen)
    )


def partition(period: str) -> list[str]:
    """The statements that give a month its partition. Attached only when whole, so that no click waits for it."""
    month = name(period)
    parts = [
        f"CREATE TABLE {part_name(period, part)} PARTITION OF {month} "
        f"FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {part})"
        for part in range(PARTS)
    ]
    whole = f"CREATE TABLE {month} (LIKE clicks INCLUDING ALL) PARTITION BY HASH (reader_id)"
    return [whole, *parts, f"ALTER TABLE clicks ATTACH PARTITION {month} FOR VALUES IN ({period.replace('-', '')})"]


def parts(session: Session, period: str) -> int:
    """In how many parts a month's clicks lie on PostgreSQL."""
    inherited = "SELECT COUNT(*) FROM pg_inherits WHERE inhparent = CAST(:month AS regclass)"
    return session.scalar(sa.text(inherited), {"month": name(period)}) or 0


def name(period: str) -> str:
    """The table of a month's clicks on PostgreSQL."""
    return f"clicks_{period.replace('-', '')}"


def part_name(period: str, part: int) -> str:
    """The table of one part of a month."""
    return f"{name(period)}_{part:02d}"
