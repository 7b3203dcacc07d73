"""What an owner is told of amounts: no sum of it, and no difference, is what one or two readers gave."""

import itertools
from collections import Counter, defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backend.disclosure import FEWEST, Part, tellable

PAGES = dict(enumerate("aaabbc"))
GIFTS = len(PAGES)  # stands beside the pages for what came from readers without one
lists = st.lists(st.sets(st.sampled_from(sorted(PAGES)), min_size=1), max_size=8)


def told(lists, gifts):
    """What is told of these readers' lists, and who is behind each page and the gifts."""
    pages, sites, behind = defaultdict(Part), defaultdict(Part), defaultdict(set)
    for reader, listed in enumerate(lists):
        for page in listed:
            pages[page].add(reader, 1)
            behind[page].add(reader)
        for site, gross in Counter(PAGES[page] for page in listed).items():
            sites[site].add(reader, gross)
    behind[GIFTS] = set(range(-gifts, 0))
    return *tellable(pages, sites, PAGES, range(-min(gifts, FEWEST), 0)), behind


@given(lists, st.integers(0, 4))
def test_nothing_that_can_be_worked_out_comes_from_fewer_than_three(lists, gifts):
    sites, pages, behind = told(lists, gifts)
    sums = [set(PAGES) | {GIFTS}, *({p for p in PAGES if PAGES[p] == site} for site in sites), *({p} for p in pages)]
    known = np.array([[at in of for at in range(GIFTS + 1)] for of in sums], dtype=float)
    everybody = set().union(*behind.values())
    some = [at for at in range(GIFTS + 1) if behind[at]]
    nothing = [at for at in range(GIFTS + 1) if not behind[at]]  # known to be nothing: it hides nobody
    known = np.vstack([known, *(np.eye(GIFTS + 1)[at] for at in nothing)])
    rank = np.linalg.matrix_rank(known)
    for size in range(1, len(some) + 1):
        for group in itertools.combinations(some, size):
            readers = set().union(*(behind[at] for at in group))
            asked = np.isin(np.arange(GIFTS + 1), group).astype(float)
            if len(readers) < FEWEST and readers != everybody:
                assert np.linalg.matrix_rank(np.vstack([known, asked])) > rank, group


@given(lists)
def test_what_tells_on_nobody_is_told(lists):
    sites, pages, behind = told(lists, 0)
    alone = set().union(*(behind[p] for p in PAGES if len(behind[p]) < FEWEST))
    enough = {p for p in PAGES if len(behind[p]) >= FEWEST}

    assert len(enough - pages) <= len(set(PAGES.values()))
    if not alone:
        assert (pages, sites) == (enough, {PAGES[p] for p in enough})


def test_the_smallest_that_would_give_others_away_is_kept_back():
    three, four, one = [{0}] * 3, [{3}] * 4, [{1}]

    assert told(three + four, 0)[:2] == ({"a", "b"}, {0, 3})
    assert told(three + four + one, 0)[:2] == ({"a", "b"}, {3})
    assert told(three + four + one * 3, 0)[:2] == ({"a", "b"}, {0, 1, 3})
    assert told(three + four, 1)[:2] == ({"b"}, {3})
    assert told(one * 2, 0)[:2] == (set(), set())
