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

from backend import checks, claims, clicks, jobs, sites, users
from backend.claims import ADVICE, END, Claim, Finding, Look, NoSuchClaim, SiteTaken, owner_of, states
from backend.claims.proof import MAX_HEAD_BYTES, by_tag, ids_in_head
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
    assert MAX_HEAD_BYTES == 128 * 1024
    assert ids_in_head(b"<head>" + b" " * (MAX_HEAD_BYTES - 6 - len(tag)) + tag) == ["a"]
    assert ids_in_head(b"<head>" + b" " * MAX_HEAD_BYTES + tag) == []


@pytest.mark.parametrize("nested", ["<div>", "<template>", "<b>", "<svg>", "<table><tr><td>", "<select><option>"])
def test_a_page_made_to_exhaust_the_parser_does_not(nested):
    assert ids_in_head(nested * (MAX_HEAD_BYTES // len(nested))) == []


@given(st.binary(max_size=300))
def test_any_bytes_can_be_looked_at(body):
    assert all(isinstance(content, str) for content in ids_in_head(body))
    assert by_tag(body, {}).code in ADVICE


@pytest.mark.parametrize(
    ("ids", "code", "named"),
    [
        (["a"], "proved", ("a",)),
        ([" a\n", "a"], "proved", ("a",)),
        (["a", "b"], "two_ids", ()),
        (["a", "none"], "two_ids", ()),
        (["none", " none"], "opted_out", ()),
        (["None"], "proved", ("None",)),
        ([" ", "\t"], "no_tag", ()),
        ([], "no_tag", ()),
        (["a\u00a0"], "proved", ("a\u00a0",)),
    ],
)
def test_all_tags_together_name_one_id_or_nobody(ids, code, named):
    tags = "".join(f'<meta name="flattr:id" content="{content}">' for content in ids)
    found = by_tag(f"<head><meta charset=utf-8>{tags}".encode(), {"status": 200})

    assert (found.method, found.code, found.ids) == ("tag", code, named)
    assert found.evidence == {"status": 200, "ids": ids}


def test_a_page_with_nul_bytes_names_nobody():
    found = by_tag(b'<head><meta name="flattr:id" content="a">\0', {"status": 200})
    assert (found.code, found.ids, found.evidence) == ("nul_byte", (), {"status": 200})


# Who gets it ----------------------------------------------------------------------------------------------------------


SITE = "bea.example.org"


def claim(user_id, verified, ended=None, *, revoked=False, doubtful=None, number=0):
    state = "revoked" if revoked else "ended" if ended else "lapsing" if doubtful else "verified"
    return Claim(
        id=number or verified,
        user_id=user_id,
        state=state,
        method="tag",
        verified_at=day(verified),
        doubtful_at=doubtful and day(doubtful),
        ended_at=ended and day(ended),
    )


def owner(history, at, **by):
    return owner_of(SITE, {SITE: history}, at, **by)


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
        ([claim(ANN, 5, doubtful=10)], {1: ANN, 9: ANN, 10: None, 30: None}),
        ([claim(ANN, 5, 20, doubtful=10), claim(BEA, 25)], {9: ANN, 10: None, 19: None, 20: BEA, 30: BEA}),
        ([claim(ANN, 5, 20, doubtful=10, revoked=True)], {5: None, 9: None, 15: None, 30: None}),
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
        "in doubt",
        "in doubt, then another",
        "in doubt, then revoked",
    ],
)
def test_who_owned_a_site_gets_the_clicks_of_that_time(history, owners):
    assert {number: owner(history, day(number)) for number in owners} == owners


def test_a_claim_proven_after_the_month_changes_nothing_in_it():
    history = [claim(ANN, 5, 10), claim(BEA, 20)]
    assert owner(history, day(15), by=day(20)) is None
    assert owner(history, day(15), by=day(21)) == BEA
    assert owner(history, day(9), by=day(5)) is None


