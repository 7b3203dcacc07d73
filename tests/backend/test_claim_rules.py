"""The rules of claims, one by one, and the attacks that each of them stops (RULES 3.1 to 3.15)."""

import time
from datetime import timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from backend import checks, claims, cli, db, limits, sites
from backend.claims import ADVICE, Claim, states
from backend.claims.states import SiteTaken
from backend.clicks import Click
from backend.errors import NotFlattrable, NotFound, OptedOut, RateLimited
from backend.fetch import Fetched, FetchFailed
from backend.sites import Site
from tests.backend.at_once import at_once
from tests.backend.claiming import (
    DAY,
    DOWN,
    EMPTY,
    GONE,
    HOUR,
    OPT_OUT,
    Worker,
    all_claims,
    approve,
    ask,
    claim_of,
    links,
    looks,
    mails,
    not_me,
    owner,
    prove_by_dns,
    prove_by_file,
    state,
    token,
    waiting,
)
from tests.backend.town import WORLD, Town

BLOG = "blog.example.org"
FILE = f"https://{BLOG}/.well-known/flattr-site-verification.txt"


@pytest.fixture
def town(town):
    for name in ("Bea", "Carl", "Dora"):
        town.person(name)
    for name in ("Ann", "Rita"):
        town.person(name, budget="4.00", wallet="40.00")
    with town.sessions.begin() as session:
        session.get_one(claims.User, town.person("Opal").id).is_operator = True
    town.web[BLOG] = EMPTY
    return town


# 3.1 to 3.3: who proves it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prove", "method"), [(prove_by_dns, "dns"), (prove_by_file, "file")])
def test_a_token_proves_the_site_for_its_claim(town, prove, method):
    prove(town, "Bea", BLOG)
    assert (town.look(BLOG).code, owner(town, BLOG)) == ("proved", "Bea")
    assert claim_of(town, "Bea", BLOG).method == method


def test_only_the_front_page_proves_not_a_users_page_or_an_upload(town):
    town.web[f"https://{BLOG}/~eve/"] = town.web[f"https://{BLOG}/upload.html"] = town.tag("Bea")
    assert (town.look(BLOG).code, owner(town, BLOG)) == ("no_tag", None)


@pytest.mark.parametrize(
    ("status", "kind", "code"), [(404, "text/html", "bad_status"), (200, "text/plain", "not_html")]
)
def test_an_error_page_or_a_text_proves_nothing(town, monkeypatch, status, kind, code):
    body = town.tag("Bea").encode()
    monkeypatch.setattr("backend.fetch.get", lambda url, **_: Fetched(status, kind, body, [url], "93.184.215.14"))
    assert (town.look(BLOG).code, owner(town, BLOG)) == (code, None)


def test_an_invented_id_proves_nothing(town):
    town.web[BLOG] = '<head><meta name="flattr:id" content="zzzzzzzzzzzz"></head>'
    assert (town.look(BLOG).code, all_claims(town, BLOG)) == ("unknown_id", [])


def test_a_tag_does_not_hide_somebody_elses_proof_by_token(town):
    prove_by_dns(town, "Bea", BLOG)
    town.web[BLOG] = town.tag("Carl")
    assert town.look(BLOG).code == "contested"
    assert (owner(town, BLOG), all_claims(town, BLOG)) == (None, [("Bea", "contested"), ("Carl", "contested")])


# 3.4 and 3.6: accounts, and what nobody can claim ---------------------------------------------------------------------


def profile(town, name):
    return f'<body><a rel="nofollow me" href="https://flattr.example/u/{town.people[name].public_id}">me</a></body>'


def test_an_account_is_proven_by_the_rel_me_link_on_its_own_page(town):
    ask(town, "Bea", "github.com/Alice")
    town.web["https://github.com/alice/alice"] = town.web["https://github.com/bob"] = profile(town, "Bea")
    town.web["https://github.com/alice"] = EMPTY
    assert town.look("github.com/alice").code == "no_link"
    town.web["https://github.com/alice"] = profile(town, "Bea")
    assert (town.look("github.com/alice").code, owner(town, "github.com/alice")) == ("proved", "Bea")
    assert owner(town, "github.com/bob") is None


