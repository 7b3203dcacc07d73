"""The split of many readers at once, in NumPy: pure, and the same numbers as `ledger.even_share` reader by reader.

A list is packed pairs: the reader's id in the upper 32 bits, in the lower ones the place of an owner in an array of
owners. So reader ids are below 2^31 and owners fewer than 2^32.
"""

from dataclasses import dataclass

import numpy as np

from backend.bulk import Ints
from backend.ledger import even_share

LOW = np.int64(0xFFFFFFFF)


def pack(readers: Ints, places: Ints) -> Ints:
    """Pairs of a reader and the place of an owner."""
    return (readers.astype(np.int64) << 32) | places


@dataclass(frozen=True)
class Lists:
    """Whom each reader's list pays: *readers* ascending, each with so many *owners*, in *pairs* sorted alike."""

    pairs: Ints
    readers: Ints
    owners: Ints

    @classmethod
    def of(cls, pairs: Ints) -> "Lists":
        """Lists of packed pairs in any order; the same owner twice on a list is one person."""
        pairs = _unique(pairs)
        starts = _starts(pairs >> 32)
        return cls(pairs, pairs[starts] >> 32, np.diff(starts, append=pairs.size))

    def shares(self, pots: Ints) -> Ints:
        """What each owner on each reader's list gets, in micros, of the readers' pots."""
        return even_share(pots, self.owners)

    def gross(self, shares: Ints, owners: int) -> Ints:
        """What each of *owners* owners gets from all these readers together, in micros, by place."""
        total = np.zeros(owners, dtype=np.int64)
        np.add.at(total, self.pairs & LOW, np.repeat(shares, self.owners))
        return total


def _unique(values: Ints) -> Ints:
    values = np.sort(values)
    return values[_starts(values)]


def _starts(ordered: Ints) -> Ints:
    """Where in an ordered array each value stands first."""
    return np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1)) if ordered.size else np.empty(0, dtype=np.int64)


def sum_by_owner(owners: Ints, amounts: Ints) -> tuple[Ints, Ints]:
    """Owners, each once and ascending, with the sum of their amounts."""
    found, places = np.unique(owners, return_inverse=True)
    total = np.zeros(found.size, dtype=np.int64)
    np.add.at(total, places, amounts)
    return found, total
