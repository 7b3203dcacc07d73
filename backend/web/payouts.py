"""Where a user is paid, and what was."""

from flask import flash, g, redirect, render_template, request
from flask.typing import ResponseReturnValue

from backend import access
from backend.context import clock, config, session
from backend.payouts import details, owners, payments
from backend.web.base import back_to, blueprint, signed_in, user


@blueprint.get("/payout-settings")
@signed_in
def payout_settings() -> ResponseReturnValue:
    """The account, masked, with its state; what is payable and why not all; the last payments."""
    return render_template(
        "owner/payout_settings.html",
        standing=owners.standing(session(), user(), config().payout_min_micros, now=clock()),
        payments=payments.latest(session(), user()),
        is_fresh=access.is_fresh(g.web_session, now=clock()),
        now=clock(),
    )


@blueprint.post("/payout-settings")
@signed_in
def change_account() -> ResponseReturnValue:
    """Change where the user is paid, if they signed in freshly."""
    if not access.is_fresh(g.web_session, now=clock()):
        flash("Please sign in again: it is about money, so we want to be sure that it is you.")
        return redirect("/sign-in?next=/payout-settings", 303)
    iban, holder = request.form.get("iban", ""), request.form.get("holder", "")
    details.change(session(), user(), iban, holder, config().currency, now=clock())
    session().commit()
    flash("Saved. You have mail about it.")
    return back_to("/payout-settings")