def numbered(number, rest=EMPTY):
    return f'<head><meta name="octolytics-dimension-user_id" content="{number}"></head>{rest}'


def test_a_name_that_belongs_to_another_account_now_lapses_at_once(town):
    town.person("Bea")
    town.web["https://github.com/alice"] = numbered(11, profile(town, "Bea"))
    town.look("github.com/alice")
    town.on("2026-11-02")
    town.web["https://github.com/alice"] = numbered(11)
    town.look("github.com/alice")
    assert owner(town, "github.com/alice") == "Bea", "the link may be back in an hour"

    town.web["https://github.com/alice"] = numbered(99)
    town.look("github.com/alice")
    assert owner(town, "github.com/alice") is None


def test_an_account_made_anew_by_the_same_person_is_still_theirs(town):
    town.person("Bea")
    for day, number in (("2026-10-05", 11), ("2026-11-05", 99), ("2026-12-05", 99)):
        town.on(day)
        town.web["https://github.com/alice"] = numbered(number, profile(town, "Bea"))
        town.look("github.com/alice")
        assert owner(town, "github.com/alice") == "Bea"


def test_accounts_that_cannot_prove_themselves_wait_for_the_operator(town):
    ask(town, "Bea", "https://x.com/bea")
    assert (town.look("x.com/bea").code, owner(town, "x.com/bea")) == ("needs_operator", None)
    approve(town, "Bea", "x.com/bea")
    assert owner(town, "x.com/bea") == "Bea"


@pytest.mark.parametrize("site", ["github.com", "substack.com", "wordpress.com"])
def test_what_many_share_cannot_be_asked_for_but_can_be_approved(town, site):
    with pytest.raises(NotFlattrable):
        ask(town, "Bea", site)
    town.web[site] = town.tag("Bea")
    with pytest.raises(NotFlattrable):
        town.look(site)
    assert owner(town, site) is None
    approve(town, "Bea", site)
    assert owner(town, site) == "Bea"
    assert town.look(site).code == "needs_operator"


@pytest.mark.parametrize("suffix", ["github.io", "co.uk", "org"])
def test_a_public_suffix_cannot_even_be_approved(town, suffix):
    with pytest.raises(NotFlattrable):
        approve(town, "Bea", suffix)
    assert owner(town, suffix) is None


@pytest.mark.parametrize("text", ["127.0.0.1", "[::1]", "localhost", "", "javascript:alert(1)", "a b", "x.local"])
def test_what_is_no_site_cannot_be_asked_for(town, text):
    with pytest.raises(NotFlattrable):
        ask(town, "Bea", text)


def test_approval_displaces_nobody_who_is_verified(town):
    town.claim("Bea", BLOG)
    with pytest.raises(SiteTaken):
        approve(town, "Carl", BLOG)
    assert owner(town, BLOG) == "Bea"


# 3.5 and 3.12: precise failures ---------------------------------------------------------------------------------------


def test_a_redirect_names_where_it_leads(town):
    town.web[BLOG] = FetchFailed("redirects_elsewhere", "to https://elsewhere.example.com/")
    ask(town, "Bea", BLOG)
    assert town.look(BLOG).code == "redirects_elsewhere"
    with town.sessions() as session:
        look = claims.latest_looks(session, sites.find(session, BLOG))[0]
    assert look.evidence["detail"] == "to https://elsewhere.example.com/"


@pytest.mark.parametrize("code", ["no_https", "dns_failed", "refused_address", "timeout", "unreachable", "too_large"])
def test_a_failure_is_kept_and_has_advice(town, code):
    town.web[BLOG] = FetchFailed(code)
    assert town.look(BLOG).code == code
    assert ADVICE[code].endswith(".")


# 3.7: evidence --------------------------------------------------------------------------------------------------------


