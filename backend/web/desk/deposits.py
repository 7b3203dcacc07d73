"""Money that came by bank: statements in, and readers for what names none."""

import tempfile
from pathlib import Path

from flask import render_template, request
from flask.typing import ResponseReturnValue

from backend import users
from backend.bank.camt import MAX_BYTES
from backend.context import clock, config, session, sessions
from backend.deposits import entries, imports, reversals
from backend.deposits.entries import BankEntry, NoSuchEntry
from backend.deposits.reference import public_ids
from backend.errors import InvalidRequest
from backend.users import NoSuchUser, User
from backend.web.base import done, row, user
from backend.web.desk.base import A_PAGE, operators
from backend.web.show import money


@operators.get("/deposits")
def desk_deposits() -> ResponseReturnValue:
    """Sending a statement, and what waits for its reader."""
    found = entries.unmatched(session(), most=A_PAGE + 1)
    return render_template(
        "desk/deposits.html",
        entries=found[:A_PAGE],
        more=len(found) > A_PAGE,
        taken_back=reversals.waiting(session(), most=A_PAGE),
        most=MAX_BYTES >> 20,
    )


@operators.post("/deposits/import")
def desk_import() -> ResponseReturnValue:
    """Book a bank statement: all of it or nothing."""
    sent = request.files.get("statement")
    if sent is None or not sent.filename:
        raise InvalidRequest("Please choose the file of the bank first.")
    bank, actor_id = config(), user().id
    with tempfile.NamedTemporaryFile(suffix=".xml") as file:
        sent.save(file)
        file.flush()
        now, path = clock(), Path(file.name)
        told = imports.import_file(
            sessions(), path, iban=bank.bank_iban, currency=bank.currency, now=now, actor_id=actor_id
        )
    said = (
        f"{told.imported} booked for their readers, {told.already} known already, {told.unmatched} without a reader, "
        f"{told.ignored} that left the account or moved nothing."
    )
    return done("/desk/deposits", said, *told.warnings[:5])


@operators.get("/deposits/<int:entry_id>")
def desk_entry(entry_id: int) -> ResponseReturnValue:
    """One payment that came, or was taken back; with `reader`, who that is, before anything is booked."""
    entry = _entry(entry_id)
    reader = None
    if asked := request.args.get("reader", "").strip():
        reader = reversals.payer(session(), asked) if entry.amount_micros < 0 else _reader(asked)
    booked = session().get(reversals.Reversal, entry.id)
    return render_template("desk/entry.html", entry=entry, reader=reader, done=booked)


@operators.post("/deposits/<int:entry_id>/assign")
def desk_assign(entry_id: int) -> ResponseReturnValue:
    """Book it for the reader who was shown."""
    reader = users.by_public_id(session(), request.form.get("public_id", ""))
    if reader is None:
        raise NoSuchUser("There is nobody with this id.")
    deposit, is_new = entries.assign(session(), _entry(entry_id).id, reader, now=clock(), actor_id=user().id)
    became = "is booked" if is_new else "was booked already"
    return done("/desk/deposits", f"{money(deposit.amount_micros)} {became} for {reader.email}.")


@operators.post("/deposits/<int:entry_id>/reverse")
def desk_reverse(entry_id: int) -> ResponseReturnValue:
    """Book that the bank took back what the reader who was shown paid in."""
    reader = reversals.payer(session(), request.form.get("public_id", ""))
    made, is_new = reversals.reverse(session(), _entry(entry_id).id, reader, now=clock(), actor_id=user().id)
    said = f"Out of the wallet {money(made.wallet_micros)}, out of the reserve {money(made.reserve_micros)}"
    return done("/desk/deposits", f"{said}{'' if is_new else ', as booked before'}.")


@operators.post("/deposits/<int:entry_id>/release")
def desk_release(entry_id: int) -> ResponseReturnValue:
    """Take it off the books: it is sent back, or booked otherwise."""
    entry, is_new = entries.release(session(), _entry(entry_id).id, now=clock(), actor_id=user().id)
    became = "is" if is_new else "was already"
    return done("/desk/deposits", f"{money(entry.amount_micros)} {became} off the books.")


def _entry(entry_id: int) -> BankEntry:
    return row(BankEntry, entry_id, NoSuchEntry)


def _reader(asked: str) -> User:
    """By address, by the reference they write on transfers, or by their public id.

    Raises:
        NoSuchUser: Nobody, or several.
    """
    if "@" in asked:
        return users.by_email(session(), asked)
    found, mistyped = public_ids([asked])
    if mistyped and not found:
        raise NoSuchUser("This reference is mistyped: its check digits do not fit. Please compare it again.")
    reader = users.by_public_id(session(), next(iter(found)) if len(found) == 1 else asked.lower())
    if reader is None:
        raise NoSuchUser("Nobody has this address or reference.")
    return reader
