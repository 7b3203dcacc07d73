"""The JSON API as programs rely on it: each call of DESIGN 6, with the answers it promises."""

from dataclasses import replace

import pytest

from backend import access, jobs, limits
from tests.backend.browser import device_of, on, refusal, running
from tests.backend.town import NOW

OCTOBER_5 = "2026-10-05T12:00:00Z"


@pytest.fixture
def ann(app, town):
    town.person("Ann", budget="5.00")
    return device_of(app, town, "Ann")


def test_me_says_who_reads_and_what_the_open_month_is_worth(ann):
    answer = ann.get("/me")

    assert answer.status_code == 200
    assert answer.json == {
        "email": "ann@example.org",
        "period": "2026-10",
        "ends_at": "2026-11-01T00:00:00Z",
        "currency": "EUR",
        "budget_micros": 5_000_000,
        "balance_micros": 0,
        "pot_micros": 0,
        "owners": 0,
        "share_micros": 0,
        "projected_share_micros": 0,
        "empty_month": "keep",
        "empty_month_choices": ["keep", "repeat"],
        "charity": None,
        "repeat_owners": 0,
    }


def test_a_share_is_worth_what_the_wallet_holds_and_projected_what_the_budget_says(ann, town):
    town.deposit("Ann", "3.00")
    for owner in ("Bea", "Carl"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
        ann.press(f"https://{owner.lower()}.example.org/")

    me = ann.get("/me").json
    assert (me["balance_micros"], me["pot_micros"], me["owners"]) == (3_000_000, 3_000_000, 2)
    assert (me["share_micros"], me["projected_share_micros"]) == (1_500_000, 2_500_000)


def test_a_wallet_fuller_than_the_budget_gives_the_budget(ann, town):
    town.deposit("Ann", "50.00")

    me = ann.get("/me").json
    assert (me["balance_micros"], me["budget_micros"], me["pot_micros"]) == (50_000_000, 5_000_000, 5_000_000)


def test_the_budget_is_changed_from_the_extension(ann):
    answer = ann.patch("/me", {"budget_micros": 7_500_000, "empty_month": "keep"})

    assert answer.status_code == 200
    assert answer.json == ann.get("/me").json
    assert answer.json["budget_micros"] == 7_500_000


def test_a_change_of_nothing_changes_nothing(ann):
    before = ann.get("/me").json

    assert ann.patch("/me", {}).json == before


def test_the_budget_is_between_nothing_and_a_million(ann):
    assert ann.patch("/me", {"budget_micros": 0}).json["budget_micros"] == 0
    assert ann.patch("/me", {"budget_micros": 10**12}).json["budget_micros"] == 10**12
    for too_much in (-1, 10**12 + 1, 10**30):
        assert refusal(ann.patch("/me", {"budget_micros": too_much})) == (422, "invalid_request")
    assert ann.get("/me").json["budget_micros"] == 10**12


# Pressing -------------------------------------------------------------------------------------------------------------


def test_a_press_on_a_claimed_site_counts_and_says_for_whom(ann, town):
    bea = town.person("Bea")
    town.claim("Bea", "bea.example.org")

    answer = ann.press(
        "https://www.bea.example.org:443/post?utm_source=x#top", bea.public_id, title="A post", clicked_at=OCTOBER_5
    )

    assert answer.status_code == 201
    page_id = answer.json["page_id"]
    assert isinstance(page_id, int)
    assert answer.json == {
        "page_id": page_id,
        "url": "https://www.bea.example.org/post",
        "title": "A post",
        "period": "2026-10",
        "clicked_at": OCTOBER_5,
        "site": "bea.example.org",
        "shared": False,
        "owner": {"public_id": bea.public_id, "name": "Bea"},
        "rule": "claimed",
        "state": "counts",
        "promised_in": None,
        "thanks": None,
    }


def test_a_press_on_a_site_of_nobody_is_a_promise(ann):
    answer = ann.press("https://nobody.example.org/")

    assert answer.status_code == 201
    assert (answer.json["state"], answer.json["rule"], answer.json["owner"]) == ("promise", "promise_host", None)
    assert (answer.json["title"], answer.json["clicked_at"]) == (None, OCTOBER_5)


def test_a_page_on_a_shared_host_says_that_its_address_names_nobody(ann):
    for url, site, shared in (
        ("https://github.com/about", "github.com", True),
        ("https://github.com/bea/essays", "github.com/bea", False),
        ("https://substack.com/", "substack.com", True),
        ("https://bea.substack.com/", "bea.substack.com", False),
    ):
        for answer in (ann.press(url), ann.get("/pages", query_string={"url": url})):
            assert (answer.json["site"], answer.json["shared"]) == (site, shared), url


def test_the_same_press_sent_again_answers_200_and_the_same(ann):
    first = ann.press("https://nobody.example.org/", title="First", clicked_at=OCTOBER_5)
    again = ann.press("https://nobody.example.org/#later", title="Second", clicked_at="2026-10-05T11:00:00+02:00")

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json
    assert len(ann.get("/clicks").json["clicks"]) == 1


def test_a_press_whose_answer_was_lost_at_the_end_of_a_month_is_answered_from_that_month(ann, config):
    made = {"url": "https://nobody.example.org/", "owner_id": None, "clicked_at": "2026-10-31T23:59:58Z"}
    ann.post("/clicks", made)

    with on(config, "2026-11-01", hour=0) as november:
        ann.client = november.test_client()
        again = ann.post("/clicks", made)
        anew = ann.post("/clicks", made | {"clicked_at": "2026-11-01T00:00:01Z"})

    assert (again.status_code, again.json["period"]) == (200, "2026-10")
    assert (anew.status_code, anew.json["period"]) == (201, "2026-11")


def test_a_press_made_in_one_month_and_sent_in_the_next_belongs_to_the_next(ann, config):
    with on(config, "2026-11-01", hour=0) as november:
        ann.client = november.test_client()
        answer = ann.press("https://nobody.example.org/", clicked_at="2026-10-31T23:59:58Z")

    assert (answer.status_code, answer.json["period"]) == (201, "2026-11")
    assert answer.json["clicked_at"] == "2026-10-31T23:59:58Z"


def test_the_first_press_on_an_unknown_host_has_its_front_page_looked_at(ann, sessions):
    ann.press("https://new.example.org/deep/page", "000000000000")

    with sessions() as session:
        assert jobs.is_waiting(session, "look", "new.example.org")


def test_an_id_in_the_tag_is_a_hint_and_never_proof(ann, town):
    bea = town.person("Bea")

    assert ann.press("https://nobody.example.org/", bea.public_id).json["owner"] is None


def test_nobody_flattrs_themselves(ann, town):
    town.claim("Ann", "ann.example.org")

    assert refusal(ann.press("https://ann.example.org/")) == (403, "own_site")
    assert ann.get("/clicks").json["clicks"] == []


def test_no_means_no(ann, town):
    town.web["shy.example.org"] = '<head><meta name="flattr:id" content="none"></head>'
    town.look("shy.example.org")

    assert refusal(ann.press("https://shy.example.org/")) == (403, "opted_out")
    assert ann.get("/pages?url=https://shy.example.org/").json["rule"] == "opted_out"


def test_three_hundred_presses_a_day_are_enough_and_a_press_sent_again_is_none(ann, town):
    ann.press("https://nobody.example.org/")
    with town.sessions.begin() as session:
        rate = session.query(limits.Rate).filter(limits.Rate.key.like("clicks:%")).one()
        rate.used = 300

    answer = ann.press("https://nobody.example.org/another")
    assert refusal(answer) == (429, "rate_limited")
    assert 0 < int(answer.headers["Retry-After"]) <= 86_400
    assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"
    assert ann.press("https://nobody.example.org/").status_code == 200
    assert len(ann.get("/clicks").json["clicks"]) == 1


def test_people_at_this_machine_are_not_counted_in_dev_mode(ann, town, config):
    ann.press("https://nobody.example.org/")
    with town.sessions.begin() as session:
        session.query(limits.Rate).update({"used": 300})

    with running(replace(config, dev=True)) as dev:
        ann.client = dev.test_client()
        assert ann.press("https://nobody.example.org/another").status_code == 201
        assert ann.press("http://127.0.0.1:8001/post").json["site"] == "127.0.0.1:8001"


# Undo -----------------------------------------------------------------------------------------------------------------


def test_undo_answers_204_also_when_there_is_nothing_to_undo(ann):
    page_id = ann.press("https://nobody.example.org/").json["page_id"]

    assert ann.delete(f"/clicks/{page_id}?period=2026-10").status_code == 204
    assert ann.get("/clicks").json["clicks"] == []
    assert ann.delete(f"/clicks/{page_id}?period=2026-10").status_code == 204
    assert ann.press("https://nobody.example.org/").status_code == 201


def test_undo_ends_with_the_month(ann, config):
    page_id = ann.press("https://nobody.example.org/").json["page_id"]

    with on(config, "2026-11-01", hour=0) as november:
        ann.client = november.test_client()
        assert refusal(ann.delete(f"/clicks/{page_id}?period=2026-10")) == (409, "period_ended")
        assert ann.delete(f"/clicks/{page_id}").status_code == 204
        assert len(ann.get("/clicks?period=2026-10").json["clicks"]) == 1


def test_undo_takes_nothing_from_another_readers_list(app, ann, town):
    town.person("Eve")
    page_id = ann.press("https://nobody.example.org/").json["page_id"]

    assert device_of(app, town, "Eve").delete(f"/clicks/{page_id}").status_code == 204
    assert len(ann.get("/clicks").json["clicks"]) == 1


def test_a_page_number_beyond_all_numbers_is_not_on_the_list(ann):
    for huge in (2**63 - 1, 2**63, 10**40):
        assert ann.delete(f"/clicks/{huge}").status_code == 204
    for never in ("-1", "1.5", "x", "%00"):
        assert refusal(ann.delete(f"/clicks/{never}")) == (404, "not_found")


# Lists ----------------------------------------------------------------------------------------------------------------


def test_the_list_is_newest_first_and_the_open_month_is_the_default(ann):
    for hour, page in ((9, "first"), (11, "third"), (10, "second")):
        ann.press(f"https://nobody.example.org/{page}", clicked_at=f"2026-10-05T{hour:02}:00:00Z")

    month = ann.get("/clicks").json
    assert set(month) == {"period", "state", "pot_micros", "owners", "share_micros", "clicks"}
    assert (month["period"], month["state"]) == ("2026-10", "open")
    assert [click["url"].rpartition("/")[2] for click in month["clicks"]] == ["third", "second", "first"]
    assert month == ann.get("/clicks?period=2026-10").json


def test_an_ended_month_is_shown_as_ended_and_then_as_it_was_settled(ann, town, config):
    town.deposit("Ann", "20.00")
    for owner in ("Bea", "Carl", "Dora"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
        ann.press(f"https://{owner.lower()}.example.org/")
    town.on("2026-11-02")

    with on(config, "2026-11-02") as november:
        ann.client = november.test_client()
        ended = ann.get("/clicks?period=2026-10").json
        town.settle()
        ann.patch("/me", {"budget_micros": 1_000_000})
        settled = ann.get("/clicks?period=2026-10").json
        empty = ann.get("/clicks").json

    assert (ended["state"], ended["owners"], ended["share_micros"]) == ("ended", 3, 1_666_666)
    assert (settled["state"], settled["pot_micros"], settled["owners"]) == ("settled", 5_000_000, 3)
    assert settled["share_micros"] == 1_666_666
    assert settled["clicks"] == ended["clicks"]
    assert (empty["period"], empty["state"], empty["clicks"]) == ("2026-11", "open", [])


def test_a_promise_that_came_true_says_from_which_month_it_is(ann, town, config):
    ann.press("https://carl.example.org/essay")
    town.on("2026-11-02")
    town.settle()
    town.person("Carl")
    town.claim("Carl", "carl.example.org")

    with on(config, "2026-11-02") as november:
        ann.client = november.test_client()
        click = ann.get("/clicks").json["clicks"][0]
    assert (click["state"], click["promised_in"], click["period"]) == ("counts", "2026-10", "2026-11")


def test_months_without_clicks_are_empty_and_badly_named_ones_refused(ann):
    for quiet in ("2000-01", "2026-09", "2999-12"):
        assert ann.get(f"/clicks?period={quiet}").json["clicks"] == []
    for bad in ("", "2026-13", "2026-00", "2026-1", "1999-12", "october", "2026-10-01", "%D9%A2026-10", "2026-10%0A"):
        assert refusal(ann.get(f"/clicks?period={bad}")) == (422, "invalid_request"), bad
        assert refusal(ann.delete(f"/clicks/1?period={bad}")) == (422, "invalid_request"), bad


def test_readers_see_their_own_lists_only(app, ann, town):
    town.person("Eve")
    ann.press("https://secret.example.org/", title="A secret")
    eve = device_of(app, town, "Eve")

    assert eve.get("/clicks").json["clicks"] == []
    page = eve.get("/pages?url=https://secret.example.org/").json
    assert (page["clicked"], page["promises"]) == (False, 0)
    assert "secret" not in eve.get("/me").get_data(as_text=True)


# Asking about a page --------------------------------------------------------------------------------------------------


def test_a_page_says_who_would_be_paid_and_why(ann, town):
    bea = town.person("Bea")
    town.claim("Bea", "bea.example.org")

    asked = ann.get("/pages", query_string={"url": "https://bea.example.org/post#top", "owner_id": bea.public_id})

    assert asked.status_code == 200
    assert asked.json == {
        "page": "https://bea.example.org/post",
        "site": "bea.example.org",
        "shared": False,
        "owner": {"public_id": bea.public_id, "name": "Bea"},
        "rule": "claimed",
        "state": "counts",
        "clicked": False,
        "promises": 0,
        "place": 0,
        "thanks": None,
    }
    ann.press("https://bea.example.org/post")
    assert ann.get("/pages?url=https://bea.example.org/post").json["clicked"] is True
    assert ann.get("/pages?url=https://bea.example.org/other").json["clicked"] is False


def test_asking_changes_nothing(ann, sessions):
    assert ann.get("/pages?url=https://new.example.org/").json["rule"] == "promise_host"

    with sessions() as session:
        assert session.query(jobs.Job).count() == 0
    assert ann.get("/clicks").json["clicks"] == []


def test_a_page_that_cannot_be_flattred_is_an_answer_not_an_error(ann):
    for url in ("about:blank", "http://10.0.0.1/", "nonsense"):
        answer = ann.get("/pages", query_string={"url": url})
        assert (answer.status_code, answer.json["rule"]) == (200, "not_flattrable"), url
        assert (answer.json["page"], answer.json["site"], answer.json["owner"], answer.json["state"]) == (None,) * 4


def test_how_many_promised_is_said_from_three_readers_on(ann, town):
    ann.press("https://nobody.example.org/1")
    for reader in ("Bea", "Carl"):
        town.person(reader)
        assert ann.get("/pages?url=https://nobody.example.org/").json["promises"] == 0
        town.press(reader, "nobody.example.org/2")

    page = ann.get("/pages?url=https://nobody.example.org/").json
    assert (page["promises"], page["place"]) == (3, 1)


# Tokens ---------------------------------------------------------------------------------------------------------------

CALLS = [
    ("GET", "/me", None),
    ("PATCH", "/me", {"budget_micros": 0}),
    ("DELETE", "/token", None),
    ("GET", "/pages?url=https://a.example.org/", None),
    ("POST", "/clicks", {"url": "https://a.example.org/", "owner_id": None}),
    ("GET", "/clicks", None),
    ("DELETE", "/clicks/1", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=[f"{method} {path}" for method, path, _ in CALLS])
def test_nothing_is_answered_without_a_token_of_a_connected_browser(client, ann, method, path, body):
    bad = [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {ann.token}"}]
    bad += [
        {"Authorization": f"Bearer {token}"}
        for token in ("flt_", "flt_" + "A" * 43, ann.token + "A", ann.token.upper(), ann.token.removeprefix("flt_"))
    ]
    bad += [{"Authorization": "Bearer caf\xe9"}, {"X-Authorization": f"Bearer {ann.token}"}]
    for headers in bad:
        answer = client.open(f"/api/v1{path}", method=method, json=body, headers=headers)
        assert refusal(answer) == (401, "unauthorized"), headers
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert ann.get("/me").json["budget_micros"] == 5_000_000


def test_cookies_open_nothing(client, ann, town):
    with town.sessions.begin() as session:
        secret = access.sign_in(session, town.people["Ann"], now=NOW)
    client.set_cookie("sid", secret)
    client.set_cookie("token", ann.token)
    client.set_cookie("Authorization", f"Bearer {ann.token}")

    assert client.get("/month").status_code == 200
    assert refusal(client.get("/api/v1/me")) == (401, "unauthorized")
    assert refusal(client.get(f"/api/v1/me?token={ann.token}&access_token={ann.token}")) == (401, "unauthorized")


def test_a_disconnected_browser_is_out_at_once_and_the_others_stay(app, ann, town):
    other = device_of(app, town, "Ann", "Another browser")

    assert ann.delete("/token").status_code == 204
    assert refusal(ann.get("/me")) == (401, "unauthorized")
    assert refusal(ann.delete("/token")) == (401, "unauthorized")
    assert other.get("/me").status_code == 200


def test_a_token_lives_as_long_as_it_is_used(ann, config):
    for day in ("2027-02-01", "2027-06-01"):
        with on(config, day) as later:
            ann.client = later.test_client()
            assert ann.get("/me").status_code == 200, day
    with on(config, "2027-12-01") as much_later:
        ann.client = much_later.test_client()
        assert refusal(ann.get("/me")) == (401, "unauthorized")


def test_a_press_from_a_browser_that_was_idle_for_days_is_kept(ann, config):
    with on(config, "2026-10-20") as later:
        ann.client = later.test_client()
        assert ann.press("https://nobody.example.org/").status_code == 201
        assert len(ann.get("/clicks").json["clicks"]) == 1


# Other origins --------------------------------------------------------------------------------------------------------

EXTENSIONS = [
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    "moz-extension://0b5ad2a5-6c3b-4c4e-9d2c-1e1b2f3a4c5d",
]


@pytest.mark.parametrize("origin", EXTENSIONS)
def test_an_extension_may_call_from_its_own_origin(client, origin):
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    answer = client.options("/api/v1/clicks", headers=asks)

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert allowed == {"authorization", "content-type"}


def test_refusals_can_be_read_from_other_origins_too(client, ann):
    for answer in (
        client.get("/api/v1/me", headers={"Origin": EXTENSIONS[0]}),
        ann.get("/nothing", headers={"Origin": EXTENSIONS[1]}),
        ann.post("/clicks", {"url": "x"}, headers={"Origin": EXTENSIONS[1]}),
    ):
        assert refusal(answer)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_other_origins_read_nothing_but_the_api(client):
    for path in ("/", "/sign-in", "/month", "/openapi.json", "/healthz", "/static/site.css", "/apiv1", "/api"):
        answer = client.get(path, headers={"Origin": "https://evil.example.net"})
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")], path
