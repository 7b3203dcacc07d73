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
from backend.web import charts
from backend.web.base import back_to, blueprint, done, part_of, signed_in, user
from backend.web.reader import period_typed


@blueprint.get("/sites")
@signed_in
def sites() -> ResponseReturnValue:
    """The tag to copy, the claimed sites with their states, and what the owner says to who flattrs them."""
    found = claims.of_user(session(), user())
    waiting = [site for claim, site in found if claim.state != "verified"]
    return render_template(
        "owner/sites.html",
        found=found,
        promises={site.id: clicks.promising(session(), site, period_of(clock()))[0] for site in waiting},
        said=users.thanks_of(session(), user().id),
    )


@blueprint.post("/thanks")
@signed_in
def save_thanks() -> ResponseReturnValue:
    """What an owner says to who flattrs them, and what their sites' pages tell."""
    shown = request.form.getlist("shows")
    users.set_thanks(
        session(),
        user(),
        request.form.get("line", ""),
        shows_name="name" in shown,
        shows_supporters="supporters" in shown,
    )
    return done("/sites", "Saved.")


@blueprint.post("/sites")
@signed_in
def check_site() -> ResponseReturnValue:
    """Claim a site, or have it looked at again."""
    name = checks.ask(session(), user(), request.form.get("site", ""), world(), now=clock())
    session().commit()
    claim = next(claim for claim, site in claims.of_user(session(), user()) if site.name == name)
    return back_to(f"/sites/{claim.id}")


@blueprint.get("/sites/<int:claim_id>")
@signed_in
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
        advice=claims.ADVICE,
        is_account=platforms.is_account(of.name),
        by_operator=platforms.is_account(of.name) and platforms.proof_of(of.name) == "operator",
        token_line=None if states.is_stale(claim, now=clock()) else proof.token_line(claim.token),
        file_path=proof.FILE_PATH,
        txt_name=f"{proof.TXT_NAME}.{of.name}",
        my_page=f"{config().base_url}/u/{user().public_id}",
        base_url=config().base_url,
        promises=clicks.promising(session(), of, period_of(clock()))[0] if claim.state != "verified" else 0,
        decided_at=claim.next_check_at or (claim.doubtful_at and claim.doubtful_at + states.CONTEST_LASTS),
        lapses_at=claim.doubtful_at and claim.doubtful_at + states.LAPSES_AFTER,
    )


@blueprint.post("/sites/<int:claim_id>/give-up")
@signed_in
def give_up(claim_id: int) -> ResponseReturnValue:
    """End a claim."""
    claim, of = _mine(claim_id)
    checks.give_up(session(), claim, world(), now=clock(), actor_id=user().id)
    return done(
        "/sites", f"{of.name} is no longer yours here. Its flattrs from before still are. Take the proof off it too."
    )


@blueprint.post("/sites/<int:claim_id>/authors")
@signed_in
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
    session().commit()
    return back_to(f"/sites/{claim_id}")


def _mine(claim_id: int) -> tuple[Claim, Site]:
    claim = session().get(Claim, claim_id) if claim_id < 2**63 else None
    if claim is None or claim.user_id != user().id or claim.ended_at:
        raise NotFound
    return claim, session().get_one(Site, claim.site_id)


@blueprint.get("/income")
@signed_in
def income() -> ResponseReturnValue:
    """What a month brought, and what is payable."""
    last = following(period_of(clock()), -1)
    period = period_typed(request.args.get("period", last))
    received = st.received(session(), user(), period)
    periods = charts.last_months(last if period > following(last, -charts.MONTHS) else period)
    over = st.received_over(session(), user(), periods)
    return render_template(
        "owner/income.html",
        period=period,
        bars=[charts.Bar(month, over.get(month, 0), f"/income?period={month}") for month in periods],
        part=part_of(sorted(received.lines, key=lambda line: (-line.readers, line.url))),
        currency=config().currency,
        received=received,
        pages_gone=st.PAGES_GONE,
        standing=owners.standing(session(), user(), config().payout_min_micros, now=clock()),
        earlier=following(period, -1),
        later=following(period) if period < last else None,
    )
