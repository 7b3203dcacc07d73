"""The split of many readers at once, in NumPy: pure, and the same numbers as `ledger.even_share` reader by reader.

A list is packed pairs: the reader's id in the upper 32 bits, in the lower ones the place of an owner in an array of
owners. So reader ids are below 2^31 and owners fewer than 2^32.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.bulk import Ints
from backend.ledger import even_share

LOW = np.int64(0xFFFFFFFF)


def pack(readers: Ints, places: npt.NDArray[np.integer[Any]]) -> Ints:
    """Pairs of a reader and the place of an owner."""
    return (readers << 32) | places


@dataclass(frozen=True)
class Lists:
    """Whom each reader's list pays: *readers* ascending, each with so many *owners*, in *pairs* sorted alike."""

    pairs: Ints
    readers: Ints
    owners: Ints

    @classmethod
    def of(cls, pairs: Ints) -> "Lists":
        """Lists of packed pairs in any order, which are sorted in place; an owner twice on a list is one person."""
        pairs.sort()
        pairs = pairs[_first_of_its_kind(pairs)]
        starts = np.flatnonzero(_first_of_its_kind(pairs >> 32))
        return cls(pairs, pairs[starts] >> 32, np.diff(starts, append=pairs.size))

    def shares(self, pots: Ints) -> Ints:
        """What each owner on each reader's list gets, in micros, of the readers' pots."""
        return even_share(pots, self.owners)

    def gross(self, shares: Ints, owners: int) -> Ints:
        """What each of *owners* owners gets from all these readers together, in micros, by place."""
        total = np.zeros(owners, dtype=np.int64)
        np.add.at(total, self.pairs & LOW, np.repeat(shares, self.owners))
        return total


def _first_of_its_kind(ordered: Ints) -> npt.NDArray[np.bool_]:
    first = np.ones(ordered.size, dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def held_shares(shares: Ints, owners: Ints, wallets: Ints, young: Ints) -> Ints:
    """What of each reader's shares has to come from young card money: other money in the wallet is spent first.

    What comes from it is rounded up to the same amount for each owner.
    """
    from_young = np.maximum(shares * owners - (wallets - np.minimum(wallets, young)), 0)
    each: Ints = np.minimum(shares, -(-from_young // owners))
    return each


def sum_by_owner(owners: Ints, amounts: Ints) -> tuple[Ints, Ints]:
    """Owners, each once and ascending, with the sum of their amounts."""
    found, places = np.unique(owners, return_inverse=True)
    total = np.zeros(found.size, dtype=np.int64)
    np.add.at(total, places, amounts)
    return found, total
