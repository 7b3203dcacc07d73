"""Micros: 1 000 000 micros are one unit of the currency. Integers only; a float never meets money."""

import re

MICROS = 1_000_000
CENT_MICROS = 10_000
MAX_MICROS = 10**15  # a billion euros: far beyond any use, far within 64 bits after every sum

_DECIMAL = re.compile(r"(\d{1,10})(?:\.(\d{1,6}))?", re.ASCII)
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£"}


def whole_cents(micros: int) -> int:
    """What of an amount a bank or a card can be paid: zero or more."""
    return max(0, micros - micros % CENT_MICROS)


def parse_amount(text: str) -> int:
    """Micros of a decimal amount as people type it: ``"5"``, ``"5.00"``, ``"5,5"``.

    Raises:
        ValueError: Not a plain, non-negative decimal number with at most six decimals.
    """
    match = _DECIMAL.fullmatch(text.strip().replace(",", "."))
    if not match:
        raise ValueError(f"{text!r} is not an amount like 5.00")
    whole, fraction = match.groups()
    return int(whole) * MICROS + int((fraction or "").ljust(6, "0"))


def decimal_text(micros: int, *, places: int = 2) -> str:
    """A decimal number, rounded towards zero: shares are shown rounded down, never up."""
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    whole, fraction = divmod(micros, MICROS)
    return f"{sign}{whole}.{fraction:06d}"[: len(sign) + len(str(whole)) + 1 + places]


def format_money(micros: int, currency: str, *, places: int = 2) -> str:
    """An amount for people, always with its currency: ``1.25 €``."""
    return f"{decimal_text(micros, places=places)}\N{NO-BREAK SPACE}{_SYMBOLS.get(currency, currency)}"
