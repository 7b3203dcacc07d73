"""Payouts as operators run them, and the pages where people say how they are paid."""

import json
import sys

import pytest

from backend import cli
from backend.payouts import owners
from backend.payouts.tables import Payout, PayoutDetails
from tests.backend import office as offices
from tests.backend.browser import Visitor, on
from tests.backend.office import DEBTOR, IBANS


@pytest.fixture
def payday(sessions, monkeypatch):
    return offices.payday(offices.office(sessions, monkeypatch))


@pytest.fixture
def flattr(payday, config, tmp_path, monkeypatch, capfdbinary):
    """Run a command on 13 October: its exit code, standard output and standard error."""
    settings = {"DATABASE_URL": config.database_url, "INSTANCE": str(tmp_path), "SECRET_KEY": "a", "DEV": "1"}
    settings |= {"NOW": "2026-10-13T12:00:00Z", "BANK_NAME": DEBTOR.name, "BANK_IBAN": DEBTOR.iban}
    for name, value in settings.items():
        monkeypatch.setenv(f"FLATTR_{name}", value)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["flattr", *words])
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfdbinary.readouterr()
        return ended.value.code or 0, out, err.decode()

    return run


def test_operators_pay_a_batch_from_the_command_line(payday, flattr, tmp_path):
    code, out, _ = flattr("payouts", "prepare", "--by", "otto@example.org", "--json")
    batch = json.loads(out)
    assert (code, batch["state"], batch["payouts"], batch["total_micros"]) == (0, "prepared", 2, 37_120_000)
    number, file = str(batch["batch"]), tmp_path / "out.xml"
    code, out, err = flattr("payouts", "export", number, str(file))
    assert (code, out, file.exists()) == (3, b"", False)
    assert "is not approved" in err
    approve = ("payouts", "approve", number, "--digest", batch["digest"], "--json", "--by")
    assert flattr(*approve, "otto@example.org")[0] == 3
    assert flattr(*approve, "ann@example.org")[0] == 3
    assert json.loads(flattr(*approve, "olga@example.org")[1])["state"] == "approved"
    code, out, _ = flattr(*approve, "olga@example.org")
    assert (code, json.loads(out)["state"]) == (0, "already")

    assert flattr("payouts", "export", number, str(file))[0] == 0
    written = file.read_bytes()
    assert flattr("payouts", "export", number, str(file))[0] == 0
    assert flattr("payouts", "export", number, "-")[1] == written == file.read_bytes()
    other = tmp_path / "other.xml"
    other.write_text("mine")
    code, _, err = flattr("payouts", "export", number, str(other))
    assert (code, other.read_text(), len(err.strip().splitlines())) == (3, "mine", 1)
    assert not [left for left in tmp_path.iterdir() if left.name.startswith((".out", ".other"))]

    assert json.loads(flattr("payouts", "confirm", number, "--json")[1])["state"] == "confirmed"
    assert json.loads(flattr("payouts", "confirm", number, "--json")[1])["state"] == "already"
    shown = json.loads(flattr("payouts", "show", number, "--json")[1])
    assert [(line["state"], line["iban"]) for line in shown["lines"]] == [("paid", "DE … 2051"), ("paid", "FR … 2606")]
    assert json.loads(flattr("payouts", "fail", str(shown["lines"][0]["payout"]), "--json")[1])["state"] == "failed"
    assert [one["state"] for one in json.loads(flattr("payouts", "list", "--json")[1])["batches"]] == ["confirmed"]
    for words in (("list",), ("show", number)):
        out = flattr("payouts", *words)[1]
        assert b"confirmed" in out
        assert IBANS[0].encode() not in out
    code, out, err = flattr("payouts", "prepare", "--json")
    assert (code, json.loads(out)["state"]) == (0, "nothing_to_pay")
    assert "gave an account that sent money back" in err
    assert payday.problems() == []


def test_a_reader_gets_money_back_from_the_command_line(payday, flattr):
    payday.from_bank("Ann", "7.00")
    code, out, _ = flattr("refunds", "request", "ann@example.org", "--json")
    assert (code, json.loads(out)["amount_micros"]) == (0, 7_000_000)
    code, out, err = flattr("refunds", "request", "ann@example.org", "--json")
    assert (code, out) == (3, b"")
    assert "nothing in the wallet" in err


