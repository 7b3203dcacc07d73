"""Readers take unspent money back the way it came; who leaves is paid by bank where it is known how."""

import pytest
import sqlalchemy as sa

from backend.card_money import RIPENS, CardRefund
from backend.clicks import NotSettledYet
from backend.db import Base
from backend.deposits import Deposit
from backend.money import parse_amount
from backend.payouts import refunds
from backend.payouts.refunds import NoAccount, NothingToRefund
from backend.payouts.tables import Payout, PayoutDetails
from tests.backend import office as offices
from tests.backend.at_once import at_once
from tests.backend.office import IBANS
from tests.backend.town import amount


@pytest.fixture
def office(sessions, monkeypatch):
    return offices.office(sessions, monkeypatch)


def refundable(office, name):
    with office.sessions() as session:
        return amount(refunds.refundable_by_bank(session, office.people[name]))


def test_unspent_money_goes_back_to_the_account_it_came_from(office):
    office.from_bank("Ann", "20.009999", IBANS[2], payer="Ann's mother")
    assert office.take_back("Ann") == "20.00"
    assert office.balances() == {"bank": "-20.009999", "Ann wallet": "0.009999", "Ann transit": "20.00"}
    batch = office.exported()
    [payout] = office.rows(Payout)
    assert (payout.purpose, payout.iban, payout.holder) == ("refund", IBANS[2], "Ann's mother")
    office.act("confirm", batch.id)
    assert office.balances() == {"bank": "-0.009999", "Ann wallet": "0.009999"}


def test_nothing_is_given_back_twice(office):
    office.from_bank("Ann", "20.00")

    def take():
        with office.sessions.begin() as session:
            return refunds.request(session, office.people["Ann"], "EUR", now=office.now)

    found = at_once(take, take, take)
    assert sorted(type(one).__name__ for one in found) == ["NothingToRefund", "NothingToRefund", "Payout"]
    assert office.problems() == []


def test_the_latest_account_counts_and_one_that_sent_money_back_does_not(office):
    office.from_bank("Ann", "5.00", IBANS[2])
    office.on("2026-10-06")
    office.from_bank("Ann", "5.00", IBANS[3])
    office.take_back("Ann")
    batch = office.exported()
    [payout] = office.rows(Payout)
    assert payout.iban == IBANS[3]
    office.act("fail", payout.id, "EUR")
    office.act("confirm", batch.id)
    assert office.balances()["Ann wallet"] == "10.00"
    with pytest.raises(NoAccount):
        office.take_back("Ann")
    office.account("Ann", IBANS[0])
    assert office.take_back("Ann") == "10.00"
    assert office.rows(Payout)[-1].iban == IBANS[0]


def test_money_that_an_operator_booked_goes_to_the_account_on_file_after_its_hold(office):
    office.deposit("Ann", "20.00")
    with pytest.raises(NoAccount):
        office.take_back("Ann")
    office.account("Ann")
    assert office.take_back("Ann") == "20.00"
    office.on("2026-10-12", hour=11)
    assert office.prepare().batch is None
    office.on("2026-10-12", hour=12)
    assert office.prepare().batch.total_micros == parse_amount("20.00")


@pytest.mark.parametrize("iban", ["DE00", "x", "US64SVBKUS6S3300958879"])
def test_an_account_that_cannot_be_paid_is_as_good_as_none(office, iban):
    office.from_bank("Ann", "20.00", iban)
    with pytest.raises(NoAccount):
        office.take_back("Ann")


def test_an_empty_wallet_is_refused(office):
    with pytest.raises(NothingToRefund):
        office.take_back("Ann")
    office.from_bank("Ann", "0.009999")
    with pytest.raises(NothingToRefund):
        office.take_back("Ann")


def test_money_that_an_ended_month_may_still_take_stays_until_it_is_settled(office):
    office.claim("Bea", "bea.example.org")
    office.budget("Ann", "5.00")
    office.from_bank("Ann", "20.00")
    office.press("Ann", "bea.example.org/")
    office.on("2026-11-01", hour=0)
    with pytest.raises(NotSettledYet, match="2026-10"):
        office.take_back("Ann")
    office.settle("2026-10")
    assert office.take_back("Ann") == "15.00"


