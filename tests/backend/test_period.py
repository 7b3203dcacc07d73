"""Months: when one begins and ends, whatever the clock on the wall says."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.period import ends_at, following, from_number, number, parse_period, period_of, starts_at

periods = st.builds("{:04d}-{:02d}".format, st.integers(2000, 2998), st.integers(1, 12))
instants = st.datetimes(datetime(2000, 1, 1), datetime(2998, 12, 31), timezones=st.timezones())  # noqa: DTZ001


def test_a_month_ends_at_midnight_utc_on_the_first():
    last = datetime(2026, 10, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert period_of(last) == "2026-10"
    assert period_of(last + timedelta(microseconds=1)) == "2026-11"
    assert ends_at("2026-10") == datetime(2026, 11, 1, tzinfo=UTC)


def test_new_year_in_auckland_is_still_december():
    auckland = timezone(timedelta(hours=13))
    assert period_of(datetime(2027, 1, 1, 9, tzinfo=auckland)) == "2026-12"
    assert period_of(datetime(2027, 1, 1, 13, tzinfo=auckland)) == "2027-01"


def test_december_is_followed_by_january_and_january_follows_december():
    assert following("2026-12") == "2027-01"
    assert following("2027-01", -1) == "2026-12"
    assert following("2026-11", -12) == "2025-11"
    assert ends_at("2026-12") == starts_at("2027-01") == datetime(2027, 1, 1, tzinfo=UTC)


@given(periods)
def test_a_period_survives_being_read_and_counted(period):
    assert parse_period(period) == period
    assert from_number(number(period)) == period
    assert period_of(starts_at(period)) == period


@given(periods, st.integers(-120, 120))
def test_going_months_ahead_and_back_comes_home_and_keeps_the_order(period, months):
    there = following(period, months)
    assert following(there, -months) == period
    assert (there > period) == (months > 0)
    assert (starts_at(there) > starts_at(period)) == (months > 0)


@given(instants)
def test_every_instant_lies_in_exactly_its_period(instant):
    period = period_of(instant)
    assert starts_at(period) <= instant < ends_at(period)
    assert ends_at(period) == starts_at(following(period))


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-00", "2026-13", "2026-1", "26-11", "1999-12", "2026-11-01", "2026-11\n", "\uff12026-11"]
)
def test_what_is_no_month_is_refused(text):
    with pytest.raises(ValueError, match="is not a month like 2026-11"):
        parse_period(text)