def test_each_check_keeps_its_evidence(town):
    town.claim("Bea", BLOG)
    approve(town, "Carl", "x.com/carl")
    with town.sessions() as session:
        tag, file = claims.latest_looks(session, sites.find(session, BLOG))
        word = claims.latest_looks(session, sites.find(session, "x.com/carl"))[0]
    assert (tag.at, tag.method, tag.code, file.code) == (town.now, "tag", "proved", "token_not_found")
    assert set(tag.evidence) == {"status", "hops", "address", "sha256", "ids", "named"}
    assert (word.method, word.evidence) == ("operator", {"named": [town.people["Carl"].public_id]})


# 3.9: no back-pay to a stranger ---------------------------------------------------------------------------------------


def test_giving_up_before_being_revoked_does_not_save_a_thief(town):
    town.claim("Carl", BLOG)
    town.press("Ann", f"{BLOG}/")
    town.now += DAY
    town.give_up("Carl", BLOG)
    town.now += DAY
    town.revoke(BLOG)
    town.on("2026-11-01")
    assert town.settle().charged_micros == 0
    with pytest.raises(claims.NoSuchClaim):
        town.revoke(BLOG)


def test_a_revoked_claim_does_not_come_back_by_the_proof_that_is_still_there(town):
    town.claim("Carl", BLOG)
    town.revoke(BLOG)
    town.now += DAY
    assert (town.look(BLOG).code, owner(town, BLOG)) == ("revoked", None)
    town.claim("Bea", BLOG)
    prove_by_dns(town, "Carl", BLOG)
    assert (town.look(BLOG).code, owner(town, BLOG)) == ("proved", "Bea")
    town.give_up("Bea", BLOG)
    approve(town, "Carl", BLOG)
    assert owner(town, BLOG) == "Carl"


def test_revoking_takes_all_the_time_of_a_claim_also_from_before_it_was_restored(town):
    town.claim("Carl", BLOG)
    town.press("Ann", f"{BLOG}/")
    for page in (GONE, town.tag("Carl")):
        town.now += DAY
        town.web[BLOG] = page
        town.look(BLOG)
    assert owner(town, BLOG) == "Carl"
    town.revoke(BLOG)
    town.on("2026-11-01")
    assert town.settle().charged_micros == 0


# 3.10: contests -------------------------------------------------------------------------------------------------------


def contest(town):
    """Bea holds the blog by its tag, and Carl proves it by DNS."""
    town.claim("Bea", BLOG)
    town.press("Ann", f"{BLOG}/before")
    town.now += DAY
    prove_by_dns(town, "Carl", BLOG)
    mails(town)
    assert town.look(BLOG).code == "contested"


def test_a_second_proof_displaces_nobody_and_everybody_hears_of_it(town):
    contest(town)
    assert {name for name, _ in mails(town)} == {"Bea", "Carl", "Opal"}
    shown, _ = town.press("Ann", f"{BLOG}/in-doubt")
    assert (shown.state, owner(town, BLOG)) == ("promise", None)
    assert {c.url[-6:]: c.state for c in town.month("Ann").clicks} == {"-doubt": "promise", "before": "counts"}
    town.now += 9 * DAY
    assert (town.look(BLOG).code, mails(town)) == ("contested", [])


def test_after_ten_days_who_alone_proves_it_keeps_it(town):
    contest(town)
    town.press("Ann", f"{BLOG}/in-doubt")
    town.web[f"dns:_flattr-challenge.{BLOG}"] = []
    town.now += 10 * DAY
    mails(town)
    town.look(BLOG)
    assert (owner(town, BLOG), state(town, "Carl", BLOG)) == ("Bea", "ended")
    assert ("Carl", f"{BLOG} is no longer yours on Flattr") in mails(town)
    assert all(c.owner.name == "Bea" for c in town.month("Ann").clicks)


def test_after_ten_days_a_rival_who_alone_proves_it_gets_it_and_the_loser_is_told(town):
    contest(town)
    town.press("Ann", f"{BLOG}/in-doubt")
    town.web[BLOG] = EMPTY
    town.now += 10 * DAY
    mails(town)
    town.look(BLOG)
    assert (owner(town, BLOG), state(town, "Bea", BLOG)) == ("Carl", "ended")
    assert ("Bea", f"{BLOG} is no longer yours on Flattr") in mails(town)
    shown = {c.url[-6:]: c.owner and c.owner.name for c in town.month("Ann").clicks}
    assert shown == {"-doubt": None, "before": "Bea"}


