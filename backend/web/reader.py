"""A reader's pages: the month, the months before it, and statements as pages and as files to keep."""

import csv
import io
import json
from dataclasses import replace
from hashlib import sha256
from itertools import groupby

from flask import Response, g, render_template, request
from flask.typing import ResponseReturnValue

from backend import clicks, ledger, users
from backend import statements as st
from backend.context import charity_user, choices, clock, config, session
from backend.errors import InvalidRequest, NotFound
from backend.period import ends_at, following, is_period, is_year, period_of
from backend.web import show
from backend.web.base import (
    amount_typed,
    done,
    download,
    in_its_part,
    part_of,
    period_typed,
    signed_in,
    user,
    whole_number,
)

MOST_PROMISES = 300  # on the page; the export has all
MOST_LINES = 100  # of one movement on a page; the files have all


@signed_in.get("/month")
def month() -> ResponseReturnValue:
    """The list, what a share is worth, undo, and the budget. The page asks now and then whether it is still so."""
    now_open = period_of(clock())
    period = period_typed(request.args.get("period", now_open))
    found = clicks.month(session(), user(), period, now=clock())
    g.runs_script, version = found.state == "open", _version(found)
    if request.if_none_match.contains(version):
        return Response(status=304)
    return render_template(
        "reader/month.html",
        month=found,
        version=version,
        part=part_of(found.clicks),
        given=st.given(session(), user(), period) if found.state == "settled" else None,
        ends_at=ends_at(period),
        balance_micros=ledger.balance(session(), ledger.wallet(user().id)),
        latest=now_open,
        **decided(period),
    )


def decided(period: str) -> dict[str, object]:
    """What the reader decided for a month, and could."""
    budget_micros, empty_month = users.decision(session(), user().id, period)
    return {
        "budget_micros": budget_micros,
        "empty_month": empty_month,
        "choices": choices(),
        "repeat_owners": clicks.repeatable(session(), user(), period),
        "charity": charity_user(),
    }


def _version(found: clicks.Month) -> str:
    """Another one whenever the list, whom it goes to, or what a share is worth is another."""
    rows = [(c.page_id, c.title, c.rule, c.thanks, c.owner and (c.owner.id, c.owner.name)) for c in found.clicks]
    return sha256(repr((replace(found, clicks=[]), rows)).encode()).hexdigest()


@signed_in.post("/month/empty")
def empty_month() -> ResponseReturnValue:
    """What becomes of a month in which nobody is flattred."""
    choice = request.form.get("choice", "")
    if choice not in choices():
        raise InvalidRequest("Please choose one of the offered ways.")
    users.set_empty_month(session(), user(), choice, now=clock())
    return done(_form(), "Saved. It holds for this month and those to come.")


@signed_in.post("/month/undo")
def undo() -> ResponseReturnValue:
    """Take a click back."""
    page_id = whole_number(request.form.get("page_id", ""))
    clicks.undo(session(), user(), page_id, request.form.get("period", ""), now=clock())
    return done(in_its_part("/month"), "Taken back.")


@signed_in.post("/month/budget")
def budget() -> ResponseReturnValue:
    """What a month is worth from now on."""
    amount = amount_typed(request.form.get("budget", ""))
    users.set_budget(session(), user(), amount, now=clock())
    return done(_form(), f"A month is worth {show.money(amount)} to you now.")


def _form() -> str:
    return "/settings" if request.form.get("from") == "settings" else "/month"


@signed_in.get("/history")
def history() -> ResponseReturnValue:
    """What each month came to, and what became of promises."""
    latest = following(period_of(clock()), -1)
    last = period_typed(request.args.get("period", latest))
    periods = show.last_months(last)
    given = st.given_over(session(), user(), periods)
    charged = dict.fromkeys(periods, 0) | {share.period: share.share_micros * share.owners for share in given}
    return render_template(
        "reader/history.html",
        last=last,
        charged=charged,
        promises=part_of(list(clicks.promises_of(session(), user(), now=clock(), limit=MOST_PROMISES))),
        earlier=following(periods[0], -1),
        later=min(following(last, show.MONTHS), latest) if last < latest else None,
    )


@signed_in.post("/history/withdraw")
def withdraw() -> ResponseReturnValue:
    """Take back a promise that still waits."""
    was_there = clicks.withdraw(session(), user(), whole_number(request.form.get("page_id", "")))
    said = "Withdrawn. The promise cost nothing and never will." if was_there else "It was withdrawn already."
    return done(in_its_part("/history"), said)


@signed_in.get("/statements")
def statements() -> ResponseReturnValue:
    """The months and years there are."""
    by_year = groupby(st.months(session(), user(), now=clock()), lambda month: month[0][:4])
    return render_template("reader/statements.html", years={year: list(months) for year, months in by_year})


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
