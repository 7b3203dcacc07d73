"""Every route, and what four people get there: a stranger, the one whose things they are, another, an operator.

A new route without a row fails. Nobody reaches what is somebody else's, whatever they are; the pages say nothing of it.
"""

import pytest

from backend import access, notices
from tests.backend.browser import Visitor, device_of, on

SIGN_IN, GONE, NO_FORM = "sign in", 404, 400

# What (a stranger, Ann, Eve, an operator) get. {claim}, {device}, {page} and {token} are Ann's.
PAGES = {
    "/": (200, 200, 200, 200),
    "/sign-in": (200, 200, 200, 200),
    "/sign-in/{link}": (200, 200, 200, 200),
    "/for-owners": (200, 200, 200, 200),
    "/months": (200, 200, 200, 200),
    "/months/2026-10": (200, 200, 200, 200),
    "/without": (200, 200, 200, 200),
    "/u/{public_id}": (200, 200, 200, 200),
    "/s/ann.example.org": (200, 200, 200, 200),
    "/badge/ann.example.org.svg": (200, 200, 200, 200),
    "/not-me/{not_me}": (200, 200, 200, 200),
    "/mails/{mails}": (200, 200, 200, 200),
    "/month": (SIGN_IN, 200, 200, 200),
    "/history": (SIGN_IN, 200, 200, 200),
    "/money": (SIGN_IN, 200, 200, 200),
    "/sites": (SIGN_IN, 200, 200, 200),
    "/sites/{claim}": (SIGN_IN, 200, GONE, GONE),
    "/income": (SIGN_IN, 200, 200, 200),
    "/devices": (SIGN_IN, 200, 200, 200),
    "/settings": (SIGN_IN, 200, 200, 200),
    "/payout-settings": (SIGN_IN, 200, 200, 200),
    "/statements": (SIGN_IN, 200, 200, 200),
    "/statements/2026-10": (SIGN_IN, 200, 200, 200),
    "/export": (SIGN_IN, 200, 200, 200),
    "/export.csv": (SIGN_IN, 200, 200, 200),
    "/leave": (SIGN_IN, 200, 200, 200),
    "/connect/{pairing}": (SIGN_IN, 200, 200, 200),  # the code that its browser shows is what connects
    "/flattr?url=https://ann.example.org/a": (SIGN_IN, 200, 200, 200),
    "/healthz": (200, 200, 200, 200),
    "/readyz": (200, 200, 200, 200),
    "/openapi.json": (200, 200, 200, 200),
    "/static/site.css": (200, 200, 200, 200),
}
# The desk is not there for anybody but operators. What those may do there, and how freshly signed in: test_desk.
DESK = ("", "/audit", "/claims", "/deposits", "/jobs", "/log", "/months", "/payouts")
PAGES |= {f"/desk{page}": (GONE, GONE, GONE, 200) for page in DESK}
PAGES |= {f"/desk{page}": (GONE,) * 4 for page in ("/claims/999", "/deposits/999", "/payouts/999")}
DESK_FORMS = (
    *("/audit/audit", "/claims/999/approve", "/claims/999/revoke", "/deposits/import"),
    *(f"/deposits/999/{act}" for act in ("assign", "release", "reverse")),
    *("/jobs/retry", "/months/settle", "/payouts/prepare"),
    *(f"/payouts/999/{act}" for act in ("approve", "cancel", "confirm", "export", "fail")),
)
# With a form token of their own. What is not refused is done to their own things; Ann's are looked at afterwards.
FORMS = {
    "/month/undo": ({"page_id": "{page}", "period": "2026-11"}, (SIGN_IN, None, 303, 303)),
    "/month/budget": ({"budget": "x"}, (SIGN_IN, 422, 422, 422)),
    "/history/withdraw": ({"page_id": "{page}"}, (SIGN_IN, None, 303, 303)),
    "/month/empty": ({"choice": "x"}, (SIGN_IN, 422, 422, 422)),
    "/money/pretend": ({}, (SIGN_IN, 404, 404, 404)),
    "/money/refund": ({}, (SIGN_IN, None, 409, 409)),
    "/money/card": ({"amount": "20.00"}, (SIGN_IN, 404, 404, 404)),
    "/money/card/refund": ({"amount": "1.00"}, (SIGN_IN, 409, 409, 409)),
    "/payout-settings": ({"iban": "x"}, (SIGN_IN, 422, 422, 422)),
    "/webhooks/stripe": (None, ()),  # signed by the provider: test_card_web
    "/devices/{device}/disconnect": ({}, (SIGN_IN, None, GONE, GONE)),
    "/connect/{pairing}": ({"code": "wrong"}, (SIGN_IN, 422, 422, 422)),
    "/settings": ({"name": ""}, (SIGN_IN, 303, 303, 303)),
    "/settings/mails": ({"kind": "ending"}, (SIGN_IN, None, 303, 303)),
    "/thanks": ({"line": "Eve's", "shows": "name"}, (SIGN_IN, None, 303, 303)),
    "/sites": ({"site": "com"}, (SIGN_IN, 422, 422, 422)),
    "/sites/{claim}/give-up": ({}, (SIGN_IN, None, GONE, GONE)),
    "/sites/{claim}/authors": ({"public_id": "{eve}"}, (SIGN_IN, None, GONE, GONE)),
    "/flattr": ({"url": "https://ann.example.org/a"}, (SIGN_IN, 403, 303, 303)),
    "/leave": ({"email": "ann@example.org"}, (SIGN_IN, None, 422, 422)),
    "/sign-in": ({"email": "x"}, (422, 422, 422, 422)),
    "/sign-in/{link}": (None, ()),  # one-time: test_web
    "/sign-out": ({}, (SIGN_IN, None, None, None)),
    "/not-me/{not_me}": (None, ()),  # for whoever has the link: test_web
    "/mails/{mails}": (None, ()),  # likewise: test_notices
}
FORMS |= {f"/desk{form}": ({}, (GONE, GONE, GONE, None)) for form in DESK_FORMS}
API = {  # with the token of (nobody, Ann's device, Eve's, an operator's)
    ("GET", "/me"): (401, 200, 200, 200),
    ("PATCH", "/me"): (401, 200, 200, 200),
    ("GET", "/clicks"): (401, 200, 200, 200),
    ("POST", "/clicks"): (401, 422, 422, 422),
    ("DELETE", "/clicks/{page}?period=2026-11"): (401, None, 204, 204),
    ("GET", "/pages?url=https://ann.example.org/a"): (401, 200, 200, 200),
    ("DELETE", "/token"): (401, None, None, None),  # ends the device that asks, and no other: test_api
    ("POST", "/pairings"): (422, 422, 422, 422),
    ("POST", "/pairings/{pairing}/token"): (410, 410, 410, 410),  # with the verifier, which only its browser has
    ("GET", "/openapi.json"): (200, 200, 200, 200),
}


