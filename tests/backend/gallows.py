"""Settlements in processes of their own, killed with SIGKILL before a statement, load or commit of one's choice."""

import os
import signal
import time
from datetime import UTC, datetime
from multiprocessing import get_context

import sqlalchemy as sa

from backend import bulk, db, settlement
from backend.errors import AnotherRun
from backend.settlement import Terms
from tests.backend.town import WORLD

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.backend.gallows"])
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


def settle(url, period="2026-10", terms=WITH_FEE, *, chunk=2, at=None):
    """Settle a database in another process: how many steps that took and the result, or None where it was killed."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_settle, args=(url, chunk, period, terms, at, theirs))
    process.start()
    theirs.close()
    process.join(60)
    if process.exitcode == -signal.SIGKILL:
        return None
    assert process.exitcode == 0, "the settlement failed: see above"
    return ours.recv()


def settle_again(sessions, period="2026-10", terms=WITH_FEE):
    """Settle after a kill. PostgreSQL needs a moment to see that the other side of a connection is gone."""
    for _ in range(200):
        try:
            return settlement.settle(sessions, period, terms, WORLD, now=NOW)
        except AnotherRun:
            time.sleep(0.02)
    raise AssertionError("the killed settlement still holds its lock")
