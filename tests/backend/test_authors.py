"""Several authors on one site: the claimant lists them, the server sees their tags itself (RULES 3.14)."""

import pytest

from backend import checks, claims, clicks, sites
from backend.claims import states
from backend.errors import OwnSite
from backend.fetch import Fetched, FetchFailed
from tests.backend.claiming import EMPTY, HOUR, Worker, approve, owner, waiting
from tests.backend.town import WORLD

PAGE = "https://mag.example.org/essay"


@pytest.fixture
def town(town, monkeypatch):
    """A magazine that Meg claimed, with Al and Bo writing for it; only Al is on the list."""
    for name in ("Ann", "Cy", "Dee"):
        town.person(name, budget="6.00", wallet="60.00")
    for name in ("Meg", "Al", "Bo"):
        town.person(name, budget="6.00", wallet="6.00")
    town.claim("Meg", "mag.example.org")
    town.worker = Worker(town, monkeypatch)
    town.web[PAGE] = town.tag("Al")
    list_author(town, "Al")
    return town


def list_author(town, name, site="mag.example.org"):
    with town.sessions.begin() as session:
        claims.list_author(session, sites.ensure(session, site), town.people[name])


def remove_author(town, name, site="mag.example.org"):
    with town.sessions.begin() as session:
        clicks.remove_author(session, sites.ensure(session, site), town.people[name], now=town.now)


def press(town, reader, url=PAGE, names=None):
    """A press whose page seems to name somebody, and what the server does about it."""
    with town.sessions.begin() as session:
        public_id = town.people[names].public_id if names else None
        shown, _ = clicks.record(session, town.people[reader], clicks.PageFacts(url, public_id), now=town.now)
        checks.consider(session, shown, public_id, WORLD, now=town.now)
    return shown


def who(town, reader, url=PAGE):
    return next((c.owner.name, c.rule) for c in town.month(reader).clicks if c.url == url)


def test_a_listed_authors_page_is_theirs_once_the_server_saw_the_tag_itself(town):
    shown = press(town, "Ann", names="Al")
    assert (shown.owner.name, shown.rule) == ("Meg", "claimed")
    assert town.worker.round() == 2, "the look at the page, and Meg's mail"
    assert who(town, "Ann") == ("Al", "author")
    assert press(town, "Cy").owner.name == "Al"


def test_a_hint_that_the_page_itself_does_not_confirm_pays_nobody_else(town):
    town.web[PAGE] = EMPTY
    press(town, "Ann", names="Al")
    town.worker.round()
    assert who(town, "Ann") == ("Meg", "claimed")


def test_a_page_that_names_somebody_who_is_not_listed_is_the_claimants(town):
    town.web[PAGE] = town.tag("Bo")
    press(town, "Ann", names="Bo")
    assert waiting(town, "page") == []
    press(town, "Cy", names="Al")
    town.worker.round()
    assert (who(town, "Ann"), who(town, "Cy")) == (("Meg", "claimed"), ("Meg", "claimed"))


def test_a_page_with_two_ids_says_nothing(town):
    town.web[PAGE] = town.tag("Al") + town.tag("Bo")
    press(town, "Ann", names="Al")
    town.worker.round()
    assert who(town, "Ann") == ("Meg", "claimed")


@pytest.mark.parametrize("failure", [FetchFailed("timeout"), Fetched(503, "text/html", b"", [PAGE], "93.184.215.14")])
def test_an_outage_does_not_take_a_page_from_its_author(town, monkeypatch, failure):
    press(town, "Ann", names="Al")
    town.worker.round()

    def get(_url, **_):
        if isinstance(failure, FetchFailed):
            raise failure
        return failure

    monkeypatch.setattr("backend.fetch.get", get)
    press(town, "Cy", names="Meg")
    town.worker.round()
    assert who(town, "Ann") == ("Al", "author")


def test_a_page_that_no_longer_names_its_author_is_the_claimants_again(town):
    press(town, "Ann", names="Al")
    town.worker.round()
    town.web[PAGE] = town.tag("Meg")
    press(town, "Cy", names="Meg")
    town.worker.round()
    assert who(town, "Ann") == ("Meg", "claimed")


