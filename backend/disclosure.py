"""What of a sum may be told by its parts, so that nobody can work out what one or two readers gave to what.

The sum is known to who asks, so what is not told is known, too, as what the told parts leave of it: it has to come from
enough readers as well (docs/decisions/0027).
"""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

FEWEST = 3  # readers: what a smaller number did is nobody's business (RULES 6)
Key = TypeVar("Key", bound=Hashable)


@dataclass
class Part:
    """A page or a site: how many readers it had, what it brought in micros, and some of the readers."""

    readers: int = 0
    gross_micros: int = 0
    some: set[int] = field(default_factory=set)

    def add(self, reader_id: int, gross_micros: int) -> None:
        """One reader's part of it; each reader once."""
        self.readers += 1
        self.gross_micros += gross_micros
        if len(self.some) < FEWEST:
            self.some.add(reader_id)


def tellable(
    pages: Mapping[int, Part], sites: Mapping[str, Part], site_of: Mapping[int, str], others: Collection[int]
) -> tuple[set[str], set[int]]:
    """The sites and the pages whose amounts may be told.

    Args:
        pages, sites: What the whole sum came from.
        site_of: Each page's site.
        others: Readers of whatever else is in the sum, up to `FEWEST`.
    """
    told_sites = _told(sites, others)
    of: dict[str | None, dict[int, Part]] = {}  # pages of sites that are not told are parts of the whole sum
    for page, part in pages.items():
        of.setdefault(site_of[page] if site_of[page] in told_sites else None, {})[page] = part
    return told_sites, {page for site, parts in of.items() for page in _told(parts, () if site else others)}


def _told(parts: Mapping[Key, Part], others: Collection[int]) -> set[Key]:
    """The parts that have enough readers, but for the smallest of them where the rest would have too few."""
    enough = {key: part for key, part in parts.items() if part.readers >= FEWEST}
    rest = set(others).union(*(part.some for key, part in parts.items() if key not in enough))
    if enough and 0 < len(rest) < FEWEST:
        del enough[min(enough, key=lambda key: enough[key].readers)]
    return set(enough)
