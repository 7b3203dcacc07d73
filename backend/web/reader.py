"""A reader's pages: the month, the wallet, the connected browsers."""

from datetime import timedelta
from decimal import Decimal
from secrets import token_hex

from flask import abort, flash, g, redirect, render_template, request
from flask.typing import ResponseReturnValue
from segno import helpers

from backend import access, clicks, deposits, leaving, ledger, users
from backend import statements as st
from backend.context import charity_user, choices, clock, config, limit, session, world
from backend.errors import InvalidRequest
from backend.money import MICROS, decimal_text, format_money, parse_amount
from backend.period import ends_at, following, parse_period, period_of
from backend.web.base import back_to, blueprint, signed_in, user

PRETENDED_MICROS = 20 * MICROS


@blueprint.get("/month")
@signed_in
def month() -> ResponseReturnValue:
    """The list, what a share is worth, undo, and the budget."""
    now_open = period_of(clock())
    period = asked_period(now_open)
    found = clicks.month(session(), user(), period, now=clock())
    budget_micros, empty_month = users.decision(session(), user().id, period)
    repeat_owners, charity = clicks.repeatable(session(), user(), period), charity_user()
    return render_template(
        "reader/month.html",
        month=found,
        choices=choices(),
        empty_month=empty_month,
        empty_month_says=_empty_month_says(empty_month, repeat_owners, charity.name if charity else None),
        repeat_owners=repeat_owners,
        charity=charity,
        given=st.given(session(), user(), period) if found.state == "settled" else None,
        ends_at=ends_at(period),
        budget_micros=budget_micros,
        balance_micros=ledger.balance(session(), ledger.wallet(user().id)),
        currency=config().currency,
        earlier=following(period, -1),
        later=following(period) if period < now_open else None,
    )


def _empty_month_says(choice: str, repeat_owners: int, charity: str | None) -> str:
    """What the page says of a month in which nobody is flattred."""
    if choice == "repeat" and repeat_owners:
        people = "one person" if repeat_owners == 1 else f"{repeat_owners} people"
        return f"If it stays so, it goes to the {people} of your last month, as you chose."
    if choice == "charity" and charity:
        return f"If it stays so, it goes to {charity}, as you chose."
    return "A month without flattrs costs nothing."


@blueprint.post("/month/empty")
@signed_in
def empty_month() -> ResponseReturnValue:
    """What becomes of a month in which nobody is flattred."""
    choice = request.form.get("choice", "")
    if choice not in choices():
        raise InvalidRequest("Please choose one of the offered ways.")
    users.set_empty_month(session(), user(), choice, now=clock())
    session().commit()
    flash("Saved. It holds for this month and those to come.")
    return back_to("/month")


@blueprint.post("/month/undo")
@signed_in
def undo() -> ResponseReturnValue:
    """Take a click back."""
    page_id = whole_number(request.form.get("page_id", ""))
    clicks.undo(session(), user(), page_id, request.form.get("period", ""), now=clock())
    session().commit()
    flash("Taken back.")
    return back_to("/month")


@blueprint.post("/month/budget")
@signed_in
def budget() -> ResponseReturnValue:
    """What a month is worth from now on."""
    amount = amount_typed(request.form.get("budget", ""))
    users.set_budget(session(), user(), amount, now=clock())
    session().commit()
    flash(f"A month is worth {format_money(amount, config().currency)} to you now.")
    return back_to("/month")


@blueprint.get("/money")
@signed_in
def money() -> ResponseReturnValue:
    """How to add money: the operator's bank details, the reader's reference, a code for banking apps."""
    budget_micros, _ = users.decision(session(), user().id, period_of(clock()))
    return render_template(
        "reader/money.html",
        bank=config(),
        reference=user().deposit_reference,
        qr=_bank_code(4 * budget_micros or PRETENDED_MICROS),
        balance_micros=ledger.balance(session(), ledger.wallet(user().id)),
        pretended_micros=PRETENDED_MICROS,
    )


def _bank_code(amount_micros: int) -> str | None:
    """An EPC QR code (EPC069-12) with an amount to start from; banking apps let people change it."""
    bank = config()
    if not (bank.bank_iban and bank.bank_name and bank.currency == "EUR"):
        return None
    amount = decimal_text(min(max(amount_micros, MICROS), 999_999_999 * MICROS))
    code = helpers.make_epc_qr(
        bank.bank_name, bank.bank_iban, Decimal(amount), reference=user().deposit_reference, bic=bank.bank_bic or None
    )
    return str(code.svg_inline(scale=4, dark="#1f1a17", light="#ffffff", border=4, title="Code for banking apps"))


