"""Statements: what a reader gave and an owner received, to the micro, and nothing about anybody else."""

import json

import pytest

from backend.statements import Given, Received


@pytest.fixture
def october(town):
    """Three readers, and Bea with two sites."""
    town.person("Bea")
    town.person("Carl")
    for owner, site in (("Bea", "bea.example.org"), ("Bea", "bea.example.net"), ("Carl", "carl.example.org")):
        town.claim(owner, site)
    for reader, budget in (("Ann", "1.00"), ("Emil", "2.00"), ("Fay", "4.00")):
        town.person(reader, budget=budget, wallet="10.00")
        town.press(reader, "bea.example.org/1", title="One")
        town.press(reader, "carl.example.org/")
    town.press("Ann", "bea.example.org/2")
    town.press("Ann", "bea.example.net/3")
    town.press("Emil", "bea.example.net/3")
    town.press("Fay", "dora.example.org/")
    return town


def test_before_a_month_is_settled_there_is_nothing_to_state(october):
    october.on("2026-11-02")
    for name in ("Ann", "Bea"):
        statement = october.statement(name, "2026-10")
        assert (statement.given, statement.received) == (Given(), Received())


def test_a_reader_sees_each_person_once_with_all_pages(october):
    october.on("2026-11-02")
    october.settle()
    given = october.statement("Ann", "2026-10").given

    assert (given.charged_micros, given.owners, given.share_micros, given.dust_micros) == (1_000_000, 2, 500_000, 0)
    assert [(line.name, line.amount_micros) for line in given.lines] == [("Bea", 500_000), ("Carl", 500_000)]
    assert given.lines[0].owner_id == october.people["Bea"].public_id
    assert given.lines[0].pages == [
        "https://bea.example.net/3",
        "https://bea.example.org/1",
        "https://bea.example.org/2",
    ]


def test_what_stays_unowned_is_on_no_statement(october):
    october.on("2026-11-02")
    october.settle()
    given = october.statement("Fay", "2026-10").given
    assert (given.owners, given.share_micros) == (2, 2_000_000)
    assert "dora" not in json.dumps(october.statement("Fay", "2026-10").as_json())


def test_an_owner_sees_pages_and_amounts_but_no_amount_below_three_readers(october):
    october.on("2026-11-02")
    october.settle(fee_bps=1_000)
    received = october.statement("Bea", "2026-10").received

    assert (received.received_micros, received.fee_micros, received.readers) == (3_150_000, 350_000, 3)
    assert [(line.url, line.title, line.site, line.readers, line.gross_micros) for line in received.lines] == [
        ("https://bea.example.net/3", None, "bea.example.net", 2, None),
        # a third of Ann's 0.50, rounded in favour of the first page; half of Emil's 1.00; all of Fay's 2.00
        ("https://bea.example.org/1", "One", "bea.example.org", 3, 166_668 + 500_000 + 2_000_000),
        ("https://bea.example.org/2", None, "bea.example.org", 1, None),
    ]


def test_no_statement_of_an_owner_names_a_reader(october):
    october.on("2026-11-02")
    october.settle()
    text = json.dumps(october.statement("Bea", "2026-10").as_json())
    for reader in ("Ann", "Emil", "Fay"):
        assert october.people[reader].public_id not in text
        assert reader not in text


def test_what_readers_gave_is_what_owners_received_and_the_fee(october):
    october.on("2026-11-02")
    result = october.settle(fee_bps=333)
    said = [october.statement(name, "2026-10") for name in october.people]

    assert sum(s.given.charged_micros for s in said) == result.charged_micros == 7_000_000
    assert sum(s.received.received_micros for s in said) == result.received_micros
    assert sum(s.received.fee_micros for s in said) == result.fee_micros


def test_a_reader_with_an_empty_wallet_gave_nothing(town):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.person("Poor", budget="5.00")
    town.press("Poor", "bea.example.org/")
    town.on("2026-11-02")
    town.settle()
    assert town.statement("Poor", "2026-10").given == Given()
    assert town.statement("Bea", "2026-10").received == Received()


def test_months_are_stated_apart(october):
    october.on("2026-11-02")
    october.settle()
    october.press("Ann", "carl.example.org/")
    october.on("2026-12-02")
    october.settle()

    assert [line.name for line in october.statement("Ann", "2026-11").given.lines] == ["Carl"]
    assert october.statement("Ann", "2026-10").given.owners == 2
    assert october.statement("Bea", "2026-11").received == Received()
    assert october.statement("Ann", "2026-09").given == Given()