@pytest.fixture
def gone(payday):
    """Ann has left with 7.00 of her wallet and 25.12 of her income on their way; the file is at the bank."""
    payday.from_bank("Ann", "7.00")
    payday.take_back("Ann")
    payday.exported()
    payday.leave("Ann")
    return payday


def test_what_came_back_from_somebody_who_left_is_paid_again_from_the_command_line(gone, flattr):
    def stranded():
        return [
            (row["payout"], row["purpose"]) for row in json.loads(flattr("payouts", "stranded", "--json")[1])["payouts"]
        ]

    def again(payout, iban=IBANS[3], holder="Ann A."):
        return flattr("payouts", "again", str(payout), "--iban", iban, "--holder", holder, "--json")

    refund, income, bea = (payout.id for payout in gone.rows(Payout))
    assert stranded() == []
    assert flattr("payouts", "stranded")[1] == b"Nothing rests with somebody who has left.\n"
    assert again(refund)[0] == 3
    for payout in (refund, income, bea):
        assert flattr("payouts", "fail", str(payout), "--reason", "account closed")[0] == 0
    assert stranded() == [(refund, "refund"), (income, "income")]
    out = flattr("payouts", "stranded")[1].decode()
    assert gone.people["Ann"].public_id in out
    assert "7000000" in out

    for words, code, said in (
        ((bea,), 3, "from somebody who has left"),
        ((99,), 3, "has this number"),
        ((2**63,), 3, "has this number"),
        ((0,), 2, "0"),
        ((income, "DE00"), 2, "typing mistake"),
        ((income, "US64SVBKUS6S3300958879"), 2, "IBAN"),
        ((income, IBANS[3], " - "), 2, "Whose account"),
    ):
        ended = again(*words)
        assert (ended[0], ended[1]) == (code, b""), words
        assert said in ended[2], words
    assert stranded() == [(refund, "refund"), (income, "income")]

    code, out, _ = again(income)
    made = json.loads(out)
    assert (code, made.pop("payout"), made) == (
        0,
        bea + 1,
        {
            "purpose": "income",
            "state": "open",
            "amount_micros": 25_120_000,
            "holder": "Ann A.",
            "iban": "AT … 3201",
            "new": True,
        },
    )
    code, out, _ = again(income, IBANS[0], "Eve")
    twice = json.loads(out)
    assert (code, twice["payout"], twice["iban"], twice["new"]) == (0, bea + 1, "AT … 3201", False)
    assert stranded() == [(refund, "refund")]
    words = ("payouts", "again", str(refund), "--iban", IBANS[3], "--holder", "Ann A.")
    assert flattr(*words)[1].decode() == f"Payout {bea + 2}, 7.00\N{NO-BREAK SPACE}€, waits for the next batch.\n"
    assert flattr(*words)[1].decode().endswith("was made already: open.\n")
    assert stranded() == []

    batch = json.loads(flattr("payouts", "prepare", "--by", "otto@example.org", "--json")[1])
    assert (batch["payouts"], batch["total_micros"]) == (2, 32_120_000)
    assert gone.log().count("payout.again") == 2
    assert gone.problems() == []


def test_what_comes_back_again_is_paid_as_far_as_it_is_still_there(gone, flattr):
    def again(payout):
        words = ("payouts", "again", str(payout), "--iban", IBANS[3], "--holder", "Ann A.", "--json")
        return json.loads(flattr(*words)[1])

    def come_back(payout):
        flattr("payouts", "fail", str(payout))
        return [row["payout"] for row in json.loads(flattr("payouts", "stranded", "--json")[1])["payouts"]]

    first = gone.rows(Payout)[0].id
    assert come_back(first) == [first]
    second = again(first)["payout"]
    assert come_back(second) == [second]
    gone.bank_takes("Ann", "5.00")
    third = again(second)
    assert (third["amount_micros"], third["new"]) == (2_000_000, True)
    assert [again(payout)["payout"] for payout in (first, second)] == [second, third["payout"]]
    assert come_back(third["payout"]) == [third["payout"]]
    gone.bank_takes("Ann", "2.00")
    assert come_back(first) == []
    words = ("payouts", "again", str(third["payout"]), "--iban", IBANS[3], "--holder", "Ann A.")
    assert flattr(*words)[:2] == (3, b"")
    assert gone.problems() == []


