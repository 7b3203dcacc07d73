"""The monthly click list, and the promises that wait for an owner."""

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from backend import clicks, ledger, settlement
from backend.clicks import Click, PageFacts, Period, Promise, lists
from backend.errors import InvalidRequest, NotFlattrable, OwnSite, PeriodEnded
from backend.settlement import steps
from tests.backend.at_once import at_once, must_wait
from tests.backend.town import TERMS, WORLD

LATE = datetime(2026, 10, 31, 23, 59, 59, 900_000, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def ann(town):
    return town.person("Ann", budget="5.00", wallet="20.00")


def count(town):
    with town.sessions() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Click))


# Pressing -------------------------------------------------------------------------------------------------------------


def test_a_second_press_in_the_month_is_already_there(town, ann):
    first, is_new = town.press("Ann", "bea.example.org/post?utm_source=mail#top", title="A post")
    again, is_new_again = town.press("Ann", "BEA.example.org./post", title="Another title")

    assert (is_new, is_new_again) == (True, False)
    assert again == first
    assert (first.url, first.title, first.site) == ("https://bea.example.org/post", "A post", "bea.example.org")
    assert count(town) == 1


def test_the_same_page_can_be_flattred_again_next_month(town, ann):
    town.press("Ann", "bea.example.org/")
    town.on("2026-11-01", hour=0)
    shown, is_new = town.press("Ann", "bea.example.org/")
    assert (shown.period, is_new) == ("2026-11", True)


def test_a_press_says_whom_it_is_for_and_why(town, ann):
    bea = town.person("Bea")
    promise, _ = town.press("Ann", "carl.example.org/")
    town.claim("Bea", "bea.example.org")
    counts, _ = town.press("Ann", "www.bea.example.org/post")

    assert (promise.state, promise.rule, promise.owner) == ("promise", "promise_host", None)
    assert (counts.state, counts.rule, counts.owner.public_id) == ("counts", "claimed", bea.public_id)


def test_a_click_whose_answer_was_lost_at_the_months_end_is_answered_from_the_earlier_month(town, ann):
    clicked_at = LATE - timedelta(seconds=5)
    town.now = LATE
    first, _ = town.press("Ann", "bea.example.org/", clicked_at=clicked_at)
    for now in (MIDNIGHT, MIDNIGHT + timedelta(days=3)):
        town.now = now
        again, is_new = town.press("Ann", "bea.example.org/", clicked_at=clicked_at)
        assert (again.period, again.page_id, is_new) == ("2026-10", first.page_id, False)
    assert count(town) == 1


def test_a_click_sent_again_after_its_month_was_settled_counts_once(town, ann):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.now = LATE
    town.press("Ann", "bea.example.org/", clicked_at=LATE)
    town.on("2026-11-02")
    town.settle("2026-10")

    assert not town.press("Ann", "bea.example.org/", clicked_at=LATE)[1]
    town.on("2026-12-01")
    assert town.settle("2026-11").charged_micros == 0


def test_a_click_made_offline_last_month_and_sent_first_now_belongs_to_this_month(town, ann):
    town.now = MIDNIGHT
    shown, is_new = town.press("Ann", "bea.example.org/", clicked_at=LATE)
    assert (shown.period, shown.clicked_at, is_new) == ("2026-11", LATE, True)


def test_a_reader_does_not_answer_for_the_click_of_another(town, ann):
    town.person("Carl")
    town.press("Ann", "bea.example.org/", clicked_at=town.now)
    assert town.press("Carl", "bea.example.org/", clicked_at=town.now)[1]
    assert count(town) == 2


def test_nobody_flattrs_themselves(town):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    with pytest.raises(OwnSite):
        town.press("Bea", "www.bea.example.org/post")
    assert count(town) == 0


def test_what_is_no_page_leaves_nothing_behind(town, ann):
    with pytest.raises(NotFlattrable):
        town.press("Ann", "https://127.0.0.1/")
    with town.sessions() as session:
        assert session.scalar(sa.text("SELECT COUNT(*) FROM pages")) == 0


def test_a_page_pressed_on_two_devices_at_once_is_one_click(town, ann):
    results = at_once(*[lambda: town.press("Ann", "bea.example.org/")] * 8)
    assert Counter(is_new for _, is_new in results) == {True: 1, False: 7}
    assert count(town) == 1


# Undoing --------------------------------------------------------------------------------------------------------------


def test_a_click_can_be_taken_back_and_made_again(town, ann):
    page_id = town.press("Ann", "bea.example.org/")[0].page_id
    town.undo("Ann", page_id)
    assert town.month("Ann").clicks == []
    assert town.press("Ann", "bea.example.org/")[1]


