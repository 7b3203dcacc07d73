"""Claims that need an operator: contests, and accounts that nothing else can prove."""

from flask import redirect, render_template, request
from flask.typing import ResponseReturnValue

from backend import checks, claims, sites, users
from backend.claims import states
from backend.context import clock, config, session, world
from backend.errors import InvalidRequest, NotFound
from backend.sites import Site
from backend.users import User
from backend.web.base import done, row, user, whole_number
from backend.web.desk.base import A_PAGE, operators


@operators.get("/claims")
def desk_claims() -> ResponseReturnValue:
    """Contests, the oldest first; what needs an operator's word; any other site by name."""
    if asked := request.args.get("site", "").strip():
        found = sites.find(session(), sites.site_name(asked, dev=config().dev))
        if found is None:
            raise NotFound("Nobody flattred or claimed this site.")
        return redirect(f"/desk/claims/{found.id}", 303)
    return render_template(
        "desk/claims.html",
        contested=claims.contested(session(), most=A_PAGE),
        review=claims.to_review(session(), most=A_PAGE),
    )


@operators.get("/claims/<int:site_id>")
def desk_claim(site_id: int) -> ResponseReturnValue:
    """Who claims a site, what the last look saw, and the operator's word."""
    site = row(Site, site_id)
    found = claims.on_site(session(), site)
    return render_template(
        "desk/claim.html",
        site=site,
        found=found,
        claimants=[(claim, person) for claim, _, person in found if claim.ended_at is None and not person.left_at],
        last_proven=(last := states.last_proven(session(), site)),
        last_user=session().get_one(User, last.user_id) if last else None,
        is_held=any(claim.state == "verified" for claim, _, _ in found),
        looks=claims.latest_looks(session(), site),
    )


@operators.post("/claims/<int:site_id>/approve")
def desk_vouch(site_id: int) -> ResponseReturnValue:
    """Vouch for somebody's claim; it ends all others."""
    site, reason = row(Site, site_id), _reason()
    person = users.by_public_id(session(), request.form.get("public_id", ""))
    if person is None:
        raise users.NoSuchUser("Please choose whose the site is.")
    checks.approve(session(), site, person, world(), now=clock(), actor_id=user().id, reason=reason)
    said = f"{site.name} belongs to {person.email} now. Everybody concerned has mail."
    return done(f"/desk/claims/{site_id}", said)


@operators.post("/claims/<int:site_id>/revoke")
def desk_revoke(site_id: int) -> ResponseReturnValue:
    """Take back the claim that was shown."""
    site, reason = row(Site, site_id), _reason()
    shown = whole_number(request.form.get("claim", ""))
    checks.revoke(session(), site, world(), now=clock(), actor_id=user().id, claim_id=shown, reason=reason)
    return done(f"/desk/claims/{site_id}", f"The claim on {site.name} is revoked. Its user has mail.")


def _reason() -> str:
    reason = request.form.get("reason", "").strip()
    if not reason:
        raise InvalidRequest("Please say why: it stands in the log.")
    return reason[:140]
