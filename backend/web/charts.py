"""Bars over months, drawn as SVG here: no script, no library, and a table behind each for who reads tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from backend.period import following, starts_at

MONTHS = 12
GAP = 20  # of the hundred that each bar's column is wide


@dataclass(frozen=True)
class Bar:
    """One month: how high, what stands in the table, and where it leads."""

    period: str
    value: int
    href: str

    @property
    def starts_at(self) -> datetime:
        """For the label."""
        return starts_at(self.period)


def last_months(period: str, months: int = MONTHS) -> list[str]:
    """So many periods up to this one, oldest first."""
    return [following(period, -back) for back in reversed(range(months))]


def bars(name: str, title: str, said: str, of: Sequence[Bar]) -> Markup:
    """The drawing alone, stretched to its place by the style sheet; links and labels lie over it as HTML.

    Args:
        name: Makes its ids the page's only ones.
        said: What a screen reader says of it.
    """
    most = max((bar.value for bar in of), default=0) or 1
    drawn = Markup("").join(_bar(at, bar.value * 100 // most, bar.value) for at, bar in enumerate(of))
    return Markup(
        '<svg viewBox="0 0 {} 100" preserveAspectRatio="none" role="img" aria-labelledby="{}-title {}-said">'
        '<title id="{}-title">{}</title><desc id="{}-said">{}</desc>{}</svg>'
    ).format(len(of) * 100, name, name, name, title, name, said, drawn)


def _bar(at: int, height: int, value: int) -> Markup:
    """Whatever came is seen, however little it was beside the most."""
    height = max(height, 2) if value else 0
    return Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}"/>').format(
        at * 100 + GAP, 100 - height, 100 - 2 * GAP, height
    )
