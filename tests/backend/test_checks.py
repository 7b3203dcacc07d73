"""Looking at a site, and all that follows."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from backend import checks, claims, clicks, fetch, jobs, limits
from backend.checks import World
from backend.claims import ADVICE, Wanted
from backend.errors import NotFlattrable, RateLimited
from backend.fetch import Fetched, FetchFailed
from tests.backend.hostile import page, redirect, server
from tests.backend.town import WORLD

DEV = World("http://127.0.0.1:8000", dev=True)
REAL_GET = fetch.get


@pytest.fixture
def real_web(town, monkeypatch):
    """Pages come over the wire, not from the town's own web."""
    monkeypatch.setattr(fetch, "get", REAL_GET)


def mails(town):
    """To whom which mail is waiting to be sent."""
    with town.sessions() as session:
        found = session.scalars(sa.select(jobs.Job.payload).where(jobs.Job.kind == "mail").order_by(jobs.Job.id)).all()
    return [(mail["to"], mail["subject"]) for mail in found]


def looks_waiting(town):
    with town.sessions() as session:
        return session.scalars(sa.select(jobs.Job.key).where(jobs.Job.kind == "look").order_by(jobs.Job.key)).all()


def take_looks(town):
    """The worker takes the looks that wait, and sees nothing."""
    with town.sessions.begin() as session:
        session.execute(sa.delete(jobs.Job).where(jobs.Job.kind == "look"))


def kept(town):
    """What was written down of all looks: (method, code), oldest first."""
    with town.sessions() as session:
        return session.execute(sa.select(claims.Look.method, claims.Look.code).order_by(claims.Look.id)).all()


# What a front page says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fetched", "code"),
    [
        ((200, "text/html", b"<p>Hello"), "no_tag"),
        ((404, "text/html", b"<p>Hello"), "bad_status"),
        ((204, "text/html", b""), "bad_status"),
        ((200, "text/plain", b"<p>Hello"), "not_html"),
        ((200, "application/xhtml+xml", b"<p>Hello"), "not_html"),
        ((200, "", b"<p>Hello"), "not_html"),
        ((200, "text/html", b"<p>He\0llo"), "nul_byte"),
    ],
)
def test_only_an_ordinary_page_proves_anything(monkeypatch, fetched, code):
    answer = Fetched(*fetched, ["https://bea.example.org/"], "93.184.215.14")
    monkeypatch.setattr(fetch, "get", lambda *_, **__: answer)

    seen, _ = checks.findings("bea.example.org", [], WORLD)
    assert (seen.method, seen.code, seen.ids, seen.evidence["address"]) == ("tag", code, (), "93.184.215.14")


def test_the_fetcher_says_who_it_is_wherever_it_looks(monkeypatch):
    def get(url, **named):
        asked[url] = named
        raise FetchFailed("unreachable")

    asked = {}
    monkeypatch.setattr(fetch, "get", get)
    monkeypatch.setattr(fetch, "txt", lambda name: asked.setdefault(name, []))
    found = [
        checks.findings("bea.example.org", [Wanted("000000000000", "token")], WORLD),
        checks.findings("social.example.org/@bea", [], WORLD),
    ]

    assert [(f.method, f.code) for f in (*found[0], *found[1])] == [
        ("tag", "unreachable"),
        ("file", "unreachable"),
        ("dns", "token_not_found"),
        ("rel_me", "unreachable"),
    ]
    ourselves = {"dev": False, "user_agent": "flattr-verify/1 (+https://flattr.example)"}
    assert asked == {
        "https://bea.example.org/": ourselves,
        "https://bea.example.org/.well-known/flattr-site-verification.txt": ourselves,
        "_flattr-challenge.bea.example.org": [],
        "https://social.example.org/@bea": ourselves,
    }


def test_a_real_front_page_with_a_tag_claims_its_site(town, real_web):
    bea = town.person("Bea")
    with server(page(town.tag("Bea").encode())) as site:
        outcome = checks.look(town.sessions, site.site, DEV, now=town.now)
        again = checks.look(town.sessions, site.site, DEV, now=town.now)

    [(event, claim)] = outcome.events
    assert (outcome.code, event, claim.state, claim.user_id) == ("proved", "verified", "verified", bea.id)
    assert (again.code, again.events) == ("proved", [])
    assert mails(town) == [("bea@example.org", f"{site.site} is yours on Flattr")]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (page(b"<p>Hello"), "no_tag"),
        (page(b'<meta name="flattr:id" content="none">'), "opted_out"),
        (page(b"gone", status="404 Not Found"), "bad_status"),
        (redirect("https://elsewhere.example.org/"), "redirects_elsewhere"),
        (redirect("/"), "too_many_redirects"),
        (b"SSH-2.0\r\n", "bad_response"),
    ],
)
def test_what_went_wrong_is_written_down_with_what_to_do(town, real_web, answer, code):
    with server(answer) as site:
        outcome = checks.look(town.sessions, site.site, DEV, now=town.now)
    assert (outcome.code, outcome.events) == (code, [])
    assert kept(town)[0] == ("tag", code)
    assert [method for method, _ in kept(town)] == (["tag"] if code == "opted_out" else ["tag", "file"])
    assert {code for _, code in kept(town)} <= ADVICE.keys()


@pytest.mark.parametrize(
    "code",
    [
        *("no_https", "dns_failed", "no_such_host", "refused_address", "timeout", "redirects_elsewhere"),
        *("too_many_redirects", "too_large", "bad_response", "unreachable"),
    ],
)
def test_every_failure_of_the_network_has_its_advice(town, code):
    town.web["bea.example.org"] = FetchFailed(code, "why")
    assert town.look("bea.example.org").code == code
    assert len(ADVICE[code]) > 20
    assert kept(town)[0] == ("tag", code)
    with town.sessions() as session:
        of_tags = sa.select(claims.Look.evidence).where(claims.Look.method == "tag")
        assert session.scalars(of_tags).one() == {"detail": "why", "named": []}


