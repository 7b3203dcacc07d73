"""What waits for an operator is found without looking at all that does not, on each visit to the desk."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend import claims, jobs, users
from backend.deposits import entries
from tests.backend.town import NOW

POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
MANY = """
    INSERT INTO sites (name) SELECT n || '.example.org' FROM generate_series(1, 20000) n;
    INSERT INTO claims (site_id, user_id, state, method, token, token_at, created_at, verified_at, doubtful_at, failed)
      SELECT id, {user}, s.state, 'tag', '', '{now}', '{now}',
        CASE WHEN s.state = 'pending' THEN NULL ELSE '{now}'::timestamptz END,
        CASE WHEN s.state = 'contested' THEN '{now}'::timestamptz END, 0
      FROM sites, LATERAL (SELECT CASE WHEN id % 1000 = 0 THEN 'contested' WHEN id % 2 = 0 THEN 'pending'
        ELSE 'verified' END AS state) s;
    INSERT INTO looks (site_id, at, method, code, evidence)
      SELECT id, '{now}', 'tag', CASE WHEN id % 1000 = 2 THEN 'needs_operator' ELSE 'no_tag' END, '{{}}' FROM sites;
    INSERT INTO jobs (kind, key, payload, due_at, tries)
      SELECT 'mail', n, '{{}}', '{now}', CASE WHEN n % 1000 = 0 THEN 5 ELSE 0 END FROM generate_series(1, 20000) n;
    INSERT INTO bank_entries (account, booked_on, amount_micros, content, state, at)
      SELECT 'DE', '2026-10-01', 1, int8send(n), CASE WHEN n % 1000 = 0 THEN 'unmatched' ELSE 'matched' END, '{now}'
      FROM generate_series(1, 20000) n
"""


@POSTGRESQL
def test_the_desk_looks_only_at_what_waits(session):
    user = users.add(session, "ann@example.org", now=NOW)
    for statement in MANY.format(user=user.id, now=NOW.isoformat()).split(";"):
        session.execute(sa.text(statement.replace(":", r"\:")))
    session.commit()
    session.execute(sa.text("ANALYZE"))
    asked = []
    sa.event.listen(session.get_bind(), "before_cursor_execute", lambda *said: asked.append(said[2:4]))
    found = [
        claims.contested(session, most=100),
        claims.to_review(session, most=100),
        entries.unmatched(session, most=100),
        jobs.stuck(session, now=NOW + timedelta(minutes=1), most=100),
    ]
    assert [len(rows) for rows in found] == [20] * 4
    plans = [
        session.connection().exec_driver_sql(f"EXPLAIN {query}", given).scalars().all() for query, given in tuple(asked)
    ]
    for plan in plans:
        whole = re.findall("Seq Scan on (claims|looks|bank_entries|jobs)", "\n".join(plan))
        assert not whole, "\n".join(plan)
    indexes = ("claims_contested", "looks_needs_operator", "bank_entries_state", "jobs_failed")
    assert [name in "\n".join(plan) for name, plan in zip(indexes, plans, strict=True)] == [True] * 4, plans
