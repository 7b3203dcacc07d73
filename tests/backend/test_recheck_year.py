"""A year of re-checks: the real job table and the worker's own functions on a moved clock (RULES 3.8)."""

from itertools import pairwise

import pytest
import sqlalchemy as sa

from backend.claims import Look
from tests.backend.claiming import (
    DAY,
    DOWN,
    EMPTY,
    GONE,
    HOUR,
    Worker,
    all_claims,
    approve,
    ask,
    claim_of,
    looks,
    owner,
    prove_by_dns,
    state,
    waiting,
)

BLOG = "bea.example.org"


@pytest.fixture
def town(town, monkeypatch):
    """Bea's blog, verified by its tag on 2026-10-05, and Ann who reads it."""
    town.person("Ann", budget="4.00", wallet="100.00")
    town.person("Bea")
    town.web[BLOG] = town.tag("Bea")
    town.worker = Worker(town, monkeypatch)
    ask(town, "Bea", BLOG)
    town.worker.round()
    assert town.worker.mails() == [("Bea", f"{BLOG} is yours on Flattr")]
    return town


def lapse(town):
    """The proof goes away, and four repeated looks do not find it: lapsing from 2026-10-10 19:00 on."""
    town.web[BLOG] = EMPTY
    town.worker.until("2026-10-11")
    assert state(town, "Bea", BLOG) == "lapsing"


def test_a_proof_that_stays_is_looked_at_after_a_day_and_then_every_thirty_days_or_so(town):
    town.worker.until("2027-10-05")
    with town.sessions() as session:
        seen = session.scalars(sa.select(Look.at).where(Look.method == "tag").order_by(Look.at)).all()[1:]
    gaps = [(later - earlier).total_seconds() / 86_400 for earlier, later in pairwise(seen)]
    assert 11 <= len(seen) <= 14
    assert seen[0].day == 6
    assert all(27 <= gap <= 33.5 for gap in gaps)
    assert len(set(gaps)) > 1, "spread, so that not everybody is looked at on one day"
    assert (owner(town, BLOG), town.worker.mails(), waiting(town)) == ("Bea", [], [])


def test_a_weekend_outage_heals_and_nobody_hears_of_it(town):
    town.web[BLOG] = DOWN
    town.worker.until("2026-10-08")
    assert claim_of(town, "Bea", BLOG).failed > 2
    town.web[BLOG] = town.tag("Bea")
    town.worker.until("2026-10-12")
    claim = claim_of(town, "Bea", BLOG)
    assert (claim.state, claim.failed, owner(town, BLOG), town.worker.mails()) == ("verified", 0, "Bea", [])
    assert claim.next_check_at - town.now > 20 * DAY


