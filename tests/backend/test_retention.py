"""What is kept for a while only: pages for three months, promises for twelve; the books come to the same for ever."""

import json
from dataclasses import replace

import pytest
import sqlalchemy as sa

from backend import audit, auditlog, db, export, jobs, retention
from backend.cli.serving import job_handlers
from backend.clicks import Click, Gift, Period, Promise, promises_of
from backend.errors import AnotherRun
from backend.jobs import Job
from tests.backend import gallows
from tests.backend.books import Copies, dump
from tests.backend.browser import Visitor, on

OCTOBER = "2026-10"
BEA = ["bea.example.org/1", "bea.example.org/2"]


@pytest.fixture
def october(town, monkeypatch):
    """A settled month: three readers gave to Bea, Ann to Carl as well, and Ann and Ben promised Ida something."""
    monkeypatch.setattr(retention, "READERS", 2)
    for owner in ("Bea", "Carl"):
        town.person(owner)
        town.claim(owner, f"{owner.lower()}.example.org")
    for name in ("Ann", "Ben", "Cleo"):
        town.person(name, budget="5.00", wallet="200.00")
        for page in BEA:
            town.press(name, page)
    town.press("Ann", "carl.example.org/")
    for name in ("Ann", "Ben"):
        town.press(name, "ida.example.org/")
    town.on("2026-11-02")
    town.settle(fee_bps=100)
    return town


@pytest.fixture
def work(config, sessions):
    """Do what the worker does on a day."""

    def work(town, day):
        town.on(day, hour=0)
        today = replace(config, fixed_now=town.now)
        retention.begin_due(sessions, now=town.now)
        jobs.work(sessions, job_handlers(today, sessions), today.now)

    return work


def all_of(town, query):
    with town.sessions() as session:
        return session.execute(query).all()


def clicks_of(town, period=OCTOBER):
    return all_of(town, sa.select(Click.page_id).where(Click.period == period))


def told(town, name):
    """What an October statement says of somebody, without pages."""
    found = town.statement(name, OCTOBER)
    given = [(line.name, line.amount_micros) for line in found.given.lines]
    return replace(found.given, lines=given, pages_kept=None), replace(
        found.received, lines=[], sites=[], pages_kept=None
    )


def test_pages_go_after_three_months_and_all_that_was_moved_says_the_same(october, work):
    names = ("Ann", "Ben", "Cleo", "Bea", "Carl")
    october.press("Ann", BEA[0])
    result, before = october.settle(OCTOBER), {name: told(october, name) for name in names}
    assert october.statement("Ann", OCTOBER).given.lines[0].pages == [f"https://{page}" for page in BEA]

    work(october, "2027-01-31")
    assert len(clicks_of(october)) == 9
    assert october.statement("Bea", OCTOBER).received.pages_kept

    work(october, "2027-02-01")
    assert clicks_of(october) == []
    assert len(clicks_of(october, "2026-11")) == 1
    assert october.problems() == []
    assert october.settle(OCTOBER) == result
    assert {name: told(october, name) for name in names} == before
    for name in names:
        found = october.statement(name, OCTOBER)
        assert [line.pages for line in found.given.lines if line.pages] == []
        assert (found.received.lines, found.received.sites) == ([], [])
    assert not october.statement("Bea", OCTOBER).received.pages_kept
    pairs = all_of(october, sa.select(Gift.reader_id, Gift.owner_id).where(Gift.period == OCTOBER))
    people = {person.id: name for name, person in october.people.items()}
    assert {(people[reader], people[owner]) for reader, owner in pairs} == {
        ("Ann", "Bea"),
        ("Ann", "Carl"),
        ("Ben", "Bea"),
        ("Cleo", "Bea"),
    }


def test_on_postgresql_the_partition_goes_and_the_log_says_once_when(october, work, session, engine):
    october.press("Ann", BEA[0])
    for _ in range(3):
        work(october, "2027-02-01")

    found = [(entry.about, json.loads(entry.details)) for entry in auditlog.entries(session, action="pages.forgotten")]
    assert found == [(OCTOBER, {"rows": 9})]
    assert session.scalars(sa.select(Job).where(Job.kind == "forget")).all() == []
    if engine.dialect.name == "postgresql":
        there = "SELECT relname::text FROM pg_class WHERE relname ~ '^clicks_2026.._..$' AND relkind = 'r'"
        months = {name[:13] for name in session.scalars(sa.text(there))}
        assert months == {"clicks_202611"}


def test_a_month_that_was_settled_late_is_kept_for_three_months_from_then_and_an_open_one_for_ever(town, work):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.person("Ann", wallet="20.00")
    town.press("Ann", BEA[0])
    work(town, "2027-02-02")
    assert len(clicks_of(town)) == 1
    town.on("2027-02-28")
    town.settle()
    work(town, "2027-04-30")
    assert len(clicks_of(town)) == 1
    work(town, "2027-05-01")
    assert clicks_of(town) == []


def test_a_promise_waits_for_twelve_months_and_not_longer(october, work):
    work(october, "2027-10-31")
    assert len(all_of(october, sa.select(Promise))) == 2
    work(october, "2027-11-01")
    assert all_of(october, sa.select(Promise)) == []
    assert all_of(october, sa.select(Period.promises_gone_at).where(Period.period == OCTOBER)) == [(october.now,)]
    assert october.problems() == []


