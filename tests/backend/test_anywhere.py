"""Flattring without the extension, what sites show in public, badges, and the months that everybody may check."""

from dataclasses import replace
from urllib.parse import quote

import pytest

from backend import jobs, sites, users
from tests.backend.browser import Page, Visitor, device_of, link_to, on, running


@pytest.fixture
def ann(app, town):
    town.person("Ann", budget="5.00")
    visitor = Visitor(app)
    visitor.sign_in("ann@example.org")
    return visitor


def thank(town, name, line, **shows):
    with town.sessions.begin() as session:
        users.set_thanks(session, town.people[name], line, **({"shows_name": True, "shows_supporters": False} | shows))


def test_looking_never_counts_and_one_button_does(ann, town):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    thank(town, "Bea", "Thank you <b>all</b>")
    for _ in range(2):
        page = ann.visit("/flattr?url=https://bea.example.org/post?utm_source=x%23top&title=A%20post")
    assert (page.status, page.heading, page.buttons) == (200, "A post", ["Flattr"])
    assert "Bea is the owner of bea.example.org and would get a share" in page.text
    assert "Thank you" not in page.text
    assert town.month("Ann").clicks == []

    page = ann.press("Flattr")
    assert "gets a share of your month" in page.text
    assert "Thank you <b>all</b>" in page.text
    assert page.buttons == []
    [click] = town.month("Ann").clicks
    assert (click.url, click.title) == ("https://bea.example.org/post", "A post")


def test_sent_twice_it_counts_once_and_says_so(ann, town):
    ann.visit("/flattr?url=bea.example.org/post")
    action, form = ann.page.form("Flattr")
    ann.send(action, form)
    page = ann.send(action, form)
    assert "It was on your list already." in page.text
    assert len(town.month("Ann").clicks) == 1


def test_a_page_of_nobody_is_a_promise_and_is_looked_at(ann, town, sessions):
    page = ann.visit("/flattr?url=https://nobody.example.org/post")
    assert "A promise takes no money until they come" in page.text
    ann.press("Flattr")
    town.person("Bea")
    town.web["nobody.example.org"] = town.tag("Bea")
    with sessions() as session:
        assert jobs.is_waiting(session, "look", "nobody.example.org")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("url=https://192.168.1.1/", "Numeric addresses cannot be flattred"),
        ("url=javascript:alert(1)", "cannot be flattred"),
        ("url=file:///etc/passwd", "Only web pages"),
        ("url=http://router/", "private to a network"),
    ],
)
def test_what_cannot_be_flattred_says_why(ann, asked, said):
    page = ann.visit(f"/flattr?{asked}")
    assert (page.status, page.buttons) == (422, ["Look"])
    assert said in page.text or "not a web address" in page.text


def test_ones_own_page_and_one_that_takes_no_part_have_no_button(ann, town):
    town.claim("Ann", "ann.example.org")
    town.web["no.example.org"] = '<head><meta name="flattr:id" content="none"></head>'
    town.look("no.example.org")

    page = ann.visit("/flattr?url=https://ann.example.org/a")
    assert "This page is yours: you are the owner of ann.example.org" in page.text
    assert page.buttons == []
    page = ann.visit("/flattr?url=https://no.example.org/a")
    assert "asked not to be part of Flattr" in page.text
    assert page.buttons == []
    _, form = ann.visit("/flattr?url=bea.example.org").form("Flattr")
    for url, said in (("https://ann.example.org/a", "your own site"), ("https://no.example.org/a", "asked not to be")):
        page = ann.send("/flattr", form | {"url": url})
        assert (page.status, said in page.text) == (403, True)
    assert town.month("Ann").clicks == []


def test_who_is_not_signed_in_comes_back_to_the_page(app, town):
    town.person("Ann")
    visitor, url = Visitor(app), "https://bea.example.org/post?a=1&b=2&c=%C3%BC" + "x" * 1500
    answer = visitor.client.get(f"/flattr?url={quote(url, safe='')}")
    assert answer.status_code == 303
    visitor.visit(answer.location)
    visitor.press("Send the link", email="ann@example.org")
    visitor.visit(link_to(visitor.config, "ann@example.org"))
    page = visitor.press("Sign in")
    assert page.form("Flattr")[1]["url"] == url


def test_phones_share_a_text_with_the_address_in_it(ann):
    for asked in ("text=Look: https://bea.example.org/post and see", "title=Post&text=https://bea.example.org/post"):
        assert ann.visit(f"/flattr?{asked}").form("Flattr")[1]["url"] == "https://bea.example.org/post"
    assert ann.visit("/flattr?text=nothing").buttons == ["Look"]