def test_when_both_still_prove_it_the_operator_decides_and_that_is_final(town):
    contest(town)
    town.now += 12 * DAY
    assert (town.look(BLOG).code, owner(town, BLOG)) == ("contested", None)
    approve(town, "Bea", BLOG)
    town.now += HOUR
    assert (town.look(BLOG).code, owner(town, BLOG), state(town, "Carl", BLOG)) == ("proved", "Bea", "ended")
    ask(town, "Carl", BLOG)
    prove_by_dns(town, "Carl", BLOG)
    assert (town.look(BLOG).code, owner(town, BLOG)) == ("proved", "Bea")


def test_the_operator_may_decide_for_the_rival_who_keeps_the_hosts_below(town):
    contest(town)
    approve(town, "Carl", BLOG)
    assert (owner(town, BLOG), owner(town, f"x.{BLOG}"), state(town, "Bea", BLOG)) == ("Carl", "Carl", "ended")


def test_a_third_who_comes_late_gets_ten_days_too(town):
    contest(town)
    town.web[BLOG], town.web[f"dns:_flattr-challenge.{BLOG}"] = town.tag("Dora"), []
    town.now += 10 * DAY
    town.look(BLOG)
    assert (owner(town, BLOG), state(town, "Dora", BLOG)) == (None, "contested")
    town.now += 10 * DAY
    town.look(BLOG)
    assert (owner(town, BLOG), state(town, "Bea", BLOG), state(town, "Carl", BLOG)) == ("Dora", "ended", "ended")


def test_a_rivals_old_token_still_counts_when_it_is_decided(town):
    town.claim("Bea", BLOG)
    line = token(town, "Carl", BLOG)
    town.now += 25 * DAY
    town.web[f"dns:_flattr-challenge.{BLOG}"] = [line]
    town.look(BLOG)
    town.now += 10 * DAY
    town.web[BLOG] = EMPTY
    town.look(BLOG)
    assert owner(town, BLOG) == "Carl"


@pytest.mark.parametrize("leave", ["give up", "revoke"])
def test_when_the_holder_leaves_the_rival_is_looked_at_soon(town, monkeypatch, leave):
    contest(town)
    town.web[BLOG] = EMPTY
    town.give_up("Bea", BLOG) if leave == "give up" else town.revoke(BLOG)
    worker = Worker(town, monkeypatch)
    town.now += HOUR
    worker.round()
    assert owner(town, BLOG) == "Carl"


def test_two_who_prove_a_site_that_nobody_holds_are_seen_by_the_operator(town):
    prove_by_dns(town, "Bea", BLOG)
    prove_by_file(town, "Carl", BLOG)
    assert town.look(BLOG).code == "contested"
    assert {name for name, _ in mails(town)} == {"Bea", "Carl", "Opal"}
    assert all_claims(town, BLOG) == [("Bea", "contested"), ("Carl", "contested")]
    town.web[BLOG] = DOWN
    town.web.pop(FILE)
    town.now += DAY
    town.look(BLOG)
    assert (owner(town, BLOG), state(town, "Carl", BLOG)) == ("Bea", "ended")


def test_the_operators_list_counts_the_days_of_a_contest(town, config, monkeypatch):
    contest(town)
    town.now += 11 * DAY
    settings = config.__class__(**(config.__dict__ | {"fixed_now": town.now}))
    monkeypatch.setattr(cli.desk, "from_environment", lambda: settings)
    monkeypatch.setattr(db, "ensure_current", lambda _engine: None)
    said = CliRunner().invoke(cli.flattr, ["claims", "list", "--json"])
    assert said.exit_code == 0
    assert '"state": "contested", "method": "tag", "days_in_doubt": 11' in said.stdout


# 3.11: "this was not me" ----------------------------------------------------------------------------------------------


def test_an_own_claim_ends_by_its_link_and_twice_is_harmless(town):
    town.claim("Bea", BLOG)
    [link] = links(town, "Bea")
    assert [not_me(town, link), not_me(town, link)] == [BLOG, BLOG]
    assert (state(town, "Bea", BLOG), owner(town, BLOG)) == ("ended", None)


