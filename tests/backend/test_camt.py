"""Bank statements as files: what is read of good ones, and how bad ones are refused."""

import gzip
import io
from datetime import date

import pytest

from backend.bank import camt
from backend.bank.camt import BadStatement
from tests.backend.bank import OURS, PAYER, Bank, Booked

DAY = date(2026, 10, 5)


def read(data, **expected):
    return camt.read(io.BytesIO(data), **{"iban": OURS, "currency": "EUR"} | expected)


def refused(data, **expected):
    with pytest.raises(BadStatement) as refusal:
        read(data, **expected)
    said = str(refusal.value)
    assert "\n" not in said
    assert len(said) < 400
    return said


@pytest.fixture(params=["02", "08"])
def bank(request):
    return Bank(version=request.param)


def test_both_versions_tell_the_same(bank):
    bank.credit("2026-10-05", "20.00", "for October", ref="B1", end_to_end_id="E1", more="CREDIT")
    bank.debit("2026-10-06", "3.50", "fee")
    (statement,) = read(bank.statement())

    assert (statement.account, statement.opening_micros, statement.closing_micros) == (OURS, 100_000_000, 116_500_000)
    assert statement.closed_on == date(2026, 10, 31)
    came, left = statement.movements
    assert (came.booked_on, came.amount_micros, came.bank_reference, came.end_to_end_id) == (
        DAY,
        20_000_000,
        "B1",
        "E1",
    )
    assert (came.name, came.iban, came.oddity) == ("Ann Example", PAYER, None)
    assert came.texts == ("for October", "E1", "CREDIT")
    assert (left.amount_micros, left.name, left.iban) == (-3_500_000, None, None)


def test_only_what_is_booked_counts(bank):
    bank.credit("2026-10-05", "20.00")
    for status in ("PDNG", "INFO"):
        bank.credit("2026-10-05", "7.00", status=status)
    (statement,) = read(bank.statement())
    assert [movement.amount_micros for movement in statement.movements] == [20_000_000]


def test_a_text_that_was_cut_into_lines_is_whole_again(bank):
    text = "one two three four five six seven eight nine ten eleven twelve"
    bank.credit("2026-10-05", "20.00", text)
    assert b"</Ustrd><Ustrd>" in bank.statement()
    assert read(bank.statement())[0].movements[0].texts == (text,)


def test_a_batch_is_taken_apart_when_its_parts_add_up(bank):
    parts = [Booked(DAY, "1.50", "a", ref="B1"), Booked(DAY, "2.25", "b", ref="B1")]
    bank.batch("2026-10-05", *parts)
    bank.batch("2026-10-05", *parts, amount="3.74")
    one, two, unclear = read(bank.statement())[0].movements
    assert [(m.amount_micros, m.texts, m.bank_reference) for m in (one, two)] == [
        (1_500_000, ("a",), "B1"),
        (2_250_000, ("b",), "B1"),
    ]
    assert (unclear.amount_micros, unclear.texts, unclear.oddity) == (3_740_000, (), "unclear_batch")


@pytest.mark.parametrize("change", [("2.25", "0.00"), ("2.25", "-2.25"), ('Ccy="EUR">2.25', 'Ccy="USD">2.25')])
def test_a_batch_with_an_odd_part_is_not_taken_apart(bank, change):
    bank.batch("2026-10-05", Booked(DAY, "1.50"), Booked(DAY, "2.25"))
    data = bank.statement().decode().replace(*change).encode()
    assert [m.oddity for m in read(data)[0].movements] == ["unclear_batch"]


def test_what_the_bank_charged_is_no_part_of_what_came(bank):
    bank.credit("2026-10-05", "19.50", charges="0.50")
    assert [m.amount_micros for m in read(bank.statement())[0].movements] == [19_500_000]


def test_returns_and_reversals_are_told_from_payments(bank):
    bank.credit("2026-10-05", "5.00", returned=True)
    bank.credit("2026-10-05", "6.00", reversal=True)
    bank.debit("2026-10-05", "7.00", reversal=True)
    data = bank.statement().replace(b"<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>", b"", 0)
    assert [m.oddity for m in read(data)[0].movements] == ["returned_payout", "reversal", "reversal"]


def test_a_return_is_known_by_its_code_too(bank):
    bank.credit("2026-10-05", "5.00")
    data = bank.statement().replace(b"ESCT", b"RRTN")
    assert read(data)[0].movements[0].oddity == "returned_payout"


@pytest.mark.parametrize(("given", "micros"), [("1", 1_000_000), ("0.00001", 10), ("+12.34567", 12_345_670)])
def test_amounts_are_exact(bank, given, micros):
    bank.credit("2026-10-05", "1.00")
    data = bank.statement(balances=False).decode().replace(">1.00<", f">{given}<")
    balances = bank.balance("PRCD", 0, DAY) + bank.balance("CLBD", micros, DAY)
    data = data.replace("<Ntry>", balances + "<Ntry>").encode()
    assert [m.amount_micros for m in read(data)[0].movements] == [micros]


