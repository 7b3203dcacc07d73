"""Connecting a browser: it shows a code, its person types the code on a page, it fetches its token."""

import base64
import hashlib

import pytest
import sqlalchemy as sa

from backend import jobs, users
from backend.cli import job_handlers
from tests.backend.browser import Device, Visitor, mails, on, refusal

VERIFIER = "a verifier that only this browser knows"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def person(app, town):
    town.person("Ann")
    visitor = Visitor(app)
    visitor.sign_in("ann@example.org")
    return visitor


@pytest.fixture
def pairing(client):
    return client.post("/api/v1/pairings", json={"challenge": CHALLENGE, "device": "Firefox on Linux"}).json


def fetch_token(client, pairing, verifier=VERIFIER):
    return client.post(f"/api/v1/pairings/{pairing['pairing_id']}/token", json={"verifier": verifier})


def type_code(person, pairing, code):
    person.visit(f"/connect/{pairing['pairing_id']}")
    return person.press("Connect", code=code)


def wrong(code):
    """Another code than this."""
    return "".join(users.ALPHABET[users.ALPHABET.index(c) - 1] for c in code.lower())


def test_a_browser_is_connected_by_typing_its_code(app, client, person):
    answer = client.post("/api/v1/pairings", json={"challenge": CHALLENGE, "device": "Firefox on Linux"})
    assert answer.status_code == 201
    pairing = answer.json
    assert set(pairing) == {"pairing_id", "code", "connect_url", "expires_in"}
    assert (len(pairing["code"]), pairing["expires_in"]) == (6, 600)
    assert pairing["connect_url"] == f"http://127.0.0.1:8000/connect/{pairing['pairing_id']}"

    assert refusal(fetch_token(client, pairing)) == (428, "pairing_pending")
    assert type_code(person, pairing, pairing["code"]).heading == "Connected"
    token = fetch_token(client, pairing)
    assert (token.status_code, set(token.json)) == (200, {"token"})
    assert token.json["token"].startswith("flt_")

    assert Device(app, token.json["token"]).get("/me").json["email"] == "ann@example.org"
    assert "Firefox on Linux" in person.visit("/devices").text


def test_nothing_about_a_browser_is_mailed_to_somebody_who_has_left(client, person, pairing, town, session):
    type_code(person, pairing, pairing["code"])
    assert fetch_token(client, pairing).status_code == 200
    town.leave("Ann")

    waiting = session.scalars(sa.select(jobs.Job).where(jobs.Job.kind == "mail"))
    assert [job.payload["subject"] for job in waiting] == ["You have left Flattr"]


def test_a_token_is_fetched_once(client, person, pairing):
    type_code(person, pairing, pairing["code"])
    assert fetch_token(client, pairing).status_code == 200

    assert refusal(fetch_token(client, pairing)) == (410, "pairing_over")


def test_only_the_browser_that_showed_the_code_gets_the_token(client, person, pairing):
    type_code(person, pairing, pairing["code"])

    for guess in ("another verifier", CHALLENGE, VERIFIER + " ", pairing["code"]):
        assert refusal(fetch_token(client, pairing, guess)) == (410, "pairing_over")
    assert fetch_token(client, pairing).status_code == 200


def test_a_code_is_read_as_people_write_it(client, person, pairing):
    spaced = f" {pairing['code'][:3].lower()} {pairing['code'][3:]}"

    assert type_code(person, pairing, spaced.replace("0", "O").replace("1", "l")).heading == "Connected"


def test_a_wrong_code_can_be_typed_again_and_five_end_it(client, person, pairing):
    for _ in range(4):
        page = type_code(person, pairing, wrong(pairing["code"]))
        assert page.status == 422
        assert "That is not the code" in page.text

    page = type_code(person, pairing, wrong(pairing["code"]))
    assert page.status == 410
    assert person.visit(f"/connect/{pairing['pairing_id']}").status == 410
    assert refusal(fetch_token(client, pairing)) == (410, "pairing_over")


