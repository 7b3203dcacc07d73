"""Alembic's entry: brings the given database to the wanted version, in one transaction."""

import sqlalchemy as sa
from alembic import context

from backend import access, claims, clicks, config, db, deposits, jobs, ledger, limits, sites, users

TABLES_OF = (access, claims, clicks, deposits, jobs, ledger, limits, sites, users)

engine: sa.Engine = context.config.attributes.get("engine") or db.make_engine(config.from_environment().database_url)
with engine.connect().execution_options(flattr_writing=True) as connection, connection.begin():
    context.configure(connection=connection, target_metadata=db.Base.metadata, render_as_batch=False)
    context.run_migrations()
