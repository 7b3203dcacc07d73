"""Reads bank statements, ISO 20022 camt.053 versions 02 and 08: their form, nothing of readers or books.

The file is a stranger's: no document type, no entities, no network, no recovery, and limits on all that can grow.
Entries are read one at a time, so a large statement costs as much memory as its movements.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from io import SEEK_END
from typing import BinaryIO

from lxml import etree

from backend.errors import InvalidRequest
from backend.money import MAX_MICROS, MICROS, decimal_text
from backend.urls import clean_title

MAX_BYTES = 64 << 20
MAX_ELEMENTS = 1_000_000  # in one entry, or outside of entries
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001."
VERSIONS = ("02", "08")

_AMOUNT = re.compile(r"\+?(\d{1,13})(?:\.(\d{1,5}))?", re.ASCII)  # ISO 20022 allows five decimals
_PLAIN = re.compile(r"[A-Z0-9]+")
_NOT_GIVEN = {"", "NONREF", "NOTPROVIDED", "NOT PROVIDED"}
_OPENING, _CLOSING = ("OPBD", "PRCD", "ITBD"), ("CLBD", "ITBD")


class BadStatement(InvalidRequest):
    """This file is not a bank statement that can be booked. Nothing of it was."""


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that came or left, as the bank tells it; a batch that the bank takes apart is one for each of its parts.

    Attributes:
        amount_micros: Above zero for what came, below for what left.
        bank_reference: What the bank itself calls it.
        name: Of whoever paid; None for what left.
        texts: Each may name the reader: structured reference, text of the transfer, end-to-end id, what the bank adds.
        oddity: Why this is no plain payment: ``returned_payout``, ``reversal`` or ``unclear_batch``.
    """

    booked_on: date
    amount_micros: int
    bank_reference: str | None = None
    end_to_end_id: str | None = None
    name: str | None = None
    iban: str | None = None
    texts: tuple[str, ...] = ()
    oddity: str | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """What was booked on one account between two balances; they add up."""

    account: str
    identifier: str
    opening_micros: int
    closing_micros: int
    closed_on: date
    movements: list[Movement]


def read(
    file: BinaryIO, *, iban: str, currency: str, progress: Callable[[int], None] = lambda done: None
) -> list[Statement]:
    """The statements of a file, each checked against its balances.

    Args:
        iban: The account that they must be of; empty: any.
        progress: Is told how many bytes are done.

    Raises:
        BadStatement: No statement of this account in this currency, or one that does not add up; says what and where.
    """
    if file.seek(0, SEEK_END) > MAX_BYTES:
        raise BadStatement(f"This file has more than {MAX_BYTES >> 20} MB. Ask the bank for shorter statements.")
    file.seek(0)
    if file.read(4).startswith((b"\x1f\x8b", b"PK")):
        raise BadStatement("This file is packed (gzip or zip). Unpack it first.")
    file.seek(0)
    try:
        found = list(_statements(file, iban, currency, progress))
    except etree.XMLSyntaxError as error:
        said = " ".join(str(error).split()) or "it is empty"
        raise BadStatement(f"This file is broken or not XML: {said[:200]}") from error
    if not found:
        raise BadStatement("There is no statement in this file.")
    return found


def _statements(file: BinaryIO, iban: str, currency: str, progress: Callable[[int], None]) -> Iterator[Statement]:
    entry_tag = statement_tag = ""
    movements: list[Movement] = []
    elements = 0
    for _, element in etree.iterparse(
        file,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    ):
        if not entry_tag:
            entry_tag, statement_tag = (f"{{{_namespace(element)}}}{name}" for name in ("Ntry", "Stmt"))
        elements += 1
        if elements > MAX_ELEMENTS:
            raise BadStatement("An entry of this file is absurdly large.")
        if element.tag == entry_tag and element.getparent().tag == statement_tag:
            movements += _movements(_Part(element), currency)
            _forget(element)
            elements = 0
            progress(file.tell())
        elif element.tag == statement_tag:
            yield _statement(_Part(element), iban, currency, movements)
            element.clear()
            movements, elements = [], 0


