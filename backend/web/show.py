"""How things are shown: money, dates, the cake, and the strangers' addresses that must stay text."""

from collections.abc import Iterator
from datetime import datetime
from math import cos, pi, sin
from urllib.parse import urlsplit

from apiflask import APIFlask

from backend.claims import ADVICE
from backend.context import clock, config
from backend.money import decimal_text, format_money
from backend.payouts.details import masked
from backend.period import following, month_name
from backend.statements import PAGES_GONE

MONTHS = 12  # in a chart


def init_app(app: APIFlask) -> None:
    """Give templates their filters, and what many of them tell."""
    for shown in (money, micros, day, minute, month_name, following, page_name, shortened, in_fours, masked, wedges):
        app.add_template_filter(shown)
    app.add_template_filter(decimal_text, "amount")
    app.jinja_env.globals.update(now=clock, advice=ADVICE, pages_gone=PAGES_GONE)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def money(amount_micros: int) -> str:
    """Rounded down to cents."""
    return format_money(amount_micros, config().currency)


def micros(amount_micros: int) -> str:
    """To the micro, as statements show it."""
    return format_money(amount_micros, config().currency, places=6)


def day(instant: datetime) -> str:
    """``1 December``."""
    return f"{instant.day} {instant:%B}"


def minute(instant: datetime) -> str:
    """``2026-12-01 09:30 UTC``."""
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def page_name(url: str, title: str | None = None) -> str:
    """What a list calls a page: by its title, or else by its address without the scheme."""
    parts = urlsplit(url)
    return shortened(title or (parts.netloc + parts.path).rstrip("/") + (f"?{parts.query}" if parts.query else ""))


def shortened(text: str, most: int = 90) -> str:
    """A stranger's title or address, which may be long, as much as a list shows of it."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def in_fours(text: str) -> str:
    """An account number as banks print it; banking forms take it with the spaces."""
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def last_months(period: str) -> list[str]:
    """The periods of a chart up to this one, oldest first."""
    return [following(period, -back) for back in reversed(range(MONTHS))]


def wedges(people: int) -> Iterator[tuple[str, str, str]]:
    """The equal pieces of a cake around 44, 44: the outline of each, and where its letter stands."""

    def point(at: float, radius: int) -> tuple[str, str]:
        angle = at / people * 2 * pi - pi / 2
        return f"{44 + cos(angle) * radius:.2f}", f"{44 + sin(angle) * radius:.2f}"

    for i in range(people):
        begin, end = " ".join(point(i, 34)), " ".join(point(i + 1, 34))
        yield f"M44 44L{begin}A34 34 0 0 1 {end}Z", *point(i + 0.5, 22)
