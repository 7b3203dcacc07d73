"""Background work: done once, tried again when it fails, never forgotten."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Lock

import pytest
import sqlalchemy as sa

from backend import jobs
from backend.errors import InvalidRequest
from backend.jobs import Job
from tests.backend.at_once import at_once

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def enqueue(sessions):
    def enqueue(kind, key, payload=None, *, now=NOON):
        with sessions.begin() as session:
            jobs.enqueue(session, kind, key, payload or {"key": key}, now=now)

    return enqueue


def waiting(sessions):
    with sessions() as session:
        return session.scalars(sa.select(Job.key).order_by(Job.id)).all()


def test_what_is_due_is_done_oldest_first_and_then_gone(sessions, enqueue):
    done = []
    enqueue("mail", "second", now=NOON - MINUTE)
    enqueue("mail", "first", now=NOON - 2 * MINUTE)
    enqueue("mail", "later", now=NOON + MINUTE)

    assert jobs.work(sessions, {"mail": lambda payload: done.append(payload["key"])}, lambda: NOON) == 2
    assert done == ["first", "second"]
    assert waiting(sessions) == ["later"]


def test_one_of_a_kind_and_key_is_enough_and_the_newest_counts(sessions, enqueue):
    enqueue("look", "bea.example.org", {"n": 1})
    enqueue("look", "bea.example.org", {"n": 2})
    enqueue("mail", "bea.example.org")
    assert waiting(sessions) == ["bea.example.org"] * 2
    with sessions() as session:
        assert jobs.is_waiting(session, "look", "bea.example.org")
        assert not jobs.is_waiting(session, "look", "carl.example.org")
        assert session.scalars(sa.select(Job.payload).where(Job.kind == "look")).one() == {"n": 2}


def test_a_job_belongs_to_the_transaction_that_asked_for_it(sessions):
    with sessions() as session:
        jobs.enqueue(session, "mail", "never", {}, now=NOON)
        session.rollback()
    assert waiting(sessions) == []


@pytest.mark.parametrize("error", [OSError("refused"), InvalidRequest("no"), TimeoutError()])
def test_a_failing_job_is_tried_again_later_and_does_not_stop_the_others(sessions, enqueue, error):
    def mail(payload):
        if payload["key"] == "bad":
            raise error

    enqueue("mail", "bad", now=NOON - MINUTE)
    enqueue("mail", "good")
    assert jobs.work(sessions, {"mail": mail}, lambda: NOON) == 1
    assert waiting(sessions) == ["bad"]


def test_each_try_waits_twice_as_long_and_the_twelfth_is_the_last(sessions, enqueue):
    def fail(_):
        tried.append(clock[-1])
        raise OSError

    tried, clock = [], [NOON]
    enqueue("mail", "bad")
    for _ in range(14):
        jobs.work(sessions, {"mail": fail}, lambda: clock[-1])
        with sessions() as session:
            clock.append(session.scalar(sa.select(Job.due_at)) or clock[-1] + timedelta(hours=6))

    waits = [int((later - earlier).total_seconds()) for earlier, later in pairwise(tried)]
    assert waits[:4] == [60, 120, 240, 480]
    assert max(waits) == 6 * 3600
    assert len(tried) == 12
    assert waiting(sessions) == []


def test_the_job_of_a_killed_worker_comes_due_again(sessions, enqueue):
    class Killed(BaseException):
        pass

    def die(_):
        raise Killed

    done = []
    enqueue("look", "bea.example.org")
    with pytest.raises(Killed):
        jobs.work(sessions, {"look": die}, lambda: NOON)

    assert jobs.work(sessions, {"look": done.append}, lambda: NOON) == 0
    assert jobs.work(sessions, {"look": done.append}, lambda: NOON + MINUTE) == 1
    assert done == [{"key": "bea.example.org"}]


def test_a_job_that_waits_for_its_next_try_is_due_at_once_when_asked_for_again(sessions, enqueue):
    def fail(_):
        raise OSError

    done = []
    enqueue("look", "bea.example.org", {"n": 1})
    for minutes in (0, 1, 3):
        jobs.work(sessions, {"look": fail}, lambda minutes=minutes: NOON + minutes * MINUTE)
    assert jobs.work(sessions, {"look": done.append}, lambda: NOON + 4 * MINUTE) == 0

    enqueue("look", "bea.example.org", {"n": 2}, now=NOON + 4 * MINUTE)
    with sessions() as session:
        assert session.scalars(sa.select(Job.tries)).one() == 0
    assert jobs.work(sessions, {"look": done.append}, lambda: NOON + 4 * MINUTE) == 1
    assert done == [{"n": 2}]


def test_what_is_asked_for_while_it_is_being_done_is_done_again(sessions, enqueue):
    def look(payload):
        done.append(payload["n"])
        if len(done) == 1:  # the tag is put there after the look, and its owner asks
            enqueue("look", "bea.example.org", {"n": 2})

    done = []
    enqueue("look", "bea.example.org", {"n": 1})
    assert jobs.work(sessions, {"look": look}, lambda: NOON) == 2
    assert done == [1, 2]
    assert waiting(sessions) == []


def test_workers_at_once_do_each_job_once(sessions, enqueue):
    done, lock = Counter(), Lock()

    def handle(payload):
        with lock:
            done[payload["key"]] += 1

    for number in range(12):
        enqueue("mail", str(number))
    counts = at_once(*[lambda: jobs.work(sessions, {"mail": handle}, lambda: NOON)] * 3)

    assert done == Counter(map(str, range(12)))
    assert sum(counts) == 12
    assert waiting(sessions) == []


def test_two_who_ask_at_once_ask_once(sessions, enqueue):
    assert at_once(*[lambda: enqueue("look", "bea.example.org")] * 6) == [None] * 6
    assert waiting(sessions) == ["bea.example.org"]


def test_a_very_long_key_is_no_error(sessions, enqueue):
    enqueue("mail", "x" * 1000)
    assert waiting(sessions) == ["x" * 320]