def _namespace(element: etree._Element) -> str:
    """The namespace of the file's version, by its first element that was read.

    Raises:
        BadStatement: Not camt.053, or with a document type, which no bank sends.
    """
    tree = element.getroottree()
    name = etree.QName(tree.getroot())
    known = (name.namespace or "").startswith(NAMESPACE) and (name.namespace or "")[len(NAMESPACE) :] in VERSIONS
    if name.localname.lower() == "html":
        raise BadStatement("This is a web page, not a bank statement. Was the bank's site still asking to sign in?")
    if tree.docinfo.internalDTD is not None:
        raise BadStatement("This file has a document type declaration (DTD), which no bank statement has.")
    if name.localname != "Document" or not known:
        it_is = clean_title(name.namespace or name.localname)
        raise BadStatement(f"This is {it_is}; camt.053.001.02 and camt.053.001.08 can be read.")
    return name.namespace or ""


def _forget(entry: etree._Element) -> None:
    """Free an entry that was read; the one before it goes altogether."""
    entry.clear()
    before = entry.getprevious()
    if before is not None and before.tag == entry.tag:
        entry.getparent().remove(before)


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of the statement, in which everything is of its namespace."""

    element: etree._Element

    def all(self, path: str) -> list["_Part"]:
        namespace, found = self.element.tag.partition("}")[0], [self.element]
        for name in path.split("/"):  # three times as fast as findall
            found = [child for parent in found for child in parent.iterchildren(f"{namespace}}}{name}")]
        return [_Part(element) for element in found]

    def first(self, *paths: str) -> "_Part | None":
        return next((found for path in paths for found in self.all(path)), None)

    def text(self, *paths: str) -> str:
        """The first text that is not empty."""
        texts = ((found.element.text or "").strip() for path in paths for found in self.all(path))
        return next(filter(None, texts), "")

    def micros(self, path: str, currency: str) -> int:
        """An amount, with its sign.

        Raises:
            BadStatement: None, malformed, absurd, or in another currency.
        """
        amount, side = self.first(path), self.text("CdtDbtInd")
        given, of = ("", "") if amount is None else ((amount.element.text or "").strip(), amount.element.get("Ccy", ""))
        match = _AMOUNT.fullmatch(given)
        shown = clean_title(given[:40]) or "nothing"
        if not match:
            raise self.bad(f"{shown} is not an amount.")
        if of != currency:
            raise self.bad(f"{shown} is in {clean_title(of[:10]) or 'no currency'}, not {currency}.")
        micros = _micros(match)
        if micros > MAX_MICROS:
            raise self.bad(f"{shown} is more than anybody has.")
        if side not in ("CRDT", "DBIT"):
            raise self.bad("It says neither CRDT nor DBIT.")
        return micros if side == "CRDT" else -micros

    def day(self, *paths: str) -> date:
        """A date, or that of an instant as the bank's clock showed it."""
        text = self.text(*(f"{path}/{form}" for path in paths for form in ("Dt", "DtTm")))
        try:
            return date.fromisoformat(text[:10])
        except ValueError as error:
            raise self.bad(f"{clean_title(text[:40]) or 'Nothing'} is not a date.") from error

    def bad(self, said: str) -> BadStatement:
        return BadStatement(f"Line {self.element.sourceline}, {etree.QName(self.element).localname}: {said}")


def _statement(part: _Part, iban: str, currency: str, movements: list[Movement]) -> Statement:
    account = squeezed(part.text("Acct/Id/IBAN", "Acct/Id/Othr/Id"))
    if not account or (iban and account != squeezed(iban)):
        raise part.bad(f"It is of the account {clean_title(account[:34]) or 'nobody names'}, not of {iban or 'one'}.")
    balances = {found.text("Tp/CdOrPrtry/Cd"): found for found in reversed(part.all("Bal"))}
    opening = next((code for code in _OPENING if code in balances), None)
    closing = next((code for code in _CLOSING if code in balances), None)
    if opening is None or closing is None or opening == closing:
        raise part.bad("It has no opening and closing balance (OPBD or PRCD, and CLBD), so it cannot be checked.")
    before, after = (balances[code].micros("Amt", currency) for code in (opening, closing))
    moved = sum(movement.amount_micros for movement in movements)
    if before + moved != after:
        texts = (decimal_text(micros, places=5) for micros in (before, moved, before + moved, after))
        raise part.bad("It does not add up: {} and entries of {} are {}, but it closes with {}.".format(*texts))
    identifier = clean_title(part.text("Id")) or ""
    return Statement(account[:34], identifier[:70], before, after, balances[closing].day("Dt"), movements)


