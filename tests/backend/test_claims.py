"""Claims: what proves a site, and who gets its clicks."""

import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from backend import checks, claims, clicks, sites, users
from backend.claims import ADVICE, END, Claim, Look, NoSuchClaim, Seen, SiteTaken, ids_in_head, named_id, owner_of
from backend.errors import NotFlattrable, OptedOut
from tests.backend.at_once import at_once, must_wait
from tests.backend.town import NOW, WORLD

CORPUS = Path(__file__).parents[1] / "data" / "meta_head_corpus.jsonl.gz"
DAY = timedelta(days=1)


def day(number):
    return datetime(2026, 10, number, tzinfo=UTC)


# The tag --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heads():
    """Malformed pages, and the tags that Chromium saw in each."""
    with gzip.open(CORPUS, "rt") as lines:
        return [json.loads(line) for line in lines]


def test_no_tag_counts_that_a_browser_does_not_see(heads):
    believed = [h for h in heads if Counter(ids_in_head(h["html"])) - Counter(h["chromium156_live"])]
    assert len(heads) > 1500
    assert believed == []


def test_hardly_any_tag_is_missed_that_a_browser_sees(heads):
    missed = [
        h["html"] for h in heads if Counter(filter(None, h["chromium156_live"])) - Counter(ids_in_head(h["html"]))
    ]
    assert len(missed) < len(heads) * 0.005
    assert all("\0" in html for html in missed), "only pages with NUL bytes, which are refused altogether"


@pytest.mark.parametrize(
    ("html", "ids"),
    [
        ('<!doctype html><head><meta name="flattr:id" content="a"></head>', ["a"]),
        ('<meta content=" a " name=" FLATTR:ID\n">', [" a "]),
        ('<meta name="flattr:id" content="">', []),
        ('<meta name="flattr:id">', []),
        ('<meta property="flattr:id" content="a">', []),
        ('<meta name="\u017fflattr:id" content="a">', []),
        ('<meta name="FLATTR:\u0130D" content="a">', []),
        ('<body><meta name="flattr:id" content="a">', []),
        ('<head><!-- <meta name="flattr:id" content="a"> --></head>', []),
        ('<head><template><meta name="flattr:id" content="a"></template>', []),
        ('<head><noscript><meta name="flattr:id" content="a"></noscript>', []),
        ('<head><svg><meta name="flattr:id" content="a"></svg>', []),
        ('<head><title><meta name="flattr:id" content="a"></title>', []),
        ('<head><script>"<meta name=flattr:id content=a>"</script>', []),
        ('<p>A comment by a stranger: <meta name="flattr:id" content="a"></p>', []),
        ('<meta name="flattr:id" content="a"><meta name="flattr:id" content="b">', ["a", "b"]),
        ("", []),
    ],
)
def test_only_the_head_of_the_page_speaks_for_its_owner(html, ids):
    assert ids_in_head(html) == ids
    assert ids_in_head(html.encode()) == ids


def test_a_tag_behind_the_first_128_kib_is_not_read():
    tag = b'<meta name="flattr:id" content="a">'
    assert ids_in_head(b"<head>" + b" " * (128 * 1024 - 6 - len(tag)) + tag) == ["a"]
    assert ids_in_head(b"<head>" + b" " * (128 * 1024) + tag) == []


