"""A proof by DNS covers the hosts below, as far as one person can own them all (RULES 3.2, 3.6)."""

import pytest

from backend import checks, sites
from tests.backend.claiming import (
    DAY,
    EMPTY,
    HOUR,
    Worker,
    approve,
    ask,
    claim_of,
    links,
    mails,
    not_me,
    owner,
    prove_by_dns,
    state,
)
from tests.backend.town import WORLD


@pytest.fixture
def town(town):
    for name in ("Ann", "Bea", "Carl"):
        town.person(name, budget="4.00", wallet="40.00")
    town.web["example.org"] = EMPTY
    return town


def cover(town, name="Bea", site="example.org"):
    prove_by_dns(town, name, site)
    return town.look(site)


def test_a_proof_by_dns_covers_all_hosts_below(town):
    assert cover(town).code == "proved"
    for site in ("example.org", "blog.example.org", "a.b.c.example.org"):
        assert owner(town, site) == "Bea"
    for site in ("notexample.org", "example.com", "org", "example.org.evil.org"):
        assert owner(town, site) is None
    shown, _ = town.press("Ann", "blog.example.org/")
    assert (shown.rule, shown.owner.name, shown.site) == ("claimed", "Bea", "blog.example.org")


def test_a_proof_by_tag_or_file_covers_its_own_host_only(town):
    town.claim("Bea", "example.org")
    assert (owner(town, "example.org"), owner(town, "blog.example.org")) == ("Bea", None)


@pytest.mark.parametrize(
    ("site", "above"),
    [
        ("blog.example.org", ["example.org"]),
        ("a.blog.example.co.uk", ["blog.example.co.uk", "example.co.uk"]),
        ("example.co.uk", []),
        ("alice.github.io", []),
        ("blog.alice.github.io", ["alice.github.io"]),
        ("alice.substack.com", []),
        ("www.alice.substack.com", ["alice.substack.com"]),
        ("docs.github.com", []),
        ("github.com/alice", []),
        ("example.org/@alice", []),
        ("org", []),
        ("127.0.0.1:8001", []),
    ],
)
def test_nothing_is_covered_across_a_public_suffix_a_tenants_host_or_a_platform(site, above):
    assert list(sites.hosts_above(site)) == above


def test_one_tenant_never_covers_another_even_when_the_host_was_approved(town):
    for host in ("wordpress.com", "substack.com"):
        approve(town, "Carl", host)
        assert owner(town, f"alice.{host}") is None


def test_an_account_is_not_covered_by_its_host(town):
    cover(town)
    assert owner(town, "example.org/@alice") is None


def test_the_most_specific_claim_wins_and_the_other_covers_again_when_it_ends(town):
    cover(town)
    town.press("Ann", "blog.example.org/1")
    town.now += DAY
    town.claim("Carl", "blog.example.org")
    assert (owner(town, "blog.example.org"), owner(town, "x.blog.example.org")) == ("Carl", "Bea")
    town.now += DAY
    town.give_up("Carl", "blog.example.org")
    town.now += HOUR
    assert owner(town, "blog.example.org") == "Bea"


def test_a_claim_below_is_told_to_who_covers_it_and_can_be_disputed_by_them(town):
    cover(town)
    mails(town)
    town.claim("Carl", "blog.example.org")
    [link] = links(town, "Bea")
    assert ("Bea", "blog.example.org is yours on Flattr") in mails(town)

    assert not_me(town, link) == "blog.example.org"
    assert state(town, "Carl", "blog.example.org") == "contested"
    assert owner(town, "blog.example.org") is None, "in doubt, it is nobody's: not even who raised the doubt gets it"
    assert {name for name, _ in mails(town)} == {"Bea", "Carl"}