def test_a_claim_below_ones_own_host_is_contested_by_the_link_and_keeps_it_with_its_proof(town):
    town.claim("Bea", "example.org")
    town.claim("Carl", BLOG)
    link = links(town, "Bea")[-1]
    mails(town)
    assert [not_me(town, link), not_me(town, link)] == [BLOG, BLOG]
    assert (state(town, "Carl", BLOG), owner(town, BLOG)) == ("contested", None)
    assert {name for name, _ in mails(town)} == {"Bea", "Carl", "Opal"}
    town.now += 10 * DAY
    town.look(BLOG)
    assert owner(town, BLOG) == "Carl"


def test_forged_and_altered_links_are_refused(town):
    town.claim("Bea", BLOG)
    [link] = links(town, "Bea")
    forged = checks._signer(checks.World(WORLD.base_url, dev=False, secret="other")).dumps([1, 1])
    for text in (forged, link[:-1], link[1:], "x" + link, link + "x", link.swapcase(), "", ".", "a.b", "\u00fc.\u00fc"):
        with pytest.raises(NotFound):
            not_me(town, text)
    assert owner(town, BLOG) == "Bea"


def test_who_lost_a_contest_cannot_reopen_it_with_an_old_link(town):
    contest(town)
    of_carl = links(town, "Carl")
    town.web[f"dns:_flattr-challenge.{BLOG}"] = []
    town.now += 10 * DAY
    town.look(BLOG)
    for link in of_carl:
        try:
            not_me(town, link)
        except NotFound:
            continue
    assert (owner(town, BLOG), state(town, "Bea", BLOG)) == ("Bea", "verified")


def test_an_old_link_never_fits_a_claim_made_later(town):
    prove_by_dns(town, "Bea", BLOG)
    prove_by_file(town, "Carl", BLOG)
    town.look(BLOG)
    old = links(town, "Carl")
    town.give_up("Carl", BLOG)
    town.claim("Dora", "dora.example.com")
    for link in old:
        try:
            not_me(town, link)
        except NotFound:
            continue
    assert owner(town, "dora.example.com") == "Dora"


def test_clicks_from_a_doubt_are_not_the_next_owners_however_quickly_one_thing_followed_the_other(town):
    """What the proof was before is kept as a claim of its own, which began and ended at the same instant."""
    approve(town, "Carl", BLOG)
    prove_by_dns(town, "Carl", BLOG)
    town.look(BLOG)
    with town.sessions.begin() as session:
        claim = session.scalars(sa.select(Claim).where(Claim.ended_at.is_(None))).one()
        states.dispute(session, claim, now=town.now)
    town.press("Ann", f"{BLOG}/")
    town.now += HOUR
    approve(town, "Bea", BLOG)
    with town.sessions() as session:
        found = claims.proven(session, [BLOG])
        at = session.scalars(sa.select(Click.accepted_at)).one()
    assert claims.owner_of(BLOG, found, at) is None
    assert owner(town, BLOG) == "Bea"


def test_what_the_operator_vouched_for_stands_when_disputed_until_the_operator_takes_it_back(town):
    town.claim("Bea", "example.org")
    approve(town, "Carl", BLOG)
    not_me(town, links(town, "Bea")[-1])
    assert owner(town, BLOG) is None
    town.now += 10 * DAY
    town.look(BLOG)
    assert (owner(town, BLOG), claim_of(town, "Carl", BLOG).next_check_at) == ("Carl", None)


def test_mails_about_sites_with_long_names_reach_everybody(town):
    long = ".".join(["a" * 60, "b" * 60, "c" * 60, "d" * 60, "org"])
    town.web[long] = town.tag("Bea")
    town.look(long)
    town.now += DAY
    prove_by_dns(town, "Carl", long)
    mails(town)
    town.look(long)
    assert {name for name, _ in mails(town)} == {"Bea", "Carl", "Opal"}


# 3.13: how often ------------------------------------------------------------------------------------------------------