@pytest.mark.parametrize("page_id", [1, 0, -1, 2**63 - 1, 2**63, 10**30])
def test_taking_back_what_is_not_there_is_fine(town, ann, page_id):
    town.undo("Ann", page_id)
    assert count(town) == 0


def test_nobody_takes_back_the_click_of_another(town, ann):
    town.person("Carl")
    page_id = town.press("Ann", "bea.example.org/")[0].page_id
    town.undo("Carl", page_id)
    assert len(town.month("Ann").clicks) == 1
    assert town.month("Carl").clicks == []


def test_a_click_can_be_taken_back_until_the_last_instant_of_the_month_and_not_after(town, ann):
    pages = [town.press("Ann", f"bea.example.org/{n}")[0].page_id for n in range(2)]
    town.now = LATE
    town.undo("Ann", pages[0], "2026-10")
    town.now = MIDNIGHT
    with pytest.raises(PeriodEnded):
        town.undo("Ann", pages[1], "2026-10")
    assert len(town.month("Ann", "2026-10").clicks) == 1


@pytest.mark.parametrize("period", ["", "2026-13", "october", "2026-10\0"])
def test_a_month_that_is_none_is_refused(town, ann, period):
    with pytest.raises(InvalidRequest, match="is not a month"), town.sessions.begin() as session:
        clicks.undo(session, ann, 1, period, now=town.now)
    with pytest.raises(InvalidRequest, match="is not a month"), town.sessions() as session:
        clicks.month(session, ann, period, now=town.now)


# Listing --------------------------------------------------------------------------------------------------------------


