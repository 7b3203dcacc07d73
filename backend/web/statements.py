"""A user's own statements: as pages, and as files to keep."""

import csv
import io
import json

from flask import render_template
from flask.typing import ResponseReturnValue

from backend import statements as st
from backend.context import clock, config, session
from backend.errors import NotFound
from backend.period import is_period, is_year, period_of
from backend.web.base import download, signed_in, user

MOST_LINES = 100  # of one movement on a page; the files have all


@signed_in.get("/statements")
def statements() -> ResponseReturnValue:
    """The months and years there are."""
    return render_template("reader/statements.html", months=st.months(session(), user(), now=clock()))


@signed_in.get("/statements/<name>")
def statement(name: str) -> ResponseReturnValue:
    """A month or a year of the user who is signed in; with ``.csv`` or ``.json`` after it, as a file."""
    named, dot, form = name.partition(".")
    found = _found(named)
    if form == "csv":
        text = io.StringIO()
        csv.writer(text).writerows(found.rows())
        return download(text.getvalue(), f"flattr-{name}", "text/csv; charset=utf-8")
    if form == "json":
        return download(json.dumps(found.as_json()), f"flattr-{name}", "application/json; charset=utf-8")
    if dot:
        raise NotFound
    if isinstance(found, st.Year):
        return render_template("reader/year.html", found=found)
    is_open = named == period_of(clock())
    return render_template("reader/statement.html", found=found, is_open=is_open, most=MOST_LINES)


def _found(named: str) -> st.Statement | st.Year:
    if not (is_year(named) or is_period(named)) or named > period_of(clock()):
        raise NotFound
    if is_year(named):
        return st.year(session(), user(), named, config().currency, now=clock())
    return st.statement(session(), user(), named, config().currency)
