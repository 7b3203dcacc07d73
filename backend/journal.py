"""The books as a journal for hledger or beancount, whose own checks then audit ours.

Their signs are the usual ones: what we hold is positive, what we owe is negative. Users are named by public id alone.
Transfers are streamed in the order of their instants and identities, so the same books give the same bytes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from backend import ledger
from backend.ledger import SUSPENSE, WORDS, Kind, Transfer
from backend.money import decimal_text
from backend.urls import clean_title
from backend.users import User

AT_ONCE = 10_000  # rows in memory
OPENING = "Equity:Opening"
NAMES = {
    Kind.BANK: "Assets:Bank",
    Kind.FEES: "Income:Fees",
    Kind.CLEARING: "Liabilities:Clearing",
    Kind.CARDS: "Assets:Cards",
    Kind.WALLET: "Liabilities:Wallet",
    Kind.INCOME: "Liabilities:Income",
    Kind.TRANSIT: "Liabilities:Transit",
    Kind.RESERVE: "Equity:Reserve",
}


@dataclass(frozen=True)
class Form:
    """How a program wants its journal written; what is in *unsafe* would mean something to it where there is text."""

    head: str
    account: str
    opening: str
    entry: str
    closing: str
    unsafe: str


FORMS = {
    "hledger": Form(
        head="commodity 1000.000000 {currency}\n\n",
        account="account {name}\n",  # so that `hledger check --strict` knows it
        opening="\n{day} opening\n    Equity:Opening  {held} {currency}\n    {name}  {back} {currency}\n",
        entry=(
            "\n{day} {words}\n    ; id:{id}, code:{code}, about:{about}, at:{at}\n"
            "    {debit}  {amount} {currency}\n    {credit}  -{amount} {currency}\n"
        ),
        closing="\n{last} closing\n    {name}  0 {currency} = {back} {currency}\n",
        unsafe=",",
    ),
    "beancount": Form(
        head='option "operating_currency" "{currency}"\n\n',
        account="1970-01-01 open {name}\n",  # before the first transfer
        opening='\n{day} * "opening"\n  Equity:Opening  {held} {currency}\n  {name}  {back} {currency}\n',
        entry=(
            '\n{day} * "{words}"\n  id: "{id}"\n  code: "{code}"\n  about: "{about}"\n  at: "{at}"\n'
            "  {debit}  {amount} {currency}\n  {credit}  -{amount} {currency}\n"
        ),
        closing="{end} balance {name}  {back} ~ 0.000000 {currency}\n",  # when the day after begins, to the micro
        unsafe='\\"',
    ),
}


def write(
    session: Session, form: Form, currency: str, *, since: datetime | None, until: datetime | None
) -> Iterator[str]:
    """The journal, piece by piece: accounts, what was on them, every transfer, and what is on them at the end.

    Args:
        session: Reads in one transaction that sees one state of the books.
        since: The first instant; None from the beginning on.
        until: The first instant that no longer belongs to it; None to the end.
    """
    yield form.head.format(currency=currency)
    last = until or session.scalar(sa.select(sa.func.max(Transfer.at)))
    if last is None:
        return
    end = last.date() if until else last.date() + timedelta(days=1)
    days = {"currency": currency, "end": end, "last": end - timedelta(days=1)}
    yield form.account.format(name=OPENING)
    for name, _ in _held(session, None):
        yield form.account.format(name=name)
    if since:
        for name, micros in _held(session, since):
            if micros:
                yield form.opening.format(name=name, day=since.date(), currency=currency, **_signed(micros))
    for entry in _entries(session, form, since, until):
        yield form.entry.format(currency=currency, **entry)
    for name, micros in chain(_held(session, until), [(OPENING, 0)]):
        yield form.closing.format(name=name, **days, **_signed(micros))


def count(session: Session, *, since: datetime | None, until: datetime | None) -> int:
    """How many transfers a journal has."""
    return session.scalar(sa.select(sa.func.count()).select_from(_between(since, until).subquery())) or 0


def account_name(account_id: int, public_id: str | None) -> str:
    """A ledger account as journals know it."""
    if account_id == SUSPENSE:
        return "Liabilities:Suspense"
    name = NAMES[Kind(account_id % 8)]
    return f"{name}:{public_id.upper()}" if public_id else name


def _between(since: datetime | None, until: datetime | None) -> sa.Select[*tuple[Any, ...]]:
    query = sa.select(Transfer.code)
    query = query.where(Transfer.at >= since) if since else query
    return query.where(Transfer.at < until) if until else query


def _stream(session: Session, query: sa.Select[*tuple[Any, ...]]) -> Iterable[sa.Row[*tuple[Any, ...]]]:
    return session.execute(query.execution_options(yield_per=AT_ONCE))


def _held(session: Session, before: datetime | None) -> Iterator[tuple[str, int]]:
    accounts = ledger.held(before).subquery()
    query = sa.select(accounts.c.id, accounts.c.micros, User.public_id)
    owned = query.outerjoin(User, User.id == accounts.c.id // 8).order_by(accounts.c.id)
    for account_id, micros, public_id in _stream(session, owned):
        yield account_name(account_id, public_id), int(micros)


def _entries(
    session: Session, form: Form, since: datetime | None, until: datetime | None
) -> Iterator[dict[str, object]]:
    """Transfers, by the names of what stands in a form: *amount* goes from the *debit* to the *credit* account."""
    blanked = str.maketrans(form.unsafe, " " * len(form.unsafe))
    payer, payee = aliased(User), aliased(User)
    columns = (Transfer.at, Transfer.code, Transfer.about, Transfer.account_id, Transfer.amount_micros)
    sides = (Transfer.debit_account_id, Transfer.credit_account_id, payer.public_id, payee.public_id)
    query = (
        _between(since, until)
        .with_only_columns(*columns, *sides)
        .outerjoin(payer, payer.id == Transfer.debit_account_id // 8)
        .outerjoin(payee, payee.id == Transfer.credit_account_id // 8)
        .order_by(Transfer.at, Transfer.code, Transfer.about, Transfer.account_id)
    )
    for at, code, about, concerns, amount, debit, credit, paid_by, paid_to in _stream(session, query):
        of = paid_by if concerns == debit else paid_to
        kind = Kind(concerns % 8).name.lower()
        yield {
            "id": ledger.stable_id(code, about, f"{kind}:{of}" if of else kind),
            "at": at.isoformat(),
            "day": at.date(),
            "code": code,
            "words": WORDS[code],
            "about": (clean_title(about) or "").translate(blanked),
            "debit": account_name(debit, paid_by),
            "credit": account_name(credit, paid_to),
            "amount": decimal_text(amount, places=6),
        }


def _signed(micros: int) -> dict[str, str]:
    """What is on an account by our sign, and `back`: by theirs."""
    return {"held": decimal_text(micros, places=6), "back": decimal_text(-micros, places=6)}
