"""Statements: what a reader gave and an owner received, to the micro, and nothing about anybody else."""

import csv
import io
import json
from dataclasses import replace

import pytest

from backend import ledger, statements
from backend.statements import Given, Received
from tests.backend.browser import Visitor, on


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
    for reader in ("Ann", "Fay"):
        town.press(reader, "bea.example.org/2")
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
        # a third of Ann's 0.50, rounded in favour of the first page; half of Emil's 1.00 and of Fay's 2.00
        ("https://bea.example.org/1", "One", "bea.example.org", 3, 166_668 + 500_000 + 1_000_000),
        ("https://bea.example.org/2", None, "bea.example.org", 2, None),
    ]


def test_an_amount_that_would_give_another_one_away_is_kept_back_everywhere(october, config):
    """Three readers on one page, and Ann alone on another: the total less the one would be hers."""
    for reader in ("Ann", "Emil", "Fay"):
        october.press(reader, "carl.example.org/")
    october.press("Ann", "carl.example.org/rare")
    october.on("2026-11-02")
    october.settle()
    with on(config, "2026-11-02") as november:
        carl = Visitor(november)
        carl.sign_in("carl@example.org")
        for path in ("/income", "/statements/2026-11"):
            page = carl.visit(path)
            assert "kept back" in page.text
            assert "3.250000 €" not in page.text
        told = carl.client.get("/statements/2026-11.json").json["movements"][0]["lines"]
        assert [(line["readers"], line["gross_micros"]) for line in told] == [(3, None), (1, None)]
    received = october.statement("Carl", "2026-10").received
    assert [site.gross_micros for site in received.sites] == [received.received_micros]
    rows = [row for row in october.statement("Carl", "2026-10").rows() if row[0] == "received"]
    assert [row[3:5] for row in rows] == [(3, None), (1, None)]


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


# All that moved -------------------------------------------------------------------------------------------------------


def moved(statement, account):
    return [(m.at[:10], m.code, m.about, m.amount_micros) for m in statement.movements if m.account == account]


def test_a_month_is_charged_on_the_statement_of_the_day_it_was_settled(october):
    october.on("2026-11-02")
    october.settle(fee_bps=1_000)
    before, after = october.statement("Emil", "2026-10"), october.statement("Emil", "2026-11")

    assert [(m[0], m[1], m[3]) for m in moved(before, "wallet")] == [("2026-10-05", "deposit", 10_000_000)]
    assert (before.opening.wallet_micros, before.closing.wallet_micros) == (0, 10_000_000)
    assert moved(after, "wallet") == [("2026-11-02", "charge", "2026-10", -2_000_000)]
    assert (after.opening.wallet_micros, after.closing.wallet_micros) == (10_000_000, 8_000_000)
    assert [(line.name, line.amount_micros) for line in after.movements[0].lines] == [
        ("Bea", 1_000_000),
        ("Carl", 1_000_000),
    ]
    income = october.statement("Bea", "2026-11")
    assert moved(income, "income") == [
        ("2026-11-02", "share", "2026-10", 3_500_000),
        ("2026-11-02", "fee", "2026-10", -350_000),
    ]
    assert income.movements[0].lines == october.statement("Bea", "2026-10").received.lines
    assert income.closing.income_micros == 3_150_000


def test_a_transfer_has_the_same_id_wherever_it_is_told(october):
    october.on("2026-11-02")
    october.settle()
    ids = [m.id for name in october.people for m in october.statement(name, "2026-11").movements]
    assert len(ids) == len(set(ids)) == 5
    ann = october.people["Ann"].public_id
    assert october.statement("Ann", "2026-11").movements[0].id == ledger.stable_id("charge", "2026-10", f"wallet:{ann}")
    assert ledger.stable_id("charge", "2026-10", "wallet:0123456789ab") == "3f8d59b8ff155dd96f2d"


def test_a_year_is_the_sum_of_its_months(october, sessions):
    october.on("2026-11-02")
    october.settle(fee_bps=1_000)
    october.deposit("Bea", "3.00")
    october.press("Bea", "carl.example.org/")
    october.on("2026-12-02")
    october.settle(fee_bps=1_000)
    october.on("2027-01-02")
    october.settle(fee_bps=1_000)

    with sessions() as session:
        bea = october.people["Bea"]
        year = statements.year(session, bea, "2026", "EUR", now=october.now)
        newer = statements.year(session, bea, "2027", "EUR", now=october.now)
        months = statements.months(session, bea, now=october.now)
    assert [month.period for month in year.months] == [f"2026-{number:02d}" for number in range(1, 13)]
    assert {(t.account, t.code): t.amount_micros for t in year.totals} == {
        ("wallet", "deposit"): 3_000_000,
        ("wallet", "charge"): -3_000_000,
        ("income", "share"): 3_500_000,
        ("income", "fee"): -350_000,
    }
    for before, after in zip(year.months, year.months[1:], strict=False):
        assert before.closing == after.opening
    assert (year.opening, year.closing) == (year.months[0].opening, year.months[-1].closing)
    assert (newer.opening, newer.totals, [month.period for month in newer.months]) == (year.closing, [], ["2027-01"])
    assert [(period, held.income_micros) for period, held in months] == [
        ("2027-01", 3_150_000),
        ("2026-12", 3_150_000),
        ("2026-11", 3_150_000),
    ]


