"""The journal of the books, read and checked by hledger and beancount."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from backend import journal, ledger
from backend.ledger import Posting
from backend.period import ends_at, starts_at

BEAN_CHECK = Path(sys.executable).parent / "bean-check"
CHECKS = {"hledger": ["hledger", "check", "--strict", "-f"], "beancount": [BEAN_CHECK]}


@pytest.fixture
def books(town):
    """Two settled months with a fee, somebody who left, and money of the house that is in every place."""
    for name in ("Bea", "Carl"):
        town.person(name)
        town.claim(name, f"{name.lower()}.example.org")
    town.person("Ann", budget="5.00", wallet="20.00")
    town.person("Gone", budget="1.00", wallet="7.123456")
    for reader in ("Ann", "Gone"):
        town.press(reader, "bea.example.org/")
        town.press(reader, "carl.example.org/")
    town.press("Ann", "carl.example.org/2")
    town.on("2026-11-02")
    town.settle(fee_bps=333)
    town.leave("Gone")
    town.press("Ann", "bea.example.org/")
    town.on("2026-12-02")
    town.settle(fee_bps=333)
    with town.sessions.begin() as session:
        bea = town.people["Bea"].id
        for number, (debit, credit) in enumerate(
            ((ledger.CARDS, ledger.SUSPENSE), (ledger.RESERVE, ledger.CARDS), (ledger.income(bea), ledger.transit(bea)))
        ):
            ledger.post(
                session, [Posting("rest", f"{number}", debit, credit, 1_000_003, concerns=credit)], now=town.now
            )
    return town


def written(town, form, since=None, until=None):
    with Session(town.sessions.kw["bind"]) as session:
        return "".join(journal.write(session, journal.FORMS[form], "EUR", since=since, until=until))


def checked(form, text, tmp_path):
    file = tmp_path / f"books.{form}"
    file.write_text(text)
    return subprocess.run([*CHECKS[form], file], capture_output=True, text=True, check=False)


def test_other_programs_find_the_books_right_and_see_a_micro_that_is_missing(books, tmp_path, engine):
    months = [(starts_at(month), ends_at(month)) for month in ("2026-10", "2026-11", "2026-12")]
    for form in CHECKS:
        for since, until in [(None, None), *months]:
            done = checked(form, written(books, form, since, until), tmp_path)
            assert (done.returncode, done.stdout + done.stderr) == (0, ""), (form, since)
        text = written(books, form)
        wrong = text.replace("  7.123456 EUR", "  7.123457 EUR").replace("  -7.123456 EUR", "  -7.123457 EUR")
        assert wrong != text
        assert checked(form, wrong, tmp_path).returncode != 0

    with engine.execution_options(flattr_writing=True).begin() as connection:  # nobody but a thief
        for account, change in ((ledger.income(books.people["Bea"].id), 1), (ledger.FEES, -1)):
            connection.exec_driver_sql(
                f"UPDATE accounts SET balance_micros = balance_micros + {change} WHERE id = {account}"
            )
    for form in CHECKS:
        assert checked(form, written(books, form), tmp_path).returncode != 0


def test_the_journal_has_every_transfer_and_balance_and_names_nobody(books, tmp_path):
    for form, mark in (("hledger", "  ; id:"), ("beancount", "  id: ")):
        text = written(books, form)
        assert written(books, form) == text
        with books.sessions() as session:
            assert text.count(mark) == journal.count(session, since=None, until=None) == 16
        for name, user in books.people.items():
            assert name not in text
            assert user.email not in text
            assert user.public_id.upper() in text
        assert all(m.id in text for name in ("Ann", "Bea") for m in books.statement(name, "2026-11").movements)
        months = [written(books, form, starts_at(m), ends_at(m)) for m in ("2026-10", "2026-11", "2026-12")]
        ids = [line for line in text.splitlines() if mark in line]
        assert [line for month in months for line in month.splitlines() if mark in line] == ids
    _has_our_balances(books, tmp_path)
    with books.sessions() as session:
        before = ledger.trial_balance(session, before=datetime(2026, 11, 1, tzinfo=UTC))
    assert {name: micros for name, micros in before.items() if micros} == {"bank": -27_123_456, "wallet": 27_123_456}


def _has_our_balances(books, tmp_path):
    file = tmp_path / "books.hledger"
    file.write_text(written(books, "hledger"))
    command = ["hledger", "balance", "-f", file, "--depth", "2", "--flat", "-O", "json", "--no-total"]
    rows, _ = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = {name: int(amounts[0]["aquantity"]["decimalMantissa"]) for name, _, _, amounts in rows}
    with books.sessions() as session:
        kinds = ledger.trial_balance(session)
        assert kinds == ledger.trial_balance(session, before=books.now + timedelta(seconds=1))
        suspense = ledger.balance(session, ledger.SUSPENSE)
    kinds |= {"transit": kinds["transit"] - suspense, "suspense": suspense}
    ours = {name.split(":")[1].lower(): micros for name, micros in found.items()}
    assert ours == {name: -micros for name, micros in kinds.items() if micros}
    assert ours.keys() == {"bank", "fees", "income", "reserve", "suspense", "transit", "wallet"}


def test_what_a_transfer_is_about_cannot_break_the_journal(town, tmp_path):
    for form in journal.FORMS:
        done = checked(form, written(town, form), tmp_path)  # empty books are a journal, too
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    town.person("Ann")
    wallet = ledger.wallet(town.people["Ann"].id)
    with town.sessions.begin() as session:
        for about in ('a "quote"\\', "line\n2026-01-01 x\n", "a, tag:1 ; comment", "=1 @ 2"):
            posting = Posting("deposit", about, ledger.BANK, wallet, 1, concerns=wallet)
            ledger.post(session, [posting], now=town.now)
    for form in journal.FORMS:
        done = checked(form, written(town, form), tmp_path)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