def test_three_hundred_a_day_are_enough_here_too(ann, town, monkeypatch):
    monkeypatch.setattr("backend.clicks.MOST_A_DAY", 2)
    for n in range(3):
        ann.visit(f"/flattr?url=bea.example.org/{n}")
        page = ann.press("Flattr")
    assert page.status == 429
    assert len(town.month("Ann").clicks) == 2


def test_nothing_can_be_put_into_a_frame(app):
    for path in ("/", "/flattr?url=https://bea.example.org/", "/nothing", "/api/v1/me", "/healthz", "/static/site.css"):
        answer = app.test_client().get(path)
        assert answer.headers["X-Frame-Options"] == "DENY", path
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path


def test_the_bookmark_opens_this_installation(config):
    with running(replace(config, base_url="https://flattr.example")) as app:
        page = Page(app.test_client().get("/without", base_url="https://flattr.example"))
    [link] = page.tree.query("a.bookmarklet")
    assert link.attrs["href"].startswith("javascript:location.href='https://flattr.example/flattr?url='+encode")
    assert link.attrs["href"] == page.tree.query("pre")[0].to_text()


def test_it_can_be_installed_and_shared_to(client):
    answer = client.get("/static/manifest.webmanifest")
    assert answer.content_type.startswith("application/manifest+json")
    manifest = answer.get_json(force=True)
    assert manifest["share_target"]["action"] == "/flattr"
    for icon in manifest["icons"]:
        assert client.get(icon["src"]).status_code == 200


# Badges and sites' pages ----------------------------------------------------------------------------------------------


@pytest.fixture
def popular(town, config):
    """Bea's site, which three readers flattred in October, and the app in November."""
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    for name in ("Carl", "Dora", "Eve"):
        town.person(name)
        town.press(name, "bea.example.org/post")
    town.press("Eve", "bea.example.org/other")
    town.person("Finn")
    town.claim("Finn", "few.example.org")
    for name in ("Carl", "Dora"):
        town.press(name, "few.example.org/")
    town.on("2026-11-02")
    with on(config, "2026-11-02") as november:
        yield november


