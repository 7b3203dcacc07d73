"""Mails about a reader's month: who gets which, once, whatever is killed; and each kind goes with one click."""

from dataclasses import replace
from email.header import decode_header, make_header

import pytest
import sqlalchemy as sa

from backend import checks, jobs, notices, users
from backend.cli.serving import job_handlers
from backend.notices import NoticeRun
from tests.backend.browser import Visitor, device_of, mails


@pytest.fixture
def work(config, sessions, town):
    """Do what the worker does at the town's time; the subjects of all mails to somebody about their months so far."""

    def work(name=None):
        today = replace(config, fixed_now=town.now)
        notices.begin_due(sessions, now=town.now)
        jobs.work(sessions, job_handlers(today, sessions), today.now)
        sent = [mail for mail in mails(config) if name is None or mail["To"] == town.people[name].email]
        subjects = [str(make_header(decode_header(mail["Subject"]))) for mail in sent]
        return [subject for subject in subjects if not subject.endswith("is yours on Flattr")]

    return work


@pytest.fixture
def readers(town):
    """Ann lacks people, Ben lacks money, Carl lacks nothing, Dora only owns a site, Eve wants nothing to be charged."""
    town.person("Dora")
    town.claim("Dora", "dora.example.org")
    town.person("Ann", wallet="20.00")
    town.person("Ben")
    town.person("Carl", wallet="20.00")
    town.person("Eve", budget="0", wallet="20.00")
    for name in ("Ben", "Carl"):
        town.press(name, "dora.example.org/post")
    town.press("Ann", "nobody.example.org/post")
    return town


def test_three_days_before_the_month_ends_who_lacks_people_or_money_is_told_once(readers, work):
    readers.on("2026-10-28")
    assert work() == []
    readers.on("2026-10-29")
    readers.now = readers.now.replace(hour=0)
    for _ in range(3):
        work()

    told = {name: work(name) for name in readers.people}
    assert told == {
        "Ann": ["Nobody is on your list, and the month ends in three days"],
        "Ben": ["Your wallet is empty, and the month ends in three days"],
        "Carl": [],
        "Dora": [],
        "Eve": [],
    }


def test_who_only_has_a_browser_connected_is_told_as_long_as_it_is_used(readers, work, app):
    readers.person("Finn")
    device_of(app, readers, "Finn")
    readers.on("2026-10-30")
    assert work("Finn") == ["Nobody is on your list, and the month ends in three days"]
    readers.on("2026-12-30")
    assert len(work("Finn")) == 1


def test_a_settled_month_says_how_many_people_it_went_to(readers, work, config):
    readers.person("Gus")
    readers.claim("Gus", "gus.example.org")
    readers.press("Carl", "gus.example.org/")
    readers.on("2026-11-02")
    readers.settle()
    for _ in range(2):
        work()

    assert work("Carl") == ["Your 5.00\N{NO-BREAK SPACE}€ went to 2 people"]
    assert work("Ann") == work("Ben") == []
    [mail] = [mail for mail in mails(config) if mail["To"] == "carl@example.org"]
    assert "2.50\N{NO-BREAK SPACE}€ for each" in mail.get_payload(decode=True).decode()
    assert "/month?period=2026-10" in mail.get_payload(decode=True).decode()


def test_months_settled_long_ago_are_no_news(readers, work):
    readers.on("2026-11-02")
    readers.settle()
    readers.on("2026-11-20")
    assert work("Carl") == []


def test_a_run_that_is_killed_at_any_step_goes_on_and_tells_everybody_once(town, sessions, work, monkeypatch, config):
    monkeypatch.setattr(notices, "CHUNK", 2)
    names = [f"Reader{n}" for n in range(7)]
    for name in names:
        town.person(name, wallet="5.00")
    town.on("2026-10-30")
    enqueue, queued = jobs.enqueue, 0

    def dies_at(step):
        def enqueue_or_die(session, *args, **kwargs):
            nonlocal queued
            queued += 1
            if queued == step:
                raise KeyboardInterrupt
            enqueue(session, *args, **kwargs)

        return enqueue_or_die

    job = {"kind": "ending", "period": "2026-10"}
    for step in range(1, 12):
        queued = 0
        monkeypatch.setattr(jobs, "enqueue", dies_at(step))
        try:
            notices.spread(sessions, job, config, now=town.now)
        except KeyboardInterrupt:
            pass
        monkeypatch.setattr(jobs, "enqueue", enqueue)
        notices.spread(sessions, job, config, now=town.now)
        jobs.work(sessions, job_handlers(config, sessions), lambda: town.now)
    with sessions() as session:
        assert session.get(NoticeRun, ("ending", "2026-10")).done_at
    work()
    assert sorted(mail["To"] for mail in mails(config)) == sorted(f"{name.lower()}@example.org" for name in names)


