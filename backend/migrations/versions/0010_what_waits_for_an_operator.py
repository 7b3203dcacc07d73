"""Indexes of what waits for an operator: it is asked for on each visit to the desk, among millions that do not"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    for name, table, columns, condition in (
        ("claims_contested_idx", "claims", ["doubtful_at", "id"], "state = 'contested'"),
        ("looks_needs_operator_idx", "looks", ["site_id"], "code = 'needs_operator'"),
        ("jobs_failed_idx", "jobs", ["due_at", "id"], "tries > 1"),
    ):
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