def test_the_list_shows_the_newest_first_and_what_a_share_is_worth(town):
    town.person("Ann", budget="6.00", wallet="3.00")
    for owner in ("Bea", "Carl"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
    for number, page in enumerate(("bea.example.org/1", "dora.example.org/", "carl.example.org/", "bea.example.org/2")):
        town.press("Ann", page, clicked_at=town.now + timedelta(minutes=number))

    month = town.month("Ann")

    assert [click.url.partition("//")[2] for click in month.clicks] == [
        "bea.example.org/2",
        "carl.example.org/",
        "dora.example.org/",
        "bea.example.org/1",
    ]
    assert (month.state, month.pot_micros, month.owners) == ("open", 3_000_000, 2)
    assert (month.share_micros, month.projected_share_micros) == (1_500_000, 3_000_000)


def test_an_empty_list_divides_nothing(town, ann):
    month = town.month("Ann")
    assert (month.owners, month.share_micros, month.projected_share_micros, month.clicks) == (0, 0, 0, [])


def test_a_month_is_open_then_ended_then_settled_and_then_stays_as_it_was(town, ann):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    assert town.month("Ann", "2026-10").state == "open"
    town.now = MIDNIGHT
    assert town.month("Ann", "2026-10").state == "ended"
    town.settle("2026-10")

    town.budget("Ann", "1.00")
    town.revoke("bea.example.org")

    month = town.month("Ann", "2026-10")
    assert (month.state, month.pot_micros, month.share_micros) == ("settled", 5_000_000, 5_000_000)
    assert month.clicks[0].owner.name == "Bea"


def test_readers_see_their_own_lists_only(town, ann):
    town.person("Carl")
    town.press("Ann", "bea.example.org/")
    town.press("Carl", "dora.example.org/")
    assert [click.site for click in town.month("Ann").clicks] == ["bea.example.org"]
    assert [click.site for click in town.month("Carl").clicks] == ["dora.example.org"]


# Explaining -----------------------------------------------------------------------------------------------------------


def test_explaining_changes_nothing_and_refuses_nothing(town, ann):
    with town.sessions() as session:
        unknown = clicks.explain(session, "https://bea.example.org/?fbclid=1", now=town.now, reader=ann)
        useless = clicks.explain(session, "javascript:alert(1)", now=town.now, reader=ann)
        assert session.scalar(sa.text("SELECT COUNT(*) FROM sites")) == 0
    assert (unknown.page, unknown.site, unknown.rule) == ("https://bea.example.org/", "bea.example.org", "promise_host")
    assert (unknown.state, unknown.clicked, unknown.promises) == ("promise", False, 0)
    assert (useless.page, useless.site, useless.rule, useless.state) == (None, None, "not_flattrable", None)


def test_explaining_says_whether_this_reader_pressed_this_month(town, ann):
    town.person("Carl")
    town.press("Ann", "bea.example.org/")

    def clicked(name, url):
        with town.sessions() as session:
            return clicks.explain(session, url, now=town.now, reader=town.people[name]).clicked

    pages = ("https://bea.example.org/", "https://bea.example.org/2")
    assert [clicked(name, url) for name in ("Ann", "Carl") for url in pages] == [True, False, False, False]
    town.now = MIDNIGHT
    assert not clicked("Ann", "https://bea.example.org/")


def test_how_many_promised_is_told_from_three_readers_on(town, ann):
    def promises():
        with town.sessions() as session:
            return clicks.explain(session, "https://bea.example.org/", now=town.now).promises

    town.press("Ann", "bea.example.org/1")
    town.press("Ann", "bea.example.org/2")
    town.person("Carl")
    town.press("Carl", "bea.example.org/1")
    assert promises() == 0
    town.on("2026-11-01")
    town.settle("2026-10")
    town.press("Ann", "bea.example.org/1")
    assert promises() == 0
    town.person("Dora")
    town.press("Dora", "bea.example.org/1")
    assert promises() == 3


def test_a_reader_has_a_place_among_those_who_promised_by_their_first_promise(town, ann):
    def place(name):
        with town.sessions() as session:
            reader = town.people[name]
            return clicks.explain(session, "https://bea.example.org/", now=town.now, reader=reader).place

    town.press("Ann", "bea.example.org/1")
    town.on("2026-11-01")
    town.settle("2026-10")
    town.person("Carl")
    town.press("Carl", "bea.example.org/1")
    assert (place("Ann"), place("Carl")) == (0, 0)
    for day, name in (("2026-11-02", "Dora"), ("2026-11-03", "Eve")):
        town.on(day)
        town.person(name)
        town.press(name, "bea.example.org/1")
    town.press("Ann", "bea.example.org/1")
    town.person("Fay")

    assert [place(name) for name in ("Ann", "Carl", "Dora", "Eve", "Fay")] == [1, 2, 3, 4, 0]


def test_promises_beyond_what_is_counted_have_no_places(town, ann, monkeypatch):
    for name in ("Carl", "Dora", "Eve"):
        town.person(name)
    for name in ("Ann", "Carl", "Dora", "Eve"):
        town.press(name, "bea.example.org/1")

    def told():
        with town.sessions() as session:
            answer = clicks.explain(session, "https://bea.example.org/", now=town.now, reader=town.people["Ann"])
            return answer.promises, answer.place

    assert told() == (4, 1)
    for most, promises in ((5, (4, 1)), (4, (4, 0)), (3, (3, 0))):
        monkeypatch.setattr(lists, "MOST_COUNTED", most)
        assert told() == promises


# Promises -------------------------------------------------------------------------------------------------------------


def kept(town):
    """The promises that wait: reader and month."""
    names = {user.id: name for name, user in town.people.items()}
    with town.sessions() as session:
        waiting = session.scalars(sa.select(Promise).where(Promise.joined.is_(None))).all()
    return sorted((names[promise.reader_id], promise.period) for promise in waiting)


def test_a_promise_joins_once_however_often_the_claim_is_looked_at(town, ann):
    town.press("Ann", "bea.example.org/")
    town.on("2026-11-02")
    town.settle("2026-10")
    assert kept(town) == [("Ann", "2026-10")]
    town.person("Bea")
    for _ in range(3):
        town.claim("Bea", "bea.example.org")

    assert kept(town) == []
    assert [click.promised_in for click in town.month("Ann").clicks] == ["2026-10"]
    with town.sessions() as session:
        mails = session.execute(sa.text("SELECT payload FROM jobs WHERE kind = 'mail'")).scalars().all()
    assert sum("Your promise to bea.example.org counts now" in str(mail) for mail in mails) == 1


def test_a_promise_does_not_double_a_click_that_is_there(town, ann):
    town.press("Ann", "bea.example.org/")
    town.on("2026-11-02")
    town.settle("2026-10")
    town.press("Ann", "bea.example.org/")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    assert [(c.url, c.promised_in) for c in town.month("Ann").clicks] == [("https://bea.example.org/", None)]


def test_a_promise_is_kept_for_twelve_months_and_then_forgotten(town):
    for name, site in (("Ann", "old"), ("Ann", "young")):
        if name not in town.people:
            town.person(name)
        town.on("2026-09-05" if site == "old" else "2026-10-05")
        town.press(name, f"{site}.example.org/")
    town.on("2026-11-02")
    for _ in range(2):
        town.settle()

    town.on("2027-10-05")
    for owner in ("Old", "Young"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
    assert [click.site for click in town.month("Ann").clicks] == ["young.example.org"]


def test_ones_own_promises_are_not_paid_to_oneself(town):
    town.person("Bea", budget="5.00", wallet="5.00")
    town.press("Bea", "bea.example.org/")
    town.on("2026-11-02")
    town.settle("2026-10")
    town.claim("Bea", "bea.example.org")
    assert town.month("Bea").clicks == []


def test_many_sites_that_join_at_once_are_told_to_every_reader(town):
    names = [f"{letter * 60}.{'x' * 60}.example.org" for letter in "abc"]
    for reader in ("Ann", "Carl"):
        town.person(reader)
        for name in names:
            town.press(reader, name)
    town.person("Bea")
    town.on("2026-11-02")
    for name in names:
        town.claim("Bea", name)

    town.settle("2026-10")

    with town.sessions() as session:
        mails = session.execute(sa.text("SELECT payload FROM jobs WHERE kind = 'mail'")).scalars().all()
    told = [mail for mail in map(str, mails) if "Your promise to" in mail]
    assert sorted("ann@example.org" in mail for mail in told) == [False, True]


# While the month is being closed --------------------------------------------------------------------------------------


def close(town, period, now):
    with town.sessions.begin() as session:
        steps.close(session, period, asdict(TERMS), now=now)


def test_a_click_that_comes_while_its_month_is_closing_belongs_to_the_next(town, ann):
    close(town, "2026-10", MIDNIGHT)
    town.now = LATE  # a server whose clock is behind
    shown, is_new = town.press("Ann", "bea.example.org/")
    assert (shown.period, is_new) == ("2026-11", True)
    with pytest.raises(PeriodEnded):
        town.undo("Ann", shown.page_id, "2026-10")
    town.undo("Ann", shown.page_id, "2026-11")


def test_a_settlement_waits_for_a_click_that_is_being_accepted(town, ann, engine):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "dora.example.org/")
    with town.sessions() as session:
        clicks.record(session, ann, PageFacts("https://bea.example.org/"), now=LATE)
        result = must_wait(
            lambda: settlement.settle(town.sessions, "2026-10", TERMS, WORLD, now=MIDNIGHT), session.commit, engine
        )
    assert (result.clicks, result.promises, result.charged_micros) == (1, 1, 5_000_000)


def test_a_click_waits_for_the_month_that_is_being_closed_and_then_belongs_to_the_next(town, ann, engine):
    town.press("Ann", "dora.example.org/")
    town.now = LATE
    with town.sessions() as session:
        steps.close(session, "2026-10", asdict(TERMS), now=MIDNIGHT)
        shown, is_new = must_wait(lambda: town.press("Ann", "bea.example.org/"), session.commit, engine)
    assert (shown.period, is_new) == ("2026-11", True)


def test_clicks_that_come_while_the_month_is_settled_are_neither_lost_nor_late_nor_doubled(town):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    readers = [f"Reader{n}" for n in range(24)]
    for name in readers:
        town.person(name, budget="1.00", wallet="2.00")
    town.on("2026-11-01", hour=0)

    def press(name):
        behind = [PageFacts(f"https://bea.example.org/{n}", clicked_at=LATE) for n in range(2)]
        found = []
        for facts in behind * 2:  # each is sent twice
            with town.sessions.begin() as session:
                found.append(clicks.record(session, town.people[name], facts, now=LATE))
        return found

    def settle():
        return settlement.settle(town.sessions, "2026-10", TERMS, WORLD, now=MIDNIGHT)

    *pressed, result = at_once(*[lambda name=name: press(name) for name in readers], settle)

    assert result.state == "settled"
    shown = [click for found in pressed for click in found]
    assert Counter(is_new for _, is_new in shown) == {True: 48, False: 48}
    with town.sessions() as session:
        stored = Counter(session.scalars(sa.select(Click.period)))
        in_time = session.scalar(sa.select(sa.func.count(Click.reader_id.distinct())).where(Click.period == "2026-10"))
        assert session.get(Period, "2026-10").clicks == stored["2026-10"]
    assert stored == Counter(click.period for click, is_new in shown if is_new)
    assert set(stored) <= {"2026-10", "2026-11"}
    assert (result.readers, result.charged_micros) == (in_time, in_time * 1_000_000)
    assert town.problems() == []

    town.on("2026-12-01")
    later = town.settle("2026-11")
    with town.sessions() as session:
        bea = ledger.balance(session, ledger.income(town.people["Bea"].id))
    assert bea == result.charged_micros + later.charged_micros
    assert later.clicks + result.clicks == 48