def test_a_promise_that_came_true_on_its_last_day_pays_and_goes_with_the_pages_of_that_month(october, work):
    october.on("2027-10-31")
    october.person("Ida")
    october.claim("Ida", "ida.example.org")
    work(october, "2027-11-02")
    october.settle("2027-10")
    assert october.statement("Ida", "2027-10").received.received_micros == 10_000_000
    work(october, "2028-01-31")
    ann = october.people["Ann"]
    with october.sessions() as session:
        assert [found.outcome for found in promises_of(session, ann, now=october.now)] == ["came_true"]
    session.rollback()

    work(october, "2028-02-01")
    with october.sessions() as session:
        assert list(promises_of(session, ann, now=october.now)) == []
    assert october.statement("Ida", "2027-10").received.readers == 2
    assert october.problems() == []


def test_an_audit_still_finds_a_month_that_does_not_come_to_what_it_charged(october, work):
    work(october, "2027-02-01")
    with october.sessions.begin() as writing:
        carl = october.people["Carl"].id
        assert writing.execute(sa.delete(Gift).where(Gift.owner_id == carl)).rowcount == 1

    assert [problem.partition(": ")[2] for problem in october.problems()] == [
        f"wallet of user {october.people['Ann'].id} was not charged what the list says."
    ]


def test_an_empty_month_repeats_people_whose_pages_are_long_forgotten(october, work):
    work(october, "2027-02-01")
    october.on("2027-10-05")
    october.choose("Ann", "repeat")
    work(october, "2027-11-01")

    october.settle("2027-10")
    given = october.statement("Ann", "2027-10").given
    assert [(line.name, line.amount_micros) for line in given.lines] == [("Bea", 2_500_000), ("Carl", 2_500_000)]


def test_who_leaves_or_asks_for_all_that_is_kept_finds_no_page_of_a_forgotten_month(october, work, sessions):
    october.press("Ann", BEA[1])
    work(october, "2027-02-01")
    with sessions() as session:
        text = "".join(export.as_json(session, october.people["Ann"], now=october.now))
    kept = json.loads(text)

    assert [(row["period"], row["url"]) for row in kept["clicks"]] == [("2026-11", f"https://{BEA[1]}")]
    assert [(row["period"], row["people"], row["amount_micros"]) for row in kept["given"]] == [(OCTOBER, 2, 5_000_000)]
    assert [row["url"] for row in kept["promises"]] == ["https://ida.example.org/"]
    october.settle("2026-11")
    october.leave("Ann")
    assert october.problems() == []


def test_pages_and_files_say_that_pages_are_gone(october, work, config):
    work(october, "2027-02-01")

    with on(config, october.now) as app:
        ann, bea = Visitor(app), Visitor(app)
        ann.sign_in("ann@example.org")
        bea.sign_in("bea@example.org")
        gone = "Pages are kept for 3 months"
        assert (
            f"{gone}: those of this month are forgotten. It went to Bea, Carl."
            in ann.visit("/month?period=2026-10").text
        )
        assert f"{gone}: what each brought in this month is forgotten." in bea.visit("/income?period=2026-10").text
        for person in (ann, bea):
            assert f"{gone}: those of October 2026 are forgotten" in person.visit("/statements/2026-11").text
            assert gone not in person.visit("/statements/2026-12").text
        assert gone not in ann.visit("/income?period=2026-10").text
        rows = bea.client.get("/statements/2026-10.csv", base_url=bea.base_url).text.splitlines()
        assert f"received,2026-10,{gone},3,12500000,EUR,,,,," in rows
        assert ann.visit("/history").status == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # on SQLite no reader is in the way
def test_a_long_look_at_the_lists_is_waited_for(october, work, session):
    look = sa.select(Click).limit(1)
    session.execute(look)
    work(october, "2027-02-01")
    session.rollback()
    [job] = session.scalars(sa.select(Job).where(Job.kind == "forget")).all()
    assert (job.tries, job.due_at > october.now) == (1, True)
    assert october.statement("Ann", OCTOBER).given.pages_kept
    session.execute(look)
    with pytest.raises(AnotherRun):
        retention.forget(october.sessions, job.payload, now=october.now)
    session.rollback()
    retention.forget(october.sessions, job.payload, now=october.now)
    assert october.statement("Ann", OCTOBER).given.pages_kept is False


@pytest.fixture
def copies(october, request, engine, tmp_path):
    admin = request.getfixturevalue("postgres")[0] if engine.dialect.name == "postgresql" else None
    engine.dispose()
    return Copies(engine, tmp_path, admin)


def contents(sessions):
    with sessions() as session:
        return dump(session, without={"jobs"})


def test_forgetting_killed_anywhere_and_done_again_comes_to_the_same(copies, october, long):
    def forget(*kills):
        """Forget in a copy, killed at these steps one after the other, then to the end; its steps and contents."""
        url = copies.new()
        text = url.render_as_string(hide_password=False)
        engine = db.make_engine(text)
        for at in kills:
            assert gallows.forget(text, october.now, at=at) is None
            with db.session_maker(engine)() as session:
                assert audit.problems(session, full=True) == [], f"killed at step {at}"
        steps = gallows.forget(text, october.now)
        with db.session_maker(engine)() as session:
            rows = dump(session, without={"jobs"})
        engine.dispose()
        copies.drop(url)
        return steps, rows

    october.on("2027-11-01")
    steps, undisturbed = forget()
    assert steps > 60
    for at in range(1, steps + 1, 1 if long else 23):
        assert forget(at)[1] == undisturbed, f"killed at step {at}"
