"""Months of any size to settle, on either database: readers with wallets, owners with claimed sites, and clicks."""

from datetime import UTC, datetime

import numpy as np
import sqlalchemy as sa

from backend import bulk, clicks
from backend.clicks import Click

PERIOD, NUMBER = "2026-10", 202610
ENDED = datetime(2026, 11, 1, tzinfo=UTC)
CLICKS_PER_READER = 30
UNOWNED = 50  # one click in so many is on a site that nobody has claimed
BATCH = 1_000_000
ROWS = """
INSERT INTO users (id, public_id, email, name, is_operator, created_at)
SELECT n, {id}, 'user' || n || '@example.org', 'user' || n, {no}, {made} FROM ({numbers}) x;
INSERT INTO accounts (id, kind, user_id, balance_micros)
SELECT n * 8 + 4, 4, n, 20000000 FROM ({numbers}) x WHERE n <= {readers} UNION ALL SELECT 0, 0, 0, {paid_in};
INSERT INTO deposits (id, user_id, reference, amount_micros, at, source)
SELECT n, n, 'bank ' || n, 20000000, {made}, 'operator' FROM ({numbers}) x WHERE n <= {readers};
INSERT INTO transfers (code, about, account_id, debit_account_id, credit_account_id, amount_micros, at)
SELECT 'deposit', CAST(n AS VARCHAR(20)), n * 8 + 4, 0, n * 8 + 4, 20000000, {made}
FROM ({numbers}) x WHERE n <= {readers};
INSERT INTO sites (id, name) SELECT n, 'site' || n || '.example.org' FROM ({numbers}) x;
INSERT INTO claims (id, site_id, user_id, state, method, token, token_at, created_at, verified_at, proved_at, failed)
SELECT n, n, {readers} + n, 'verified', 'tag', {id}, {made}, {made}, {made}, {made}, 0
FROM ({numbers}) x WHERE n <= {owners};
INSERT INTO pages (id, url, site_id, title)
SELECT n * 2 + p, 'https://site' || n || '.example.org/' || p, n, 'Page ' || p
FROM ({numbers}) x, (SELECT 0 AS p UNION SELECT 1) y
"""
SEQUENCE = "SELECT setval(pg_get_serial_sequence('{0}', 'id'), (SELECT MAX(id) FROM {0}))"


def build(sessions, readers, owners=None, seed=1):
    """Fill an empty database with a month that has ended; how many clicks it has.

    Sites are liked unevenly, as in life: half of all clicks go to a sixteenth of them.
    """
    owners = owners or readers * 92 // 100
    with sessions.begin() as session:
        on_postgresql = bulk.on_postgresql(session)
        last = max(readers + owners, owners + owners // UNOWNED + 1)
        numbers = f"SELECT n FROM generate_series(1, CAST({last} AS BIGINT)) n"
        if not on_postgresql:
            numbers = (
                f"WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s"
            )
        made = "TIMESTAMP '2026-09-01'" if on_postgresql else "'2026-09-01 00:00:00.000000'"
        id_ = "substr(CAST(1000000000000 + n AS VARCHAR(13)), 2, 12)"
        no = "FALSE" if on_postgresql else "0"
        filled = ROWS.format(
            numbers=numbers,
            made=made,
            id=id_,
            no=no,
            readers=readers,
            owners=owners,
            paid_in=-20_000_000 * readers,
        )
        for statement in filled.split(";"):
            session.connection().exec_driver_sql(statement)
        clicks.ensure_period(session, PERIOD)
    count = 0
    for table, columns in listed(readers, owners, seed):
        with sessions.begin() as session:
            write(session, table, columns)
        count += columns["reader_id"].size
    with sessions.kw["bind"].connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if on_postgresql:
            connection.exec_driver_sql("VACUUM ANALYZE")
            for table in ("users", "sites", "pages", "claims", "deposits"):
                connection.exec_driver_sql(SEQUENCE.format(table))
    return count


def listed(readers, owners, seed):
    """The clicks, in the order in which they came: readers in any order."""
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(1, readers + 1, dtype=np.int64), CLICKS_PER_READER)
    site = (owners * random.random(who.size) ** 4).astype(np.int64) + 1
    unowned = random.random(who.size) < 1 / UNOWNED
    site[unowned] = owners + 1 + random.integers(0, owners // UNOWNED + 1, np.count_nonzero(unowned))
    packed = np.unique((who << 32) | (site * 2 + random.integers(0, 2, who.size)))
    random.shuffle(packed)
    for at in range(0, packed.size, BATCH):
        part = packed[at : at + BATCH]
        page = part & 0xFFFFFFFF
        yield Click.__table__, {"period": NUMBER, "reader_id": part >> 32, "page_id": page, "site_id": page // 2}


def write(session, table, columns):
    """Insert clicks, all accepted in the middle of the month."""
    staged = bulk.working_table("staged_clicks", *columns)
    bulk.fill(session, staged, columns)
    at = sa.literal(datetime(2026, 10, 15, tzinfo=UTC), table.c.accepted_at.type)
    names = [*columns, "clicked_at", "accepted_at"]
    session.execute(sa.insert(table).from_select(names, sa.select(*staged.c, at, at)))
