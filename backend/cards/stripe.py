"""Stripe: hosted checkout pages, so that no card number ever reaches us; amounts in cents."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import stripe
from stripe.params.checkout import SessionCreateParams

from backend.cards import BadSignature, CardsAway, CardsRefused, Checkout, Payment, Taking
from backend.money import CENT_MICROS

TIMEOUT_SECONDS = (4.0, 10.0)  # to connect, and to answer
STATES = {"open": "open", "complete": "paid", "expired": "expired"}
UNTAKEN = ("warning_needs_response", "warning_under_review", "warning_closed", "won", "prevented")  # of disputes
OPEN = ("warning_needs_response", "warning_under_review", "needs_response", "under_review")


class Stripe:
    """Stripe's API with one account's key; *api* is where it is, for tests.

    Nothing is tried again here: a call may be one of a page that somebody waits for, and jobs are tried again anyway.
    """

    def __init__(self, key: str, secret: str, api: str = "", *, timeout: tuple[float, float] = TIMEOUT_SECONDS) -> None:
        self.origin = api or "https://checkout.stripe.com"
        self._secret = secret
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": api} if api else None,
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=timeout),
        )

    def checkout(self, key: str, amount_micros: int, currency: str, back_url: str) -> Checkout:
        """As `Provider` says. The page is open for a day, Stripe's default."""
        wanted: SessionCreateParams = {
            "mode": "payment",
            "client_reference_id": key,
            "allowed_payment_method_types": ["card"],  # what is paid at once, and can be sent back to the card
            "adaptive_pricing": {"enabled": False},  # what arrives is what was asked for, in our currency
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": currency.lower(),
                        "unit_amount": amount_micros // CENT_MICROS,
                        "product_data": {"name": "Flattr: money for your wallet"},
                    },
                }
            ],
            "success_url": back_url,
            "cancel_url": back_url,
        }
        with _refusals():
            session = self._client.v1.checkout.sessions.create(wanted, {"idempotency_key": key})
        if not (session.url or "").startswith(f"{self.origin}/"):
            raise CardsRefused("The card provider's page is not where it should be.")
        return Checkout(session.id, session.url or "")

    def verify(self, body: bytes, headers: Mapping[str, str]) -> frozenset[str]:
        """As `Provider` says: signed with our secret within the last five minutes, over these very bytes."""
        try:
            event = stripe.Webhook.construct_event(body, headers.get("Stripe-Signature"), self._secret).to_dict()
            named = event["data"]["object"]
            ids = (named.get("id"), named.get("payment_intent"))
            return frozenset(found for found in ids if isinstance(found, str))
        except (stripe.SignatureVerificationError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadSignature from error

    def payment(self, checkout_id: str) -> Payment:
        """As `Provider` says."""
        with _refusals():
            session = self._client.v1.checkout.sessions.retrieve(checkout_id)
            state = STATES[session.status or "open"]
            if state == "paid" and session.payment_status != "paid":
                state = "open"
            intent = session.payment_intent
            payment_id = intent.id if isinstance(intent, stripe.PaymentIntent) else intent
            return Payment(
                key=session.client_reference_id or "",
                id=payment_id if state == "paid" else None,
                state=state,
                amount_micros=(session.amount_total or 0) * CENT_MICROS,
                currency=(session.currency or "").upper(),
                takings=tuple(self._takings(payment_id)) if state == "paid" and payment_id else (),
            )

    def _takings(self, payment_id: str) -> Iterator[Taking]:
        for refund in self._client.v1.refunds.list({"payment_intent": payment_id, "limit": 100}).auto_paging_iter():
            amount = 0 if refund.status in ("failed", "canceled") else refund.amount
            yield Taking(refund.id, amount * CENT_MICROS, _key_of(refund))
        for dispute in self._client.v1.disputes.list({"payment_intent": payment_id, "limit": 100}).auto_paging_iter():
            amount = 0 if dispute.status in UNTAKEN else dispute.amount
            yield Taking(dispute.id, amount * CENT_MICROS, is_open=dispute.status in OPEN)

    def refund(self, payment_id: str, amount_micros: int, key: str) -> None:
        """As `Provider` says. An answer of 500 is remembered under the key, so only `payment` tells what it did."""
        with _refusals():
            self._client.v1.refunds.create(
                {"payment_intent": payment_id, "amount": amount_micros // CENT_MICROS, "metadata": {"flattr": key}},
                {"idempotency_key": key},
            )


def _key_of(refund: stripe.Refund) -> str | None:
    key = refund.to_dict().get("metadata", {}).get("flattr")
    return key if isinstance(key, str) else None


@contextmanager
def _refusals() -> Iterator[None]:
    """What Stripe says no to for good is a refusal; all else may be different next time, a wrong key of ours too."""
    try:
        yield
    except stripe.StripeError as error:
        is_final = isinstance(error, stripe.CardError | stripe.InvalidRequestError) and error.http_status in (400, 402)
        if is_final:
            raise CardsRefused(f"The card provider refused: {error.code or 'no reason given'}.") from error
        raise CardsAway from error
