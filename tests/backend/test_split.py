"""The split, a million months of it, against a few lines of plain Python that share nothing with it."""

import random
from collections import defaultdict

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend import ledger
from backend.money import MAX_MICROS
from backend.settlement import split
from backend.settlement.split import Lists

LAST_READER = 2**31 - 1
POTS = [0, 1, 2, 3, 7, 9_999, 10_000, 10_001, 999_999, 5_000_000, MAX_MICROS - 1, MAX_MICROS]
FEES = [0, 1, 250, 333, 9_999, 10_000]


def plain(pots, clicks, bps):
    """What each reader pays each, and what each owner gets and pays as fee: dictionaries and whole numbers only."""
    owners_of = defaultdict(set)
    for reader, owner in clicks:
        owners_of[reader].add(owner)
    shares = {reader: pots[reader] // len(owners) for reader, owners in owners_of.items()}
    gross = defaultdict(int)
    for reader, owners in owners_of.items():
        for owner in owners:
            gross[owner] += shares[reader]
    return (
        {reader: (len(owners), shares[reader]) for reader, owners in owners_of.items()},
        dict(gross),
        {owner: amount * bps // 10_000 for owner, amount in gross.items()},
    )


def in_arrays(pots, clicks, bps, *, chunks):
    """The same by the code of the settlement: chunks of readers, and what they gave added up by owner."""
    known = np.unique(np.array([owner for _, owner in clicks], dtype=np.int64))
    given, kept = {}, []
    for chunk in range(chunks):
        mine = np.array([click for click in clicks if click[0] % chunks == chunk], dtype=np.int64).reshape(-1, 2)
        lists = Lists.of(split.pack(mine[:, 0], np.searchsorted(known, mine[:, 1])))
        shares = lists.shares(np.array([pots[reader] for reader in lists.readers.tolist()], dtype=np.int64))
        given |= dict(
            zip(lists.readers.tolist(), zip(lists.owners.tolist(), shares.tolist(), strict=True), strict=True)
        )
        kept.append((known, lists.gross(shares, known.size)))
    owners, gross = split.sum_by_owner(*(np.concatenate(part) for part in zip(*kept, strict=True)))
    fees = ledger.fee(gross, bps).tolist()
    return given, *(dict(zip(owners.tolist(), amounts, strict=True)) for amounts in (gross.tolist(), fees))


def check(pots, clicks, bps, chunks=1):
    given, gross, fees = in_arrays(pots, clicks, bps, chunks=chunks)

    assert (given, gross, fees) == plain(pots, clicks, bps)
    assert sum(owners * share for owners, share in given.values()) == sum(gross.values())
    for reader, (owners, share) in given.items():
        assert share * owners <= pots[reader] < (share + 1) * owners
        assert ledger.even_share(pots[reader], owners) == share
    for owner, amount in gross.items():
        assert ledger.fee(amount, bps) == fees[owner]


def a_month(dice):
    """A few readers, some of them on each other's lists, with pages of one owner pressed again and again."""
    people = dice.sample(range(1, 40), dice.randint(1, 8))
    if dice.random() < 0.1:
        people.append(LAST_READER)
    pots = {reader: dice.choice(POTS) if dice.random() < 0.5 else dice.randrange(20_000_000) for reader in people}
    owners = dice.choices(range(1, dice.choice([2, 5, 40, 10**6])), k=dice.randint(1, 6)) + people
    clicks = [(dice.choice(people), dice.choice(owners)) for _ in range(dice.choice([0, 1, 3, 10, 25]))]
    return pots, [(reader, owner) for reader, owner in clicks if reader != owner]


def test_a_million_months_split_as_a_few_plain_lines_say(long):
    for number in range(1_000_000 if long else 25_000):
        dice = random.Random(number)  # so that a month that fails can be played again by its number
        pots, clicks = a_month(dice)
        try:
            check(pots, clicks, dice.choice(FEES), dice.choice([1, 1, 2, 3]))
        except AssertionError as error:
            raise AssertionError(f"month {number}: {pots} {clicks}") from error


people = st.integers(1, 12) | st.integers(1, LAST_READER)
pots = st.sampled_from(POTS) | st.integers(0, MAX_MICROS)
random_months = st.tuples(st.lists(st.tuples(people, people), max_size=60), st.lists(pots, min_size=60, max_size=60))
odd_months = st.one_of(
    # One reader of everybody; everybody's one owner; all of all; the same page over and over.
    st.integers(1, 300).map(lambda n: [(1, owner) for owner in range(2, n + 2)]),
    st.integers(1, 300).map(lambda n: [(reader, LAST_READER) for reader in range(1, n + 1)]),
    st.integers(1, 14).map(lambda n: [(r, o) for r in range(1, n + 1) for o in range(1, n + 1) if r != o]),
    st.integers(1, 300).map(lambda n: [(LAST_READER, 1)] * n),
)


def test_any_month_splits_as_a_few_plain_lines_say(long):
    @settings(max_examples=20_000 if long else 400, deadline=None, database=None, suppress_health_check=[*HealthCheck])
    @given(random_months | st.tuples(odd_months, st.lists(pots, min_size=60, max_size=60)), st.integers(0, 10_000))
    def any_month(month, bps):
        clicks, money = month
        readers = sorted({reader for reader, _ in clicks})
        check({reader: money[place % 60] for place, reader in enumerate(readers)}, clicks, bps, chunks=1 + bps % 3)

    any_month()


def test_a_month_of_many_readers_splits_as_a_few_plain_lines_say(long):
    dice = random.Random(5)
    readers = range(1, 200_001 if long else 10_001)
    pots = {reader: dice.randrange(20_000_000) for reader in readers}
    clicks = [(dice.choice(readers), dice.choice(readers[:2_000])) for _ in range(len(readers) * 10)]

    check(pots, clicks, 333, chunks=3)


def test_the_order_of_clicks_and_clicking_again_change_nothing():
    clicks = [(reader, owner) for reader in range(1, 30) for owner in range(1, 30) if (reader * owner) % 7 < 3]
    pots = {reader: 999_999 + reader for reader in range(1, 30)}
    once = in_arrays(pots, clicks, 333, chunks=1)

    dice = random.Random(7)
    for _ in range(50):
        again = clicks + dice.choices(clicks, k=20)
        dice.shuffle(again)
        assert in_arrays(pots, again, 333, chunks=dice.choice([1, 2, 5])) == once


def test_a_fee_is_the_same_for_one_amount_and_for_millions_and_fits_64_bits():
    dice = random.Random(11)
    amounts = [*POTS, 2**63 - 1, 2**62, *(dice.randrange(2**63) for _ in range(20_000))]
    for bps in (*FEES, *(dice.randrange(10_001) for _ in range(20))):
        exact = [amount * bps // 10_000 for amount in amounts]
        assert [ledger.fee(amount, bps) for amount in amounts] == exact
        assert ledger.fee(np.array(amounts, dtype=np.int64), bps).tolist() == exact


def test_a_month_without_clicks_splits_into_nothing():
    lists = Lists.of(np.empty(0, dtype=np.int64))
    assert (lists.readers.tolist(), lists.owners.tolist()) == ([], [])
    assert lists.gross(lists.shares(np.empty(0, dtype=np.int64)), 3).tolist() == [0, 0, 0]
