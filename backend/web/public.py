"""What Flattr is, and signing in."""

import re
from datetime import timedelta

from flask import g, render_template, request
from flask.typing import ResponseReturnValue

from backend import access, checks, claims, clicks, ledger, mail, platforms, sites, users
from backend.context import clock, config, limit, session, world
from backend.errors import NotFound
from backend.money import MICROS, parse_amount
from backend.period import following, period_of
from backend.web import errors
from backend.web.base import blueprint, cookie_name, done, part_of, signed_in, user

MOST_PEOPLE = 1_000  # in the example
MOST_SITES = 300  # on one page of a person's


@blueprint.get("/")
def home() -> ResponseReturnValue:
    """What Flattr is, with the split to try out."""
    budget_micros = min(request.args.get("budget", 5 * MICROS, type=parse_amount), users.MAX_BUDGET_MICROS)
    typed = request.args.get("people", "")
    people = min(max(int(typed), 1), MOST_PEOPLE) if re.fullmatch(r"\d{1,9}", typed, re.ASCII) else 5
    share_micros = ledger.even_share(budget_micros, people)
    return render_template(
        "public/home.html",
        budget_micros=budget_micros,
        people=people,
        share_micros=share_micros,
        dust_micros=budget_micros - share_micros * people,
    )


@blueprint.get("/<any('for-owners', 'for-operators', 'privacy'):name>")
@blueprint.get("/without", defaults={"name": "without"})
def about(name: str) -> ResponseReturnValue:
    """What makers of sites and operators want to know, what is known of whom, and how to do without the extension."""
    return render_template(f"public/{name}.html")


@blueprint.get("/months")
def months() -> ResponseReturnValue:
    """The months that were settled."""
    return render_template("public/months.html", part=part_of(clicks.settled(session())))


@blueprint.get("/months/<period>")
def settled_month(period: str) -> ResponseReturnValue:
    """What a settled month came to, and how to check it."""
    found = clicks.settled(session(), period)
    if not found:
        raise NotFound("This month was not settled here.")
    return render_template("public/settled_month.html", month=found[0])


@blueprint.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    """Ask for the address."""
    return render_template("public/sign_in.html", next_path=request.args.get("next", "/month"))


@blueprint.post("/sign-in")
def send_link() -> ResponseReturnValue:
    """Mail a link; the same answer for known and unknown addresses."""
    address = users.normal_address(request.form.get("email", ""))
    limit(f"sign-in:{request.remote_addr}", 5, timedelta(hours=1))
    limit(f"sign-in:{address}", 5, timedelta(hours=1))
    token = access.new_link(session(), address, now=clock(), next_path=request.form.get("next", "/month"))
    session().commit()
    text = f"Sign in to Flattr:\n\n{config().base_url}/sign-in/{token}\n\nThe link works once, for 15 minutes.\n"
    try:
        mail.send(config(), address, "Sign in to Flattr", text)
    except OSError:
        return errors.page("The mail could not be sent. Please try again in a few minutes.", 503)
    return render_template("public/link_sent.html", address=address)


@blueprint.get("/sign-in/<token>")
def confirm_link(token: str) -> ResponseReturnValue:
    """Show a button: mail scanners follow links, people press buttons."""
    return render_template("public/confirm.html", token=token)


@blueprint.post("/sign-in/<token>")
def use_link(token: str) -> ResponseReturnValue:
    """Sign in."""
    limit(f"sign-ins:{request.remote_addr}", 60, timedelta(hours=1))
    found, path = access.use_link(session(), token, now=clock())
    if old := request.cookies.get(cookie_name()):
        access.sign_out(session(), old)
    secret = access.sign_in(session(), found, now=clock())
    response = done(path)
    age = int(access.SESSION_LIFE.total_seconds())
    response.set_cookie(cookie_name(), secret, max_age=age, secure=config().secure, httponly=True, samesite="Lax")
    return response


@signed_in.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End this sign-in, or all of them."""
    if request.form.get("everywhere"):
        access.sign_out_everywhere(session(), user())
    else:
        access.sign_out(session(), request.cookies.get(cookie_name(), ""))
    g.user, response = None, done("/")
    response.delete_cookie(cookie_name(), secure=config().secure, httponly=True, samesite="Lax")
    return response


@blueprint.get("/u/<public_id>")
def person(public_id: str) -> ResponseReturnValue:
    """A user's page: what a rel=me link on a profile elsewhere leads to."""
    found = users.by_public_id(session(), public_id)
    if found is None:
        raise users.NoSuchUser("There is nobody with this id.")
    part = part_of(claims.sites_of_user(session(), found), MOST_SITES)
    return render_template("public/person.html", person=found, part=part)


@blueprint.get("/s/<path:name>")
def site_page(name: str) -> ResponseReturnValue:
    """A site's page: what readers send to its owner. It says who gets what is flattred there, or how to.

    Whether somebody ever pressed on a site is nobody's business: one that nobody knows has the same page.
    """
    if sites.site_name(name, dev=config().dev) != name:
        raise NotFound
    site = sites.find(session(), name) or sites.Site(name=name)
    owner = None if site.opted_out_at else claims.owner_now(session(), site, now=clock())
    waits = owner is None and not site.opted_out_at
    said = users.thanks_of(session(), owner.id) if owner else None
    last = following(period_of(clock()), -1)
    return render_template(
        "public/site.html",
        site=site,
        owner=owner,
        said=said,
        last=last,
        supporters=clicks.supporters(session(), site, last) if said and said.shows_supporters and site.id else 0,
        promises=clicks.promising(session(), site, period_of(clock()))[0] if waits else 0,
        is_account=platforms.is_account(site.name),
        is_shared=platforms.is_shared(site.name),
    )


@blueprint.route("/not-me/<token>", methods=["GET", "POST"])
def not_me(token: str) -> ResponseReturnValue:
    """A claim that somebody was told of is not theirs, or not right; a button first, as for signing in."""
    site = None
    if request.method == "POST":
        site = checks.not_me(session(), token, world(), now=clock())
        session().commit()
    return render_template("public/not_me.html", token=token, site=site)
