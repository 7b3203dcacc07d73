"""An owner's pages: the sites, how they are proven, their authors, and what they brought."""

from flask import render_template, request
from flask.typing import ResponseReturnValue

from backend import checks, claims, clicks, jobs, platforms, users
from backend import statements as st
from backend.claims import Claim, proof, states
from backend.context import clock, config, session, world
from backend.errors import NotFound
from backend.payouts import owners
from backend.period import following, period_of
from backend.sites import Site
from backend.web import show
from backend.web.base import done, part_of, period_typed, row, signed_in, user


@signed_in.get("/sites")
def sites() -> ResponseReturnValue:
    """The tag to copy, the claimed sites with their states, and what the owner says to who flattrs them."""
    part = part_of(claims.ids_of_user(session(), user()))
    found = claims.some_of_user(session(), user(), part.items)
    waiting = [site for claim, site in found if claim.state != "verified"]
    return render_template(
        "owner/sites.html",
        found=found,
        part=part,
        promises={site.id: clicks.promising(session(), site, period_of(clock()))[0] for site in waiting},
        said=users.thanks_of(session(), user().id),
    )


@signed_in.post("/thanks")
def save_thanks() -> ResponseReturnValue:
    """What an owner says to who flattrs them, and what their sites' pages tell."""
    line, shown = request.form.get("line", ""), request.form.getlist("shows")
    names, supporters = "name" in shown, "supporters" in shown
    users.set_thanks(session(), user(), line, shows_name=names, shows_supporters=supporters)
    return done("/sites", "Saved.")


@signed_in.post("/sites")
def check_site() -> ResponseReturnValue:
    """Claim a site, or have it looked at again."""
    name = checks.ask(session(), user(), request.form.get("site", ""), world(), now=clock())
    claim = next(claim for claim, site in claims.of_user(session(), user()) if site.name == name)
    return done(f"/sites/{claim.id}")


@signed_in.get("/sites/<int:claim_id>")
def site(claim_id: int) -> ResponseReturnValue:
    """One claim: each check with what it saw, and what to do next."""
    claim, of = _mine(claim_id)
    return render_template(
        "owner/site.html",
        claim=claim,
        site=of,
        looks=claims.latest_looks(session(), of),
        checking=jobs.is_waiting(session(), "look", of.name),
        authors=claims.authors(session(), of),
        is_account=platforms.is_account(of.name),
        by_operator=platforms.is_account(of.name) and platforms.proof_of(of.name) == "operator",
        token_line=None if states.is_stale(claim, now=clock()) else proof.token_line(claim.token),
        file_path=proof.FILE_PATH,
        txt_name=f"{proof.TXT_NAME}.{of.name}",
        promises=clicks.promising(session(), of, period_of(clock()))[0] if claim.state != "verified" else 0,
        decided_at=claim.next_check_at or (claim.doubtful_at and claim.doubtful_at + states.CONTEST_LASTS),
        lapses_at=claim.doubtful_at and claim.doubtful_at + states.LAPSES_AFTER,
    )


@signed_in.post("/sites/<int:claim_id>/give-up")
def give_up(claim_id: int) -> ResponseReturnValue:
    """End a claim."""
    claim, of = _mine(claim_id)
    checks.give_up(session(), claim, world(), now=clock(), actor_id=user().id)
    said = f"{of.name} is no longer yours here. Its flattrs from before still are. Take the proof off it too."
    return done("/sites", said)


@signed_in.post("/sites/<int:claim_id>/authors")
def change_authors(claim_id: int) -> ResponseReturnValue:
    """List an author, or take one off the list."""
    claim, of = _mine(claim_id)
    author = users.by_public_id(session(), request.form.get("public_id", "").strip().lower())
    if claim.verified_at is None or author is None:
        raise users.NoSuchUser("There is nobody with this id.")
    if request.form.get("remove"):
        clicks.remove_author(session(), of, author, now=clock())
    else:
        claims.list_author(session(), of, author)
    return done(f"/sites/{claim_id}")


def _mine(claim_id: int) -> tuple[Claim, Site]:
    claim = row(Claim, claim_id)
    if claim.user_id != user().id or claim.ended_at:
        raise NotFound
    return claim, session().get_one(Site, claim.site_id)


@signed_in.get("/income")
def income() -> ResponseReturnValue:
    """What a month brought, and what is payable."""
    latest = following(period_of(clock()), -1)
    period = period_typed(request.args.get("period", latest))
    received = st.received(session(), user(), period)
    periods = show.last_months(latest if period > following(latest, -show.MONTHS) else period)
    over = st.received_over(session(), user(), periods)
    return render_template(
        "owner/income.html",
        period=period,
        latest=latest,
        over={month: over.get(month, 0) for month in periods},
        part=part_of(sorted(received.lines, key=lambda line: (-line.readers, line.url))),
        received=received,
        standing=owners.standing(session(), user(), config().payout_min_micros, now=clock()),
    )