@pytest.fixture
def place(app, town, config):
    """November: Ann has a site, a browser, a list and a settled month; Eve and Olga the operator look on."""
    for name in ("Ann", "Eve", "Olga"):
        town.person(name, wallet="5.00")
    with town.sessions.begin() as session:
        session.merge(town.people["Olga"]).is_operator = True
    claim = town.claim("Ann", "ann.example.org").events[0][1]
    town.press("Eve", "ann.example.org/b")
    town.on("2026-11-02")
    town.settle()
    page = town.press("Ann", "nobody.example.org/secret", title="Ann-whispered")[0].page_id
    with on(config, "2026-11-02") as november:
        people = [Visitor(november) for _ in range(4)]
        tokens = [None]
        for visitor, name in zip(people[1:], ("Ann", "Eve", "Olga"), strict=True):
            visitor.sign_in(f"{name.lower()}@example.org")
            tokens.append(device_of(november, town, name, f"{name}-browser").token)
        with town.sessions.begin() as session:
            device = access.devices(session, town.people["Ann"])[0].id
            pairing = access.start_pairing(session, "a" * 64, "Somebody's browser", now=town.now).id
            link = access.new_link(session, "new@example.org", now=town.now)
        of_ann = {"claim": claim.id, "device": device, "page": page, "pairing": pairing, "link": link}
        mails = notices._signer(config.secret_key).dumps([town.people["Ann"].id, "ending"])
        more = {"public_id": town.people["Ann"].public_id, "eve": town.people["Eve"].public_id, "mails": mails}
        yield november, people, tokens, of_ann | more | {"not_me": "x"}