def test_before_the_month_ends_a_reader_can_take_everything_back(office):
    office.claim("Bea", "bea.example.org")
    office.budget("Ann", "5.00")
    office.from_bank("Ann", "20.00")
    office.press("Ann", "bea.example.org/")
    assert office.take_back("Ann") == "20.00"
    office.on("2026-11-02")
    assert office.settle("2026-10").charged_micros == 0


def spend(office, name, micros):
    """A settled month of the only reader with a click: *micros* are charged."""
    month = office.now.strftime("%Y-%m")
    office.budget(name, micros)
    office.press(name, f"bea.example.org/{month}")
    later = (office.now.month % 12) + 1
    office.on(f"{office.now.year + (later == 1)}-{later:02d}-02")
    assert amount(office.settle(month).charged_micros) == micros


@pytest.mark.parametrize(
    ("story", "left"),
    [
        (["bank 20", "card 10"], "20.00"),
        (["card 20", "bank 10"], "10.00"),
        (["card 20", "bank 10", "spend 5.00"], "10.00"),  # the oldest first: from the card
        (["bank 20", "card 10", "spend 5.00"], "15.00"),
        (["card 5", "bank 10", "spend 12.00"], "3.00"),
        (["bank 10", "card 10", "spend 12.00"], "0.00"),
        (["bank 10", "back", "card 10", "spend 5.00", "bank 7"], "7.00"),
        (["card 20", "bank 10", "back", "bank 3"], "3.00"),
        (["bank 10", "spend 4.00", "card 10", "back", "card 5"], "0.00"),
        (["card 10"], "0.00"),
    ],
)
def test_what_came_by_card_does_not_go_back_by_bank_and_the_oldest_money_is_spent_first(office, story, left):
    office.claim("Bea", "bea.example.org")
    for day, told in enumerate(story):
        act, _, much = told.partition(" ")
        if act == "spend":
            spend(office, "Ann", much)
        elif act == "back":
            office.take_back("Ann")
        else:
            (office.from_bank if act == "bank" else office.card)("Ann", much)
        office.on(f"{office.now.year}-{office.now.month:02d}-{6 + day:02d}", hour=12)
    assert refundable(office, "Ann") == left


def test_what_came_back_can_be_taken_back_again(office):
    office.card("Ann", "5.00")
    office.from_bank("Ann", "10.00")
    office.take_back("Ann")
    office.exported()
    office.act("fail", office.rows(Payout)[0].id, "EUR")
    assert refundable(office, "Ann") == "10.00"


def test_a_cancelled_batch_keeps_its_refunds_for_the_next_one(office):
    office.from_bank("Ann", "20.00")
    office.take_back("Ann")
    batch = office.prepare().batch
    office.act("cancel", batch.id)
    assert office.balances()["Ann transit"] == "20.00"
    assert office.prepare().batch.total_micros == parse_amount("20.00")
    assert len(office.rows(Payout)) == 1


def test_a_refund_that_waits_can_be_called_off(office):
    office.from_bank("Ann", "20.00")
    office.take_back("Ann")
    [payout] = office.rows(Payout)
    assert [office.act("fail", payout.id, "EUR"), office.act("fail", payout.id, "EUR")] == [True, False]
    assert office.balances()["Ann wallet"] == "20.00"
    assert office.prepare().batch is None


# Leaving --------------------------------------------------------------------------------------------------------------