@pytest.mark.parametrize("nested", ["<div>", "<template>", "<b>", "<svg>", "<table><tr><td>", "<select><option>"])
def test_a_page_made_to_exhaust_the_parser_does_not(nested):
    assert ids_in_head(nested * (128 * 1024 // len(nested))) == []


@given(st.binary(max_size=300))
def test_any_bytes_can_be_looked_at(body):
    assert all(isinstance(content, str) for content in ids_in_head(body))


@pytest.mark.parametrize(
    ("ids", "named"),
    [
        (["a"], ("a", "")),
        ([" a\n", "a"], ("a", "")),
        (["a", "b"], ("", "two_ids")),
        (["a", "none"], ("", "two_ids")),
        ([" ", "\t"], ("", "no_tag")),
        ([], ("", "no_tag")),
        (["a\u00a0"], ("a\u00a0", "")),
    ],
)
def test_all_tags_together_name_one_id_or_nobody(ids, named):
    assert named_id(ids) == named


# Who gets it ----------------------------------------------------------------------------------------------------------


def claim(user_id, verified, ended=None, *, revoked=False, number=0):
    state = "revoked" if revoked else "ended" if ended else "verified"
    return Claim(
        id=number or verified,
        user_id=user_id,
        state=state,
        verified_at=day(verified),
        ended_at=ended and day(ended),
    )


ANN, BEA = 1, 2


@pytest.mark.parametrize(
    ("history", "owners"),
    [
        ([], {1: None, 30: None}),
        ([claim(ANN, 10)], {1: ANN, 10: ANN, 30: ANN}),
        ([claim(ANN, 10, 20)], {1: ANN, 19: ANN, 20: None, 30: None}),
        ([claim(ANN, 10, 20, revoked=True)], {1: None, 15: None, 25: None}),
        ([claim(ANN, 5, 10), claim(BEA, 20)], {1: ANN, 9: ANN, 10: BEA, 15: BEA, 30: BEA}),
        ([claim(ANN, 5, 10, revoked=True), claim(BEA, 20)], {1: None, 9: None, 10: BEA, 30: BEA}),
        ([claim(BEA, 20), claim(ANN, 5, 10)], {9: ANN, 10: BEA}),
        ([claim(ANN, 5, 10), claim(ANN, 15)], {9: ANN, 12: ANN, 30: ANN}),
        ([claim(ANN, 5, 5), claim(BEA, 5, number=6)], {4: ANN, 5: BEA, 30: BEA}),
    ],
    ids=[
        "nobody",
        "claimed later in the month",
        "ended",
        "revoked",
        "two owners",
        "thief, then owner",
        "in any order",
        "again",
        "at once",
    ],
)
def test_who_owned_a_site_gets_the_clicks_of_that_time(history, owners):
    assert {number: owner_of(history, day(number)) for number in owners} == owners


def test_a_claim_proven_after_the_month_changes_nothing_in_it():
    history = [claim(ANN, 5, 10), claim(BEA, 20)]
    assert owner_of(history, day(15), by=day(20)) is None
    assert owner_of(history, day(15), by=day(21)) == BEA
    assert owner_of(history, day(9), by=day(5)) is None


days = st.integers(1, 30)
histories = st.lists(
    st.builds(
        lambda who, start, length, revoked, number: claim(
            who, start, length and min(start + length, 31), revoked=revoked and bool(length), number=number
        ),
        st.integers(1, 4),
        days,
        st.integers(0, 12),
        st.booleans(),
        st.integers(1, 99),
    ),
    max_size=6,
)


@given(histories, days)
def test_a_site_never_has_two_owners_at_one_instant_whatever_happened(history, by):
    found = claims.stretches(history, by=day(by))
    assert all(one.since < one.until for one in found)
    assert all(earlier.until <= later.since for earlier, later in pairwise(found))


@given(histories, days)
def test_only_somebody_with_a_standing_claim_is_ever_paid(history, at):
    owner = owner_of(history, day(at))
    paying = {c.user_id for c in history if c.state != "revoked" and (c.ended_at or END) > day(at)}
    assert owner is None or owner in paying


# What a look changes --------------------------------------------------------------------------------------------------


@pytest.fixture
def site(session):
    return sites.ensure(session, "bea.example.org")


@pytest.fixture
def bea(session):
    return users.add(session, "bea@example.org", now=NOW, name="Bea")


@pytest.mark.parametrize(
    "code",
    [code for code in ADVICE if code not in ("verified", "opted_out", "no_tag", "two_ids", "unknown_id", "claimed")],
)
def test_a_failed_look_changes_nothing_but_is_kept_with_its_advice(session, site, bea, code):
    claims.record_look(session, site, Seen(ids=[bea.public_id]), now=NOW)
    outcome = claims.record_look(session, site, Seen(code, evidence={"detail": "x"}), now=NOW)

    assert (outcome.code, outcome.claim, outcome.advice) == (code, None, ADVICE[code])
    assert claims.owner_now(session, site, now=NOW) is bea
    assert session.scalars(sa.select(Look.code).order_by(Look.id)).all() == ["verified", code]


@pytest.mark.parametrize(
    ("ids", "code"), [([], "no_tag"), (["a", "b"], "two_ids"), (["000000000000"], "unknown_id"), (["\0"], "unknown_id")]
)
def test_a_page_that_names_nobody_claims_nothing(session, site, bea, ids, code):
    outcome = claims.record_look(session, site, Seen(ids=ids), now=NOW)
    assert (outcome.code, outcome.claim) == (code, None)
    assert claims.owner_now(session, site, now=NOW) is None


def test_one_tag_is_all_an_owner_needs(session, site, bea):
    outcome = claims.record_look(session, site, Seen(ids=[f" {bea.public_id}\n"], evidence={"status": 200}), now=NOW)

    assert (outcome.code, outcome.is_new, outcome.claim.state) == ("verified", True, "verified")
    assert claims.owner_now(session, site, now=NOW) is bea
    [(mine, of, look)] = claims.of_user(session, bea)
    assert (mine.method, of, look.evidence) == ("tag", site, {"status": 200})
    assert claims.rule_for(site, bea.id) == "claimed"


def test_proving_again_refreshes_the_proof_and_moves_no_date(session, site, bea):
    claims.record_look(session, site, Seen(ids=[bea.public_id]), now=NOW)
    again = claims.record_look(session, site, Seen(ids=[bea.public_id]), now=NOW + DAY)

    assert (again.code, again.is_new) == ("verified", False)
    assert (again.claim.verified_at, again.claim.proved_at) == (NOW, NOW + DAY)


def test_a_claim_that_was_asked_for_is_pending_until_its_proof(session, site, bea):
    asked = claims.ask(session, site, bea, now=NOW)
    assert (asked.state, claims.owner_now(session, site, now=NOW)) == ("pending", None)
    assert claims.ask(session, site, bea, now=NOW + DAY) is asked

    proved = claims.record_look(session, site, Seen(ids=[bea.public_id]), now=NOW + DAY).claim
    assert (proved.id, proved.state, proved.verified_at) == (asked.id, "verified", NOW + DAY)


def test_a_second_user_who_proves_the_site_displaces_nobody(session, site, bea):
    carl = users.add(session, "carl@example.org", now=NOW)
    claims.record_look(session, site, Seen(ids=[bea.public_id]), now=NOW)
    outcome = claims.record_look(session, site, Seen(ids=[carl.public_id]), now=NOW + DAY)

    assert (outcome.code, outcome.claim) == ("claimed", None)
    assert claims.owner_now(session, site, now=NOW + DAY) is bea
    assert claims.of_user(session, carl) == []


def test_the_operator_vouches_for_what_no_tag_can_prove_but_displaces_nobody(session, site, bea):
    carl = users.add(session, "carl@example.org", now=NOW)
    assert claims.approve(session, site, bea, now=NOW).claim.method == "operator"
    with pytest.raises(SiteTaken):
        claims.approve(session, site, carl, now=NOW)
    assert [(c.state, s.name, u.name) for c, s, u in claims.listing(session)] == [
        ("verified", "bea.example.org", "Bea")
    ]


def test_what_nobody_claims_cannot_be_revoked(session, site, bea):
    claims.ask(session, site, bea, now=NOW)
    with pytest.raises(NoSuchClaim, match=r"bea\.example\.org"):
        claims.revoke(session, site, now=NOW)


def test_giving_up_ends_a_claim_and_forgets_one_that_was_never_proved(session, site, bea):
    claims.give_up(session, claims.ask(session, site, bea, now=NOW), now=NOW)
    assert claims.listing(session) == []

    proved = claims.record_look(session, site, Seen(ids=[bea.public_id]), now=NOW).claim
    claims.give_up(session, proved, now=NOW + DAY)
    claims.give_up(session, proved, now=NOW + 2 * DAY)
    assert (proved.state, proved.ended_at) == ("ended", NOW + DAY)
    assert claims.owner_now(session, site, now=NOW + DAY) is None


@pytest.mark.parametrize("suffix", ["co.uk", "github.io", "com"])
def test_a_public_suffix_cannot_be_claimed_by_any_way(session, sessions, bea, suffix):
    shared = sites.ensure(session, suffix)
    with pytest.raises(NotFlattrable):
        claims.record_look(session, shared, Seen(ids=[bea.public_id]), now=NOW)
    with pytest.raises(NotFlattrable):
        claims.approve(session, shared, bea, now=NOW)
    with pytest.raises(NotFlattrable):
        checks.look(sessions, suffix, WORLD, now=NOW)


def test_a_page_with_thousands_of_tags_leaves_little_behind(session, site):
    claims.record_look(session, site, Seen(ids=["x" * 1000] * 5000), now=NOW)
    assert session.scalars(sa.select(Look.ids)).one() == ["x" * 64] * 8


@pytest.mark.parametrize("people", [["bea", "bea", "bea"], ["bea", "carl", "dora"]], ids=["one user", "three users"])
def test_a_site_proved_by_many_at_once_has_one_owner(sessions, people):
    with sessions.begin() as session:
        sites.ensure(session, "bea.example.org")
        ids = {name: users.add(session, f"{name}@example.org", now=NOW).public_id for name in people}

    def prove(name):
        with sessions.begin() as session:
            site = sites.find(session, "bea.example.org")
            return claims.record_look(session, site, Seen(ids=[ids[name]]), now=NOW).code

    results = at_once(*[lambda name=name: prove(name) for name in people])

    assert Counter(results) == {"verified": 3} if len(ids) == 1 else {"verified": 1, "claimed": 2}
    with sessions() as session:
        assert session.scalars(sa.select(Claim.state)).all() == ["verified"]


def test_a_proof_that_comes_while_another_is_written_down_waits_and_finds_it(sessions):
    with sessions.begin() as session:
        sites.ensure(session, "bea.example.org")
        bea, carl = (users.add(session, f"{name}@example.org", now=NOW).public_id for name in ("bea", "carl"))

    def prove(session, public_id):
        site = sites.find(session, "bea.example.org")
        return claims.record_look(session, site, Seen(ids=[public_id]), now=NOW).code

    def prove_later():
        with sessions.begin() as session:
            return prove(session, carl)

    with sessions() as first:
        assert prove(first, bea) == "verified"
        assert must_wait(prove_later, first.commit) == "claimed"


# No means no ----------------------------------------------------------------------------------------------------------


def test_a_site_that_opts_out_is_taken_off_the_list_and_its_readers_are_told(town):
    for name in ("Ann", "Carl"):
        town.person(name)
        town.press(name, "bea.example.org/")
    town.press("Ann", "dora.example.org/")

    town.web["bea.example.org"] = '<meta name="flattr:id" content="none">'
    assert town.look("bea.example.org").code == "opted_out"

    assert [click.site for click in town.month("Ann").clicks] == ["dora.example.org"]
    assert town.month("Carl").clicks == []
    with pytest.raises(OptedOut, match=r"bea\.example\.org asked not to be part"):
        town.press("Ann", "bea.example.org/other")
    with town.sessions() as session:
        told = session.execute(sa.text("SELECT payload FROM jobs WHERE kind = 'mail' ORDER BY id")).scalars().all()
        answer = clicks.explain(session, "https://bea.example.org/", now=town.now)
    assert sorted("ann@example.org" in mail for mail in map(str, told)) == [False, True]
    assert (answer.rule, answer.state, answer.owner) == ("opted_out", None, None)


def test_a_site_that_opted_out_is_paid_nothing_and_its_promises_are_forgotten(town):
    town.person("Ann", budget="5.00", wallet="5.00")
    town.press("Ann", "bea.example.org/")
    town.on("2026-11-02")
    assert town.settle("2026-10").promises == 1

    town.web["bea.example.org"] = '<meta name="flattr:id" content="none">'
    town.look("bea.example.org")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")

    assert town.month("Ann").clicks == []


def test_a_site_may_change_its_mind_and_a_failed_look_does_not_change_it(town):
    town.person("Ann")
    town.web["bea.example.org"] = '<meta name="flattr:id" content="none">'
    town.look("bea.example.org")
    del town.web["bea.example.org"]
    assert town.look("bea.example.org").code == "dns_failed"
    with pytest.raises(OptedOut):
        town.press("Ann", "bea.example.org/")

    town.web["bea.example.org"] = "<p>Hello"
    assert town.look("bea.example.org").code == "no_tag"
    assert town.press("Ann", "bea.example.org/")[1]
