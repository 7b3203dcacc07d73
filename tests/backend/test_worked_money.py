"""A month from the bank's file to the bank's file, as it is done: by command and by page, every figure told alike."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.backend.bank import Bank
from tests.backend.browser import Visitor, device_of, on
from tests.backend.test_cli import env, flattr  # noqa: F401 (fixtures)

OURS, ANN, BEA = "DE89370400440532013000", "NL91ABNA0417164300", "DE02120300000000202051"
PAIN = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"}


@pytest.fixture
def house(town, flattr, config, monkeypatch, tmp_path):  # noqa: F811
    """Two operators, three readers, two owners; the account at the bank."""
    monkeypatch.setenv("FLATTR_BANK_NAME", "Flattr e.V.")
    monkeypatch.setenv("FLATTR_BANK_IBAN", OURS)
    monkeypatch.setenv("FLATTR_FEE_BPS", "333")
    for name in ("Olga", "Otto"):
        flattr("users", "add", f"{name.lower()}@example.org", "--operator", now="2026-10-01")
    town.on("2026-10-01")
    for name, budget in (("Ann", "5.00"), ("Ben", "7.00"), ("Cleo", "2.00"), ("Bea", None), ("Emil", None)):
        town.person(name, budget=budget)
    for name in ("Bea", "Emil"):
        town.claim(name, f"{name.lower()}.example.org")
    return replace(config, bank_name="Flattr e.V.", bank_iban=OURS, fee_bps=333)


def test_a_month_from_the_banks_file_to_the_banks_file(house, town, flattr, tmp_path):  # noqa: F811
    """Ann gives 5.00 to Bea and Emil, Ben 7.00 to Bea, and Cleo, whose wallet has 1.99999, to Emil.

    2.50 + 7.00 = 9.50 for Bea, less 333 hundredths of a percent: 0.316350; so 9.183650, of which 9.18 can be paid.
    """
    # Bea says where to be paid, and presses; the bank's first file brings what readers paid in.
    bank = Bank(iban=OURS, opening_micros=0)
    reference = {name: town.people[name].deposit_reference for name in ("Ann", "Ben", "Cleo")}
    bank.credit("2026-10-05", "20.00", f"Flattr {reference['Ann']}", iban=ANN, ref="B1")
    bank.credit("2026-10-05", "7.00", "for the web", name="Ben B.", ref="B2")
    bank.credit("2026-10-06", "1.99999", f"{reference['Cleo']}", ref="B3")
    first = tmp_path / "october.xml"
    first.write_bytes(bank.statement("2026-10-01", "2026-10-10"))
    for counts in ((2, 0, 1), (0, 3, 0)):  # the file comes twice
        told = flattr("deposits", "import", str(first), "--json", now="2026-10-10").json
        assert (told["imported"], told["already"], told["unmatched"]) == counts
    [waits] = flattr("deposits", "unmatched", "--json").json["entries"]
    assert (waits["amount_micros"], waits["reason"]) == (7_000_000, "no_reference")
    assert flattr("deposits", "assign", str(waits["id"]), "ben@example.org").code == 0

    town.on("2026-10-20")
    with on(house, town.now) as app:
        bea = Visitor(app)
        bea.sign_in("bea@example.org", "/payout-settings")
        bea.press("Save", iban=BEA, holder="Bea B.")
        pressed = {"Ann": ("bea", "emil"), "Ben": ("bea",), "Cleo": ("emil",)}
        for name, sites in pressed.items():
            for site in sites:
                assert device_of(app, town, name).press(f"https://{site}.example.org/post").status_code == 201

    # The month is over.
    foretold = flattr("settle", "--dry-run", "--json", now="2026-11-01").json
    settled = flattr("settle", "--json").json
    assert {name: settled[name] for name in ("charged_micros", "received_micros", "fee_micros", "readers")} == {
        "charged_micros": 13_999_990,
        "received_micros": 13_999_990 - 316_350 - 149_849,
        "fee_micros": 316_350 + 149_849,
        "readers": 3,
    }
    assert foretold["charged_micros"] == settled["charged_micros"]
    assert flattr("settle", "2026-10", "--json").json["digest"] == settled["digest"]
    town.on("2026-11-02")
    town.look("bea.example.org")

    # Bea is paid, by two operators.
    batch = flattr("payouts", "prepare", "--by", "olga@example.org", "--json", now="2026-11-02")
    assert batch.json["state"] == "nothing_to_pay"  # 9.18 is below the minimum that is usual
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLATTR_PAYOUT_MIN", "5.00")
        batch = flattr("payouts", "prepare", "--by", "olga@example.org", "--json").json
    number, file = str(batch["batch"]), tmp_path / "payouts.xml"
    assert (batch["payouts"], batch["total_micros"]) == (1, 9_180_000)
    by_herself = flattr("payouts", "approve", number, "--by", "olga@example.org", "--digest", batch["digest"])
    assert by_herself.code == 3
    assert flattr("payouts", "approve", number, "--by", "otto@example.org", "--digest", batch["digest"]).code == 0
    assert flattr("payouts", "export", number, str(file)).code == 0
    [paid] = ET.parse(file).iterfind(".//p:CdtTrfTxInf", PAIN)
    end_to_end_id, instructed, iban = (
        paid.findtext(f"p:{path}", namespaces=PAIN)
        for path in ("PmtId/p:EndToEndId", "Amt/p:InstdAmt", "CdtrAcct/p:Id/p:IBAN")
    )
    assert (instructed, iban) == ("9.18", BEA)

    # The bank's next file shows it.
    bank.debit("2026-11-03", "9.18", "Flattr", end_to_end_id=end_to_end_id, name="Bea B.", iban=BEA, ref="B4")
    second = tmp_path / "november.xml"
    second.write_bytes(bank.statement("2026-10-11", "2026-11-04"))
    told = flattr("deposits", "import", str(second), "--json", now="2026-11-04").json
    assert (told["imported"], told["ignored"], told["warnings"]) == (0, 1, [])
    assert flattr("payouts", "confirm", number).code == 0
    assert flattr("audit", "--full").code == 0
    assert town.problems() == []
    balances = town.balances()
    assert balances == {
        "bank": "-19.81999",
        "fees": "0.466199",
        "Ann wallet": "15.00",
        "Bea income": "0.00365",
        "Emil income": "4.350141",
    }
    closing = bank.opening_micros + sum(booked.micros for booked in bank.booked)
    assert closing == 19_819_990  # the bank holds what the books say

    # And it is told alike wherever it is told.
    with on(house, "2026-11-05") as app:
        bea = Visitor(app)
        bea.sign_in("bea@example.org", "/statements/2026-11")
        for figure in ("9.500000 €", "0.316350 €", "9.180000 €", "Now 0.003650 €"):
            assert figure in bea.page.text
        assert "9.183650 € from 2 readers, after a fee of 0.316350 €" in bea.visit("/income").text
        rows = list(csv.DictReader(io.StringIO(bea.client.get("/statements/2026-11.csv").text)))
        told = json.loads(bea.client.get("/statements/2026-11.json").text)
    assert [row["in_micros"] for row in rows if row["in_micros"]] == ["9500000"]
    assert [row["out_micros"] for row in rows if row["out_micros"]] == ["316350", "9180000"]
    assert [m["amount_micros"] for m in told["movements"]] == [9_500_000, -316_350, -9_180_000]
    assert told["closing"]["income_micros"] == 3_650
    by_command = flattr("statement", "bea@example.org", "2026-10", "--json").json
    assert by_command["received"]["received_micros"] == 9_183_650
    assert by_command["received"]["fee_micros"] == 316_350
    check_journals(flattr, tmp_path, town.people["Bea"].public_id)


def check_journals(flattr, tmp_path, bea):  # noqa: F811
    """hledger and beancount agree with each other and with us."""
    for form, check in (("hledger", ["hledger", "check", "--strict", "-f"]), ("beancount", [BEAN_CHECK])):
        file = tmp_path / f"books.{form}"
        assert flattr("journal", "--format", form, "--year", "2026", str(file)).code == 0
        done = subprocess.run([*check, file], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        assert "9.500000 EUR" in file.read_text()
        assert "9.180000 EUR" in file.read_text()
    asked = ["hledger", "balance", "-f", tmp_path / "books.hledger", "-N", "--flat", "-O", "csv"]
    done = subprocess.run([*asked, "Assets:Bank", "Income:Fees", bea], capture_output=True, text=True, check=True)
    assert "19.81999" in done.stdout
    assert "-0.466199" in done.stdout
    assert "-0.00365" in done.stdout


BEAN_CHECK = Path(sys.executable).parent / "bean-check"
