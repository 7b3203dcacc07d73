"""An owner's pages: the sites and what they brought."""

from flask import flash, render_template, request
from flask.typing import ResponseReturnValue

from backend import checks, claims, jobs, ledger
from backend import statements as st
from backend.claims import Claim
from backend.context import clock, config, session, world
from backend.errors import NotFound
from backend.period import following, period_of
from backend.web.base import back_to, blueprint, signed_in, user
from backend.web.reader import asked_period, whole_number


@blueprint.get("/sites")
@signed_in
def sites() -> ResponseReturnValue:
    """The tag to copy, and each claimed site with what its last check saw."""
    found = [
        {"claim": claim, "site": site, "look": look, "checking": jobs.is_waiting(session(), "look", site.name)}
        for claim, site, look in claims.of_user(session(), user())
    ]
    return render_template("owner/sites.html", found=found, advice=claims.ADVICE)


@blueprint.post("/sites")
@signed_in
def check_site() -> ResponseReturnValue:
    """Claim a site, or have it looked at again."""
    name = checks.ask(session(), user(), request.form.get("site", ""), world(), now=clock())
    session().commit()
    flash(f"Looking at {name}.")
    return back_to("/sites")


@blueprint.post("/sites/give-up")
@signed_in
def give_up() -> ResponseReturnValue:
    """End a claim."""
    claim = session().get(Claim, whole_number(request.form.get("claim_id", "")))
    if claim is None or claim.user_id != user().id:
        raise NotFound
    claims.give_up(session(), claim, now=clock())
    session().commit()
    flash("The site is no longer yours here. Its flattrs from before still are.")
    return back_to("/sites")


@blueprint.get("/income")
@signed_in
def income() -> ResponseReturnValue:
    """What a month brought, and what is payable."""
    last = following(period_of(clock()), -1)
    period = asked_period(last)
    return render_template(
        "owner/income.html",
        period=period,
        currency=config().currency,
        received=st.received(session(), user(), period),
        balance_micros=ledger.balance(session(), ledger.income(user().id)),
        earlier=following(period, -1),
        later=following(period) if period < last else None,
    )