def got(answer):
    return SIGN_IN if answer.status_code == 303 and answer.location.startswith("/sign-in?") else answer.status_code


def assert_headers(answer, path):
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self' data:;"), path
    assert "unsafe" not in policy, path
    assert answer.headers["X-Content-Type-Options"] == "nosniff", path
    assert answer.headers["X-Frame-Options"] == "DENY", path
    assert answer.headers["Referrer-Policy"] == "same-origin", path


def same_rule(app, path, method):
    adapter = app.url_map.bind("localhost")
    return adapter.match(path.partition("?")[0], method=method, return_rule=True)[0].rule


def test_every_route_has_a_row(place):
    app, _, _, names = place
    rows = {(same_rule(app, path.format(**names), "GET"), "GET") for path in PAGES}
    rows |= {(same_rule(app, path.format(**names), "POST"), "POST") for path in FORMS}
    rows |= {(same_rule(app, f"/api/v1{path.format(**names)}", method), method) for method, path in API}
    there = {(rule.rule, method) for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD", "OPTIONS"}}

    assert there - rows == set(), "say in this file who gets what there"


def test_pages_show_each_their_own(place):
    _, people, _, names = place
    for path, wanted in PAGES.items():
        found = []
        for at, visitor in enumerate(people):
            answer = visitor.client.get(path.format(**names))
            text = answer.get_data(as_text=True)
            found.append(got(answer))
            assert_headers(answer, path)
            assert at == 1 or not [
                word for word in ("Ann-whispered", "Ann-browser", "ann@example.org") if word in text
            ], (
                path,
                at,
            )
        assert tuple(found) == wanted, path


def test_forms_change_each_their_own(place):
    _, people, _, names = place
    ann = people[1]
    shown = ("/month", "/devices", "/settings", "/sites", f"/sites/{names['claim']}", "/export")
    before = {path: ann.visit(path).text for path in shown}
    for path, (form, wanted) in FORMS.items():
        for visitor, status in zip(people, wanted, strict=False):
            if status is None:
                continue
            visitor.visit("/sign-in")
            token = visitor.page.field("csrf_token")["value"]
            filled = {name: value.format(**names) for name, value in form.items()}
            answer = visitor.client.post(path.format(**names), data=filled | {"csrf_token": token})
            assert got(answer) == status, (path, people.index(visitor))
            assert visitor.client.post(path.format(**names), data=filled).status_code == NO_FORM, path
    ann.visit("/")  # it says what was saved
    assert {path: ann.visit(path).text for path in shown} == before


def test_tokens_open_each_their_own(place):
    app, _, tokens, names = place
    client = app.test_client()
    for (method, path), wanted in API.items():
        for token, status in zip(tokens, wanted, strict=True):
            if status is None:
                continue
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            body = {"verifier": "x"} if path.endswith("/token") else {}
            sent = {"json": body} if method in ("POST", "PATCH") else {}
            answer = client.open(f"/api/v1{path.format(**names)}", method=method, headers=headers, **sent)
            assert answer.status_code == status, (method, path, tokens.index(token))
            if token != tokens[1]:
                assert "Ann-whispered" not in answer.get_data(as_text=True)
    listed = client.get("/api/v1/clicks", headers={"Authorization": f"Bearer {tokens[1]}"}).json["clicks"]
    assert [click["title"] for click in listed] == ["Ann-whispered"]
