"""Flattring without the extension: a page that asks, and a button that does; for bookmarks, phones, other programs."""

import re
from datetime import timedelta
from urllib.parse import quote

from flask import Response, g, render_template, request
from flask.typing import ResponseReturnValue

from backend import checks, claims, clicks, sites
from backend.context import clock, config, limit, session, world
from backend.errors import NotFlattrable, NotFound
from backend.period import following, period_of
from backend.urls import canonical
from backend.web.base import blueprint, done, to_sign_in, user

_URL = re.compile(r"https?://\S+")
_DAY = timedelta(days=1)


@blueprint.get("/flattr")
def ask_to_flattr() -> ResponseReturnValue:
    """The page that is meant, who would get it, and one button; looking at it changes nothing.

    Phones share a text with the address somewhere in it.
    """
    url, title = _meant(), request.args.get("title", "")[:300]
    if not url:
        return render_template("reader/flattr.html", url="", answer=None)
    if g.user is None:
        return to_sign_in(_path(url, title))
    try:
        canonical(url, dev=config().dev)
    except NotFlattrable as refusal:
        return render_template("reader/flattr.html", url=url, answer=None, why=str(refusal)), 422
    answer = clicks.explain(session(), url, now=clock(), reader=user(), dev=config().dev)
    return render_template("reader/flattr.html", url=url, title=title, answer=answer)


@blueprint.post("/flattr")
def flattr_now() -> ResponseReturnValue:
    """Put the page on the reader's list."""
    url, title = request.form.get("url", ""), request.form.get("title", "")[:300]
    if g.user is None:
        return to_sign_in(_path(url, title))
    facts = clicks.PageFacts(url, title=title or None)
    click, is_new = clicks.record(session(), user(), facts, now=clock(), dev=config().dev)
    if is_new:
        limit(f"clicks:{user().id}", clicks.MOST_A_DAY, _DAY)
        checks.consider(session(), click, None, world(), now=clock())
    said = [] if is_new else ["It was on your list already."]
    return done(_path(click.url, ""), *said)


def _meant() -> str:
    """The address in `url`, or else the first one in what was shared."""
    if given := request.args.get("url", "").strip():
        return given if "://" in given else f"https://{given}"
    found = _URL.search(" ".join(request.args.get(name, "") for name in ("text", "title")))
    return found[0] if found else ""


def _path(url: str, title: str) -> str:
    return f"/flattr?url={quote(url, safe='')}" + (f"&title={quote(title, safe='')}" if title else "")


@blueprint.get("/badge/<path:name>.svg")
def badge(name: str) -> ResponseReturnValue:
    """An owner's 88 x 31 button. It counts who flattred the site last month, from three on, and nobody who sees it."""
    if sites.site_name(name, dev=config().dev) != name:
        raise NotFound
    site = sites.find(session(), name)
    claimed = site and not site.opted_out_at and claims.owner_now(session(), site, now=clock())
    count = clicks.supporters(session(), site, following(period_of(clock()), -1)) if site and claimed else 0
    drawn = render_template("public/badge.svg", count=count, most=clicks.MOST_COUNTED)
    response = Response(drawn, content_type="image/svg+xml")
    response.headers["Cache-Control"] = "public, max-age=3600"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.add_etag()
    return response.make_conditional(request)
