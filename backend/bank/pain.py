"""Payment files for the bank: pain.001.001.09 (SEPA), the same bytes each time one is made of the same payments."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import sepaxml
from lxml import etree
from text_unidecode import unidecode

SCHEMA = "pain.001.001.09"
NAME_LENGTH, TEXT_LENGTH, ID_LENGTH = 70, 140, 35
MOST_CENTS = 99_999_999_999  # 999 999 999.99: what a SEPA payment can carry
_IN = {"p": f"urn:iso:std:iso:20022:tech:xsd:{SCHEMA}"}
_OTHERS = re.compile(r"[^a-zA-Z0-9/\-?:().,'+ ]+")  # not in the character set that all SEPA banks take (EPC217-08)
_AS_BANKS_WRITE = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ẞ": "SS", "&": "+"}
)


@dataclass(frozen=True)
class Party:
    """Whose account is debited. Without a BIC the bank goes by the IBAN."""

    name: str
    iban: str
    bic: str = ""


@dataclass(frozen=True)
class Payment:
    """One credit transfer: *id* comes back in statements as EndToEndId."""

    id: str
    name: str
    iban: str
    cents: int
    said: str


def text(said: str, most: int, fallback: str = "") -> str:
    """A text in the characters that every bank takes, in Latin letters; *fallback* where no letter or digit is left."""
    latin = unidecode(unicodedata.normalize("NFC", said).translate(_AS_BANKS_WRITE))
    plain = " ".join(_OTHERS.sub(" ", latin).split())[:most].strip()
    return plain if any(character.isalnum() for character in plain) else fallback


def payment_file(debtor: Party, payments: Iterable[Payment], *, message_id: str, currency: str, at: datetime) -> bytes:
    """The file, valid against the bank's schema.

    Args:
        message_id: At most 35 characters; a bank refuses one that it saw before.
        at: When it was made; also the day on which the bank is asked to pay.

    Raises:
        lxml.etree.DocumentInvalid: Something does not fit the schema: a bug.
    """
    party = {"name": text(debtor.name, NAME_LENGTH, "Flattr"), "IBAN": debtor.iban}
    settings = party | {"batch": True, "currency": currency, "domestic": currency != "EUR"}
    made = sepaxml.SepaTransfer(settings | ({"BIC": debtor.bic} if debtor.bic else {}), SCHEMA, clean=False)
    for payment in payments:
        made.add_payment(_fields(payment, at))
    document = etree.fromstring(made.export(validate=False))
    _pin(document, debtor, message_id, at)
    _schema().assertValid(document)
    written: bytes = etree.tostring(document, xml_declaration=True, encoding="UTF-8")
    return written


def _fields(payment: Payment, at: datetime) -> dict[str, object]:
    return {
        "name": text(payment.name, NAME_LENGTH, f"Payee {payment.id}"),
        "IBAN": payment.iban,
        "amount": payment.cents,
        "description": text(payment.said, TEXT_LENGTH, payment.id),
        "endtoend_id": payment.id,
        "execution_date": at.date(),
    }


def _pin(document: etree._Element, debtor: Party, message_id: str, at: datetime) -> None:
    """Replace what sepaxml makes up anew each time, ids and the time of day; say of no BIC what banks want said."""
    for path, said in (
        ("GrpHdr/p:MsgId", message_id),
        ("GrpHdr/p:CreDtTm", f"{at:%Y-%m-%dT%H:%M:%SZ}"),
        ("PmtInf/p:PmtInfId", message_id),
    ):
        document.find(f"p:CstmrCdtTrfInitn/p:{path}", _IN).text = said
    if not debtor.bic:
        bank = document.find(".//p:DbtrAgt/p:FinInstnId", _IN)
        other = etree.SubElement(bank, f"{{{_IN['p']}}}Othr")
        etree.SubElement(other, f"{{{_IN['p']}}}Id").text = "NOTPROVIDED"


@cache
def _schema() -> etree.XMLSchema:
    return etree.XMLSchema(file=Path(sepaxml.__file__).parent / "schemas" / f"{SCHEMA}.xsd")
