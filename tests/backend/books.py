"""Whole databases, to compare and to copy."""

import itertools
import shutil
from pathlib import Path

import sqlalchemy as sa

from backend.db import Base

_numbers = itertools.count()


def dump(session, *, without=()):
    """Every row of every table, as text, table by table."""
    return {
        table.name: sorted(str(tuple(row)) for row in session.execute(sa.select(*_told(table))))
        for table in Base.metadata.sorted_tables
        if table.name not in without
    }


def _told(table):
    """Its columns, but not the numbers of the log's entries: those that a killed transaction took stay taken."""
    return [column for column in table.c if (table.name, column.name) != ("audit_log", "id")]


class Copies:
    """Fresh copies of a database, made at the moment when this was; nobody may be connected to it then."""

    def __init__(self, engine, folder, admin=None):
        self.url, self.folder, self.admin = engine.url, Path(folder), admin
        self.name = self.url.database
        if not admin:
            self.name = shutil.copy(self.url.database, self.folder / "original.db")

    def new(self):
        """The URL of one more."""
        name = f"copy_{next(_numbers)}"
        if not self.admin:
            return self.url.set(database=str(shutil.copy(self.name, self.folder / f"{name}.db")))
        with self.admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {self.name} STRATEGY FILE_COPY")
        return self.url.set(database=name)

    def drop(self, url):
        if self.admin:
            with self.admin.connect() as connection:
                connection.exec_driver_sql(f"DROP DATABASE {url.database} WITH (FORCE)")
        else:
            for file in self.folder.glob(f"{Path(url.database).name}*"):
                file.unlink()