def test_clicks_of_a_claim_in_doubt_do_not_fall_to_who_covers_the_host(town):
    cover(town)
    town.claim("Carl", "blog.example.org")
    link = links(town, "Bea")[-1]
    town.on("2026-10-20")
    not_me(town, link)
    town.on("2026-10-21")
    town.press("Ann", "blog.example.org/")
    town.on("2026-11-01")
    assert (town.settle().charged_micros, town.balances().get("Bea income")) == (0, None)
    town.look("blog.example.org")
    assert town.month("Ann").clicks[0].owner.name == "Carl", "still proven after ten days: the promise comes true"


def test_a_tag_on_a_covered_host_claims_it_when_a_click_names_it(town, monkeypatch):
    cover(town)
    town.web["blog.example.org"] = town.tag("Carl")
    shown, _ = town.press("Ann", "blog.example.org/")
    with town.sessions.begin() as session:
        checks.consider(session, shown, town.people["Carl"].public_id, WORLD, now=town.now)
    assert Worker(town, monkeypatch).round() >= 1
    assert owner(town, "blog.example.org") == "Carl"


def test_promises_on_covered_hosts_come_true(town):
    town.press("Ann", "blog.example.org/")
    town.press("Ann", "deep.blog.example.org/")
    town.press("Ann", "example.com/")
    town.on("2026-11-01")
    town.settle()
    cover(town)
    assert {click.site for click in town.month("Ann").clicks if click.owner.name == "Bea"} == {
        "blog.example.org",
        "deep.blog.example.org",
    }
    assert len(town.month("Ann").clicks) == 2


def test_promises_come_true_when_a_claim_by_tag_is_proven_by_dns_too(town):
    town.press("Ann", "blog.example.org/")
    town.on("2026-11-01")
    town.settle()
    town.claim("Bea", "example.org")
    assert town.month("Ann").clicks == []
    town.now += HOUR
    cover(town)
    assert (claim_of(town, "Bea", "example.org").method, owner(town, "blog.example.org")) == ("dns", "Bea")
    assert [click.site for click in town.month("Ann").clicks] == ["blog.example.org"]


def test_with_both_proofs_the_one_that_covers_more_counts_also_at_re_checks(town):
    town.web["example.org"] = town.tag("Bea")
    cover(town)
    for _ in range(3):
        town.now += 30 * DAY
        town.look("example.org")
        assert (claim_of(town, "Bea", "example.org").method, owner(town, "blog.example.org")) == ("dns", "Bea")


def test_when_only_the_tag_is_left_hosts_below_keep_what_they_had_and_get_no_more(town):
    town.web["example.org"] = town.tag("Bea")
    cover(town)
    town.press("Ann", "blog.example.org/covered")
    town.on("2026-10-12")
    town.web["dns:_flattr-challenge.example.org"] = []
    town.look("example.org")
    town.on("2026-10-13")
    shown, _ = town.press("Ann", "blog.example.org/later")
    assert (owner(town, "example.org"), shown.state) == ("Bea", "promise")

    town.on("2026-11-01")
    result = town.settle()
    assert (result.clicks, result.promises, town.balances()["Bea income"]) == (1, 1, "4.00")


def test_a_proof_by_dns_after_the_month_does_not_reach_back_into_it(town):
    town.claim("Bea", "example.org")
    town.press("Ann", "blog.example.org/")
    town.on("2026-11-02")
    cover(town)
    assert (town.settle("2026-10").charged_micros, town.month("Ann").clicks[0].promised_in) == (0, "2026-10")


def test_an_owner_in_between_does_not_hide_older_promises_of_the_one_below(town):
    town.press("Ann", "blog.example.org/")
    town.on("2026-11-01")
    town.settle()
    cover(town, "Carl")
    town.undo("Ann", town.month("Ann").clicks[0].page_id)
    town.press("Ann", "other.example.org/")
    assert owner(town, "other.example.org") == "Carl"
    ask(town, "Bea", "blog.example.org")
    town.claim("Bea", "blog.example.org")
    assert owner(town, "blog.example.org") == "Bea"
