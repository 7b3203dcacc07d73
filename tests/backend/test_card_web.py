"""Paying by card as a reader sees it, and what the provider, or somebody who claims to be it, sends."""

import time
from dataclasses import replace

import pytest
import sqlalchemy as sa

from backend import cli, jobs
from backend.card_money import CardPayment
from tests.backend.browser import Visitor, running
from tests.backend.card_provider import SECRET, open_provider, signed


@pytest.fixture
def there():
    with open_provider() as provider:
        yield provider


@pytest.fixture
def taking_cards(config, there):
    """An installation that takes cards."""
    return replace(config, stripe_key="sk_test_key", stripe_webhook_secret=SECRET, stripe_api=there.url)


@pytest.fixture
def open_app(taking_cards):
    with running(taking_cards) as app:
        yield app


@pytest.fixture
def ann(open_app, town):
    town.person("Ann", budget="5.00")
    visitor = Visitor(open_app)
    visitor.sign_in("ann@example.org")
    visitor.visit("/money")
    return visitor


def pay(ann, button="20.00\N{NO-BREAK SPACE}€", **typed):
    """Press a button; where the browser is sent."""
    action, sent = ann.page.form(button)
    return ann.client.post(action, data=sent | typed, base_url=ann.base_url)


def work(config, sessions):
    handlers = cli.job_handlers(config, sessions) | {"mail": lambda mail: None}
    return jobs.work(sessions, handlers, config.now)


def send(app, event, headers=None):
    body, honest = signed(event)
    return app.test_client().post("/webhooks/stripe", data=body, headers=headers or honest)


def waiting(sessions):
    with sessions() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(jobs.Job).where(jobs.Job.kind == "card"))


def test_a_reader_pays_by_card(ann, there, open_app, taking_cards, sessions):
    answer = pay(ann)
    [checkout] = there.sessions.values()
    assert (answer.status_code, answer.location) == (303, checkout["url"])
    assert checkout["amount_total"] == 2000

    back = checkout["success_url"].removeprefix(taking_cards.base_url)
    assert "We are waiting for the card provider's word" in ann.visit(back).text
    there.pay(checkout["id"])
    assert "0.00 € is in your wallet" in ann.visit(back).text
    assert send(open_app, there.events[0]).status_code == 204
    work(taking_cards, sessions)
    assert "20.00 € arrived from your card." in ann.visit(back).text
    assert "20.00 € is in your wallet" in ann.page.text


def test_coming_back_has_the_provider_asked_though_no_message_came(ann, there, taking_cards, sessions):
    pay(ann)
    [checkout] = there.sessions.values()
    there.pay(checkout["id"])
    back = checkout["success_url"].removeprefix(taking_cards.base_url)
    assert "waiting" in ann.visit(back).text
    assert waiting(sessions) == 1
    work(taking_cards, sessions)
    assert "20.00 € arrived from your card." in ann.visit(back).text


def test_coming_back_from_a_payment_of_somebody_else_says_nothing(ann, there, open_app, town, taking_cards, sessions):
    pay(ann)
    [checkout] = there.sessions.values()
    there.pay(checkout["id"])
    town.person("Eve")
    eve = Visitor(open_app)
    eve.sign_in("eve@example.org")
    page = eve.visit(checkout["success_url"].removeprefix(taking_cards.base_url))
    assert "waiting" not in page.text
    assert waiting(sessions) == 0


def test_another_amount_may_be_typed_within_limits(ann, there):
    assert pay(ann, "Pay by card", amount="12,34").status_code == 303
    assert [session["amount_total"] for session in there.sessions.values()] == [1234]
    for typed in ("4.99", "500.01", "10.001", "", "x", "-5", "1e2", "9" * 30):
        assert pay(ann, "Pay by card", amount=typed).status_code == 422, typed
    assert len(there.sessions) == 1


def test_a_provider_that_is_away_is_said_and_nothing_is_open(ann, there, sessions):
    for trouble in ("429", "500 before", "cut off", "500 after"):
        there.broken = trouble
        answer = pay(ann)
        assert (answer.status_code, "does not answer right now" in answer.text) == (503, True), trouble
    with sessions() as session:
        assert session.scalars(sa.select(CardPayment.checkout_id)).all() == [None] * 4


def test_twenty_times_an_hour_is_enough(ann):
    for _ in range(20):
        assert pay(ann).status_code == 303
    assert pay(ann).status_code == 429


