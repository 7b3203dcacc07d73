"""Paying by card on the provider's page, taking money back to the card, and the provider's messages."""

from datetime import timedelta

from apiflask import APIBlueprint
from flask import Response, flash, redirect, request
from flask.typing import ResponseReturnValue

from backend import card_payments
from backend.cards import BadSignature, CardsOff
from backend.context import card_provider, clock, config, limit, session
from backend.db import begin_writing
from backend.money import format_money
from backend.web.base import back_to, blueprint, signed_in, user
from backend.web.reader import amount_typed

hooks = APIBlueprint("hooks", __name__, enable_openapi=False)  # programs call: no cookies, no form tokens
HOOK = "hooks.stripe"


@blueprint.post("/money/card")
@signed_in
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


@blueprint.post("/money/card/refund")
@signed_in
def refund_to_card() -> ResponseReturnValue:
    """Have money sent back to the card that it came from."""
    limit(f"card:{user().id}", 20, timedelta(hours=1))
    amount_micros = amount_typed(request.form.get("amount", ""))
    card_payments.refund(session(), user(), amount_micros, now=clock())
    session().commit()
    flash(f"{format_money(amount_micros, config().currency)} is on its way back to your card.")
    return back_to("/money")


@hooks.post("/webhooks/stripe")
def stripe() -> ResponseReturnValue:
    """A message of the provider. It is answered once what it asks for is on disk; what it says is read again."""
    try:
        event = card_provider().verify(request.get_data(), dict(request.headers))
    except (BadSignature, CardsOff):
        return Response(status=400)
    begin_writing(session())
    card_payments.hear(session(), event, now=clock())
    session().commit()
    return Response(status=204)