def test_five_failed_checks_per_host_and_hour_and_twenty_per_user(town, monkeypatch):
    worker = Worker(town, monkeypatch)
    for _ in range(5):
        ask(town, "Bea", BLOG)
        assert worker.round() == 1
    with pytest.raises(RateLimited):
        ask(town, "Carl", BLOG)
    for number in range(15):
        ask(town, "Bea", f"site{number}.example.org")
    with pytest.raises(RateLimited):
        ask(town, "Bea", "another.example.org")
    town.now += HOUR
    assert ask(town, "Bea", BLOG) == BLOG


def test_checks_that_prove_the_site_are_not_counted_and_one_that_waits_is_enough(town, monkeypatch):
    worker = Worker(town, monkeypatch)
    town.web[BLOG] = town.tag("Bea")
    for _ in range(25):
        ask(town, "Bea", BLOG)
        ask(town, "Bea", BLOG)
        assert waiting(town) == [BLOG]
        worker.round()


def test_a_stranger_who_asks_for_checks_of_a_proven_site_uses_up_only_their_own(town, monkeypatch):
    worker = Worker(town, monkeypatch)
    town.claim("Bea", BLOG)
    for _ in range(20):
        ask(town, "Carl", BLOG)
        worker.round()
    with pytest.raises(RateLimited):
        ask(town, "Carl", BLOG)
    assert ask(town, "Bea", BLOG) == BLOG


def test_what_is_given_back_never_becomes_a_credit(town):
    with town.sessions.begin() as session:
        limits.give_back(session, "a", HOUR, now=town.now)
        limits.use(session, "a", 1, HOUR, now=town.now)
        limits.give_back(session, "a", HOUR, now=town.now)
        limits.give_back(session, "a", HOUR, now=town.now)
        limits.use(session, "a", 1, HOUR, now=town.now)
        with pytest.raises(RateLimited):
            limits.use(session, "a", 1, HOUR, now=town.now)


def consider(town, reader, url, public_id):
    with town.sessions.begin() as session:
        shown, _ = checks.clicks.record(session, town.people[reader], checks.clicks.PageFacts(url), now=town.now)
        checks.consider(session, shown, public_id, WORLD, now=town.now)


def test_clicks_have_a_budget_of_looks_of_their_own(town, monkeypatch):
    worker = Worker(town, monkeypatch)
    for number in range(6):
        consider(town, "Ann", f"https://{BLOG}/{number}", "zzzzzzzzzzzz")
        worker.round()
    assert looks(town, BLOG) == 1, "an invented id is no reason to look again"
    for number in range(6):
        town.now += timedelta(seconds=1)
        consider(town, "Rita", f"https://{BLOG}/{number}", town.people["Carl"].public_id)
        worker.round()
    assert looks(town, BLOG) == 3
    assert ask(town, "Bea", BLOG) == BLOG


# 3.15: opting out -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marker", ["tag", "file"])
def test_a_site_opts_out_and_comes_back(town, marker):
    town.press("Ann", f"{BLOG}/")
    town.web[BLOG if marker == "tag" else FILE] = OPT_OUT if marker == "tag" else "none\n"
    assert town.look(BLOG).code == "opted_out"
    assert mails(town) == [("Ann", f"{BLOG} takes no part")]
    town.now += HOUR
    town.look(BLOG)
    assert (mails(town), town.month("Ann").clicks) == ([], []), "told once"
    with pytest.raises(OptedOut):
        town.press("Rita", f"{BLOG}/")

    town.web[BLOG] = town.tag("Bea")
    town.web.pop(FILE, None)
    assert (town.look(BLOG).code, owner(town, BLOG)) == ("proved", "Bea")
    assert town.press("Rita", f"{BLOG}/")[1]


def test_no_means_no_while_the_file_says_so_or_cannot_be_read(town):
    town.web[FILE] = "none"
    town.look(BLOG)
    town.web[BLOG] = town.tag("Bea")
    assert town.look(BLOG).code == "opted_out", "the file still says none, whatever the tag says"
    town.web[FILE] = FetchFailed("timeout")
    assert town.look(BLOG).code == "opted_out", "an outage is no yes"
    town.web[BLOG] = DOWN
    town.web[FILE] = "nothing"
    assert town.look(BLOG).code != "opted_out"