def test_a_badge_counts_from_three_on_and_knows_nobody(popular, town):
    answer = popular.test_client().get("/badge/bea.example.org.svg", headers={"Cookie": "sid=x"})
    assert answer.status_code == 200
    assert answer.content_type.startswith("image/svg+xml")
    assert ">3</text>" in answer.text
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    again = popular.test_client().get("/badge/bea.example.org.svg", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_badge_says_no_number_below_three_nor_of_this_month_nor_for_who_is_not_here(popular, town):
    client = popular.test_client()
    town.press("Eve", "few.example.org/")
    for path in ("few.example.org", "nobody.example.org"):
        assert 'font-size="10"></text>' in client.get(f"/badge/{path}.svg").text
    assert client.get("/badge/www.bea.example.org.svg").status_code == 404
    assert client.get("/badge/%3Csvg%20onload=alert(1)%3E.svg").status_code in (404, 422)


def test_a_sites_page_shows_what_its_owner_chose(popular, town):
    visitor = Visitor(popular)
    page = visitor.visit("/s/bea.example.org")
    assert ("Bea" in page.text, "3 readers" in page.text) == (True, False)
    thank(town, "Bea", "Come again", shows_name=False, shows_supporters=True)
    page = visitor.visit("/s/bea.example.org")
    assert ("Bea" in page.text, "3 readers" in page.text, "Come again" in page.text) == (False, True, True)
    assert "in October 2026" in page.text
    with town.sessions.begin() as session:
        sites.find(session, "bea.example.org").opted_out_at = town.now
    page = visitor.visit("/s/bea.example.org")
    assert "asked not to be part" in page.text
    assert "Come again" not in page.text


def test_an_owner_says_thank_you_in_one_line_of_text(ann, app, town):
    town.claim("Ann", "ann.example.org")
    town.person("Bea")
    ann.visit("/sites")
    page = ann.send("/thanks", ann.page.form("Save")[1] | {"line": " Thank\nyou\u202e <i>all</i> ", "shows": "name"})
    assert page.field("line")["value"] == "Thank you <i>all</i>"
    device = device_of(app, town, "Bea")
    assert device.press("https://ann.example.org/a").json["thanks"] == "Thank you <i>all</i>"
    assert device.get("/pages?url=https://ann.example.org/a").json["thanks"] == "Thank you <i>all</i>"
    assert device.get("/clicks").json["clicks"][0]["thanks"] == "Thank you <i>all</i>"
    page = ann.send("/thanks", ann.page.form("Save")[1] | {"line": "x" * 141})
    assert (page.status, "140 characters at most" in page.text) == (422, True)


# Months, history and what goes along ----------------------------------------------------------------------------------


def test_a_settled_month_is_public_with_its_digest(popular, town):
    result = town.settle(fee_bps=100)
    visitor = Visitor(popular)
    page = visitor.visit("/months")
    assert page.links["October 2026"] == "/months/2026-10"
    page = visitor.visit("/months/2026-10")
    assert result.digest in page.text
    for path in ("/months/2026-11", "/months/x", "/months/2026-13"):
        assert visitor.visit(path).status == 404


def test_the_split_can_be_tried_without_signing_in(app):
    visitor = Visitor(app)
    assert "5.00 € for 5 people: 1.00 € each" in visitor.visit("/").text
    assert "1.666666 €; 0.000002 € stays yours" in visitor.visit("/?budget=5&people=3").text
    for odd in ("budget=x&people=y", "budget=-1&people=0", "budget=" + "9" * 40, "people=" + "9" * 40, "people=٣"):
        assert visitor.visit(f"/?{odd}").status == 200


def test_history_says_what_months_came_to_and_what_became_of_promises(ann, town, config):
    town.deposit("Ann", "20.00")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    for site in ("true", "gone", "never"):
        town.press("Ann", f"{site}.example.org/", title=site.title())
    town.on("2026-11-02")
    town.settle()
    for site in ("true", "gone"):
        town.claim("Bea", f"{site}.example.org")
    [gone] = [click for click in town.month("Ann").clicks if click.title == "Gone"]
    town.undo("Ann", gone.page_id)
    with on(config, "2026-11-02") as november:
        ann.client.application = november
        page = ann.visit("/history")
    rows = {row.query("td")[0].query("a")[0].to_text(): row.to_text() for row in page.tree.query("tbody tr")}
    assert "5.000000" in rows["October 2026"]
    assert "nothing" in rows["September 2026"]
    assert "Came true in November 2026" in " ".join(rows["True"].split())
    assert "Withdrawn in November 2026" in rows["Gone"]
    assert "Waits for its owner" in rows["Never"]
    with on(config, "2027-11-02") as later:
        again = Visitor(later)
        again.sign_in("ann@example.org")
        rows = {row.query("a")[0].to_text(): row.to_text() for row in again.visit("/history").tree.query("tbody tr")}
    assert "Expired" in rows["Never"]


def test_a_promise_that_waits_is_withdrawn_by_its_reader_alone(app, ann, town, config, session):
    for name in ("Bea", "Eve"):
        town.person(name, wallet="5.00")
    town.deposit("Ann", "20.00")
    for reader in ("Ann", "Eve"):
        _, dropped = (town.press(reader, f"{site}.example.org/", title=site)[0].page_id for site in ("kept", "gone"))
    town.on("2026-11-02")
    before = town.settle().as_json()
    with on(config, "2026-11-02") as november:
        ann.client.application = november
        ann.visit("/history")
        ann.press("Withdraw for good: gone")
        assert "cost nothing" in ann.page.text
        assert ["gone" in button for button in ann.page.buttons] == [False]
        _, form = ann.page.form("Withdraw for good: kept")
        assert "withdrawn already" in ann.send("/history/withdraw", form | {"page_id": dropped}).text

        for site in ("kept", "gone"):
            town.claim("Bea", f"{site}.example.org")
        late = ann.send("/history/withdraw", form)
        assert (late.status, "has come true" in late.text) == (409, True)
    assert [click.title for click in town.month("Ann").clicks] == ["kept"]
    assert [click.title for click in town.month("Eve").clicks] == ["gone", "kept"], "hers waited on"
    town.on("2026-12-02")
    town.settle()
    assert town.settle("2026-10").as_json() == before
    assert town.statement("Ann", "2026-11").given.lines[0].pages == ["https://kept.example.org/"]


def test_everything_goes_along_and_nothing_of_others(ann, town, config):
    town.deposit("Ann", "20.00")
    town.person("Eve", wallet="5.00")
    town.claim("Eve", "eve.example.org")
    town.press("Eve", "nobody.example.org/eves", title="Eve's own")
    town.press("Ann", "eve.example.org/post", title="=cmd|'/c calc'!A1")
    town.press("Ann", "nobody.example.org/anns")
    town.on("2026-11-02")
    town.settle()
    with on(config, "2026-11-02") as november:
        ann.client.application = november
        answer = ann.client.get("/export")
        table = ann.client.get("/export.csv").text
    found = answer.get_json()
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert found["user"][0]["email"] == "ann@example.org"
    assert sorted(click["url"] for click in found["clicks"]) == [
        "https://eve.example.org/post",
        "https://nobody.example.org/anns",
    ]
    assert [promise["url"] for promise in found["promises"]] == ["https://nobody.example.org/anns"]
    assert found["given"] == [{"period": "2026-10", "amount_micros": 5_000_000, "people": 1, "share_micros": 5_000_000}]
    assert [deposit["amount_micros"] for deposit in found["deposits"]] == [20_000_000]
    assert "Eve's own" not in answer.text + table
    assert ",'=cmd|'/c calc'!A1," in table
