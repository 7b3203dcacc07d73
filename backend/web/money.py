"""A reader's wallet: money by bank or by card, what of it goes back, and the card provider's messages."""

from datetime import timedelta
from decimal import Decimal
from secrets import token_hex

from apiflask import APIBlueprint
from flask import Response, abort, g, redirect, render_template, request
from flask.typing import ResponseReturnValue
from segno import helpers

from backend import card_payments, cards, clicks, deposits, jobs, ledger, users
from backend.card_money import CardPayment
from backend.context import card_provider, clock, config, limit, session
from backend.db import begin_writing
from backend.money import MICROS, decimal_text
from backend.payouts import refunds
from backend.period import period_of
from backend.web import show
from backend.web.base import amount_typed, done, signed_in, user

hooks = APIBlueprint("hooks", __name__, enable_openapi=False)  # programs call: no cookies, no form tokens
HOOK = "hooks.stripe"
PRETENDED_MICROS = 20 * MICROS
OFFERED_MICROS = (5 * MICROS, 10 * MICROS, 20 * MICROS)  # by card


@signed_in.get("/money")
def money() -> ResponseReturnValue:
    """How to add money: by card, or with the operator's bank details and the reader's reference; what arrived."""
    returned = _returned(request.args.get("card", ""))
    if provider := cards.provider(config()):
        g.form_leads_to = provider.origin
    budget_micros, _ = users.decision(session(), user().id, period_of(clock()))
    return render_template(
        "reader/money.html",
        bank=config(),
        qr=_bank_code(4 * budget_micros or PRETENDED_MICROS),
        balance_micros=ledger.balance(session(), ledger.wallet(user().id)),
        deposits=deposits.recent(session(), user()),
        pretended_micros=PRETENDED_MICROS,
        offered_micros=OFFERED_MICROS if provider else (),
        least_micros=card_payments.LEAST_MICROS,
        most_micros=card_payments.MOST_MICROS,
        returned=returned,
        by_card_micros=card_payments.refundable_by_card(session(), user()) if provider else 0,
        to_card_micros=card_payments.on_its_way(session(), user()),
        by_bank_micros=refunds.refundable_by_bank(session(), user()),
        to=refunds.target(session(), user(), config().currency),
        on_its_way=refunds.waiting(session(), user()),
        waits=_why_it_waits(),
    )


def _why_it_waits() -> str | None:
    """Why nothing can go back by bank just now."""
    try:
        clicks.ensure_settled(session(), now=clock())
    except clicks.NotSettledYet as refusal:
        return str(refusal)
    return None


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


@signed_in.post("/money/refund")
def refund() -> ResponseReturnValue:
    """Take back what was not spent."""
    taken = refunds.request(session(), user(), config().currency, now=clock(), actor_id=user().id)
    return done("/money", f"{show.money(taken.amount_micros)} is on its way back to you.")


@signed_in.post("/money/pretend")
def pretend() -> ResponseReturnValue:
    """In dev mode only: money arrives."""
    if not config().dev:
        abort(404)
    deposits.add(session(), user(), PRETENDED_MICROS, f"pretended {token_hex(8)}", now=clock())
    return done("/money", f"{show.money(PRETENDED_MICROS)} arrived.")


@signed_in.post("/money/card")
def pay_by_card() -> ResponseReturnValue:
    """Go to the provider's page and pay there. Nothing is open in the database while the provider is asked."""
    provider = card_provider()
    limit(f"card:{user().id}", 20, timedelta(hours=1))
    payment = card_payments.begin(session(), user(), amount_typed(request.form.get("amount", "")), now=clock())
    key, amount_micros = payment.key, payment.amount_micros
    session().commit()
    back = f"{config().base_url}/money?card={key}"
    checkout = provider.checkout(key, amount_micros, config().currency, back)
    begin_writing(session())
    card_payments.keep_checkout(session(), key, checkout.id)
    session().commit()
    return redirect(checkout.url, 303)


@signed_in.post("/money/card/refund")
def refund_to_card() -> ResponseReturnValue:
    """Have money sent back to the card that it came from."""
    limit(f"card:{user().id}", 20, timedelta(hours=1))
    amount_micros = amount_typed(request.form.get("amount", ""))
    card_payments.refund(session(), user(), amount_micros, now=clock())
    return done("/money", f"{show.money(amount_micros)} is on its way back to your card.")


@hooks.post("/webhooks/stripe")
def stripe() -> ResponseReturnValue:
    """A message of the provider. It is answered once what it asks for is on disk; what it says is read again."""
    try:
        event = card_provider().verify(request.get_data(), dict(request.headers))
    except (cards.BadSignature, cards.CardsOff):
        return Response(status=400)
    begin_writing(session())
    card_payments.hear(session(), event, now=clock())
    session().commit()
    return Response(status=204)