days = st.integers(1, 30)
histories = st.lists(
    st.builds(
        lambda who, start, length, doubt, revoked, number: claim(
            who,
            start,
            length and min(start + length, 31),
            revoked=revoked and bool(length),
            doubtful=doubt and min(start + doubt, 31),
            number=number,
        ),
        st.integers(1, 4),
        days,
        st.integers(0, 12),
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
    until = {c: min(c.ended_at or END, c.doubtful_at or END) for c in history if c.state != "revoked"}
    assert owner(history, day(at)) in {None} | {c.user_id for c, end in until.items() if end > day(at)}


# What a look changes --------------------------------------------------------------------------------------------------


@pytest.fixture
def site(session):
    return sites.ensure(session, SITE)


@pytest.fixture
def bea(session):
    return users.add(session, "bea@example.org", now=NOW, name="Bea")


@pytest.fixture
def carl(session):
    return users.add(session, "carl@example.org", now=NOW, name="Carl")


def proof_of(user, method="tag", **evidence):
    """A look found that the site names this user."""
    return [Finding(method, "proved", (user.public_id,), evidence)]


def mine(session, user):
    """The user's only open claim."""
    [(found, _)] = claims.of_user(session, user)
    return found


OF_OUTCOMES = ("proved", "opted_out", "unknown_id", "other_id", "contested", "revoked")  # no failure of one look


@pytest.mark.parametrize("code", [code for code in ADVICE if code not in (*OF_OUTCOMES, "no_such_host")])
def test_a_failed_look_changes_nothing_but_is_kept_with_its_advice(session, site, bea, code):
    states.record(session, site, proof_of(bea), now=NOW)
    outcome = states.record(session, site, [Finding("tag", code, evidence={"detail": "x"})], now=NOW)

    assert (outcome.code, outcome.events) == (code, [])
    assert len(ADVICE[code]) > 20
    assert claims.owner_now(session, site, now=NOW) is bea
    assert mine(session, bea).state == "verified"
    kept = session.execute(sa.select(Look.method, Look.code, Look.evidence).order_by(Look.id)).all()
    assert kept == [("tag", "proved", {"named": [bea.public_id]}), ("tag", code, {"detail": "x", "named": []})]


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Finding("tag", "no_tag"), "no_tag"),
        (Finding("tag", "two_ids"), "two_ids"),
        (Finding("tag", "proved", ("000000000000",)), "unknown_id"),
        (Finding("tag", "proved", ("\0",)), "unknown_id"),
        (Finding("tag", "proved", ("\ud800" * 12,)), "unknown_id"),
    ],
)
def test_a_page_that_names_nobody_claims_nothing(session, site, bea, found, code):
    outcome = states.record(session, site, [found], now=NOW)
    assert (outcome.code, outcome.events) == (code, [])
    assert claims.owner_now(session, site, now=NOW) is None
    assert claims.listing(session) == []


def test_one_tag_is_all_an_owner_needs(session, site, bea):
    html = f'<head><meta name="flattr:id" content=" {bea.public_id}\n">'.encode()
    outcome = states.record(session, site, [by_tag(html, {"status": 200})], now=NOW)

    [(event, begun)] = outcome.events
    assert (outcome.code, event, begun.state, outcome.begun) == ("proved", "verified", "verified", [begun])
    assert claims.owner_now(session, site, now=NOW) is bea
    assert claims.of_user(session, bea) == [(begun, site)]
    [look] = claims.latest_looks(session, site)
    assert (begun.method, look.evidence) == (
        "tag",
        {"status": 200, "ids": [f" {bea.public_id}\n"], "named": [bea.public_id]},
    )
    assert claims.rule_for(site.name, bea.id) == "claimed"


def test_proving_again_refreshes_the_proof_and_moves_no_date(session, site, bea):
    states.record(session, site, proof_of(bea), now=NOW)
    again = states.record(session, site, proof_of(bea), now=NOW + DAY)

    assert (again.code, again.events) == ("proved", [])
    assert [c.state for c, _, _ in claims.listing(session)] == ["verified"]
    assert (mine(session, bea).verified_at, mine(session, bea).proved_at) == (NOW, NOW + DAY)


def test_a_claim_that_was_asked_for_is_pending_until_its_proof(session, site, bea):
    asked = states.ask(session, site, bea, now=NOW)
    assert (asked.state, claims.owner_now(session, site, now=NOW)) == ("pending", None)
    assert states.ask(session, site, bea, now=NOW + DAY) is asked

    [(_, proved)] = states.record(session, site, proof_of(bea), now=NOW + DAY).events
    assert (proved.id, proved.state, proved.verified_at) == (asked.id, "verified", NOW + DAY)


def test_a_second_user_who_proves_the_site_contests_it_and_displaces_nobody(session, site, bea, carl):
    states.record(session, site, proof_of(bea), now=NOW)
    outcome = states.record(session, site, proof_of(carl), now=NOW + DAY)

    assert (outcome.code, outcome.begun) == ("contested", [])
    assert sorted((event, claim.user_id) for event, claim in outcome.events) == [
        ("contested", bea.id),
        ("contested", carl.id),
    ]
    assert [mine(session, user).state for user in (bea, carl)] == ["contested"] * 2
    known = claims.proven(session, [SITE])
    assert owner_of(SITE, known, NOW + DAY - timedelta(seconds=1)) == bea.id
    assert claims.owner_now(session, site, now=NOW + DAY) is None


