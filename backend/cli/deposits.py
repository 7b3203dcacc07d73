"""Money in."""

from collections.abc import Callable
from pathlib import Path

import click
from rich.table import Table
from sqlalchemy.orm import Session

from backend import deposits, users
from backend.cli.desk import Amount, Desk, bar, desk, flattr, messages
from backend.deposits import entries, imports, reversals
from backend.deposits.entries import BankEntry


@flattr.group("deposits")
def deposits_group() -> None:
    """Money in."""


@deposits_group.command("add")
@click.argument("email")
@click.argument("amount", type=Amount())
@click.option("--reference", required=True, help="What identifies it, such as the bank's reference.")
@desk
def deposits_add(desk: Desk, email: str, amount: int, reference: str) -> None:
    """Book money that arrived for a reader; the same reference counts once."""
    with desk.sessions.begin() as session:
        user = users.by_email(session, email)
        deposit, is_new = deposits.add(session, user, amount, reference, now=desk.config.now())
    result = {"email": user.email, "reference": deposit.reference, "amount_micros": amount}
    result |= {"currency": desk.config.currency, "state": "booked" if is_new else "already"}
    desk.answer(result, f"{desk.money(amount)} {'booked for' if is_new else 'was booked already for'} {user.email}.")


@deposits_group.command("import")
@click.argument("statement", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@desk
def deposits_import(desk: Desk, statement: Path) -> None:
    """Book a bank statement, a camt.053 file, all of it or nothing; the same movement counts once."""
    config = desk.config
    with bar("Reading", statement.stat().st_size) as tell:
        told = imports.import_file(
            desk.sessions,
            statement,
            iban=config.bank_iban,
            currency=config.currency,
            now=config.now(),
            progress=tell,
        )
    for warning in told.warnings:
        messages.print(warning, style="red", highlight=False, markup=False, soft_wrap=True)
    title = (
        f"{told.imported} imported, {told.already} already known, {told.unmatched} unmatched, {told.ignored} ignored"
    )
    desk.answer(told.as_json(), _entry_table(desk, told.entries, title) if told.entries else f"{title}.")


@deposits_group.command("unmatched")
@desk
def deposits_unmatched(desk: Desk) -> None:
    """List the credits that wait for their reader, and why."""
    _list(desk, entries.unmatched, "unmatched", "Nothing waits for its reader.")


@deposits_group.command("assign")
@click.argument("entry_id", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@click.argument("email")
@desk
def deposits_assign(desk: Desk, entry_id: int, email: str) -> None:
    """Say whose an unmatched credit is."""
    with desk.sessions.begin() as session:
        user = users.by_email(session, email)
        deposit, is_new = entries.assign(session, entry_id, user, now=desk.config.now())
    shown = desk.money(deposit.amount_micros)
    result = {"id": entry_id, "email": user.email, "amount_micros": deposit.amount_micros}
    result |= {"currency": desk.config.currency, "state": "assigned" if is_new else "already"}
    desk.answer(result, f"{shown} {'assigned to' if is_new else 'was assigned already to'} {user.email}.")


@deposits_group.command("reversals")
@desk
def deposits_reversals(desk: Desk) -> None:
    """List what the bank took back and nobody has booked yet."""
    _list(desk, reversals.waiting, "taken back", "Nothing was taken back.")


@deposits_group.command("reverse")
@click.argument("entry_id", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@click.argument("reader")
@desk
def deposits_reverse(desk: Desk, entry_id: int, reader: str) -> None:
    """Book that the bank took back what READER (address or reference) paid in: from the wallet, then the reserve."""
    with desk.sessions.begin() as session:
        user = reversals.payer(session, reader)
        made, is_new = reversals.reverse(session, entry_id, user, now=desk.config.now())
    parts = {"wallet": made.wallet_micros, "reserve": made.reserve_micros}
    result = {"id": entry_id, "public_id": user.public_id, "currency": desk.config.currency}
    result |= {f"{name}_micros": part for name, part in parts.items()}
    shown = " and ".join(f"{desk.money(part)} of the {name}" for name, part in parts.items() if part)
    said = f"{'Taken' if is_new else 'Was taken'} back: {shown}."
    desk.answer(result | {"state": "reversed" if is_new else "already"}, said)


@deposits_group.command("release")
@click.argument("entry_id", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@desk
def deposits_release(desk: Desk, entry_id: int) -> None:
    """Take an unmatched credit off the books: you send it back, or booked it otherwise; or ask no more of a debit."""
    with desk.sessions.begin() as session:
        entry, is_new = entries.release(session, entry_id, now=desk.config.now())
    shown = desk.money(entry.amount_micros)
    result = entry.as_json() | {"currency": desk.config.currency, "state": "returned" if is_new else "already"}
    payer = " ".join(filter(None, (entry.payer_name, entry.payer_iban))) or "its payer"
    desk.answer(result, f"{shown} of {payer} {'is' if is_new else 'was already'} off the books.")


def _list(desk: Desk, find: Callable[[Session], list[BankEntry]], some: str, none: str) -> None:
    with desk.reading() as session:
        found = find(session)
    table = _entry_table(desk, found, f"{len(found)} {some}") if found else none
    desk.answer({"entries": [entry.as_json() for entry in found]}, table)


def _entry_table(desk: Desk, found: list[BankEntry], title: str) -> Table:
    """Entries for people: what they read out to the bank, or to a reader who asks."""
    table = Table("id", "booked", "amount", "why", "from", "says", title=title)
    table.columns[4].overflow = "fold"  # an account number is whole or useless
    for entry in found:
        shown = desk.money(entry.amount_micros)
        payer = "\n".join(filter(None, (entry.payer_name, entry.payer_iban)))
        why = (entry.reason or "").replace("_", " ")
        table.add_row(str(entry.id), entry.booked_on.isoformat(), shown, why, payer, entry.text or "")
    return table