def test_promises_to_a_site_that_opted_out_are_gone(town):
    town.press("Ann", f"{BLOG}/")
    town.on("2026-11-01")
    town.settle()
    town.web[BLOG] = OPT_OUT
    town.look(BLOG)
    town.now += DAY
    town.claim("Bea", BLOG)
    assert (owner(town, BLOG), town.month("Ann").clicks) == ("Bea", [])


def test_a_site_that_opted_out_is_looked_at_again_after_a_month(town, monkeypatch):
    town.web[BLOG] = OPT_OUT
    town.look(BLOG)
    worker = Worker(town, monkeypatch)
    town.now += 29 * DAY
    assert worker.round() == 0
    town.web[BLOG] = EMPTY
    town.now += 2 * DAY
    assert worker.round() == 1
    assert town.press("Ann", f"{BLOG}/")[0].state == "promise"


# At once --------------------------------------------------------------------------------------------------------------


def test_two_workers_with_the_same_look_do_no_harm(town):
    town.press("Ann", f"{BLOG}/")
    town.on("2026-11-01")
    town.settle()
    mails(town)
    town.web[BLOG] = town.tag("Bea")
    results = at_once(*[lambda: town.look(BLOG)] * 4)
    assert [r.code for r in results] == ["proved"] * 4
    assert all_claims(town, BLOG) == [("Bea", "verified")]
    told = [("Ann", f"Your promise to {BLOG} counts now"), ("Bea", f"{BLOG} is yours on Flattr")]
    assert mails(town) == told
    assert len(town.month("Ann").clicks) == 1

    town.web[BLOG] = DOWN
    at_once(*[lambda: town.look(BLOG)] * 4)
    assert claim_of(town, "Bea", BLOG).failed == 1


def test_two_looks_that_saw_different_owners_at_the_same_moment_make_a_contest(town, monkeypatch):
    town.look(BLOG)  # the site is known, so nobody waits for the other to make it
    named = states._named
    monkeypatch.setattr(states, "_named", lambda *seen: (time.sleep(0.3), named(*seen))[1])  # time to get in between

    def seen(name):
        found = [claims.Finding("tag", "proved", (town.people[name].public_id,))]

        def act():
            with town.sessions.begin() as session:
                return checks.record(session, BLOG, found, WORLD, now=town.now).code

        return act

    assert sorted(at_once(seen("Bea"), seen("Carl"))) == ["contested", "proved"]
    assert sorted(s for _, s in all_claims(town, BLOG)) == ["contested", "contested"]


# Whatever happens -----------------------------------------------------------------------------------------------------

HOSTS, USERS = ("example.org", BLOG), ("Bea", "Carl")