def test_the_operator_vouches_for_what_no_tag_can_prove_but_displaces_nobody(session, site, bea, carl):
    [(event, approved)] = states.approve(session, site, bea, now=NOW).events
    assert (event, approved.method, approved.next_check_at) == ("verified", "operator", None)
    with pytest.raises(SiteTaken):
        states.approve(session, site, carl, now=NOW)
    assert [(c.state, s.name, u.name) for c, s, u in claims.listing(session)] == [("verified", SITE, "Bea")]
    assert claims.owner_now(session, site, now=NOW) is bea


def test_what_nobody_claims_cannot_be_revoked(session, site, bea):
    states.ask(session, site, bea, now=NOW)
    with pytest.raises(NoSuchClaim, match=r"bea\.example\.org"):
        states.revoke(session, site, now=NOW)


def test_giving_up_ends_a_claim_and_forgets_one_that_was_never_proved(session, site, bea):
    states.give_up(session, states.ask(session, site, bea, now=NOW), now=NOW)
    assert claims.listing(session) == []

    [(_, proved)] = states.record(session, site, proof_of(bea), now=NOW).events
    states.give_up(session, proved, now=NOW + DAY)
    states.give_up(session, proved, now=NOW + 2 * DAY)
    assert (proved.state, proved.ended_at) == ("ended", NOW + DAY)
    assert claims.owner_now(session, site, now=NOW + DAY) is None


@pytest.mark.parametrize("suffix", ["co.uk", "github.io", "com"])
def test_a_public_suffix_cannot_be_claimed_by_any_proof(town, suffix):
    town.person("Bea")
    with pytest.raises(NotFlattrable):
        town.claim("Bea", suffix)
    with town.sessions.begin() as session, pytest.raises(NotFlattrable):
        checks.ask(session, town.people["Bea"], suffix, WORLD, now=NOW)
    with town.sessions() as session:
        assert claims.listing(session) == []
        assert session.scalars(sa.select(jobs.Job.key)).all() == []


def test_a_page_with_thousands_of_tags_leaves_little_behind(session, site):
    html = b"<head>" + b'<meta name="flattr:id" content="%s">' % (b"x" * 1000) * 5000
    states.record(session, site, [by_tag(html, {})], now=NOW)
    assert session.scalars(sa.select(Look.evidence)).one() == {"ids": ["x" * 64] * 8, "named": ["x" * 64]}


@pytest.mark.parametrize("people", [["bea", "bea", "bea"], ["bea", "carl", "dora"]], ids=["one user", "three users"])
def test_a_site_proved_by_many_at_once_has_one_owner_or_is_contested(sessions, people):
    with sessions.begin() as session:
        sites.ensure(session, SITE)
        found = {name: proof_of(users.add(session, f"{name}@example.org", now=NOW)) for name in people}

    def prove(name):
        with sessions.begin() as session:
            return states.record(session, sites.find(session, SITE), found[name], now=NOW).code

    results = at_once(*[lambda name=name: prove(name) for name in people])

    assert Counter(results) == {"proved": 3} if len(found) == 1 else {"proved": 1, "contested": 2}
    with sessions() as session:
        kept = [(claim.state, bool(claim.verified_at)) for claim, _, _ in claims.listing(session)]
    if len(found) == 1:
        assert kept == [("verified", True)]
    else:
        assert sorted(kept) == [("contested", False), ("contested", False), ("contested", True)]


def test_a_proof_that_comes_while_another_is_written_down_waits_and_finds_it(sessions, engine):
    with sessions.begin() as session:
        sites.ensure(session, SITE)
        bea, carl = (proof_of(users.add(session, f"{name}@example.org", now=NOW)) for name in ("bea", "carl"))

    def prove(session, found):
        return states.record(session, sites.find(session, SITE), found, now=NOW).code

    def prove_later():
        with sessions.begin() as session:
            return prove(session, carl)

    with sessions() as first:
        assert prove(first, bea) == "proved"
        assert must_wait(prove_later, first.commit, engine) == "contested"


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
    town.now += DAY
    assert town.look("bea.example.org").code == "opted_out"
    with town.sessions() as session:
        looks = claims.latest_looks(session, sites.find(session, "bea.example.org"))
        assert [look.code for look in looks if look.method == "tag"] == ["no_such_host"]
    with pytest.raises(OptedOut):
        town.press("Ann", "bea.example.org/")

    town.web["bea.example.org"] = "<p>Hello"
    assert town.look("bea.example.org").code == "no_tag"
    assert town.press("Ann", "bea.example.org/")[1]