@blueprint.post("/money/pretend")
@signed_in
def pretend() -> ResponseReturnValue:
    """In dev mode only: money arrives."""
    if not config().dev:
        abort(404)
    deposits.add(session(), user(), PRETENDED_MICROS, f"pretended {token_hex(8)}", now=clock())
    session().commit()
    flash(f"{format_money(PRETENDED_MICROS, config().currency)} arrived.")
    return back_to("/money")


@blueprint.get("/devices")
@signed_in
def devices() -> ResponseReturnValue:
    """The connected browsers."""
    return render_template("reader/devices.html", devices=access.devices(session(), user()))


@blueprint.post("/devices/<int:device_id>/disconnect")
@signed_in
def disconnect(device_id: int) -> ResponseReturnValue:
    """Revoke a browser's token."""
    device = access.disconnect(session(), user(), device_id, now=clock())
    session().commit()
    flash(f"{device.name} is disconnected.")
    return back_to("/devices")


@blueprint.get("/connect/<pairing_id>")
@signed_in
def connect(pairing_id: str) -> ResponseReturnValue:
    """Ask for the code that the browser shows."""
    access.open_pairing(session(), pairing_id, now=clock())
    return render_template("reader/connect.html", pairing_id=pairing_id, wrong=False)


@blueprint.post("/connect/<pairing_id>")
@signed_in
def type_code(pairing_id: str) -> ResponseReturnValue:
    """Connect the browser whose code was typed: typing, not pressing OK, keeps strangers' browsers out."""
    limit(f"codes:{user().id}", 30, timedelta(hours=1))
    right = access.try_code(session(), pairing_id, request.form.get("code", ""), user(), now=clock())
    session().commit()
    if not right:
        access.open_pairing(session(), pairing_id, now=clock())
        return render_template("reader/connect.html", pairing_id=pairing_id, wrong=True), 422
    return render_template("reader/connected.html")


@blueprint.get("/settings")
@signed_in
def settings() -> ResponseReturnValue:
    """The name others see, and signing out."""
    return render_template("reader/settings.html")


@blueprint.post("/settings")
@signed_in
def save_settings() -> ResponseReturnValue:
    """Change the name."""
    users.add(session(), user().email, now=clock(), name=request.form.get("name", ""))
    session().commit()
    flash("Saved.")
    return back_to("/settings")


@blueprint.get("/leave")
@signed_in
def leave() -> ResponseReturnValue:
    """Say what leaving does, and ask for the address."""
    held = ledger.balances(session(), [ledger.wallet(user().id), ledger.income(user().id)])
    return render_template("reader/leave.html", paid_back_micros=sum(held.values()))


@blueprint.post("/leave")
@signed_in
def leave_now() -> ResponseReturnValue:
    """Delete the user who is signed in, if they are so freshly and mean it."""
    if not access.is_fresh(g.web_session, now=clock()):
        flash("Please sign in again: this cannot be undone, so we want to be sure that it is you.")
        return redirect("/sign-in?next=/leave", 303)
    if request.form.get("email", "").strip().lower() != user().email:
        raise InvalidRequest("Please type your address as it stands there: this cannot be undone.")
    left = leaving.leave(session(), user(), world(), config().currency, now=clock())
    session().commit()
    g.user = None
    return render_template("reader/left.html", left=left)


def asked_period(default: str) -> str:
    """The month that the address asks for.

    Raises:
        InvalidRequest: Not a month.
    """
    try:
        return parse_period(request.args.get("period", default))
    except ValueError as error:
        raise InvalidRequest(f"{error}.") from error


def amount_typed(text: str) -> int:
    """An amount from a form, in micros.

    Raises:
        InvalidRequest: Not an amount.
    """
    try:
        return parse_amount(text)
    except ValueError as error:
        raise InvalidRequest("Please type an amount like 5.00.") from error


def whole_number(text: str) -> int:
    """A number from a form's hidden field.

    Raises:
        InvalidRequest: Not a number.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidRequest
    return int(text)