def test_a_failed_look_is_repeated_after_1_6_24_and_72_hours_and_then_the_claim_lapses(town):
    town.web[BLOG] = EMPTY
    tries = []
    while state(town, "Bea", BLOG) == "verified":
        before = looks(town, BLOG)
        town.now += HOUR
        town.worker.round()
        tries += [town.now] * (looks(town, BLOG) - before)
    assert [(t - tries[0]) // HOUR for t in tries] == [0, 1, 7, 31, 103]
    assert town.worker.mails() == [("Bea", f"{BLOG} no longer proves that it is yours")]
    shown, _ = town.press("Ann", f"{BLOG}/")
    assert (shown.state, shown.owner) == ("promise", None)


def test_asking_again_and_again_does_not_make_an_outage_longer(town):
    town.person("Eve")
    town.web[BLOG] = DOWN
    town.worker.until("2026-10-06T14:00")
    for _ in range(4):
        ask(town, "Eve", BLOG)
        town.worker.round()
        town.look(BLOG)
    assert (claim_of(town, "Bea", BLOG).failed, state(town, "Bea", BLOG)) == (2, "verified")


def test_restored_in_time_clicks_from_the_doubt_count_again(town):
    lapse(town)
    town.press("Ann", f"{BLOG}/in-doubt")
    town.on("2026-10-20")
    town.worker.mails()
    town.web[BLOG] = town.tag("Bea")
    town.worker.until("2026-10-22")
    assert (state(town, "Bea", BLOG), town.worker.mails()) == ("verified", [("Bea", f"{BLOG} is proven again")])
    assert town.month("Ann").clicks[0].owner.name == "Bea"
    town.on("2026-11-01")
    town.settle()
    assert town.balances()["Bea income"] == "4.00"


def test_restored_after_the_month_ended_its_clicks_are_promises_that_come_true(town):
    lapse(town)
    town.press("Ann", f"{BLOG}/in-doubt")
    town.worker.until("2026-11-02")
    town.web[BLOG] = town.tag("Bea")
    town.worker.until("2026-11-04")
    assert state(town, "Bea", BLOG) == "verified"

    assert town.month("Ann", "2026-10").clicks[0].state == "promise", "an ended month stays as it was"
    result = town.settle("2026-10")
    assert (result.charged_micros, result.promises) == (0, 1)
    assert [(c.owner.name, c.promised_in) for c in town.month("Ann").clicks] == [("Bea", "2026-10")]


def test_restored_after_settlement_its_promises_come_true_once(town):
    lapse(town)
    town.press("Ann", f"{BLOG}/in-doubt")
    town.worker.until("2026-11-02")
    assert town.settle("2026-10").promises == 1
    town.worker.mails()
    town.web[BLOG] = town.tag("Bea")
    town.worker.until("2026-11-06")
    told = [("Ann", f"Your promise to {BLOG} counts now"), ("Bea", f"{BLOG} is proven again")]
    assert sorted(town.worker.mails()) == told
    town.on("2026-12-01")
    town.settle("2026-11")
    assert town.balances()["Bea income"] == "4.00"


def test_thirty_days_without_proof_end_a_claim_and_what_was_before_stays(town):
    town.press("Ann", f"{BLOG}/before")
    lapse(town)
    town.press("Ann", f"{BLOG}/in-doubt")
    town.worker.until("2026-11-08")
    assert state(town, "Bea", BLOG) == "lapsing"
    town.worker.until("2026-11-11")
    assert state(town, "Bea", BLOG) == "lapsed"
    assert town.worker.mails()[-1] == ("Bea", f"Your claim on {BLOG} has lapsed")
    result = town.settle("2026-10")
    assert (result.clicks, result.promises, town.balances()["Bea income"]) == (1, 1, "4.00")
    before = looks(town, BLOG)
    town.worker.until("2027-01-01")
    assert looks(town, BLOG) == before, "what nobody claims is not looked at"


def test_who_lapsed_and_proves_it_again_gets_the_promises_of_the_doubt(town):
    lapse(town)
    town.press("Ann", f"{BLOG}/in-doubt")
    town.worker.until("2026-11-20")
    town.settle("2026-10")
    town.claim("Bea", BLOG)
    assert [(c.owner.name, c.promised_in) for c in town.month("Ann").clicks] == [("Bea", "2026-10")]


def test_a_name_that_is_gone_lapses_at_once(town):
    town.web[BLOG] = GONE
    town.worker.until("2026-10-06T13:00")
    assert state(town, "Bea", BLOG) == "lapsing"
    assert town.worker.mails() == [("Bea", f"{BLOG} no longer proves that it is yours")]


def test_a_domain_bought_by_another_goes_to_them_without_the_old_promises_or_money(town):
    town.press("Ann", f"{BLOG}/of-bea")
    town.web[BLOG] = GONE
    town.worker.until("2026-10-08")
    town.press("Ann", f"{BLOG}/in-doubt")
    town.worker.until("2026-11-01")
    result = town.settle("2026-10")
    assert (result.clicks, result.promises, town.balances()["Bea income"]) == (1, 1, "4.00")

    town.person("New")
    town.worker.until("2026-11-10")
    assert state(town, "Bea", BLOG) == "lapsed"
    town.press("Ann", f"{BLOG}/unowned")
    town.now += HOUR
    town.claim("New", BLOG)
    town.press("Ann", f"{BLOG}/of-new")
    assert {(c.url.rpartition("/")[2], c.owner.name) for c in town.month("Ann").clicks} == {
        ("unowned", "New"),
        ("of-new", "New"),
    }
    town.on("2026-12-01")
    town.settle("2026-11")
    assert (town.balances()["Bea income"], town.balances()["New income"]) == ("4.00", "4.00")


def test_a_buyer_before_the_claim_lapsed_waits_ten_days_from_their_own_proof(town):
    town.web[BLOG] = GONE
    town.worker.until("2026-10-25")
    assert state(town, "Bea", BLOG) == "lapsing"
    town.person("New")
    town.web[BLOG] = town.tag("New")
    town.worker.until("2026-10-26T12:00")
    assert all_claims(town, BLOG) == [("Bea", "contested"), ("New", "contested")]
    assert {name for name, subject in town.worker.mails() if "two people" in subject} == {"Bea", "New"}

    town.worker.until("2026-11-03")
    assert (owner(town, BLOG), state(town, "New", BLOG)) == (None, "contested")
    town.worker.until("2026-11-07")
    assert (owner(town, BLOG), state(town, "Bea", BLOG)) == ("New", "ended")
    assert (f"{BLOG} is no longer yours on Flattr" in [subject for _, subject in town.worker.mails()]) is True


def test_a_takeover_that_is_noticed_changes_nothing(town):
    town.person("Thief")
    prove_by_dns(town, "Thief", BLOG)
    town.worker.until("2026-10-07")
    town.press("Ann", f"{BLOG}/")
    assert (owner(town, BLOG), state(town, "Thief", BLOG)) == (None, "contested")
    town.web[f"dns:_flattr-challenge.{BLOG}"] = []
    town.worker.until("2026-10-18")
    assert (owner(town, BLOG), state(town, "Thief", BLOG)) == ("Bea", "ended")
    assert town.month("Ann").clicks[0].owner.name == "Bea"


def test_what_the_operator_vouched_for_is_not_looked_at_again(town):
    approve(town, "Bea", "bea.substack.com")
    town.worker.until("2027-10-01")
    assert (owner(town, "bea.substack.com"), looks(town, "bea.substack.com")) == ("Bea", 1)


def test_nothing_that_is_due_is_looked_at_more_than_once_a_day_without_a_reason(town):
    for site, page in (("two.example.org", EMPTY), ("no.example.org", '<meta name="flattr:id" content="none">')):
        town.claim("Bea", site)
        town.web[site] = page
    before = {site: looks(town, site) for site in ("two.example.org", "no.example.org")}
    town.worker.until("2026-11-05")
    assert looks(town, "two.example.org") - before["two.example.org"] <= 30
    assert looks(town, "no.example.org") - before["no.example.org"] <= 2
