"""Months as an accountant would write them down: every balance after every step."""

import pytest

from backend import demo
from backend.errors import PeriodEnded
from backend.settlement import EarlierOpen, NotOver
from tests.backend.town import amount


def test_three_people_share_five_euros_and_the_dust_stays_with_the_reader(town):
    town.person("Ann", budget="5.00", wallet="20.00")
    assert town.balances() == {"bank": "-20.00", "Ann wallet": "20.00"}

    for owner in ("Bea", "Carl", "Dora"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
        town.press("Ann", f"{owner.lower()}.example.org/post")
    assert town.balances() == {"bank": "-20.00", "Ann wallet": "20.00"}
    assert (town.month("Ann").owners, town.month("Ann").share_micros) == (3, 1_666_666)

    town.on("2026-11-01")
    result = town.settle("2026-10")
    assert (result.readers, result.owners, result.clicks, result.promises) == (1, 3, 3, 0)
    assert (result.charged_micros, result.received_micros, result.fee_micros) == (4_999_998, 4_999_998, 0)
    assert town.balances() == {
        "bank": "-20.00",
        "Ann wallet": "15.000002",
        "Bea income": "1.666666",
        "Carl income": "1.666666",
        "Dora income": "1.666666",
    }
    given = town.statement("Ann", "2026-10").given
    assert (given.owners, given.share_micros, given.charged_micros, given.dust_micros) == (3, 1_666_666, 4_999_998, 2)
    assert [line.name for line in given.lines] == ["Bea", "Carl", "Dora"]


def test_pressing_more_never_costs_more_and_two_sites_of_one_owner_are_one_person(town):
    town.person("Ann", budget="6.00", wallet="6.00")
    for owner, site in (("Bea", "bea.example.org"), ("Bea", "bea.example.net"), ("Carl", "carl.example.org")):
        town.person(owner)
        town.claim(owner, site)
    for page in ("bea.example.org/1", "bea.example.org/2", "bea.example.net/", "carl.example.org/"):
        town.press("Ann", page)

    town.on("2026-11-01")
    town.settle()

    assert town.balances() == {"bank": "-6.00", "Bea income": "3.00", "Carl income": "3.00"}
    lines = town.statement("Bea", "2026-10").received.lines
    assert [(line.url, line.readers, line.gross_micros) for line in lines] == [
        ("https://bea.example.net/", 1, None),
        ("https://bea.example.org/1", 1, None),
        ("https://bea.example.org/2", 1, None),
    ]


def test_a_page_shows_its_amount_to_its_owner_from_three_readers_on(town):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    for reader in ("Ann", "Carl", "Dora"):
        town.person(reader, budget="5.00", wallet="5.00")
        town.press(reader, "bea.example.org/loved")
        town.press(reader, f"bea.example.org/only-by-{reader.lower()}")

    town.on("2026-11-01")
    town.settle()

    received = town.statement("Bea", "2026-10").received
    assert (received.received_micros, received.readers) == (15_000_000, 3)
    assert [(line.url, line.readers, line.gross_micros) for line in received.lines] == [
        ("https://bea.example.org/loved", 3, 7_500_000),
        *((f"https://bea.example.org/only-by-{reader}", 1, None) for reader in ("ann", "carl", "dora")),
    ]


def test_a_promise_takes_no_money_until_its_owner_comes_and_then_counts_in_the_open_month(town):
    town.person("Ann", budget="4.00", wallet="10.00")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    shown, _ = town.press("Ann", "carl.example.org/essay")
    assert (shown.state, shown.rule, shown.owner) == ("promise", "promise_host", None)

    town.on("2026-11-03")
    result = town.settle()
    assert (result.clicks, result.promises) == (1, 1)
    assert town.balances() == {"bank": "-10.00", "Ann wallet": "6.00", "Bea income": "4.00"}

    town.on("2026-11-20")
    town.person("Carl")
    assert town.claim("Carl", "carl.example.org").begun
    joined = town.month("Ann").clicks
    assert [(click.url, click.state, click.promised_in) for click in joined] == [
        ("https://carl.example.org/essay", "counts", "2026-10")
    ]
    assert town.balances() == {"bank": "-10.00", "Ann wallet": "6.00", "Bea income": "4.00"}

    town.on("2026-12-01")
    assert town.settle().promises == 0
    assert town.balances() == {"bank": "-10.00", "Ann wallet": "2.00", "Bea income": "4.00", "Carl income": "4.00"}


def test_a_promise_that_joined_can_be_withdrawn_and_does_not_come_back(town):
    town.person("Ann", budget="4.00", wallet="10.00")
    page_id = town.press("Ann", "carl.example.org/")[0].page_id
    town.on("2026-11-02")
    town.settle()
    town.person("Carl")
    town.claim("Carl", "carl.example.org")

    town.undo("Ann", page_id)
    town.give_up("Carl", "carl.example.org")
    town.claim("Carl", "carl.example.org")

    assert town.month("Ann").clicks == []
    town.on("2026-12-01")
    town.settle()
    assert town.balances() == {"bank": "-10.00", "Ann wallet": "10.00"}


def test_a_site_claimed_later_in_the_same_month_counts(town):
    town.person("Ann", budget="4.00", wallet="4.00")
    town.press("Ann", "bea.example.org/")
    town.on("2026-10-31", hour=23)
    town.person("Bea")
    town.claim("Bea", "bea.example.org")

    assert town.month("Ann").clicks[0].state == "counts"
    town.on("2026-11-01")
    town.settle()
    assert town.balances() == {"bank": "-4.00", "Bea income": "4.00"}


def test_a_claim_after_the_month_does_not_change_its_list_but_joins_the_next(town):
    town.person("Ann", budget="4.00", wallet="10.00")
    town.press("Ann", "bea.example.org/")
    town.on("2026-11-01")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")

    town.on("2026-11-02")
    result = town.settle("2026-10")

    assert (result.clicks, result.promises, result.charged_micros) == (0, 1, 0)
    assert [click.state for click in town.month("Ann").clicks] == ["counts"]
    town.on("2026-12-01")
    town.settle("2026-11")
    assert town.balances() == {"bank": "-10.00", "Ann wallet": "6.00", "Bea income": "4.00"}


def test_a_promise_older_than_another_users_claim_does_not_pass_to_the_new_owner(town):
    town.person("Ann", budget="4.00", wallet="10.00")
    town.person("Thief")
    town.person("New")
    town.claim("Thief", "site.example.org")
    town.press("Ann", "site.example.org/before")
    town.on("2026-10-10")
    town.revoke("site.example.org")
    town.press("Ann", "site.example.org/after")
    town.on("2026-11-02")
    assert town.settle().promises == 2

    town.on("2026-11-10")
    town.claim("New", "site.example.org")
    assert [click.url for click in town.month("Ann").clicks] == ["https://site.example.org/after"]


def test_clicks_from_the_time_of_a_claim_stay_with_that_claimant(town):
    town.person("Ann", budget="4.00", wallet="10.00")
    town.person("Old")
    town.person("New")
    town.claim("Old", "site.example.org")
    town.press("Ann", "site.example.org/old")
    town.on("2026-10-10")
    town.give_up("Old", "site.example.org")
    town.on("2026-10-12")
    town.claim("New", "site.example.org")
    assert town.month("Ann").clicks[0].owner.name == "Old"

    town.press("Ann", "site.example.org/new")
    town.on("2026-11-01")
    town.settle()
    assert town.balances() == {"bank": "-10.00", "Ann wallet": "6.00", "Old income": "2.00", "New income": "2.00"}


def test_a_revoked_claim_is_paid_nothing(town):
    town.person("Ann", budget="4.00", wallet="10.00")
    town.person("Thief")
    town.claim("Thief", "site.example.org")
    town.press("Ann", "site.example.org/")
    town.on("2026-10-20")
    town.revoke("site.example.org")

    town.on("2026-11-01")
    result = town.settle()
    assert (result.charged_micros, result.promises) == (0, 1)
    assert town.balances() == {"bank": "-10.00", "Ann wallet": "10.00"}


def test_a_fee_is_taken_once_per_owner_and_month_rounded_in_the_owners_favour(town):
    for reader in ("Ann", "Carl"):
        town.person(reader, budget="3.33", wallet="3.33")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    for reader in ("Ann", "Carl"):
        town.press(reader, "bea.example.org/")

    town.on("2026-11-01")
    result = town.settle(fee_bps=333)

    assert (result.charged_micros, result.fee_micros, result.received_micros) == (6_660_000, 221_778, 6_438_222)
    assert town.balances() == {"bank": "-6.66", "Bea income": "6.438222", "fees": "0.221778"}
    received = town.statement("Bea", "2026-10").received
    assert (received.received_micros, received.fee_micros) == (6_438_222, 221_778)


def test_a_month_with_nobody_on_the_list_costs_nothing(town):
    town.person("Ann", budget="5.00", wallet="5.00")
    town.press("Ann", "nobody.example.org/")
    town.on("2026-11-01")
    assert town.settle().charged_micros == 0
    assert town.balances() == {"bank": "-5.00", "Ann wallet": "5.00"}


def test_an_empty_wallet_charges_nothing_and_a_small_one_is_all_there_is(town):
    for owner in ("Bea", "Carl", "Dora"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
    town.person("Poor", budget="5.00")
    town.person("Penny", budget="5.00", wallet="0.000002")
    town.person("Dime", budget="5.00", wallet="0.10")
    for reader in ("Poor", "Penny", "Dime"):
        for owner in ("bea", "carl", "dora"):
            town.press(reader, f"{owner}.example.org/")

    town.on("2026-11-01")
    assert town.settle().readers == 1
    assert town.balances() == {
        "bank": "-0.100002",
        "Penny wallet": "0.000002",
        "Dime wallet": "0.000001",
        "Bea income": "0.033333",
        "Carl income": "0.033333",
        "Dora income": "0.033333",
    }


def test_own_clicks_from_before_a_claim_are_left_out_at_settlement(town):
    town.person("Bea", budget="5.00", wallet="5.00")
    town.person("Carl")
    town.press("Bea", "bea.example.org/")
    town.press("Bea", "carl.example.org/")
    town.claim("Bea", "bea.example.org")
    town.claim("Carl", "carl.example.org")

    town.on("2026-11-01")
    result = town.settle()
    assert (result.clicks, result.promises) == (1, 0)
    assert town.balances() == {"bank": "-5.00", "Carl income": "5.00"}


def test_the_budget_in_force_at_the_end_of_the_month_counts_not_a_later_one(town):
    town.person("Ann", budget="5.00", wallet="50.00")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    town.on("2026-10-30")
    town.budget("Ann", "7.00")
    town.on("2026-11-01")
    town.budget("Ann", "30.00")

    town.settle("2026-10")
    assert town.balances()["Bea income"] == "7.00"


def test_months_are_settled_in_order_when_they_are_over(town):
    town.person("Ann", budget="5.00", wallet="50.00")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    with pytest.raises(NotOver):
        town.settle("2026-10")
    town.on("2026-11-15")
    town.press("Ann", "bea.example.org/")
    town.on("2026-12-01")
    with pytest.raises(EarlierOpen):
        town.settle("2026-11")

    assert [town.settle().period, town.settle().period] == ["2026-10", "2026-11"]
    assert town.balances() == {"bank": "-50.00", "Ann wallet": "40.00", "Bea income": "10.00"}


def test_settling_twice_answers_the_same_and_pays_once(town):
    town.person("Ann", budget="5.00", wallet="50.00")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    town.on("2026-11-01")

    first = town.settle("2026-10")
    town.on("2026-11-09")
    assert town.settle("2026-10", fee_bps=500) == first
    assert town.balances()["Bea income"] == "5.00"


def test_nothing_about_an_ended_month_can_be_undone(town):
    town.person("Ann", budget="5.00", wallet="50.00")
    page_id = town.press("Ann", "bea.example.org/")[0].page_id
    town.on("2026-11-01", hour=0)
    with pytest.raises(PeriodEnded):
        town.undo("Ann", page_id, "2026-10")
    assert len(town.month("Ann", "2026-10").clicks) == 1


def test_amounts_are_written_as_people_write_them():
    assert [amount(micros) for micros in (0, 1, 10_000, 1_666_666, -5_000_000)] == [
        "0.00",
        "0.000001",
        "0.01",
        "1.666666",
        "-5.00",
    ]


def test_the_demo_tells_of_the_bank_both_ways_and_its_books_add_up(capsys):
    with pytest.raises(SystemExit) as ended:
        demo.demo(["month"], standalone_mode=False)
    told = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    for said in (
        "3 transfers name their readers, 0 wait for theirs",
        "2 owners have 5.00 € or more, 18.50 € together",
        "transit of Emil │ 9.50 €",
        "The audit finds nothing",
    ):
        assert said in told