def test_only_the_page_with_the_form_may_lead_to_the_provider(ann, there, app):
    def leads_to(path):
        policy = ann.visit(path).headers["Content-Security-Policy"]
        return next(part for part in policy.split("; ") if part.startswith("form-action"))

    assert leads_to("/money") == f"form-action {there.url} 'self'"
    assert leads_to("/month") == "form-action 'self'"


def test_a_provider_that_names_another_page_is_not_followed(ann, there, monkeypatch):
    monkeypatch.setattr(there, "url", "https://evil.example.net")
    assert pay(ann).status_code == 409


def test_without_a_key_no_cards_are_offered(app, town):
    town.person("Bea")
    bea = Visitor(app)
    bea.sign_in("bea@example.org")
    assert "By card" not in bea.visit("/money").text
    _, form = bea.visit("/month").form("Change")
    assert bea.send("/money/card", form | {"amount": "20.00"}).status == 404
    assert app.test_client().post("/webhooks/stripe", data=b"{}").status_code == 400


def test_a_reader_takes_money_back_to_the_card(event, ann, there, open_app, taking_cards, sessions):
    send(open_app, event)
    work(taking_cards, sessions)

    ann.visit("/money")
    page = ann.press("Send it back", amount="7.00")
    assert "7.00 € is on its way back to your card. That can take a few days." in page.text
    assert "Up to 13.00 € can go back" in page.text
    work(taking_cards, sessions)
    assert [refund["amount"] for refund in there.refunds.values()] == [700]
    page = ann.visit("/money")
    assert "on its way" not in page.text
    assert ann.press("Send it back", amount="13.01").status == 409


# Messages -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def event(ann, there):
    pay(ann)
    there.pay(next(iter(there.sessions)))
    return there.events[0]


def test_a_message_counts_only_as_it_was_sent_and_in_time(event, open_app, sessions):
    body, honest = signed(event)
    now = int(time.time())
    forged = {
        "no signature": (body, {}),
        "an empty one": (body, {"Stripe-Signature": ""}),
        "nonsense": (body, {"Stripe-Signature": "t=x,v1=y"}),
        "no time": (body, {"Stripe-Signature": honest["Stripe-Signature"].split(",")[1]}),
        "another secret": signed(event, "whsec_theirs"),
        "an empty secret": signed(event, ""),
        "a changed body": (body.replace(b"cs_test", b"cs_live"), honest),
        "a space more": (body + b" ", honest),
        "six minutes old": signed(event, at=now - 360),
        "another time": (body, {"Stripe-Signature": honest["Stripe-Signature"].replace(f"t={now}", f"t={now + 1}")}),
        "not text": (b"\xff\xfe", honest),
        "signed, but no JSON": signed(b"hello"),
        "signed, but no event": signed(b"[]"),
        "signed, but of nothing": signed(b'{"id": "evt_1", "object": "event", "data": {}}'),
    }
    client = open_app.test_client()
    for name, (sent, headers) in forged.items():
        assert client.post("/webhooks/stripe", data=sent, headers=headers).status_code == 400, name
    assert waiting(sessions) == 0
    assert client.post("/webhooks/stripe", data=body, headers=honest).status_code == 204
    assert waiting(sessions) == 1


def test_a_message_of_what_is_not_ours_is_taken_and_forgotten(event, open_app, sessions):
    event["data"]["object"] |= {"id": "cs_of_another_account", "payment_intent": "pi_of_another_account"}
    assert send(open_app, event).status_code == 204
    event["data"]["object"] = {"object": "payout", "id": "po_1"}
    assert send(open_app, event).status_code == 204
    assert waiting(sessions) == 0


def test_what_a_message_says_is_not_believed(event, ann, there, open_app, taking_cards, sessions):
    event["data"]["object"] |= {"amount_total": 9_999_999, "currency": "usd", "payment_intent": "pi_other"}
    assert send(open_app, event).status_code == 204
    work(taking_cards, sessions)
    assert "20.00 € is in your wallet" in ann.visit("/money").text


def test_a_huge_message_is_refused(event, open_app, sessions):
    body, headers = signed({"id": "evt", "pad": "x" * 65_536})
    assert open_app.test_client().post("/webhooks/stripe", data=body, headers=headers).status_code == 413


def test_a_message_brings_no_cookie_and_gets_none(event, open_app):
    answer = send(open_app, event)
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_forged_message_does_not_wait_for_those_who_write(event, open_app, sessions):
    with sessions.begin():
        assert send(open_app, event, {"Stripe-Signature": "t=1,v1=x"}).status_code == 400