# What follows ---------------------------------------------------------------------------------------------------------


def test_a_new_owner_and_the_readers_who_promised_are_told_once(town):
    for reader in ("Ann", "Carl"):
        town.person(reader)
        town.press(reader, "bea.example.org/")
    town.on("2026-11-02")
    town.settle("2026-10")
    town.person("Bea")
    for _ in range(2):
        town.claim("Bea", "bea.example.org")

    assert sorted(mails(town)) == [
        ("ann@example.org", "Your promise to bea.example.org counts now"),
        ("bea@example.org", "bea.example.org is yours on Flattr"),
        ("carl@example.org", "Your promise to bea.example.org counts now"),
    ]


# Who asks for looks ---------------------------------------------------------------------------------------------------


def ask(town, name, text, *, world=WORLD):
    with town.sessions.begin() as session:
        return checks.ask(session, town.people[name], text, world, now=town.now)


def test_an_owner_asks_for_a_look_by_any_address_on_the_site(town):
    town.person("Bea")
    assert ask(town, "Bea", " https://www.Bea.example.org/about ") == "bea.example.org"
    assert ask(town, "Bea", "bea.example.org") == "bea.example.org"

    assert looks_waiting(town) == ["bea.example.org"]
    with town.sessions() as session:
        [(claim, site)] = claims.of_user(session, town.people["Bea"])
        assert claims.latest_looks(session, site) == []
    assert (claim.state, site.name) == ("pending", "bea.example.org")


@pytest.mark.parametrize(
    "text",
    ["co.uk", "github.io", "github.com", "substack.com", "localhost", "127.0.0.1", "", "javascript:alert(1)"],
)
def test_what_nobody_can_own_is_not_looked_at(town, text):
    town.person("Bea")
    with pytest.raises(NotFlattrable):
        ask(town, "Bea", text)
    assert looks_waiting(town) == []


def test_a_site_is_looked_at_five_times_an_hour_and_a_user_asks_for_twenty(town):
    town.person("Bea")
    town.person("Carl")
    for _ in range(5):
        ask(town, "Bea", "bea.example.org")
        take_looks(town)
    with pytest.raises(RateLimited):
        ask(town, "Carl", "bea.example.org")

    for number in range(15):
        ask(town, "Bea", f"site{number}.example.org")
    with pytest.raises(RateLimited):
        ask(town, "Bea", "another.example.org")
    assert ask(town, "Carl", "another.example.org")

    town.now += timedelta(hours=1)
    assert ask(town, "Bea", "bea.example.org")


def test_at_home_nobody_is_counted(town):
    town.person("Bea")
    for _ in range(8):
        assert ask(town, "Bea", "127.0.0.1:8001", world=DEV) == "127.0.0.1:8001"
        take_looks(town)
    with town.sessions() as session:
        assert session.scalars(sa.select(limits.Rate.key)).all() == []


@pytest.fixture
def ann(town):
    """A reader."""
    return town.person("Ann")


def consider(town, site, named=None):
    """Ann flattrs a site's front page, whose tag names somebody, or so her browser says."""
    with town.sessions.begin() as session:
        press = clicks.PageFacts(f"https://{site}", named)
        click, _ = clicks.record(session, town.people["Ann"], press, now=town.now)
        checks.consider(session, click, named, WORLD, now=town.now)


def test_the_first_click_on_an_unknown_host_has_it_looked_at_once(town, ann):
    consider(town, "bea.example.org")
    assert looks_waiting(town) == ["bea.example.org"]
    take_looks(town)
    town.look("bea.example.org")

    consider(town, "bea.example.org")
    consider(town, "bea.example.org", "no such id")
    consider(town, "bea.example.org", "000000000000")
    assert looks_waiting(town) == []


def test_a_tag_that_names_a_user_has_the_host_looked_at_again(town, ann):
    bea = town.person("Bea")
    town.look("bea.example.org")
    consider(town, "bea.example.org", bea.public_id)
    assert looks_waiting(town) == ["bea.example.org"]


def test_a_host_that_has_its_owner_or_can_have_none_is_left_alone(town, ann):
    bea, carl = town.person("Bea"), town.person("Carl")
    town.claim("Bea", "bea.example.org")
    for site in ("bea.example.org", "co.uk", "github.io", "substack.com", "github.com/about", "github.com/bea"):
        for user in (bea, carl):
            consider(town, site, user.public_id)
    with town.sessions() as session:
        assert session.scalars(sa.select(jobs.Job.key).where(jobs.Job.kind != "mail")).all() == []


def test_clicks_with_invented_ids_do_not_use_up_the_owners_checks(town, ann):
    bea = town.person("Bea")
    for _ in range(50):
        consider(town, "bea.example.org", bea.public_id)
        take_looks(town)
    for _ in range(5):
        assert ask(town, "Bea", "bea.example.org") == "bea.example.org"
        take_looks(town)
    with pytest.raises(RateLimited):
        ask(town, "Bea", "bea.example.org")


def test_clicks_have_a_host_looked_at_three_times_an_hour(town, ann):
    bea = town.person("Bea")
    town.now = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)
    queued = 0
    for _ in range(5):
        consider(town, "bea.example.org", bea.public_id)
        queued += len(looks_waiting(town))
        take_looks(town)
    assert queued == 3
