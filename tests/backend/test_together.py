"""What comes in together is done together, and answered one by one."""

import threading
import time

import pytest
from sqlalchemy.exc import DBAPIError

from backend.api.together import LINGER, Together
from tests.backend.at_once import at_once


class Work:
    """Doubles numbers, slowly; a database that does not take 13, nor anything that comes with it."""

    def __init__(self):
        self.batches = []

    def __call__(self, numbers):
        self.batches.append(list(numbers))
        time.sleep(0.02)
        if 13 in numbers:
            raise DBAPIError("INSERT 13", None, ValueError("unlucky"))
        if 99 in numbers:
            raise ZeroDivisionError
        return [2 * number for number in numbers]


def test_everybody_gets_their_own_answer():
    together = Together(Work())
    assert at_once(*[lambda n=n: together(n) for n in range(12)]) == [2 * n for n in range(12)]


def test_who_comes_while_others_are_served_shares_the_next_transaction():
    work = Work()
    together = Together(work)
    at_once(*[lambda n=n: together(n) for n in range(12)])
    assert sum(map(len, work.batches)) == 12
    assert len(work.batches) <= 4


def test_one_that_the_database_does_not_take_hurts_nobody_else():
    together = Together(Work())
    answers = at_once(*[lambda n=n: together(n) for n in range(10, 16)])
    assert isinstance(answers[3], DBAPIError)
    assert [answer for answer in answers if isinstance(answer, int)] == [20, 22, 24, 28, 30]


def test_a_bug_is_told_to_all_whom_it_met_and_ends_nothing():
    together = Together(Work())
    with pytest.raises(ZeroDivisionError):
        together(99)
    assert together(1) == 2


def test_a_server_at_rest_waits_for_nobody(monkeypatch):
    work = Work()
    together = Together(work)
    waits = []
    monkeypatch.setattr("backend.api.together.time.sleep", waits.append)
    for number in range(12):
        together(number)
    assert [len(batch) for batch in work.batches] == [1] * 12
    assert all(seconds > LINGER for seconds in waits), "only the work itself took its time"


def test_nothing_is_answered_before_it_is_done():
    done = threading.Event()

    def work(numbers):
        time.sleep(0.05)
        done.set()
        return numbers

    Together(work)(1)
    assert done.is_set()