def test_a_code_typed_wrongly_once_still_connects(client, person, pairing):
    type_code(person, pairing, wrong(pairing["code"]))

    assert person.press("Connect", code=pairing["code"]).heading == "Connected"
    assert fetch_token(client, pairing).status_code == 200


def test_a_code_expires_after_ten_minutes(client, config, person, pairing, town):
    with on(config, town.now.replace(minute=10)) as later:
        assert Visitor(later).client.get("/").status_code == 200
        assert refusal(fetch_token(later.test_client(), pairing)) == (410, "pairing_over")


def test_a_browser_that_somebody_else_connected_is_not_taken_over(app, client, person, pairing, town):
    town.person("Eve")
    eve = Visitor(app)
    eve.sign_in("eve@example.org")
    type_code(person, pairing, pairing["code"])

    assert type_code(eve, pairing, pairing["code"]).status == 410
    assert Device(app, fetch_token(client, pairing).json["token"]).get("/me").json["email"] == "ann@example.org"


def test_people_sign_in_first_and_come_back_to_the_code(app, pairing, town):
    town.person("Ann")
    visitor = Visitor(app)
    visitor.page = None
    answer = visitor.client.get(f"/connect/{pairing['pairing_id']}")
    assert (answer.status_code, answer.location) == (303, f"/sign-in?next=/connect/{pairing['pairing_id']}")

    page = visitor.sign_in("ann@example.org", next_path=f"/connect/{pairing['pairing_id']}")
    assert page.heading == "Connect your browser"


def test_a_new_browser_is_mailed_about(client, config, person, pairing, sessions):
    type_code(person, pairing, pairing["code"])
    fetch_token(client, pairing)

    jobs.work(sessions, job_handlers(config, sessions), config.now)

    last = mails(config)[-1]
    assert (last["To"], last["Subject"]) == ("ann@example.org", "A browser was connected")
    assert "/devices" in last.get_payload()


def test_a_name_of_a_browser_is_harmless_text(app, client, person):
    name = "<img src=x onerror=alert(1)>\u202e\x00" + "x" * 150
    pairing = client.post("/api/v1/pairings", json={"challenge": CHALLENGE, "device": name}).json
    type_code(person, pairing, pairing["code"])
    assert fetch_token(client, pairing).status_code == 200

    page = person.visit("/devices")
    assert page.tree.query("img") == []
    assert "<img src=x onerror=alert(1)>xxx" in page.text.replace("> ", ">")


def test_a_challenge_may_be_hex_and_must_be_a_sha_256(client):
    hexed = hashlib.sha256(VERIFIER.encode()).hexdigest()
    assert client.post("/api/v1/pairings", json={"challenge": hexed, "device": "x"}).status_code == 201
    for bad in ("", "abc", CHALLENGE + "=", CHALLENGE[:-1], "!" * 43, "g" * 64, hexed + "\n", "é" * 43):
        answer = client.post("/api/v1/pairings", json={"challenge": bad, "device": "x"})
        assert refusal(answer) == (422, "invalid_request"), bad


def test_a_pairing_that_never_was_is_over(client, person):
    for unknown in ("x", "A" * 22, "%00", "%F0%9F%92%A9", "a" * 2000):
        answer = client.post(f"/api/v1/pairings/{unknown}/token", json={"verifier": VERIFIER})
        assert refusal(answer) == (410, "pairing_over"), unknown
        assert person.visit(f"/connect/{unknown}").status == 410, unknown


def test_thirty_codes_an_hour_are_enough_for_one_address(client):
    def ask():
        return client.post("/api/v1/pairings", json={"challenge": CHALLENGE, "device": "x"})

    assert {ask().status_code for _ in range(30)} == {201}

    answer = ask()
    assert refusal(answer) == (429, "rate_limited")
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
