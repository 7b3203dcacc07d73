"""Settlements and imports in processes of their own, killed before a statement, load or commit of one's choice."""

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import sqlalchemy as sa

from backend import bulk, db, jobs, retention, settlement
from backend.deposits import imports
from backend.errors import AnotherRun
from backend.settlement import Terms
from tests.backend.town import WORLD
from tests.processes import PROCESSES

WITH_FEE = Terms("EUR", 333)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Gallows:
    """Kills this process before its n-th statement, load or commit; counts them."""

    def __init__(self, engine, at):
        self.count, self.at, load = 0, at, bulk._copy
        sa.event.listen(engine, "before_cursor_execute", self.step)
        sa.event.listen(engine, "commit", self.step)
        bulk._copy = lambda *arguments: (self.step(), load(*arguments))

    def step(self, *_):
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def _settle(url, chunk, period, terms, at, answer):
    settlement.lists.READERS_PER_CHUNK = chunk
    engine = db.make_engine(url)
    gallows = Gallows(engine, at)
    result = settlement.settle(db.session_maker(engine), period, terms, WORLD, now=NOW, workers=1)
    answer.send((gallows.count, result))


def _book(url, file, iban, now, at, answer):
    engine = db.make_engine(url)
    gallows = Gallows(engine, at)
    told = imports.import_file(db.session_maker(engine), file, iban=iban, currency="EUR", now=now)
    answer.send((gallows.count, told.imported))


def _forget(url, now, at, answer):
    retention.READERS = 2
    engine = db.make_engine(url)
    sessions, gallows = db.session_maker(engine), Gallows(engine, at)
    handlers = {"forget": partial(retention.forget, sessions, now=now), "mail": print, "look": print}
    for today in (now, now + timedelta(days=1)):  # a job that was at work when its worker was killed comes due again
        retention.begin_due(sessions, now=today)
        jobs.work(sessions, handlers, lambda today=today: today)
    answer.send(gallows.count)


def forget(url, now, *, at=None):
    """Forget what is old in another process: how many steps that took, or None where it was killed."""
    return _in_a_process(_forget, url, now, at)


def settle(url, period="2026-10", terms=WITH_FEE, *, chunk=2, at=None):
    """Settle a database in another process: how many steps that took and the result, or None where it was killed."""
    return _in_a_process(_settle, url, chunk, period, terms, at)


def book(url, file, iban, now, *, at=None):
    """Import a bank statement in another process: the steps and the deposits, or None where it was killed."""
    return _in_a_process(_book, url, file, iban, now, at)


def _in_a_process(act, *arguments):
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=act, args=(*arguments, theirs))
    process.start()
    theirs.close()
    process.join(60)
    if process.exitcode == -signal.SIGKILL:
        return None
    assert process.exitcode == 0, "it failed: see above"
    return ours.recv()


def settle_again(sessions, period="2026-10", terms=WITH_FEE):
    """Settle after a kill. PostgreSQL needs a moment to see that the other side of a connection is gone."""
    for _ in range(200):
        try:
            return settlement.settle(sessions, period, terms, WORLD, now=NOW)
        except AnotherRun:
            time.sleep(0.02)
    raise AssertionError("the killed settlement still holds its lock")