def test_who_leaves_gets_wallet_and_income_by_bank_whatever_the_amount(office):
    office.paid("Ann", "3.337777")
    office.from_bank("Ann", "1.00", IBANS[2])
    office.account("Ann", IBANS[0])
    office.on("2026-10-20")
    left = office.leave("Ann")
    assert [amount(m) for m in (left.on_its_way_micros, left.paid_back_micros, left.rest_micros)] == [
        "4.33",
        "0.00",
        "0.007777",
    ]
    assert {(payout.purpose, payout.iban) for payout in office.rows(Payout)} == {
        ("refund", IBANS[2]),
        ("income", IBANS[0]),
    }
    assert not [to for to, _ in office.mails() if to in ("olga", "otto")]
    assert office.rows(PayoutDetails) == []
    assert [deposit.payer_iban for deposit in office.rows(Deposit, Deposit.source == "bank")] == [None]
    batch = office.exported()
    office.act("confirm", batch.id)
    assert {payout.iban for payout in office.rows(Payout)} == {None}
    assert office.balances() == {"bank": "-0.007777", "fees": "0.007777"}


def test_who_leaves_while_the_account_is_new_is_paid_after_its_hold(office):
    office.paid("Ann", "3.00")
    office.account("Ann")
    office.leave("Ann")
    assert office.prepare().batch is None
    office.on("2026-10-12")
    assert office.prepare().batch.total_micros == parse_amount("3.00")


def test_who_leaves_without_an_account_is_paid_by_hand_as_before(office):
    office.paid("Ann", "3.00")
    office.deposit("Ann", "2.00")
    left = office.leave("Ann")
    assert (left.on_its_way_micros, left.paid_back_micros) == (0, parse_amount("5.00"))
    assert ("olga", "Pay 5.00\N{NO-BREAK SPACE}€ back") in office.mails()
    assert office.problems() == []


def test_income_goes_to_the_account_that_deposits_came_from_when_no_other_is_known(office):
    office.paid("Ann", "3.00")
    office.from_bank("Ann", "1.00", IBANS[2])
    assert amount(office.leave("Ann").on_its_way_micros) == "4.00"


def test_who_leaves_gets_by_card_what_came_by_card_and_the_rest_by_bank(office):
    office.card("Ann", "5.00")
    office.from_bank("Ann", "2.004")
    left = office.leave("Ann")
    parts = (left.on_its_way_micros, left.paid_back_micros, left.rest_micros)
    assert [amount(micros) for micros in parts] == ["7.00", "0.00", "0.004"]
    assert [refund.amount_micros for refund in office.rows(CardRefund)] == [parse_amount("5.00")]
    assert [payout.amount_micros for payout in office.rows(Payout)] == [parse_amount("2.00")]
    assert office.problems() == []


def test_income_from_cards_follows_when_it_is_no_longer_held(office, monkeypatch):
    ann = office.people["Ann"].id
    office.paid("Ann", "10.00")
    office.account("Ann")
    office.on("2026-10-20")
    monkeypatch.setattr("backend.payouts.refunds.held", lambda session, owners, *, now: {ann: parse_amount("4.00")})
    office.leave("Ann")
    assert office.prepare().batch.total_micros == parse_amount("6.00")
    office.act("cancel", 1)  # who left does not ask again: it waits for the next batch
    assert office.balances() == {"bank": "-10.00", "Somebody who left transit": "10.00"}
    office.now += RIPENS
    assert office.prepare().batch.total_micros == parse_amount("10.00")


def test_a_refund_that_is_on_its_way_outlives_its_reader(office):
    office.from_bank("Ann", "20.00")
    office.take_back("Ann")
    office.leave("Ann")
    batch = office.exported()
    office.act("confirm", batch.id)
    assert office.balances() == {}
    assert office.rows(Payout)[0].iban is None


def test_no_table_keeps_the_bank_data_of_who_left_and_was_paid(office):
    office.paid("Ann", "30.00")
    office.from_bank("Ann", "20.00", IBANS[2], payer="Ann Bank")
    office.account("Ann", IBANS[0], "Ann Holder")
    office.on("2026-10-20")
    batch = office.exported()
    office.act("confirm", batch.id)
    office.leave("Ann")
    office.act("confirm", office.exported().id)
    with office.sessions() as session:
        kept = [
            (table.name, str(row))
            for table in Base.metadata.sorted_tables
            for row in session.execute(sa.select(table))
            if any(word in str(row) for word in (IBANS[0], IBANS[2], "Ann Bank", "Ann Holder"))
        ]
    assert kept == []
