"""Alembic's entry: brings the given database to the wanted version, in one transaction."""

import sqlalchemy as sa
from alembic import context

# All modules that have tables, so that Alembic sees them.
from backend import (  # noqa: F401
    access,
    auditlog,
    card_money,
    claims,
    clicks,
    config,
    db,
    jobs,
    ledger,
    limits,
    notices,
    runs,
    sites,
    users,
)
from backend.deposits import reversals  # noqa: F401
from backend.payouts import batches  # noqa: F401

engine: sa.Engine = context.config.attributes.get("engine") or db.make_engine(config.from_environment().database_url)
with engine.connect().execution_options(flattr_writing=True) as connection:
    driver = connection.connection.dbapi_connection
    on_sqlite = engine.dialect.name == "sqlite"
    if on_sqlite:  # tables that are made anew are still meant by the foreign keys of others
        driver.execute("PRAGMA foreign_keys=OFF")
        driver.execute("PRAGMA legacy_alter_table=ON")
    with connection.begin():
        context.configure(connection=connection, target_metadata=db.Base.metadata, render_as_batch=False)
        context.run_migrations()
        if on_sqlite:
            assert not connection.exec_driver_sql("PRAGMA foreign_key_check").all(), "a row lost what it refers to"
    if on_sqlite:
        driver.execute("PRAGMA legacy_alter_table=OFF")
        driver.execute("PRAGMA foreign_keys=ON")
