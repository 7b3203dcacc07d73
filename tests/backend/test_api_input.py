"""What the API is sent that it should not be: every answer is a documented problem, and nothing is changed."""

import json

import pytest

from backend import sites
from backend.claims import Finding, states
from tests.backend.browser import device_of, refusal

GOOD = {"url": "https://bea.example.org/", "owner_id": None}


@pytest.fixture
def ann(app, town):
    town.person("Ann", budget="5.00")
    return device_of(app, town, "Ann")


@pytest.fixture(autouse=True)
def nothing_changed(ann):
    before = ann.get("/me").json
    yield
    assert ann.get("/me").json == before
    assert ann.get("/clicks").json["clicks"] == []


def send(device, body, method="POST", path="/clicks"):
    """JSON as Python writes it, which is less strict than test clients are."""
    return device.ask(method, path, data=json.dumps(body), content_type="application/json")


NOT_A_CLICK = [
    {},
    {"url": "https://bea.example.org/"},  # owner_id is always sent
    {"owner_id": None},
    GOOD | {"url": None},
    GOOD | {"url": 7},
    GOOD | {"url": True},
    GOOD | {"url": ["https://bea.example.org/"]},
    GOOD | {"url": {"href": "https://bea.example.org/"}},
    GOOD | {"url": ""},
    GOOD | {"url": "https://bea.example.org/" + "a" * 8200},
    GOOD | {"owner_id": 7},
    GOOD | {"owner_id": False},
    GOOD | {"owner_id": "a" * 201},
    GOOD | {"url": "https://b\ud800a.example.org/"},
    GOOD | {"title": 7},
    GOOD | {"title": ["A"]},
    GOOD | {"title": "a" * 2001},
    GOOD | {"clicked_at": "yesterday"},
    GOOD | {"clicked_at": "2026-10-05T12:00:00"},  # whose noon?
    GOOD | {"clicked_at": "2026-10-05"},
    GOOD | {"clicked_at": "1999-12-31T23:59:59Z"},
    GOOD | {"clicked_at": "9999-12-31T23:59:59Z"},
    GOOD | {"clicked_at": 1_790_000_000},
    GOOD | {"clicked_at": "1790000000"},
    GOOD | {"clicked_at": True},
    GOOD | {"clicked_at": []},
    GOOD | {"reader_id": 1},
    GOOD | {"period": "2026-09"},
    GOOD | {"": ""},
    [],
    [GOOD],
    "https://bea.example.org/",
    7,
    None,
]


def test_a_click_that_is_not_of_the_documented_form_is_refused(ann):
    for body in NOT_A_CLICK:
        assert refusal(send(ann, body)) == (422, "invalid_request"), body


NOT_A_CHANGE = [
    {"budget_micros": "5000000"},
    {"budget_micros": 5.0},
    {"budget_micros": 5.5},
    {"budget_micros": True},
    {"budget_micros": []},
    {"budget_micros": -1},
    {"budget": 5},
    {"balance_micros": 5_000_000},
    {"email": "eve@example.org"},
    {"empty_month": "give it to me"},
    {"empty_month": 1},
    {"budget_micros": 5_000_000, "is_operator": True},
]


def test_a_change_that_is_not_of_the_documented_form_is_refused(ann):
    for body in NOT_A_CHANGE:
        assert refusal(ann.patch("/me", body)) == (422, "invalid_request"), body


def test_what_is_wrong_is_said_by_field(ann):
    answer = ann.post("/clicks", {"url": 7, "wrong": 1})

    assert set(answer.json["errors"]["json"]) == {"url", "owner_id", "wrong"}
    assert "owner_id" in answer.json["detail"]


BROKEN = {
    "nothing": b"",
    "half an object": b'{"url": "https://bea.example.org/"',
    "two objects": b"{}{}",
    "not UTF-8": b'{"url": "\xff\xfe", "owner_id": null}',
    "not a number": b'{"url": NaN, "owner_id": null}',
    "a number without an end": b"1" * 60_000,
    "brackets without an end": b"[" * 60_000,
    "a form": b"url=https%3A%2F%2Fbea.example.org%2F&owner_id=",
}


CALLS_WITH_BODIES = [("POST", "/clicks"), ("PATCH", "/me"), ("POST", "/pairings"), ("POST", "/pairings/x/token")]


