"""Rates: counted in the database, so that they hold over several workers."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from backend import limits
from backend.errors import RateLimited
from tests.backend.at_once import at_once

TEN_PAST = datetime(2026, 10, 5, 12, 10, 0, 500_000, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_the_sixth_try_in_an_hour_is_refused_and_told_when_to_come_back(session):
    for _ in range(5):
        limits.use(session, "mail:ann", 5, HOUR, now=TEN_PAST)
    with pytest.raises(RateLimited, match="in 50 minutes") as refusal:
        limits.use(session, "mail:ann", 5, HOUR, now=TEN_PAST)
    assert refusal.value.retry_after == 3000


def test_who_comes_back_when_told_is_let_in(session):
    limits.use(session, "mail:ann", 1, HOUR, now=TEN_PAST)
    with pytest.raises(RateLimited) as refusal:
        limits.use(session, "mail:ann", 1, HOUR, now=TEN_PAST)
    limits.use(session, "mail:ann", 1, HOUR, now=TEN_PAST + timedelta(seconds=refusal.value.retry_after))


def test_nobody_is_counted_for_somebody_else(session):
    limits.use(session, "mail:ann", 1, HOUR, now=TEN_PAST)
    limits.use(session, "mail:bea", 1, HOUR, now=TEN_PAST)
    with pytest.raises(RateLimited):
        limits.use(session, "mail:ann", 1, HOUR, now=TEN_PAST)


def test_a_day_is_a_window_too(session):
    limits.use(session, "clicks:ann", 1, timedelta(days=1), now=TEN_PAST)
    with pytest.raises(RateLimited):
        limits.use(session, "clicks:ann", 1, timedelta(days=1), now=TEN_PAST + timedelta(hours=11, minutes=49))
    limits.use(session, "clicks:ann", 1, timedelta(days=1), now=TEN_PAST + timedelta(hours=11, minutes=50))


def test_ten_at_once_are_five_too_many(sessions):
    def use():
        with sessions.begin() as session:
            limits.use(session, "mail:ann", 5, HOUR, now=TEN_PAST)

    results = at_once(*[use] * 10)
    assert results.count(None) == 5
    assert all(r is None or isinstance(r, RateLimited) for r in results)


def test_old_counts_are_forgotten_and_new_ones_kept(session):
    limits.use(session, "old", 1, HOUR, now=TEN_PAST - timedelta(days=3))
    limits.use(session, "new", 1, HOUR, now=TEN_PAST)
    limits.forget_old(session, now=TEN_PAST)
    assert session.scalars(sa.select(limits.Rate.key)).all() == ["new"]