class Claims(RuleBasedStateMachine):
    """Two users, a host and the one above it: whatever they do in whatever order, the invariants hold."""

    sessions = None

    @initialize()
    def begin(self):
        with self.sessions.begin() as session:
            for table in reversed(db.Base.metadata.sorted_tables):
                if table.name in ("claims", "looks", "authors", "clicks", "promises", "pages", "jobs", "sites"):
                    session.execute(sa.delete(table))
        self.patch = pytest.MonkeyPatch()
        self.town = Town(self.sessions, self.patch)
        for name in (*USERS, "Ann"):
            self.town.person(name)
        self.town.web |= dict.fromkeys(HOSTS, EMPTY)
        self.sure: dict[str, set[str]] = {host: set() for host in HOSTS}
        self.ended: list[tuple[int, str]] = []

    def teardown(self):
        if hasattr(self, "patch"):
            self.patch.undo()

    @rule(name=st.sampled_from(USERS), host=st.sampled_from(HOSTS), dns=st.booleans())
    def prove(self, name, host, dns):
        if dns:
            prove_by_dns(self.town, name, host)
        else:
            self.town.web[host] = self.town.tag(name)
        self.sure[host].add(name)
        self.look(host)

    @rule(host=st.sampled_from(HOSTS), how=st.sampled_from([EMPTY, DOWN, GONE]))
    def unprove(self, host, how):
        self.town.web[host], self.town.web[f"dns:_flattr-challenge.{host}"] = how, []

    @rule(host=st.sampled_from(HOSTS))
    def look(self, host):
        self.town.look(host)
        self.press(host, 0)
        self.press(BLOG, 0)

    @rule(time=st.sampled_from([HOUR, 7 * HOUR, DAY, 4 * DAY, 11 * DAY, 31 * DAY]))
    def wait(self, time):
        self.town.now += time
        with self.sessions() as session:
            due = states.due(session, now=self.town.now)
        for host in due:
            self.town.look(host)
        with self.sessions() as session:
            assert states.due(session, now=self.town.now) == [], "what was looked at is not due again"

    @rule(host=st.sampled_from(HOSTS), number=st.integers(1, 3))
    def press(self, host, number):
        self.town.press("Ann", f"{host}/{number}-{self.town.now:%m%d%H}")

    @rule(host=st.sampled_from(HOSTS))
    def revoke(self, host):
        try:
            self.town.revoke(host)
        except claims.NoSuchClaim:
            return
        with self.sessions() as session:
            query = sa.select(Claim.user_id).join(Site, Site.id == Claim.site_id).where(Site.name == host)
            assert session.scalars(query.where(Claim.state == "revoked")).first()

    @rule(name=st.sampled_from(USERS), host=st.sampled_from(HOSTS))
    def approve(self, name, host):
        try:
            approve(self.town, name, host)
        except SiteTaken:
            return
        self.sure[host].add(name)

    @rule(name=st.sampled_from(USERS), host=st.sampled_from(HOSTS))
    def give_up(self, name, host):
        try:
            self.town.give_up(name, host)
        except IndexError:
            pass

    @rule(host=st.sampled_from(HOSTS))
    def dispute(self, host):
        with self.sessions.begin() as session:
            query = sa.select(Claim).join(Site, Site.id == Claim.site_id).where(Site.name == host)
            for claim in session.scalars(query.where(Claim.state.in_(("verified", "lapsing")))):
                states.dispute(session, claim, now=self.town.now)

    def _proven(self, session):
        return claims.proven(session, HOSTS)

    @precondition(lambda self: hasattr(self, "town"))
    @invariant()
    def stretches_are_in_order_and_at_most_one_claim_is_verified(self):
        with self.sessions() as session:
            found = self._proven(session)
            for host in HOSTS:
                spans = claims.stretches_of(host, found, by=claims.END)
                assert all(s.since < s.until for s in spans)
                assert all(a.until <= b.since for a, b in pairwise(spans))
                assert sum(claim.state == "verified" for claim in found[host]) <= 1
                names = {user_id: name for name, user_id in ((n, self.town.people[n].id) for n in USERS)}
                assert {names[claim.user_id] for claim in found[host]} <= self.sure[host]

    @precondition(lambda self: hasattr(self, "town"))
    @invariant()
    def nobody_is_paid_for_a_click_from_their_doubt_or_after_their_end(self):
        with self.sessions() as session:
            found = self._proven(session)
            for click, host in session.execute(sa.select(Click, Site.name).join(Site, Site.id == Click.site_id)):
                paid = claims.owner_of(host, found, click.accepted_at)
                if paid is None:
                    continue
                doubted = [c for c in found[host] if c.doubtful_at and c.doubtful_at <= click.accepted_at]
                doubted = [c for c in doubted if click.accepted_at < (c.ended_at or claims.END)]
                assert {c.user_id for c in doubted} <= {paid}, "restored, or nobody's: also not of who is above"
                covering = [c for name in (host, "example.org") for c in found[name] if c.user_id == paid]
                covering = [c for c in covering if c in found[host] or c.method == "dns"]
                ends = [min(c.doubtful_at or claims.END, c.ended_at or claims.END) for c in covering]
                assert any(c.state != "revoked" for c in covering)
                assert any(click.accepted_at < end for end in ends)


def test_whatever_happens_to_claims_the_invariants_hold(sessions, long):
    machine = type("Machine", (Claims,), {"sessions": sessions})
    checked = settings(
        max_examples=200 if long else 25,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(machine, settings=checked)