def test_json_that_is_broken_is_refused(ann):
    for method, path in CALLS_WITH_BODIES:
        for name, body in BROKEN.items():
            status, code = refusal(ann.ask(method, path, data=body, content_type="application/json"))
            assert (status in (400, 422), code) == (True, "invalid_request"), (name, path)


def test_json_must_be_called_json(ann):
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", None):
        answer = ann.ask("POST", "/clicks", data=json.dumps(GOOD), content_type=content_type)
        assert refusal(answer) == (422, "invalid_request"), content_type


def test_a_body_larger_than_any_click_is_refused(ann):
    for method, path in CALLS_WITH_BODIES:
        assert refusal(send(ann, GOOD | {"title": "a" * 70_000}, method, path)) == (413, "invalid_request"), path


UNUSABLE = [
    "about:blank",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "ftp://bea.example.org/",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop/popup.html",
    "data:text/html,hello",
    "bea.example.org/without-a-scheme",
    "https://",
    "https://./",
    "http://127.0.0.1:8000/",
    "http://10.0.0.1/",
    "http://0x7f.1/",
    "http://2130706433/",
    "https://[::1]/",
    "https://localhost/",
    "https://intranet/",
    "https://printer.local/",
    "https://hidden.onion/",
    "https://bea.example.org:8443/",
    "https://bea.example.org/" + "a" * 2100,
    "https://bea example.org/",
    "https://bea.example.org\x00/",
]


def test_an_address_that_nobody_could_be_paid_for_cannot_be_flattred(ann):
    for url in UNUSABLE:
        assert refusal(send(ann, GOOD | {"url": url})) == (422, "not_flattrable"), url
        assert ann.get("/pages", query_string={"url": url}).json["rule"] == "not_flattrable", url


HINTS = ["\x00", "\ud800", "none", "' OR 1=1 --", "\N{PILE OF POO}", "a" * 200, " ", ""]


def test_a_tag_with_any_content_is_a_hint_and_no_harm(ann, town):
    with town.sessions.begin() as session:  # a host that was looked at before is asked about the hint
        states.record(session, sites.ensure(session, "bea.example.org"), [Finding("tag", "no_tag")], now=town.now)

    for hint in HINTS:
        answer = send(ann, GOOD | {"owner_id": hint})
        assert (answer.status_code, answer.json["owner"]) == (201, None), ascii(hint)
        asked = ann.get("/pages", query_string={"url": GOOD["url"], "owner_id": hint.encode("utf-8", "replace")})
        assert asked.json["rule"] == "promise_host", ascii(hint)
        assert ann.delete(f"/clicks/{answer.json['page_id']}").status_code == 204


def test_titles_of_strangers_become_one_line_of_text(ann):
    title = "  <b>Bold</b>\n\x00\u202egnihtyna\u2066 \ud800 " + "x" * 400
    answer = send(ann, GOOD | {"title": title})

    shown = answer.json["title"]
    assert shown.startswith("<b>Bold</b> gnihtyna ? xxx")
    assert len(shown) == 300
    assert ann.delete(f"/clicks/{answer.json['page_id']}").status_code == 204


def test_asking_about_no_page_is_refused(ann):
    for query in ("", "?url=", "?page=x", "?url=https://a.example.org/&other=1", "?owner_id=x"):
        assert refusal(ann.get(f"/pages{query}")) == (422, "invalid_request"), query


def test_what_is_not_there_is_a_problem_too(ann):
    for path in ("/nothing", "", "/", "/clicks/", "/pairings/x/nothing"):
        assert refusal(ann.get(path)) == (404, "not_found"), path
    for method, path in (("POST", "/me"), ("PUT", "/clicks"), ("DELETE", "/clicks"), ("GET", "/pairings")):
        answer = ann.ask(method, path, json={})
        assert refusal(answer) == (405, "method_not_allowed"), path
        assert "OPTIONS" in answer.headers["Allow"]


def test_a_bug_is_a_problem_that_tells_nothing(app, ann, monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError("secret inside")

    app.testing = app.config["PROPAGATE_EXCEPTIONS"] = False
    with monkeypatch.context() as patched:
        patched.setattr("backend.clicks.month", broken)
        answer = ann.get("/clicks")

    assert refusal(answer) == (500, "internal_error")
    assert "secret" not in answer.get_data(as_text=True)
