"""Amounts: integer micros inside, decimal euros for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.money import MAX_MICROS, MICROS, decimal_text, format_money, parse_amount

micros = st.integers(0, MAX_MICROS)


@pytest.mark.parametrize(
    ("typed", "amount"),
    [
        ("5", 5_000_000),
        ("5.00", 5_000_000),
        ("5,5", 5_500_000),
        (" 0.000001 ", 1),
        ("0", 0),
        ("9999999999", 9_999_999_999_000_000),
    ],
)
def test_an_amount_is_read_as_people_type_it(typed, amount):
    assert parse_amount(typed) == amount


@pytest.mark.parametrize(
    "typed",
    [
        *("", " ", "-1", "+1", "5 €", "5.", ".5", "1.2.3", "1e3", "0x10", "nan", "inf", "1_000"),
        *("0.0000001", "99999999999", "1.234,56", "٣", "5\n5", "\0"),
    ],
)
def test_what_is_not_a_plain_amount_is_refused(typed):
    with pytest.raises(ValueError, match="is not an amount like"):
        parse_amount(typed)


@given(micros)
def test_an_amount_survives_being_written_and_read_again(amount):
    assert parse_amount(decimal_text(amount, places=6)) == amount


@given(st.integers(-MAX_MICROS, MAX_MICROS), st.integers(1, 6))
def test_a_shown_amount_is_never_larger_than_the_real_one(amount, places):
    sign = -1 if amount < 0 else 1
    shown = sign * parse_amount(decimal_text(amount, places=places).removeprefix("-"))
    assert abs(shown) <= abs(amount)
    assert abs(amount) - abs(shown) < MICROS // 10**places


def test_a_share_of_a_third_is_shown_rounded_down():
    assert decimal_text(1_666_666) == "1.66"
    assert decimal_text(-1_999_999) == "-1.99"


def test_an_amount_for_people_always_has_its_currency():
    assert format_money(1_250_000, "EUR") == "1.25\N{NO-BREAK SPACE}€"
    assert format_money(1_250_000, "USD") == "1.25\N{NO-BREAK SPACE}$"
    assert format_money(2, "CHF", places=6) == "0.000002\N{NO-BREAK SPACE}CHF"
