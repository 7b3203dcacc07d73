"""Money that came by bank: statements in, and readers for what names none."""

import tempfile
from functools import partial
from pathlib import Path

from flask import flash, render_template, request
from flask.typing import ResponseReturnValue

from backend import users
from backend.bank.camt import MAX_BYTES
from backend.context import clock, config, session, sessions
from backend.deposits import entries, imports, reversals
from backend.deposits.entries import BankEntry, NoSuchEntry
from backend.deposits.reference import public_ids
from backend.errors import InvalidRequest
from backend.money import format_money
from backend.users import NoSuchUser, User
from backend.web.base import back_to, blueprint, user
from backend.web.desk.base import A_PAGE, operators


@blueprint.get("/desk/deposits")
@operators
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


@blueprint.post("/desk/deposits/import")
@operators
def desk_import() -> ResponseReturnValue:
    """Book a bank statement: all of it or nothing."""
    sent = request.files.get("statement")
    if sent is None or not sent.filename:
        raise InvalidRequest("Please choose the file of the bank first.")
    actor_id = user().id
    with tempfile.NamedTemporaryFile(suffix=".xml") as file:
        sent.save(file)
        file.flush()
        told = imports.import_file(
            sessions(),
            Path(file.name),
            iban=config().bank_iban,
            currency=config().currency,
            now=clock(),
            actor_id=actor_id,
        )
    flash(
        f"{told.imported} booked for their readers, {told.already} known already, {told.unmatched} without a reader, "
        f"{told.ignored} that left the account or moved nothing."
    )
    for warning in told.warnings[:5]:
        flash(warning)
    return back_to("/desk/deposits")


@blueprint.get("/desk/deposits/<int:entry_id>")
@operators
def desk_entry(entry_id: int) -> ResponseReturnValue:
    """One payment that came, or was taken back; with `reader`, who that is, before anything is booked."""
    entry = _entry(entry_id)
    asked, find = request.args.get("reader", "").strip(), _reader
    if entry.amount_micros < 0:
        find = partial(reversals.payer, session())
    reader = find(asked) if asked else None
    done = session().get(reversals.Reversal, entry.id)
    return render_template("desk/entry.html", entry=entry, reader=reader, done=done)


@blueprint.post("/desk/deposits/<int:entry_id>/assign")
@operators
def desk_assign(entry_id: int) -> ResponseReturnValue:
    """Book it for the reader who was shown."""
    reader = users.by_public_id(session(), request.form.get("public_id", ""))
    if reader is None:
        raise NoSuchUser("There is nobody with this id.")
    deposit, is_new = entries.assign(session(), _entry(entry_id).id, reader, now=clock(), actor_id=user().id)
    shown, address = format_money(deposit.amount_micros, config().currency), reader.email
    session().commit()
    flash(f"{shown} {'is booked' if is_new else 'was booked already'} for {address}.")
    return back_to("/desk/deposits")


@blueprint.post("/desk/deposits/<int:entry_id>/reverse")
@operators
def desk_reverse(entry_id: int) -> ResponseReturnValue:
    """Book that the bank took back what the reader who was shown paid in."""
    reader = reversals.payer(session(), request.form.get("public_id", ""))
    made, is_new = reversals.reverse(session(), _entry(entry_id).id, reader, now=clock(), actor_id=user().id)
    parts = (format_money(micros, config().currency) for micros in (made.wallet_micros, made.reserve_micros))
    session().commit()
    flash("Out of the wallet {}, out of the reserve {}{}.".format(*parts, ", as booked before" if not is_new else ""))
    return back_to("/desk/deposits")


@blueprint.post("/desk/deposits/<int:entry_id>/release")
@operators
def desk_release(entry_id: int) -> ResponseReturnValue:
    """Take it off the books: it is sent back, or booked otherwise."""
    entry, is_new = entries.release(session(), _entry(entry_id).id, now=clock(), actor_id=user().id)
    shown = format_money(entry.amount_micros, config().currency)
    session().commit()
    flash(f"{shown} {'is' if is_new else 'was already'} off the books.")
    return back_to("/desk/deposits")


def _entry(entry_id: int) -> BankEntry:
    entry = session().get(BankEntry, entry_id) if entry_id < 2**63 else None
    if entry is None:
        raise NoSuchEntry
    return entry


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