@pytest.mark.parametrize(
    "amount",
    ["-1.00", "", "1,00", "1e3", "0x1", "1.123456", "9" * 14, "9999999999.00", "NaN", "1.0.0", "\u0661", "1 0"],
)
def test_what_is_no_amount_is_refused_by_its_place(bank, amount):
    bank.credit("2026-10-05", "1.00")
    assert refused(bank.statement().decode().replace(">1.00<", f">{amount}<").encode()).startswith("Line 2, Ntry: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((OURS, "DE89370400440532013000"), "not of DE02120300000000202051"),
        (('Amt Ccy="EUR">20', 'Amt Ccy="USD">20'), "is in USD, not EUR"),
        (("CLBD", "CLAV"), "no opening and closing balance"),
        (("OPBD", "OPAV"), "no opening and closing balance"),
        ((">120.00000<", ">120.01000<"), "does not add up"),
        (("<CdtDbtInd>CRDT</CdtDbtInd><Sts>", "<Sts>"), "neither CRDT nor DBIT"),
        (("<Dt>2026-10-05</Dt>", "<Dt>5 October</Dt>"), "is not a date"),
        (("camt.053.001.", "camt.052.001."), "camt.053.001.08 can be read"),
        (("camt.053.001.", "camt.053.002."), "camt.053.001.08 can be read"),
        (("Document", "Dokument"), "camt.053.001.08 can be read"),
        (("Stmt>", "Rpt>"), "no statement in this file"),
        (("<Bal>", "<Bal>&secret;"), "broken or not XML"),
        (("<Bal>", "<Bal>\0"), "broken or not XML"),
        (("</Document>", "</Document><Document/>"), "broken or not XML"),
    ],
)
def test_a_statement_that_cannot_be_booked_says_why(bank, change, said):
    bank.credit("2026-10-05", "20.00")
    data = bank.statement().decode()
    assert change[0] in data
    assert said in refused(data.replace(*change).encode())


def test_without_an_account_in_the_settings_any_will_do(bank):
    bank.iban = "DE89370400440532013000"
    assert read(bank.statement(), iban="")[0].account == bank.iban
    assert refused(bank.statement())


def test_a_file_cut_short_anywhere_is_refused(bank):
    bank.credit("2026-10-05", "20.00")
    data = bank.statement()
    for length in range(0, len(data), 7):
        assert refused(data[:length])


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"hello",
        b"{}",
        gzip.compress(b"<Document/>", mtime=0),
        b"PK\x03\x04zip",
        b"<html><head><title>Sign in</title></head></html>",
        b"<!DOCTYPE html><html><br></html>",
        b'<?xml version="1.0" encoding="x-nonsense"?><Document/>',
        '<?xml version="1.0" encoding="UTF-8"?><Document>\u00e9</Document>'.encode("latin-1"),
        f'<!DOCTYPE a [<!ENTITY l0 "lol">{LAUGHS}]><Document a="&l9;">&l9;</Document>'.encode(),
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><Document/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Document>&x;</Document>',
        b"<Document>" * 5000,
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02">' + b"<a>" * 500_000,
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02">' + b"x" * 11_000_000 + b"</Document>",
    ],
)
def test_hostile_files_are_refused(data):
    assert refused(data)


def test_a_statement_with_a_document_type_is_refused_before_anything_is_read_of_it(bank):
    bank.credit("2026-10-05", "20.00")
    data = bank.statement().replace(b"?>\n", b'?>\n<!DOCTYPE Document [<!ENTITY x "1">]>')
    assert "document type" in refused(data)


class Huge(io.BytesIO):
    def seek(self, offset, whence=0):
        return super().seek(offset, whence) + (camt.MAX_BYTES + 1 if whence == io.SEEK_END else 0)


def test_a_file_of_absurd_size_is_refused():
    with pytest.raises(BadStatement, match="more than 64 MB"):
        camt.read(Huge(b""), iban="", currency="EUR")


def test_an_entry_of_absurd_size_is_refused(bank, monkeypatch):
    monkeypatch.setattr(camt, "MAX_ELEMENTS", 200)
    for _ in range(100):
        bank.credit("2026-10-05", "20.00")
    assert len(read(bank.statement())[0].movements) == 100
    bank.batch("2026-10-05", *bank.booked)
    assert "absurdly large" in refused(bank.statement())


def test_entries_are_forgotten_once_they_are_read(bank, monkeypatch):
    """What libxml2 holds cannot be measured from Python, so this counts the entries that are still in the tree."""
    alive, forget = [], camt._forget
    monkeypatch.setattr(camt, "_forget", lambda entry: (forget(entry), alive.append(len(entry.getparent()))))
    for _ in range(500):
        bank.credit("2026-10-05", "20.00")
    assert len(read(bank.statement())[0].movements) == 500
    assert max(alive) < 100  # of a piece that the parser has read ahead


def test_names_and_texts_of_any_script_are_read_and_harmless(bank):
    bank.credit("2026-10-05", "1.00", "\u2066Grüße 😀 \u202e", name="Щиф \u200e\u0085李\u2028 عبد" + "x" * 200)
    (movement,) = read(bank.statement())[0].movements
    assert movement.name.startswith("Щиф 李 عبد")
    assert len(movement.name) == 140
    assert "Grüße 😀" in movement.texts[0]


def test_several_statements_in_a_file_are_each_checked(bank):
    bank.credit("2026-10-05", "20.00")
    bank.credit("2026-10-06", "30.00")
    days = [bank.body(day, day) for day in ("2026-10-05", "2026-10-06")]
    assert [s.closing_micros for s in read(bank.file(*days))] == [120_000_000, 150_000_000]
    days[1] = days[1].replace("150.00", "150.01")
    assert "does not add up" in refused(bank.file(*days))
