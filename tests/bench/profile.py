"""Where the time of settling and of presses goes: `make profile` prints it, READERS sets the size.

PostgreSQL says what it spent on each statement, and the system how long each process was at work.
"""

import os
import time
from contextlib import contextmanager
from types import SimpleNamespace

import psutil
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from backend import db
from tests.bench import serving, settling

STATEMENTS = sa.text("""
    SELECT query, calls, microseconds FROM (
      SELECT regexp_replace(query, '\\s+', ' ', 'g') AS query, calls, total_exec_time * 1000 AS microseconds,
        SUM(total_exec_time * 1000) OVER () AS of_all
      FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS asked WHERE microseconds > of_all / 100 ORDER BY microseconds DESC
""")
screen = Console(width=160, highlight=False)


@contextmanager
def watched(engine, program):
    """Microseconds that go by until this ends, and that PostgreSQL, our *program* and clients are at work meanwhile."""

    def now():
        clients = os.times()
        return [time.perf_counter(), at_work(postgres()), at_work(program), clients[2] + clients[3]]

    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        connection.exec_driver_sql("SELECT pg_stat_statements_reset()")
    spent, start = SimpleNamespace(), now()
    yield spent
    spent.passed, spent.database, spent.program, spent.clients = (
        (after - before) * 1e6 for before, after in zip(start, now(), strict=True)
    )
    with engine.connect() as connection:
        spent.statements = connection.execute(STATEMENTS).all()


def postgres():
    """The process from which all others of this PostgreSQL come."""
    return psutil.Process(int((settling.server().data / "postmaster.pid").read_text().split()[0]))


def at_work(process):
    """Seconds at work of a process and of all that it started, whether they have ended or not."""
    return sum(sum(one.cpu_times()[:4]) for one in [process, *process.children(recursive=True)])


def show(title, spent, count, **program):
    """Microseconds for each of *count*, and every statement on which PostgreSQL spent a hundredth of its own."""
    idle = psutil.cpu_count() * spent.passed - sum(program.values()) - spent.database
    parts = {"PostgreSQL": spent.database, **program, "nobody (all cores)": idle}
    table = Table("microseconds each", "who or what", "calls", title=f"{title}: {count}", title_justify="left")
    for name, total in parts.items():
        table.add_row(f"{total / count:.2f}", name)
    table.add_section()
    for statement, calls, total in spent.statements:
        table.add_row(f"{total / count:.2f}", statement[:110], str(calls))
    screen.print(table)


def settle():
    """A month, for each of its clicks."""
    with settling.server().month(settling.READERS) as engine:
        with engine.connect() as connection:
            clicks = connection.exec_driver_sql("SELECT COUNT(*) FROM clicks").scalar_one()
        with watched(engine, psutil.Process()) as spent:
            settling.settle(engine)
    show("Settling a month, clicks", spent, clicks, **{"the program": spent.program})


def press():
    """Presses over HTTP, and the rows that pgbench inserts."""
    readers, sites = settling.READERS, settling.READERS * 92 // 100
    with settling.server().month(readers) as engine:
        sessions, url = db.session_maker(engine), engine.url.render_as_string(hide_password=False)
        serving.give_tokens(sessions, tokens := min(readers, 50_000))
        with serving.serving(url, folder := settling.server().folder) as address:
            [server] = [one for one in psutil.Process().children() if "serve" in one.cmdline()]
            serving.presses_per_second(address, folder, tokens, sites, seconds=3)
            with watched(engine, server) as spent:
                rate, _ = serving.presses_per_second(address, folder, tokens, sites)
        show("Presses", spent, round(rate * serving.SECONDS), server=spent.program, wrk=spent.clients)
        with watched(engine, psutil.Process()) as spent:
            rate = serving.inserts_per_second(url, folder, readers, sites, sessions)
        show("Rows that pgbench inserts", spent, round(rate * serving.SECONDS), pgbench=spent.clients)


if __name__ == "__main__":
    settling.SETTINGS |= {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all"}
    settle()
    press()