def _movements(entry: _Part, currency: str) -> list[Movement]:
    """What an entry moved; nothing while it is pending."""
    status = entry.text("Sts/Cd", "Sts")
    if not status:
        raise entry.bad("It does not say whether it is booked.")
    if status != "BOOK":
        return []
    amount_micros, details = entry.micros("Amt", currency), entry.all("NtryDtls/TxDtls")
    if len(details) < 2 or amount_micros < 0:
        return [_movement(entry, details[0] if len(details) == 1 else None, amount_micros)]
    amounts = [_amount_of_detail(detail, currency) for detail in details]
    if sum(amounts) != amount_micros or min(amounts) <= 0:
        return [_movement(entry, None, amount_micros, "unclear_batch")]
    return [_movement(entry, detail, amount) for detail, amount in zip(details, amounts, strict=True)]


def _amount_of_detail(detail: _Part, currency: str) -> int:
    """A part of a batch in micros; 0 where it does not say, or says it in another currency or direction."""
    found = detail.first("Amt", "AmtDtls/TxAmt/Amt")
    if found is None or found.element.get("Ccy") != currency or detail.text("CdtDbtInd") == "DBIT":
        return 0
    match = _AMOUNT.fullmatch((found.element.text or "").strip())
    return _micros(match) if match else 0


def _movement(entry: _Part, detail: _Part | None, amount_micros: int, oddity: str | None = None) -> Movement:
    detail, booked_on = detail or entry, entry.day("BookgDt", "ValDt")
    if amount_micros <= 0:
        name, iban = "", ""
    else:
        name = detail.text("RltdPties/Dbtr/Nm", "RltdPties/Dbtr/Pty/Nm", "RltdPties/UltmtDbtr/Nm")
        iban = squeezed(detail.text("RltdPties/DbtrAcct/Id/IBAN"))
    end_to_end_id = _given(detail.text("Refs/EndToEndId"))
    texts = (
        *(found.element.text or "" for found in detail.all("RmtInf/Strd/CdtrRefInf/Ref")),
        "".join(found.element.text or "" for found in detail.all("RmtInf/Ustrd")),
        *(found.element.text or "" for found in detail.all("RmtInf/Strd/AddtlRmtInf")),
        end_to_end_id or "",
        detail.text("AddtlTxInf"),
        entry.text("AddtlNtryInf"),
    )
    return Movement(
        booked_on,
        amount_micros,
        _given(detail.text("Refs/AcctSvcrRef") or entry.text("AcctSvcrRef")),
        end_to_end_id,
        (clean_title(name) or "")[:140] or None,
        (clean_title(iban) or "")[:34] or None,
        tuple(filter(None, texts)),
        oddity or _oddity(entry, detail),
    )


def _oddity(entry: _Part, detail: _Part) -> str | None:
    codes = [part.text("BkTxCd/Domn/Fmly/SubFmlyCd") for part in (entry, detail)]
    if detail.first("RtrInf") or "RRTN" in codes:
        return "returned_payout"
    return "reversal" if entry.text("RvslInd") in ("true", "1") else None


def _given(reference: str) -> str | None:
    """A reference, unless it only says that there is none."""
    text = (clean_title(reference) or "")[:70]
    return None if text.upper() in _NOT_GIVEN else text


def _micros(amount: re.Match[str]) -> int:
    return int(amount[1]) * MICROS + int((amount[2] or "").ljust(6, "0"))


def squeezed(text: str) -> str:
    """Upper case, and nothing but ASCII letters and digits: as references and account numbers are compared."""
    return "".join(_PLAIN.findall(unicodedata.normalize("NFKC", text).upper()))
