"""A reader's pages: the month, the wallet, the connected browsers."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from secrets import token_hex

from flask import Response, abort, flash, g, render_template, request
from flask.typing import ResponseReturnValue
from segno import helpers

from backend import access, card_payments, cards, clicks, deposits, jobs, leaving, ledger, notices, users
from backend import statements as st
from backend.card_money import CardPayment
from backend.context import charity_user, choices, clock, config, limit, session, world
from backend.db import begin_writing
from backend.errors import InvalidRequest
from backend.money import MICROS, decimal_text, format_money, parse_amount
from backend.payouts import refunds
from backend.period import ends_at, following, parse_period, period_of
from backend.web import charts
from backend.web.base import blueprint, done, in_its_part, part_of, signed_in, to_sign_in, user

PRETENDED_MICROS = 20 * MICROS
OFFERED_MICROS = (5 * MICROS, 10 * MICROS, 20 * MICROS)  # by card
SOURCES = {"bank": "Bank transfer", "card": "Card", "operator": "Booked by the operator"}
MOST_PROMISES = 300  # on the page; the export has all


@blueprint.get("/month")
@signed_in
def month() -> ResponseReturnValue:
    """The list, what a share is worth, undo, and the budget. The page asks now and then whether it is still so."""
    now_open = period_of(clock())
    period = period_typed(request.args.get("period", now_open))
    found = clicks.month(session(), user(), period, now=clock())
    g.runs_script, version = found.state == "open", _version(found)
    if request.if_none_match.contains(version):
        return Response(status=304)
    budget_micros, empty_month = users.decision(session(), user().id, period)
    repeat_owners, charity = clicks.repeatable(session(), user(), period), charity_user()
    return render_template(
        "reader/month.html",
        month=found,
        version=version,
        part=part_of(found.clicks),
        choices=choices(),
        empty_month=empty_month,
        empty_month_says=_empty_month_says(empty_month, repeat_owners, charity.name if charity else None),
        repeat_owners=repeat_owners,
        charity=charity,
        given=st.given(session(), user(), period) if found.state == "settled" else None,
        pages_gone=st.PAGES_GONE,
        ends_at=ends_at(period),
        budget_micros=budget_micros,
        balance_micros=ledger.balance(session(), ledger.wallet(user().id)),
        currency=config().currency,
        earlier=following(period, -1),
        later=following(period) if period < now_open else None,
    )


def _version(found: clicks.Month) -> str:
    """Another one whenever the list, whom it goes to, or what a share is worth is another."""
    rows = [(c.page_id, c.title, c.rule, c.thanks, c.owner and (c.owner.id, c.owner.name)) for c in found.clicks]
    return sha256(repr((replace(found, clicks=[]), rows)).encode()).hexdigest()


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
    return done(_form(), "Saved. It holds for this month and those to come.")


@blueprint.post("/month/undo")
@signed_in
def undo() -> ResponseReturnValue:
    """Take a click back."""
    page_id = whole_number(request.form.get("page_id", ""))
    clicks.undo(session(), user(), page_id, request.form.get("period", ""), now=clock())
    return done(in_its_part("/month"), "Taken back.")


@blueprint.post("/month/budget")
@signed_in
def budget() -> ResponseReturnValue:
    """What a month is worth from now on."""
    amount = amount_typed(request.form.get("budget", ""))
    users.set_budget(session(), user(), amount, now=clock())
    return done(_form(), f"A month is worth {format_money(amount, config().currency)} to you now.")


def _form() -> str:
    return "/settings" if request.form.get("from") == "settings" else "/month"


@blueprint.get("/history")
@signed_in
def history() -> ResponseReturnValue:
    """What each month came to, and what became of promises."""
    now_open = period_of(clock())
    last = period_typed(request.args.get("period", following(now_open, -1)))
    periods = charts.last_months(last)
    given = st.given_over(session(), user(), periods)
    charged = {period: share.share_micros * share.owners for period, share in given.items()}
    return render_template(
        "reader/history.html",
        given=given,
        charged=charged,
        bars=[charts.Bar(period, charged.get(period, 0), f"/month?period={period}") for period in periods],
        promises=part_of(list(clicks.promises_of(session(), user(), now=clock(), limit=MOST_PROMISES))),
        earlier=following(periods[0], -1),
        later=min(following(last, charts.MONTHS), following(now_open, -1)) if following(last) < now_open else None,
    )


@blueprint.post("/history/withdraw")
@signed_in
def withdraw() -> ResponseReturnValue:
    """Take back a promise that still waits."""
    was_there = clicks.withdraw(session(), user(), whole_number(request.form.get("page_id", "")))
    said = "Withdrawn. The promise cost nothing and never will." if was_there else "It was withdrawn already."
    return done(in_its_part("/history"), said)


@blueprint.get("/money")
@signed_in
def money() -> ResponseReturnValue:
    """How to add money: by card, or with the operator's bank details and the reader's reference; what arrived."""
    returned = _returned(request.args.get("card", ""))
    if provider := cards.provider(config()):
        g.form_leads_to = provider.origin
    budget_micros, _ = users.decision(session(), user().id, period_of(clock()))
    return render_template(
        "reader/money.html",
        bank=config(),
        reference=user().deposit_reference,
        qr=_bank_code(4 * budget_micros or PRETENDED_MICROS),
        balance_micros=ledger.balance(session(), ledger.wallet(user().id)),
        deposits=deposits.recent(session(), user()),
        sources=SOURCES,
        pretended_micros=PRETENDED_MICROS,
        offered_micros=OFFERED_MICROS if provider else (),
        least_micros=card_payments.LEAST_MICROS,
        most_micros=card_payments.MOST_MICROS,
        returned=returned,
        refundable_micros=card_payments.refundable_by_card(session(), user()) if provider else 0,
        on_its_way_micros=card_payments.on_its_way(session(), user()),
        refund=_refund(),
    )


def _refund() -> dict[str, object]:
    """What of the wallet can go back by bank, where to, what is on its way, and why it may have to wait."""
    try:
        clicks.ensure_settled(session(), now=clock())
        waits = None
    except clicks.NotSettledYet as refusal:
        waits = str(refusal)
    return {
        "micros": refunds.refundable_by_bank(session(), user()),
        "to": refunds.target(session(), user(), config().currency),
        "on_its_way": refunds.waiting(session(), user()),
        "waits": waits,
    }


@blueprint.post("/money/refund")
@signed_in
def refund() -> ResponseReturnValue:
    """Take back what was not spent."""
    taken = refunds.request(session(), user(), config().currency, now=clock(), actor_id=user().id)
    return done("/money", f"{format_money(taken.amount_micros, config().currency)} is on its way back to you.")


def _returned(key: str) -> CardPayment | None:
    """The payment that somebody comes back from. Only the provider knows whether it was paid: it is asked."""
    payment = card_payments.find(session(), user(), key) if key else None
    if payment and payment.state == "open" and not jobs.is_waiting(session(), "card", str(payment.id)):
        session().rollback()  # it has only read yet, and a reader cannot turn writer
        begin_writing(session())
        card_payments.look(session(), payment, now=clock())
        session().commit()
    return payment


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
    return done("/money", f"{format_money(PRETENDED_MICROS, config().currency)} arrived.")


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
    return done("/devices", f"{device.name} is disconnected.")


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
    """The name others see, the budget, mails, browsers, the export, signing out and leaving."""
    budget_micros, empty_month = users.decision(session(), user().id, period_of(clock()))
    return render_template(
        "reader/settings.html",
        budget_micros=budget_micros,
        currency=config().currency,
        choices=choices(),
        empty_month=empty_month,
        repeat_owners=clicks.repeatable(session(), user(), period_of(clock())),
        charity=charity_user(),
        kinds=notices.KINDS,
        unwanted=users.unwanted_mails(session(), user().id),
        devices=access.devices(session(), user()),
    )


@blueprint.post("/settings")
@signed_in
def save_settings() -> ResponseReturnValue:
    """Change the name."""
    users.add(session(), user().email, now=clock(), name=request.form.get("name", ""))
    return done("/settings", "Saved.")


@blueprint.get("/leave")
@signed_in
def leave() -> ResponseReturnValue:
    """Say what leaving does, and ask for the address."""
    held = ledger.balances(session(), [ledger.wallet(user().id), ledger.income(user().id)])
    to = [refunds.target(session(), user(), config().currency, for_refund=way) for way in (True, False)]
    by_card_micros = held[ledger.wallet(user().id)] - refunds.refundable_by_bank(session(), user())
    return render_template(
        "reader/leave.html",
        paid_back_micros=sum(held.values()),
        by_card_micros=by_card_micros,
        accounts=sorted({target.iban for target in to if target}),
    )


@blueprint.post("/leave")
@signed_in
def leave_now() -> ResponseReturnValue:
    """Delete the user who is signed in, if they are so freshly and mean it."""
    if not access.is_fresh(g.web_session, now=clock()):
        flash("Please sign in again: this cannot be undone, so we want to be sure that it is you.")
        return to_sign_in("/leave")
    if request.form.get("email", "").strip().lower() != user().email:
        raise InvalidRequest("Please type your address as it stands there: this cannot be undone.")
    left = leaving.leave(session(), user(), world(), config().currency, now=clock(), actor_id=user().id)
    session().commit()
    g.user = None
    return render_template("reader/left.html", left=left)


def period_typed(text: str) -> str:
    """A month from an address or a form.

    Raises:
        InvalidRequest: Not a month.
    """
    try:
        return parse_period(text)
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
