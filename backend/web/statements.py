"""A user's own statements: as pages, and as files to keep."""

import csv
import io
import json

from flask import Response, render_template
from flask.typing import ResponseReturnValue

from backend import statements as st
from backend.context import clock, config, session
from backend.errors import NotFound
from backend.period import following, is_period, is_year, period_of
from backend.web.base import blueprint, signed_in, user

MOST_LINES = 100  # of one movement on a page; the files have all


@blueprint.get("/statements")
@signed_in
def statements() -> ResponseReturnValue:
    """The months and years there are."""
    return render_template("reader/statements.html", months=st.months(session(), user(), now=clock()))


@blueprint.get("/statements/<name>")
@signed_in
def statement(name: str) -> ResponseReturnValue:
    """A month or a year of the user who is signed in; with ``.csv`` or ``.json`` after it, as a file."""
    named, _, form = name.partition(".")
    found = _found(named)
    if form == "csv":
        text = io.StringIO()
        csv.writer(text).writerows(found.rows())
        return _file(text.getvalue(), name, "text/csv")
    if form == "json":
        return _file(json.dumps(found.as_json()), name, "application/json")
    if form or "." in name:
        raise NotFound
    if isinstance(found, st.Year):
        return render_template("reader/year.html", found=found)
    later = following(named)
    return render_template(
        "reader/statement.html",
        found=found,
        is_open=named == period_of(clock()),
        most=MOST_LINES,
        pages_gone=st.PAGES_GONE,
        earlier=following(named, -1),
        later=later if later <= period_of(clock()) else None,
    )


def _found(named: str) -> st.Statement | st.Year:
    if not (is_year(named) or is_period(named)) or named > period_of(clock()):
        raise NotFound
    if is_year(named):
        return st.year(session(), user(), named, config().currency, now=clock())
    return st.statement(session(), user(), named, config().currency)


def _file(text: str, name: str, media_type: str) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="flattr-{name}"'}
    return Response(text, headers=disposition, content_type=f"{media_type}; charset=utf-8")