def test_an_author_taken_off_the_list_gets_no_more_of_the_open_month(town):
    press(town, "Ann", names="Al")
    town.worker.round()
    remove_author(town, "Al")
    assert who(town, "Ann") == ("Meg", "claimed")
    press(town, "Cy", names="Al")
    assert waiting(town, "page") == []
    remove_author(town, "Al")


def test_authors_do_not_flattr_their_own_pages_but_the_claimant_may_flattr_theirs(town):
    press(town, "Ann", names="Al")
    town.worker.round()
    with pytest.raises(OwnSite):
        press(town, "Al")
    assert press(town, "Meg").owner.name == "Al"
    assert press(town, "Al", "https://mag.example.org/other").owner.name == "Meg"
    with pytest.raises(OwnSite):
        press(town, "Meg", "https://mag.example.org/other")


def test_settlement_statement_and_audit_know_authors(town):
    press(town, "Ann", names="Al")
    press(town, "Ann", "https://mag.example.org/by-meg")
    press(town, "Al", "https://mag.example.org/by-meg")
    press(town, "Cy", names="Al")
    town.worker.round()
    town.on("2026-11-01")
    result = town.settle("2026-10")

    assert (result.readers, result.owners, result.clicks, result.charged_micros) == (3, 2, 4, 18_000_000)
    balances = town.balances()
    assert (balances["Al income"], balances["Meg income"]) == ("9.00", "9.00")
    assert [line.name for line in town.statement("Ann", "2026-10").given.lines] == ["Al", "Meg"]
    assert [(line.url, line.readers) for line in town.statement("Al", "2026-10").received.lines] == [(PAGE, 2)]
    assert town.statement("Bo", "2026-10").received.received_micros == 0
    assert town.problems() == []


def test_an_authors_own_press_from_before_is_left_out_at_settlement(town):
    press(town, "Al")
    press(town, "Ann", names="Al")
    town.worker.round()
    town.on("2026-11-01")
    result = town.settle("2026-10")
    assert (result.clicks, result.promises, town.balances()["Al income"]) == (1, 0, "6.00")


def test_a_settled_month_keeps_the_author_whatever_the_list_says_later(town):
    press(town, "Ann", names="Al")
    town.worker.round()
    town.on("2026-11-01")
    remove_author(town, "Al")
    town.settle("2026-10")
    assert town.balances()["Al income"] == "6.00"


def test_the_next_claimant_does_not_inherit_authors_but_what_they_wrote_before_stays_theirs(town):
    press(town, "Ann", names="Al")
    town.worker.round()
    town.on("2026-10-10")
    town.give_up("Meg", "mag.example.org")
    town.now += HOUR
    press(town, "Dee")
    town.now += HOUR
    town.claim("Bo", "mag.example.org")
    town.now += HOUR

    assert press(town, "Cy", names="Al").owner.name == "Bo"
    assert waiting(town, "page") == []
    assert (who(town, "Ann"), who(town, "Cy")) == (("Al", "author"), ("Bo", "claimed"))
    town.on("2026-11-01")
    town.settle("2026-10")
    assert (town.balances()["Al income"], town.balances()["Bo income"]) == ("6.00", "12.00")


def test_an_author_of_a_site_that_nobody_holds_gets_nothing(town):
    press(town, "Ann", names="Al")
    town.worker.round()
    with town.sessions.begin() as session:
        states.revoke(session, sites.ensure(session, "mag.example.org"), now=town.now)
    town.now += HOUR
    assert (owner(town, "mag.example.org"), press(town, "Cy").owner) == (None, None)
    town.on("2026-11-01")
    assert town.settle("2026-10").charged_micros == 0


def test_a_page_is_looked_at_for_authors_three_times_an_hour(town):
    for number in range(6):
        name = f"Reader{number}"
        town.person(name)
        town.web[PAGE] = EMPTY
        press(town, name, names="Al")
        assert len(waiting(town, "page")) == (number < 3)
        town.worker.round()


def test_a_page_of_a_claim_by_the_operator_has_authors_too(town):
    approve(town, "Bo", "tenant.wordpress.com")
    list_author(town, "Al", "tenant.wordpress.com")
    url = "https://tenant.wordpress.com/essay"
    town.web[url] = town.tag("Al")
    press(town, "Ann", url, names="Al")
    town.worker.round()
    assert who(town, "Ann", url) == ("Al", "author")