def test_what_a_look_found_does_not_wait_for_all_mails(town, sessions, monkeypatch, config):
    monkeypatch.setattr(notices, "CHUNK", 1)
    for n in range(3):
        town.person(f"Reader{n}", wallet="5.00")
    town.on("2026-10-30")
    notices.spread(sessions, {"kind": "ending", "period": "2026-10"}, config, now=town.now)
    with sessions() as session:
        waiting = session.scalars(sa.select(jobs.Job.kind)).all()
    assert sorted(waiting) == ["mail", "notices"]


def test_a_kind_of_mail_is_switched_off_with_one_press_and_without_signing_in(readers, work, config, app):
    readers.on("2026-10-29")
    work()
    [mail] = [mail for mail in mails(config) if mail["To"] == "ann@example.org"]
    link = mail["List-Unsubscribe"].strip("<>")
    assert link in mail.get_payload(decode=True).decode()
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

    stranger, path = Visitor(app), link.removeprefix(config.base_url)
    stranger.visit(path)  # a scanner that follows links
    with readers.sessions() as session:
        assert users.unwanted_mails(session, readers.people["Ann"].id) == set()
    page = stranger.press("No more of these mails")
    assert (page.status, "switched off" in page.text) == (200, True)
    readers.on("2026-11-29")
    work()
    assert len([mail for mail in mails(config) if mail["To"] == "ann@example.org"]) == 1


def test_mail_programs_switch_off_by_themselves(readers, work, config, app):
    readers.on("2026-10-29")
    work()
    link = next(mail["List-Unsubscribe"] for mail in mails(config) if mail["To"] == "ben@example.org").strip("<>")
    answer = app.test_client().post(link.removeprefix(config.base_url), data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    with readers.sessions() as session:
        assert users.unwanted_mails(session, readers.people["Ben"].id) == {"ending"}


def test_a_link_switches_off_its_own_kind_for_its_own_reader_and_a_forged_one_nothing(app, config, town):
    ann = town.person("Ann")
    good = notices._signer(config.secret_key).dumps([ann.id, "ending"])
    client = app.test_client()
    for token in ("x", good[:-2] + "aa", notices._signer("other").dumps([ann.id, "ending"])):
        assert client.post(f"/mails/{token}").status_code == 404
    unknown = notices._signer(config.secret_key).dumps([ann.id, "claims"])
    assert client.post(f"/mails/{unknown}").status_code == 404
    not_me = checks._signer(checks.World("", dev=False, secret=config.secret_key)).dumps([ann.id, ann.id])
    assert client.post(f"/mails/{not_me}").status_code == 404
    with town.sessions() as session:
        assert users.unwanted_mails(session, ann.id) == set()


def test_a_promise_that_came_true_is_told_unless_that_is_unwanted(town, work, config):
    town.person("Dora")
    for name in ("Ann", "Ben"):
        town.person(name)
        town.press(name, "dora.example.org/post")
    town.on("2026-11-02")
    town.settle()
    with town.sessions.begin() as session:
        users.set_unwanted_mails(session, town.people["Ben"].id, {"came_true"})
    town.claim("Dora", "dora.example.org")
    assert work("Ann") == ["Your promise to dora.example.org counts now"]
    assert work("Ben") == []


def test_who_leaves_is_told_nothing_more_and_leaves_no_choice_behind(readers, work, config):
    readers.on("2026-10-29")
    with readers.sessions.begin() as session:
        users.set_unwanted_mails(session, readers.people["Ann"].id, {"settled"})
        users.set_thanks(session, readers.people["Ann"], "Thank you", shows_name=True, shows_supporters=True)
    notices.spread(readers.sessions, {"kind": "ending", "period": "2026-10"}, config, now=readers.now)
    readers.leave("Ann")
    assert [subject for subject in work() if "Nobody is" in subject] == []
    with readers.sessions() as session:
        assert users.unwanted_mails(session, readers.people["Ann"].id) == set()
        assert users.thanks_of(session, readers.people["Ann"].id).line is None
