"""A period is a UTC calendar month, written ``2026-11``; it ends at 00:00 UTC on the 1st (DESIGN 2.3)."""

import re
from datetime import UTC, datetime

_PERIOD = re.compile(r"(2\d{3})-(0[1-9]|1[0-2])", re.ASCII)


def is_period(text: str) -> bool:
    """Whether *text* names a period."""
    return _PERIOD.fullmatch(text) is not None


def parse_period(text: str) -> str:
    """The period named by *text*.

    Raises:
        ValueError: Not of the form ``YYYY-MM``.
    """
    if not is_period(text):
        raise ValueError(f"{text!r} is not a month like 2026-11")
    return text


def is_year(text: str) -> bool:
    """Whether *text* is a year of periods, such as ``2026``."""
    return bool(_PERIOD.fullmatch(f"{text}-01"))


def period_of(instant: datetime) -> str:
    """The period that an aware instant falls into."""
    return instant.astimezone(UTC).strftime("%Y-%m")


def number(period: str) -> int:
    """Months since year 0, so that periods can be counted with."""
    return int(period[:4]) * 12 + int(period[5:]) - 1


def from_number(months: int) -> str:
    """The inverse of `number`."""
    return f"{months // 12}-{months % 12 + 1:02d}"


def following(period: str, months: int = 1) -> str:
    """The period *months* later, or earlier when negative."""
    return from_number(number(period) + months)


def starts_at(period: str) -> datetime:
    """The period's first instant."""
    return datetime(int(period[:4]), int(period[5:]), 1, tzinfo=UTC)


def ends_at(period: str) -> datetime:
    """The first instant that no longer belongs to the period."""
    return starts_at(following(period))


def month_name(period: str) -> str:
    """``November 2026``."""
    return f"{starts_at(period):%B %Y}"
