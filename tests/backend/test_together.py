"""What comes in together is done together, and answered one by one."""

import asyncio
import threading
import time
from itertools import chain

from sqlalchemy.exc import DBAPIError

from backend.api.together import Together


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


def ask(together, *numbers, one_by_one=False):
    """The answers to these, asked at the same moment or one after the other; or what went wrong."""

    async def asking():
        if one_by_one:
            return [await together(number) for number in numbers]
        return await asyncio.gather(*map(together, numbers), return_exceptions=True)

    return asyncio.run(asking())


def test_everybody_gets_their_own_answer():
    together = Together(Work())
    assert ask(together, *range(12)) == [2 * n for n in range(12)]


def test_who_comes_while_others_are_served_shares_the_next_transaction():
    work = Work()
    together = Together(work)

    async def coming():
        asking = []
        for number in range(12):
            asking.append(asyncio.ensure_future(together(number)))
            await asyncio.sleep(0.002)
        await asyncio.gather(*asking)

    asyncio.run(coming())
    assert list(chain(*work.batches)) == list(range(12))
    assert len(work.batches) <= 6


def test_who_goes_away_hurts_nobody_else():
    together = Together(Work())

    async def leaving():
        asking = [asyncio.ensure_future(together(number)) for number in range(3)]
        await asyncio.sleep(0.005)
        asking[1].cancel()
        return await asyncio.gather(*asking, together(4), return_exceptions=True)

    answers = asyncio.run(leaving())
    assert isinstance(answers.pop(1), asyncio.CancelledError)
    assert answers == [0, 4, 8]


def test_one_that_the_database_does_not_take_hurts_nobody_else():
    together = Together(Work())
    answers = ask(together, *range(10, 16))
    assert isinstance(answers[3], DBAPIError)
    assert [answer for answer in answers if isinstance(answer, int)] == [20, 22, 24, 28, 30]


def test_a_bug_is_told_to_all_whom_it_met_and_ends_nothing():
    together = Together(Work())
    assert [type(answer) for answer in ask(together, 99, 1)] == [ZeroDivisionError] * 2
    assert ask(together, 1) == [2]


def test_a_server_at_rest_waits_for_nobody(monkeypatch):
    work = Work()
    together = Together(work)
    monkeypatch.setattr("backend.api.together.asyncio.sleep", None)  # nobody may be waited for
    assert ask(together, *range(12), one_by_one=True) == [2 * n for n in range(12)]
    assert [len(batch) for batch in work.batches] == [1] * 12


def test_nothing_is_answered_before_it_is_done():
    done = threading.Event()

    def work(numbers):
        time.sleep(0.05)
        done.set()
        return numbers

    assert ask(Together(work), 1) == [1]
    assert done.is_set()
