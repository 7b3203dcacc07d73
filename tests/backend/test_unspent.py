"""What of a wallet came which way, and so goes back which way; nothing gets stuck."""

import contextlib
import random
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import card_payments, cards, ledger
from backend.deposits.unspent import Unspent, unspent
from backend.ledger import BANK, CARDS, CLEARING, SUSPENSE, Transfer
from backend.money import CENT_MICROS, parse_amount
from backend.payouts import details, refunds
from tests.backend import office as offices
from tests.backend.town import NOW

WALLET, TRANSIT = ledger.wallet(7), ledger.transit(7)
COMES = {"deposit": BANK, "assigned": SUSPENSE, "payout_back": TRANSIT, "card": CARDS, "card_unrefund": TRANSIT}
LEAVES = {"charge": CLEARING, "payout": TRANSIT, "paid_back": BANK, "card_refund": TRANSIT, "card_taken": CARDS}
MOVES = st.lists(st.tuples(st.sampled_from([*COMES, *LEAVES]), st.integers(1, 6)), max_size=12)


def found_after(story, monkeypatch):
    """What is unspent after transfers of these codes, one a minute; they are read in no order."""
    rows = []
    for minute, (code, micros) in enumerate(story):
        debit, credit = (COMES[code], WALLET) if code in COMES else (WALLET, LEAVES[code])
        at = NOW + timedelta(minutes=minute)
        kept = "deposit" if code in ("assigned", "card") else code
        rows.append(Transfer(code=kept, debit_account_id=debit, credit_account_id=credit, amount_micros=micros, at=at))
    random.Random(0).shuffle(rows)
    monkeypatch.setattr(ledger, "transfers_of", lambda *_: rows)
    return unspent(SimpleNamespace(scalars=lambda _: []), 7)


def coin_by_coin(story):
    """The same with coins in a row: True came by card. Codes that leave take the coins that suit them first."""
    row = []
    for code, micros in story:
        by_card = code.startswith("card")
        for _ in range(micros):
            if code in COMES:
                row.append(by_card)
            else:
                row.remove(by_card if by_card in row and code != "charge" else row[0])
    return Unspent(sum(row), len(row) - sum(row))


@given(MOVES)
def test_oldest_money_is_spent_and_what_goes_back_went_the_way_it_came(story):
    possible, held = [], 0
    for code, micros in story:
        part = micros if code in COMES else min(micros, held)
        held += part if code in COMES else -part
        possible += [(code, part)] if part else []
    with pytest.MonkeyPatch.context() as patch:
        found = found_after(possible, patch)
    assert found == coin_by_coin(possible)
    assert found.by_card + found.by_bank == held


def test_a_refund_takes_what_came_its_way_though_other_money_is_older(monkeypatch):
    assert found_after([("card", 10), ("deposit", 10), ("payout", 10)], monkeypatch) == (10, 0)
    assert found_after([("deposit", 10), ("card", 10), ("card_refund", 10)], monkeypatch) == (0, 10)
    assert found_after([("card", 10), ("deposit", 10), ("charge", 12)], monkeypatch) == (0, 8)


def test_a_dispute_of_spent_money_takes_the_other_money_and_its_end_brings_card_money(monkeypatch):
    story = [("card", 10), ("deposit", 10), ("charge", 12), ("card_taken", 6)]
    assert found_after(story, monkeypatch) == (0, 2)
    assert found_after([*story, ("card", 5)], monkeypatch) == (5, 2)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_gets_stuck_whatever_happened(sessions, monkeypatch, seed):
    """Money comes, months take some, cards are disputed; then all goes back that may."""
    office, fate, cards_of = offices.office(sessions, monkeypatch), random.Random(seed), []
    office.claim("Bea", "bea.example.org")
    ann = office.people["Ann"]

    def taken(payment, micros, cause):
        said = (payment.key, payment.provider_id, "paid", payment.amount_micros, "EUR", (cards.Taking(cause, micros),))
        provider = SimpleNamespace(payment=lambda _: cards.Payment(*said), refund=_away)
        card_payments.reconcile(sessions, provider, payment.id, "EUR", now=office.now)

    for step in range(12):
        act = fate.choice(("bank", "card", "card", "month", "dispute", "won", "back", "back"))
        office.now += timedelta(hours=1)
        if act == "bank":
            office.from_bank("Ann", str(fate.randint(1, 20_000_000) / 10**6))
        elif act == "card":
            cards_of.append(office.card("Ann", str(fate.randint(5, 12))))
        elif act == "month":
            office.budget("Ann", str(fate.choice((1, 5, 20))))
            office.press("Ann", f"bea.example.org/{step}")
            office.now = (office.now.replace(day=1) + timedelta(days=32)).replace(day=1)
            office.settle()
        elif act in ("dispute", "won") and cards_of:
            payment = fate.choice(cards_of)
            with sessions() as session:
                payment = session.get_one(card_payments.CardPayment, payment.id)
            with contextlib.suppress(cards.CardsAway):  # refunds that were asked for go on waiting
                taken(payment, payment.amount_micros if act == "dispute" else 0, f"dp_{payment.id}")
        elif act == "back":
            give_back(office, fate)
        assert office.problems() == []
    give_back(office, None)
    with sessions() as session:
        left = unspent(session, ann.id)
        assert sum(left) == ledger.balance(session, ledger.wallet(ann.id))
        assert max(left) < CENT_MICROS
        # No more went to cards than was paid with them.
        assert all(p.taken_micros <= p.amount_micros for p in session.query(card_payments.CardPayment))
    assert office.problems() == []


def _away(*_):
    raise cards.CardsAway


def give_back(office, fate):
    """All that may go back each way, or, with *fate*, a part of it."""
    ann = office.people["Ann"]
    with office.sessions.begin() as session:
        if by_card := card_payments.refundable_by_card(session, ann):
            part = fate.randint(1, by_card // CENT_MICROS) * CENT_MICROS if fate else by_card
            card_payments.refund(session, ann, part, now=office.now)
        if refunds.refundable_by_bank(session, ann):
            if refunds.target(session, ann, "EUR") is None:
                details.change(session, session.merge(ann), offices.IBANS[0], "Ann", "EUR", now=office.now)
            refunds.request(session, ann, "EUR", now=office.now)


def test_a_worked_example(sessions, monkeypatch):
    """Card 20, bank 10, a month of 5: the month took card money, the oldest; 15 go back by card and 10 by bank."""
    office = offices.office(sessions, monkeypatch)
    office.claim("Bea", "bea.example.org")
    office.card("Ann", "20")
    office.from_bank("Ann", "10.005")
    office.budget("Ann", "5.00")
    office.press("Ann", "bea.example.org/")
    office.on("2026-11-01")
    office.settle()
    with sessions() as session:
        assert unspent(session, office.people["Ann"].id) == (parse_amount("15.00"), parse_amount("10.005"))
    give_back(office, None)
    assert office.balances()["Ann wallet"] == "0.005"
    assert office.balances()["Ann transit"] == "25.00"
