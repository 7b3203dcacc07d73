"""The file for the bank: valid, the same each time, in letters that every bank takes, whatever people are called."""

import random
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sepaxml
from lxml import etree
from stdnum import iban as ibans

from backend.bank import pain
from backend.bank.pain import Party, Payment, payment_file, text

AT = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
DEBTOR = Party("Flattr e.V.", "DE89370400440532013000")
LEGAL = re.compile(r"[a-zA-Z0-9/\-?:().,'+ ]+")
SCHEMA = etree.XMLSchema(file=Path(sepaxml.__file__).parent / "schemas" / "pain.001.001.09.xsd")
NS = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"}


def written(payments, debtor=DEBTOR, currency="EUR", message_id="FLATTR-B-1"):
    return payment_file(debtor, payments, message_id=message_id, currency=currency, at=AT)


def one(**changes):
    fields = {"id": "FLATTR-P-1", "name": "Ann", "iban": "DE02120300000000202051", "cents": 1234, "said": "Flattr"}
    return Payment(**(fields | changes))


def said(file, path):
    return [node.text for node in etree.fromstring(file).iterfind(f".//p:{path.replace('/', '/p:')}", NS)]


@pytest.mark.parametrize(
    ("name", "written_as"),
    [
        ("Ann", "Ann"),
        ("Jürgen Groß", "Juergen Gross"),
        ("Ju\u0308rgen ÄÖÜ ẞ", "Juergen AeOeUe SS"),
        ("José Ñandú Œuvre Łódź", "Jose Nandu OEuvre Lodz"),
        ("e\u0301ric", "eric"),
        ("Владимир", "Vladimir"),
        ("Αθηνά", "Athena"),
        ("王小明", "Wang Xiao Ming"),
        ("Müller & Söhne; <GmbH>", "Mueller + Soehne GmbH"),
        ("O\u2019Brien\u2013Smith", "O'Brien-Smith"),
        ("\u202eAnn\x00\x1f\x7f\ud800Bea", "Ann ? Bea"),
        ("  a\n\tb  ", "a b"),
        ("\uff21\uff4e\uff4e", "Ann"),
        ("😀", "fallback"),
        ("---", "fallback"),
        ("", "fallback"),
        ("x" * 69 + " y", "x" * 69),
        ("ß" * 70, "s" * 70),
    ],
)
def test_names_are_written_in_letters_that_every_bank_takes(name, written_as):
    assert text(name, 70, "fallback") == written_as


def payees(count):
    """People with names of any script and length, some of them hostile."""
    dice = random.Random(count)
    blocks = [(0, 0x20), (0x20, 0x7F), (0xA0, 0x250), (0x300, 0x600), (0x600, 0x700), (0x900, 0xE00), (0x2000, 0x2070)]
    blocks += [
        (0x3040, 0x3100),
        (0x4E00, 0x9FFF),
        (0xAC00, 0xD7A4),
        (0xD800, 0xE000),
        (0x1F600, 0x1F650),
        (0, 0x10FFFF),
    ]
    for number in range(1, count + 1):
        block = dice.choice(blocks)
        name = "".join(chr(dice.randrange(*block)) for _ in range(dice.choice((0, 1, 5, 20, 70, 300))))
        bban = f"{dice.randrange(10**18):018d}"
        iban = "DE" + ibans.calc_check_digits(f"DE00{bban}") + bban
        cents = dice.choice((1, 9, 10, 99, 100, dice.randrange(1, 10**7), pain.MOST_CENTS))
        yield Payment(f"FLATTR-P-{number}", name, iban, cents, dice.choice((name, "Flattr income")))


def test_ten_thousand_payees_of_any_name_make_a_file_that_a_bank_takes():
    payments = list(payees(10_000))
    file = written(payments)

    document = etree.fromstring(file)
    SCHEMA.assertValid(document)
    total = sum(payment.cents for payment in payments)
    assert said(file, "CtrlSum") == [f"{total // 100}.{total % 100:02d}"] * 2
    assert said(file, "NbOfTxs") == ["10000"] * 2
    amounts = said(file, "InstdAmt")
    assert [int(amount.replace(".", "")) for amount in amounts] == [payment.cents for payment in payments]
    assert all(re.fullmatch(r"\d+\.\d\d", amount) for amount in amounts)
    assert said(file, "EndToEndId") == [payment.id for payment in payments]
    assert said(file, "CdtrAcct/Id/IBAN") == [payment.iban for payment in payments]
    for path, most in (("Cdtr/Nm", 70), ("RmtInf/Ustrd", 140)):
        texts = said(file, path)
        assert len(texts) == 10_000
        assert not [one for one in texts if not LEGAL.fullmatch(one) or len(one) > most or one != one.strip()]


def test_the_same_payments_make_the_same_bytes_whenever_and_however_often(monkeypatch):
    payments = list(payees(50))
    first = written(payments)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert written(payments) == written(list(payees(50))) == first
    assert said(first, "GrpHdr/MsgId") == said(first, "PmtInf/PmtInfId") == ["FLATTR-B-1"]
    assert said(first, "GrpHdr/CreDtTm") == ["2026-11-03T09:30:00Z"]
    assert said(first, "ReqdExctnDt/Dt") == ["2026-11-03"]


def test_the_debtors_bank_is_named_by_its_bic_or_not_at_all():
    without = written([one()])
    assert said(without, "DbtrAgt/FinInstnId/Othr/Id") == ["NOTPROVIDED"]
    named = written([one()], Party("F", DEBTOR.iban, "COBADEFFXXX"))
    assert said(named, "DbtrAgt/FinInstnId/BICFI") == ["COBADEFFXXX"]
    assert said(named, "DbtrAgt/FinInstnId/Othr/Id") == []


def test_euros_go_by_sepa_and_other_money_does_not():
    assert said(written([one()]), "SvcLvl/Cd") == ["SEPA"]
    assert said(written([one()], currency="SEK"), "SvcLvl/Cd") == []


def test_whoever_has_no_letters_in_the_name_is_named_by_the_payment():
    assert said(written([one(name="😀", said="\0")]), "Cdtr/Nm") == ["Payee FLATTR-P-1"]
    assert said(written([one(said="\0")]), "RmtInf/Ustrd") == ["FLATTR-P-1"]
    assert said(written([one()], Party("…", DEBTOR.iban)), "Dbtr/Nm") == ["Flattr"]


@pytest.mark.parametrize(
    "wrong", [{"iban": "DE"}, {"iban": "x y"}, {"id": "x" * 36}, {"id": ""}, {"cents": 10**20 + 1}]
)
def test_what_no_bank_would_take_is_never_written(wrong):
    with pytest.raises(etree.DocumentInvalid):
        written([one(**wrong)])