def test_money_on_its_way_out_has_left_the_income_and_may_come_back(october, sessions):
    october.on("2026-11-02")
    october.settle()
    bea = october.people["Bea"].id
    income, transit = ledger.income(bea), ledger.transit(bea)
    with sessions.begin() as session:
        for code, debit, credit, concerns, amount in (
            ("paid_back", income, transit, income, 10_000),
            ("rest", transit, income, transit, 4_000),
            ("paid_back", transit, ledger.BANK, transit, 6_000),
        ):
            posting = ledger.Posting(code, "7", debit, credit, amount, concerns=concerns)
            ledger.post(session, [posting, replace(posting, about="8")], now=october.now)
        held = ledger.balance(session, income)
    found = october.statement("Bea", "2026-11")
    assert found.closing.income_micros == held == 3_500_000 - 12_000
    assert sorted((m[1], m[2], m[3]) for m in moved(found, "income")) == [
        ("paid_back", "7", -10_000),
        ("paid_back", "8", -10_000),
        ("rest", "7", 4_000),
        ("rest", "8", 4_000),
        ("share", "2026-10", 3_500_000),
    ]
    assert len({m.id for m in found.movements}) == 5


# Pages and files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def november(october, config):
    """The same town in November, once October is settled; visitors are let in."""
    october.on("2026-11-02")
    october.settle(fee_bps=1_000)
    with on(config, "2026-11-02") as app:
        yield app


@pytest.fixture
def bea(november):
    visitor = Visitor(november)
    visitor.sign_in("bea@example.org")
    return visitor


def test_the_three_forms_say_the_same(bea, october):
    found = october.statement("Bea", "2026-11")
    page = bea.visit("/statements/2026-11")
    file = bea.client.get("/statements/2026-11.csv")
    rows = [row for row in csv.DictReader(io.StringIO(file.text)) if row["side"] in ("wallet", "income")]

    assert bea.client.get("/statements/2026-11.json").json == json.loads(json.dumps(found.as_json()))
    assert [row["id"] for row in rows if row["id"]] == [m.id for m in found.movements]
    assert [int(row["in_micros"] or 0) - int(row["out_micros"] or 0) for row in rows if row["id"]] == [
        3_500_000,
        -350_000,
    ]
    assert [row["balance_micros"] for row in rows if not row["id"]] == ["0", "0", "0", "3150000"]
    for m in found.movements:
        assert m.id in page.html
    for amount in ("3.500000 €", "0.350000 €", "3.150000 €", "1.666668 €"):
        assert amount in page.text
    assert file.headers["Content-Disposition"] == 'attachment; filename="flattr-2026-11.csv"'
    assert len(page.html) < 50_000


def test_a_year_has_a_page_and_files_of_its_own(bea):
    page = bea.visit("/statements/2026")
    assert page.heading == "Statement of 2026"
    assert "3.150000 €" in page.text
    told = bea.client.get("/statements/2026.json").json
    assert [(t["code"], t["amount_micros"]) for t in told["totals"]] == [("fee", -350_000), ("share", 3_500_000)]
    rows = list(csv.DictReader(io.StringIO(bea.client.get("/statements/2026.csv").text)))
    assert [(row["period"], row["what"], row["in_micros"]) for row in rows if row["in_micros"]] == [
        ("2026-11", "received from readers", "3500000"),
    ]


def test_statements_are_found_from_the_month_and_the_income(bea):
    for path in ("/month", "/income"):
        assert bea.visit(path).links["Statements"] == "/statements"
    listed = bea.visit("/statements").links
    assert (listed["November 2026"], listed["2026"]) == ("/statements/2026-11", "/statements/2026")
    assert "October 2026" not in listed, "nothing had moved yet"
    assert bea.visit("/statements/2026-11").links["October 2026"] == "/statements/2026-10"


def test_a_statement_has_no_word_of_anybody_who_reads(bea, october):
    for path in ("2026-11", "2026-11.csv", "2026-11.json", "2026", "2026.csv", "2026.json"):
        text = bea.client.get(f"/statements/{path}").text
        for reader in ("Ann", "Emil", "Fay"):
            assert reader not in text
            assert october.people[reader].public_id not in text
    amounts = [line["gross_micros"] for line in bea.client.get("/statements/2026-11.json").json["received"]["lines"]]
    assert amounts == []
    lines = bea.client.get("/statements/2026-11.json").json["movements"][0]["lines"]
    assert [(line["readers"], line["gross_micros"] is None) for line in lines] == [(2, True), (3, False), (2, True)]


def test_statements_are_of_whoever_is_signed_in_and_of_no_other_month(bea, november):
    for name in ("2026-12", "2027", "2026-13", "26", "2026-11.pdf", "2026-11.", "2026-11.csv.csv", "x", "1999"):
        assert bea.visit(f"/statements/{name}").status == 404, name
    ann = Visitor(november)
    for path in ("/statements", "/statements/2026-11", "/statements/2026-11.csv"):
        assert ann.visit(path).status == 303
    ann.sign_in("ann@example.org")
    told = ann.client.get("/statements/2026-11.json").json
    assert [m["code"] for m in told["movements"]] == ["charge"]
    assert "Bea" in ann.visit("/statements/2026-11").text


def test_no_cell_of_a_file_is_run_by_a_spreadsheet(october, config, sessions):
    october.person("=One")
    october.claim("=One", "evil.example.org")
    october.press("Ann", "evil.example.org/")
    october.on("2026-11-02")
    october.settle(fee_bps=1_000)
    with sessions() as session:
        year = statements.year(session, october.people["Ann"], "2026", "EUR", now=october.now)
    found = [*october.statement("Ann", "2026-10").rows(), *october.statement("Bea", "2026-11").rows(), *year.rows()]
    cells = [str(cell) for row in found for cell in row]
    assert "'=One" in cells
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r"))]
