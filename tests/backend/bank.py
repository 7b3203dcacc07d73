"""A bank that tells of one account in camt.053 files, with the habits of real banks, good and bad.

German ones cut the text into lines of 35 characters, Dutch ones put the reference into the end-to-end id, French ones
write all in capitals; some give no reference of their own; some book many transfers as one entry.
"""

from dataclasses import dataclass, field
from datetime import date
from xml.sax.saxutils import escape

from backend.money import decimal_text, parse_amount

OURS = "DE02120300000000202051"
PAYER = "NL91ABNA0417164300"


@dataclass(frozen=True)
class Booked:
    """One entry on the account. *amount* is text as the file has it; *sign* is -1 for what leaves."""

    day: date
    amount: str
    text: str = ""
    sign: int = 1
    name: str = "Ann Example"
    iban: str = PAYER
    structured: str = ""
    end_to_end_id: str = "NOTPROVIDED"
    ref: str = ""
    status: str = "BOOK"
    currency: str = "EUR"
    reversal: bool = False
    returned: bool = False
    more: str = ""  # what the bank adds
    charges: str = ""
    parts: tuple["Booked", ...] = ()

    @property
    def micros(self):
        return self.sign * parse_amount(self.amount) if self.status == "BOOK" else 0


@dataclass
class Bank:
    """The account and what happened on it, in the order in which it was booked."""

    iban: str = OURS
    currency: str = "EUR"
    version: str = "02"
    habit: str = "de"
    opening_micros: int = 100_000_000
    booked: list[Booked] = field(default_factory=list)

    def credit(self, day, amount, text="", **details):
        self.booked.append(Booked(date.fromisoformat(day), amount, text, **details))
        return self.booked[-1]

    def debit(self, day, amount, text="", **details):
        return self.credit(day, amount, text, sign=-1, **details)

    def batch(self, day, *parts, **details):
        """Many transfers in one entry."""
        total = decimal_text(sum(part.micros for part in parts), places=5)
        return self.credit(day, details.pop("amount", total), parts=parts, **details)

    def statement(self, first="2026-10-01", last="2026-10-31", *, upto=None, since=None, **changes):
        """A file with the statement of some days; `upto` and `since` cut a day as intraday reports do."""
        return self.file(self.body(first, last, upto=upto, since=since, **changes))

    def body(self, first="2026-10-01", last="2026-10-31", *, upto=None, since=None, balances=True, reverse=False):
        start = since or sum(b.day < date.fromisoformat(first) for b in self.booked)
        within = [b for b in self.booked[start:upto] if b.day <= date.fromisoformat(last)]
        opening = self.opening_micros + sum(b.micros for b in self.booked[:start])
        closing = opening + sum(b.micros for b in within)
        if reverse:
            within.reverse()
        return (
            f"<Stmt><Id>{first}/{last}</Id><ElctrncSeqNb>1</ElctrncSeqNb><CreDtTm>{last}T20:00:00+02:00</CreDtTm>"
            f"<Acct><Id><IBAN>{self.iban}</IBAN></Id><Ccy>{self.currency}</Ccy></Acct>"
            + (self.balance("OPBD", opening, first) + self.balance("CLBD", closing, last) if balances else "")
            + "".join(self.entry(b) for b in within)
            + "</Stmt>"
        )

    def file(self, *bodies):
        namespace = f"urn:iso:std:iso:20022:tech:xsd:camt.053.001.{self.version}"
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{namespace}"><BkToCstmrStmt>'
            f"<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-10-31T20:00:00+02:00</CreDtTm></GrpHdr>{''.join(bodies)}"
            "</BkToCstmrStmt></Document>"
        ).encode()

    def balance(self, code, micros, day):
        side = "CRDT" if micros >= 0 else "DBIT"
        return (
            f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
            f'<Amt Ccy="{self.currency}">{decimal_text(abs(micros), places=5)}</Amt>'
            f"<CdtDbtInd>{side}</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"
        )

    def entry(self, b):
        status = b.status if self.version == "02" else f"<Cd>{b.status}</Cd>"
        batch = f"<Btch><NbOfTxs>{len(b.parts)}</NbOfTxs></Btch>" if b.parts else ""
        details = "".join(self.details(part, alone=False) for part in b.parts) or self.details(b)
        return (
            f'<Ntry><NtryRef>1</NtryRef><Amt Ccy="{b.currency}">{b.amount}</Amt>'
            f"<CdtDbtInd>{'CRDT' if b.sign > 0 else 'DBIT'}</CdtDbtInd>"
            + ("<RvslInd>true</RvslInd>" if b.reversal else "")
            + f"<Sts>{status}</Sts><BookgDt><Dt>{b.day}</Dt></BookgDt><ValDt><Dt>{b.day}</Dt></ValDt>"
            + (f"<AcctSvcrRef>{b.ref}</AcctSvcrRef>" if b.ref else "")
            + "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>"
            + (
                f'<Chrgs><Rcrd><Amt Ccy="EUR">{b.charges}</Amt><CdtDbtInd>DBIT</CdtDbtInd></Rcrd></Chrgs>'
                if b.charges
                else ""
            )
            + f"<NtryDtls>{batch}{details}</NtryDtls>"
            + (f"<AddtlNtryInf>{escape(b.more)}</AddtlNtryInf>" if b.more else "")
            + "</Ntry>"
        )

    def details(self, b, *, alone=True):
        party = "{}" if self.version == "02" else "<Pty>{}</Pty>"
        amount = f'<Amt Ccy="{b.currency}">{b.amount}</Amt>'
        if self.version == "02":
            amount = f"<AmtDtls><TxAmt>{amount}</TxAmt></AmtDtls>"
        else:
            amount += "<CdtDbtInd>CRDT</CdtDbtInd>"
        name = party.format(f"<Nm>{escape(b.name)}</Nm>")
        return (
            "<TxDtls><Refs>"
            + (f"<AcctSvcrRef>{b.ref}</AcctSvcrRef>" if b.ref and not alone else "")
            + f"<EndToEndId>{escape(b.end_to_end_id)}</EndToEndId></Refs>"
            + (amount if not alone else "")
            + f"<RltdPties><Dbtr>{name}</Dbtr><DbtrAcct><Id><IBAN>{b.iban}</IBAN></Id></DbtrAcct></RltdPties>"
            + f"<RmtInf>{self.remittance(b)}</RmtInf>"
            + ("<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>" if b.returned else "")
            + "</TxDtls>"
        )

    def remittance(self, b):
        if b.structured:
            kind = "<Tp><CdOrPrtry><Cd>SCOR</Cd></CdOrPrtry></Tp>"
            return f"<Strd><CdtrRefInf>{kind}<Ref>{b.structured}</Ref></CdtrRefInf></Strd>"
        text = b.text.upper() if self.habit == "fr" else b.text
        width = 35 if self.habit == "de" else 140
        lines = [text[at : at + width] for at in range(0, len(text), width)] or [""]
        return "".join(f"<Ustrd>{escape(line)}</Ustrd>" for line in lines)
