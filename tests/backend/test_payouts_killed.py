"""Payouts killed with SIGKILL before any statement or commit: done or not done, and run again they pay once."""

import signal

import pytest
import sqlalchemy as sa

from backend import audit, db
from backend.auditlog import Entry
from backend.errors import AnotherRun
from backend.jobs import Job
from backend.ledger import Account, Transfer
from backend.payouts import batches, refunds, returned
from backend.payouts.tables import Batch, Payout, PayoutDetails
from backend.users import User
from tests.backend import office as offices
from tests.backend.books import Copies
from tests.backend.gallows import PROCESSES, Gallows
from tests.backend.office import DEBTOR, TERMS

STEPS = ("prepare", "approve", "confirm", "fail", "cancel", "request")


def take(sessions, step, ids):
    """One step of payouts, as the command takes it."""
    if step == "prepare":
        return batches.prepare(sessions, TERMS, now=ids["now"])
    with sessions.begin() as session:
        if step == "approve":
            olga, digest = session.get_one(User, ids["olga"]), session.get_one(Batch, ids["batch"]).digest.hex()
            return batches.approve(session, ids["batch"], olga, digest, DEBTOR, now=ids["now"])
        if step == "fail":
            return returned.fail(session, ids["payout"], "EUR", now=ids["now"])
        if step == "request":
            carl = session.get_one(User, ids["carl"])
            return refunds.waiting(session, carl) or refunds.request(session, carl, "EUR", now=ids["now"])
        return getattr(batches, step)(session, ids["batch"], now=ids["now"])


def _run(url, step, ids, at, answer):
    engine = db.make_engine(url)
    sessions = db.session_maker(engine)
    with sessions() as session:
        session.connection()  # what a connection asks when it opens is not counted
    gallows = Gallows(engine, at)
    take(sessions, step, ids)
    answer.send(gallows.count)


def killed(url, step, ids, at=None):
    """Take a step in a process of its own: how many statements that took, or None where it was killed."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_run, args=(url, step, ids, at, theirs))
    process.start()
    theirs.close()
    process.join(60)
    if process.exitcode == -signal.SIGKILL:
        return None
    assert process.exitcode == 0, f"{step} failed: see above"
    return ours.recv()


def told(sessions):
    """All that a step changes, without the numbers: on PostgreSQL those that were given to a killed run are gone."""
    with sessions() as session:
        assert audit.problems(session, full=True) == []
        return [
            sorted(map(str, session.execute(sa.select(*columns))))
            for columns in (
                (Account.id, Account.balance_micros),
                (Transfer.code, Transfer.account_id, Transfer.amount_micros),
                (Batch.state, Batch.payouts, Batch.total_micros, Batch.approved_by, Batch.file.is_(None)),
                (
                    Payout.user_id,
                    Payout.purpose,
                    Payout.state,
                    Payout.amount_micros,
                    Payout.iban,
                    Payout.batch_id.is_(None),
                ),
                (PayoutDetails.user_id, PayoutDetails.returned_at),
                (Entry.action, Entry.actor_id),
                (Job.kind, Job.key),
            )
        ]


@pytest.fixture(params=STEPS)
def story(request, sessions, monkeypatch, engine):
    """A database in which the step comes next: its ids."""
    town = offices.payday(offices.office(sessions, monkeypatch))
    town.person("Carl")
    town.from_bank("Carl", "7.00")
    ids = {"olga": town.people["Olga"].id, "carl": town.people["Carl"].id, "batch": 1, "payout": 1, "now": town.now}
    if request.param in ("approve", "cancel"):
        town.prepare()
    elif request.param in ("confirm", "fail"):
        batch = town.exported()
        if request.param == "fail":
            town.act("confirm", batch.id)
    engine.dispose()
    return request.param, ids


def again(sessions, step, ids):
    """PostgreSQL needs a moment to see that the other side of a connection is gone."""
    for _ in range(500):
        try:
            return take(sessions, step, ids)
        except AnotherRun:
            pass
    raise AssertionError("the killed run still holds its lock")


def test_killed_before_any_statement_a_step_was_taken_or_not_and_again_it_is_taken_once(
    story, engine, tmp_path, request, long
):
    step, ids = story
    admin = request.getfixturevalue("postgres")[0] if engine.dialect.name == "postgresql" else None
    copies = Copies(engine, tmp_path, admin)

    def after(*ats):
        """What there is after the step was killed at this statement, and after it was taken again."""
        copy = copies.new()
        url = copy.render_as_string(hide_password=False)
        for at in ats:
            assert killed(url, step, ids, at) is None
        here = db.make_engine(url)
        between = told(db.session_maker(here))
        again(db.session_maker(here), step, ids)
        found = told(db.session_maker(here))
        here.dispose()
        copies.drop(copy)
        return between, found

    copy = copies.new()
    count = killed(copy.render_as_string(hide_password=False), step, ids)
    copies.drop(copy)
    before, whole = after()
    assert count > 2
    assert before != whole
    every = range(1, count + 1) if long else {1, 2, count // 3, count // 2, count - 1, count}
    for at in sorted(every):
        between, found = after(at)
        assert between in (before, whole), f"{step} was half done when it was killed at {at} of {count}"
        assert found == whole
