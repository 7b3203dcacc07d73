"""How things are shown: money, dates, the cake, and the strangers' addresses that must stay text."""

from datetime import datetime
from math import cos, pi, sin
from urllib.parse import urlsplit

from apiflask import APIFlask
from markupsafe import Markup

from backend.context import config
from backend.money import decimal_text, format_money
from backend.payouts.details import masked
from backend.period import month_name
from backend.web import charts

MOST_WEDGES = 16


def init_app(app: APIFlask) -> None:
    """Give templates their filters."""
    app.jinja_env.filters.update(
        money=money,
        micros=micros,
        day=day,
        minute=minute,
        month_name=month_name,
        page_name=page_name,
        amount=decimal_text,
        in_fours=in_fours,
        masked=masked,
        shortened=shortened,
    )
    app.jinja_env.globals.update(cake=cake, bars=charts.bars)
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


def cake(names: list[str], promises: int = 0) -> Markup:
    """The cake from above: an equal wedge for each person; promises are a dashed plate beside it, never a wedge."""
    people = len(names)
    said = f"A cake in {people} equal pieces" if people > 1 else "A cake for one person" if people else "A whole cake"
    drawn = [_wedge(i, people, name) for i, name in enumerate(names)] if 1 < people <= MOST_WEDGES else []
    if people > MOST_WEDGES:
        drawn = [
            Markup('<circle cx="44" cy="44" r="26" class="rim"/><text x="44" y="44" class="count">{}</text>').format(
                people
            )
        ]
    if people == 1:
        drawn = [Markup('<text x="44" y="44">{}</text>').format(names[0][:1].upper())]
    if promises:
        drawn.append(
            Markup('<circle cx="76" cy="76" r="13" class="ground"/><circle cx="76" cy="76" r="10" class="promise"/>')
        )
    return Markup(
        '<svg class="cake" viewBox="0 0 92 92" role="img" aria-label="{}">'
        '<circle cx="44" cy="44" r="40" class="plate"/><circle cx="44" cy="44" r="34" class="piece"/>{}</svg>'
    ).format(said, Markup("").join(drawn))


def _wedge(i: int, people: int, name: str) -> Markup:
    (x, y), (to_x, to_y) = _point(i, people, 34), _point(i + 1, people, 34)
    text_x, text_y = _point(i + 0.5, people, 22)
    path = Markup('<path class="piece" d="M44 44L{:.2f} {:.2f}A34 34 0 0 1 {:.2f} {:.2f}Z"/>').format(x, y, to_x, to_y)
    return path + Markup('<text x="{:.2f}" y="{:.2f}">{}</text>').format(text_x, text_y, name[:1].upper())


def _point(at: float, people: int, radius: int) -> tuple[float, float]:
    angle = at / people * 2 * pi - pi / 2
    return 44 + cos(angle) * radius, 44 + sin(angle) * radius
