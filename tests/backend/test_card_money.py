"""Money from cards pays nobody out before it is thirty days old."""

import random
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from backend import audit, card_money, ledger
from backend.card_money import Held
from backend.settlement import lists, split
from backend.users import User

MICROS = st.integers(0, 10**9)


def held_on(town, day):
    """What is held of whose income, in micros, by name."""
    town.on(day)
    with town.sessions() as session:
        ids = {user.id: name for name, user in town.people.items()}
        return {ids[id_]: micros for id_, micros in card_money.held(session, list(ids), now=town.now).items()}


def test_what_older_money_does_not_cover_is_held_for_thirty_days(town):
    """Ann's month is 6.00 for three people: 4.00 of it from the bank, 2.00 from a card that paid on the 20th.

    So 0.666667 of each share of 2.00 comes from young card money. Bob's card paid in September, 40 days before.
    """
    for owner in ("Carl", "Dora", "Emil"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
    town.on("2026-09-22")
    town.person("Bob", budget="5.00")
    town.card("Bob", "5.00")
    town.on("2026-10-20")
    town.person("Ann", budget="6.00", wallet="4.00")
    town.card("Ann", "10.00")
    for owner in ("carl", "dora", "emil"):
        town.press("Ann", f"{owner}.example.org/")
    town.press("Bob", "carl.example.org/")
    town.on("2026-11-01")
    town.settle(fee_bps=1000)

    net = 666_667 - 66_666
    assert held_on(town, "2026-11-01") == {"Carl": net, "Dora": net, "Emil": net}
    assert held_on(town, "2026-11-19") == {"Carl": net, "Dora": net, "Emil": net}
    assert held_on(town, "2026-11-20") == {}


def test_each_payment_is_held_for_its_own_thirty_days(town):
    """Ann's month is 12.00 for Bea: by card, 5.00 of the 5th first, then 7.00 of the 8.00 of the 20th."""
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.on("2026-10-05")
    town.person("Ann", budget="12.00")
    town.card("Ann", "5.00")
    town.on("2026-10-20")
    town.card("Ann", "8.00")
    town.press("Ann", "bea.example.org/")
    town.on("2026-11-01")
    town.settle(fee_bps=333)
    whole, younger = 12_000_000 - ledger.fee(12_000_000, 333), 7_000_000 - ledger.fee(7_000_000, 333)

    assert [held_on(town, f"2026-11-{day}") for day in ("04", "05", "19", "20")] == [
        {"Bea": whole},
        {"Bea": younger},
        {"Bea": younger},
        {},
    ]
    with town.sessions() as session:
        assert audit.problems(session, full=True) == []


def test_nobody_is_asked_about_card_money_where_there_is_none_that_is_young(town, monkeypatch):
    monkeypatch.setattr(card_money, "young", lambda *_: pytest.fail("asked"))
    town.on("2026-09-01")
    town.person("Ann", budget="5.00")
    town.card("Ann", "20.00")
    test_a_month_without_young_card_money_holds_nothing(town)


def test_all_of_an_income_can_be_held_and_no_more(town):
    town.person("Ann", budget="5.00")
    town.card("Ann", "20.00")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    town.on("2026-11-01")
    town.settle(fee_bps=333)
    with town.sessions() as session:
        income = ledger.balance(session, ledger.income(town.people["Bea"].id))
    assert held_on(town, "2026-11-01") == {"Bea": income}


def test_a_refund_makes_less_of_it_young(town):
    town.person("Ann", budget="5.00", wallet="5.00")
    payment = town.card("Ann", "20.00")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    with town.sessions.begin() as session:
        session.execute(sa.update(card_money.CardPayment).values(taken_micros=19_000_000))
        gone = ledger.Posting("gone", "1", ledger.wallet(payment.user_id), ledger.CARDS, 23_000_000, ledger.CARDS)
        ledger.post(session, [gone], now=town.now)
    town.on("2026-11-01")
    with town.sessions() as session:
        found = card_money.young(session, lambda _: sa.true(), town.now)
    assert [list(column) for column in found] == [[payment.user_id], [20_762], [1_000_000]]


def slow(share, owners, wallet, young):
    """By hand: spend other money first; what is left comes from young card money, the same for every owner."""
    other = wallet - min(wallet, young)
    from_young = max(0, share * owners - other)
    return min(share, ceil(Fraction(from_young, owners)))


@given(st.lists(st.tuples(MICROS, st.integers(1, 40), MICROS, MICROS), min_size=1))
def test_many_at_once_are_held_as_one_by_one(readers):
    readers = [(min(pot, wallet) // owners, owners, wallet, young) for pot, owners, wallet, young in readers]
    columns = [np.array(column, dtype=np.int64) for column in zip(*readers, strict=True)]
    held = split.held_shares(*columns)
    assert held.tolist() == [slow(*reader) for reader in readers]
    for each, (share, owners, wallet, young) in zip(held.tolist(), readers, strict=True):
        assert 0 <= each <= share
        assert each * owners >= share * owners - (wallet - min(wallet, young))  # nothing young goes out


@pytest.mark.parametrize("seed", range(3))
def test_a_month_of_all_kinds_of_readers_is_held_as_reckoned_by_hand(town, monkeypatch, seed):
    monkeypatch.setattr(lists, "READERS_PER_CHUNK", 4)
    fate = random.Random(seed)
    owners = [f"Owner{n}" for n in range(4)]
    for owner in owners:
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
    expected, readers = {}, []
    for number in range(10):
        reader, bank = f"Reader{number}", fate.choice((0, 3_000_001, 8_000_000))
        town.on("2026-09-20")
        town.person(reader, budget="5.00", wallet=str(bank / 1e6) if bank else None)
        old = fate.choice((0, 5))
        if old:
            town.card(reader, "5.00")
        town.on("2026-10-20")
        young = fate.choice((0, 0, 5, 7))
        if young:
            town.card(reader, str(young))
        people = fate.sample(owners, k=fate.randint(1, 4))
        for owner in people:
            town.press(reader, f"{owner.lower()}.example.org/")
        readers.append((people, bank + (old + young) * 10**6, young * 10**6))
    for people, wallet, young in readers:
        for owner in people:
            each = slow(min(5_000_000, wallet) // len(people), len(people), wallet, young)
            expected[owner] = expected.get(owner, 0) + each
    town.on("2026-11-01")
    town.settle()
    assert held_on(town, "2026-11-15") == {owner: micros for owner, micros in expected.items() if micros}
    with town.sessions() as session:
        assert audit.problems(session, full=True) == []
        assert session.scalar(sa.select(sa.func.count()).select_from(Held)) == sum(1 for m in expected.values() if m)


def test_a_month_without_young_card_money_holds_nothing(town):
    town.on("2026-10-20")
    town.person("Ann", budget="5.00", wallet="20.00")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    town.on("2026-11-01")
    town.settle()
    assert held_on(town, "2026-11-01") == {}


def test_more_held_than_came_in_is_found(town):
    test_all_of_an_income_can_be_held_and_no_more(town)
    with town.sessions.begin() as session:
        session.execute(sa.update(Held).values(held_micros=Held.held_micros + 1))
        owner = session.scalar(sa.select(User.id).where(User.email == "bea@example.org"))
    assert town.problems() == [f"More is held of the income of user {owner} than came in."]