def test_what_came_back_while_its_payee_was_here_is_not_paid_again_after_they_left(payday, flattr):
    payday.exported()
    earlier, _ = (payout.id for payout in payday.rows(Payout))
    flattr("payouts", "fail", str(earlier))
    payday.account("Ann", IBANS[2])
    payday.on("2026-10-21")
    payday.exported()
    payday.on("2026-10-22")
    payday.leave("Ann")
    later = payday.rows(Payout)[-1].id
    payday.act("fail", later, "EUR")
    assert [row["payout"] for row in json.loads(flattr("payouts", "stranded", "--json")[1])["payouts"]] == [later]
    assert flattr("payouts", "again", str(earlier), "--iban", IBANS[3], "--holder", "Ann A.")[:2] == (3, b"")


@pytest.mark.parametrize("value", ["ten", "-1", "1e3"])
def test_a_minimum_that_is_no_amount_is_named(flattr, monkeypatch, value):
    monkeypatch.setenv("FLATTR_PAYOUT_MIN", value)
    code, _, err = flattr("payouts", "prepare")
    assert code == 2
    assert "FLATTR_PAYOUT_MIN" in err


def test_the_minimum_of_the_settings_counts(flattr, monkeypatch):
    monkeypatch.setenv("FLATTR_PAYOUT_MIN", "25.00")
    assert json.loads(flattr("payouts", "prepare", "--json")[1])["payouts"] == 1


def test_without_the_operators_account_nothing_is_prepared(payday, flattr, monkeypatch):
    monkeypatch.setenv("FLATTR_BANK_IBAN", "")
    code, _, err = flattr("payouts", "prepare")
    assert code == 3
    assert "FLATTR_BANK_IBAN" in err


# Pages ----------------------------------------------------------------------------------------------------------------


def test_an_account_is_changed_only_after_a_fresh_sign_in_and_shown_masked(payday, config):
    with on(config, payday.now) as app:
        ann = Visitor(app)
        ann.sign_in("ann@example.org", "/payout-settings")
        _, form = ann.page.form("Save")
        ann.press("Save", iban="nl91 abna 0417 1643 00", holder="Ann A.")
        assert "NL … 4300" in ann.page.text
        assert "20 October" in ann.page.text
        assert "0417" not in ann.page.html
        assert ann.send("/payout-settings", form | {"iban": IBANS[1][:-1], "holder": "Eve"}).status == 422
    cookie = ann.client.get_cookie("sid")
    with on(config, "2026-10-13", hour=13) as app:
        ann = Visitor(app)
        ann.client.set_cookie("sid", cookie.value)
        page = ann.visit("/payout-settings")
        assert "Save" not in page.buttons
        _, form = ann.visit("/settings").form("Save")
        page = ann.send("/payout-settings", form | {"iban": IBANS[1], "holder": "Eve"})
        assert "sign in again" in page.text
    assert payday.rows(PayoutDetails)[0].iban == IBANS[2]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (None, "25.12 € of it goes to your account with the next payments."),
        ("below_minimum", "It is paid once 10.00 € have come together."),
        ("no_account", "Say where to, and 25.12 € of it is paid."),
        ("account_returned", "enter your account anew"),
        ("account_on_hold", "25.12 € of it can be paid from 12 October on"),
        ("waits_for_look", "as soon as we have looked at ann.example.org again"),
        ("not_proven", "once ann.example.org proves again"),
    ],
)
def test_the_page_says_what_is_payable_and_why_not_all(payday, config, monkeypatch, reason, said):
    with payday.sessions() as session:
        found = owners.standing(session, payday.user(session, "Ann"), 10_000_000, now=payday.now)
    found.reason, found.sites, found.held_micros = reason, ["ann.example.org"], 3_456
    monkeypatch.setattr(owners, "standing", lambda *_, **__: found)
    with on(config, payday.now) as app:
        ann = Visitor(app)
        ann.sign_in("ann@example.org", "/payout-settings")
        assert said in ann.page.text
        assert said in ann.visit("/income").text
        assert "came from cards in the last 30 days" in ann.page.text


def test_money_is_taken_back_on_the_page_once(payday, config):
    payday.from_bank("Ann", "7.00")
    with on(config, payday.now) as app:
        ann = Visitor(app)
        ann.sign_in("ann@example.org", "/money")
        action, form = ann.page.form("Take 7.00\N{NO-BREAK SPACE}€ back")
        assert "NL … 4300" in ann.page.text
        assert "is on its way" in ann.send(action, form).text
        assert ann.send(action, form).status == 409
    assert [payout.amount_micros for payout in payday.rows(Payout, Payout.purpose == "refund")] == [7_000_000]
