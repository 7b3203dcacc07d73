"""A user's settings: name, mails, browsers, where they are paid, taking everything along, and leaving."""

from datetime import timedelta

from flask import flash, g, render_template, request, stream_with_context
from flask.typing import ResponseReturnValue

from backend import access, export, leaving, ledger, notices, users
from backend.context import clock, config, limit, session, world
from backend.errors import InvalidRequest
from backend.payouts import details, owners, payments, refunds
from backend.period import period_of
from backend.web.base import blueprint, done, download, signed_in, to_sign_in, user
from backend.web.reader import decided


@signed_in.get("/settings")
def settings() -> ResponseReturnValue:
    """The name others see, the budget, mails, browsers, the export, signing out and leaving."""
    return render_template(
        "reader/settings.html",
        kinds=notices.KINDS,
        unwanted=users.unwanted_mails(session(), user().id),
        devices=access.devices(session(), user()),
        **decided(period_of(clock())),
    )


@signed_in.post("/settings")
def save_settings() -> ResponseReturnValue:
    """Change the name."""
    users.add(session(), user().email, now=clock(), name=request.form.get("name", ""))
    return done("/settings", "Saved.")


@signed_in.post("/settings/mails")
def save_mails() -> ResponseReturnValue:
    """Which mails the reader wants."""
    users.set_unwanted_mails(session(), user().id, notices.KINDS.keys() - set(request.form.getlist("kind")))
    return done("/settings", "Saved.")


@blueprint.route("/mails/<token>", methods=["GET", "POST"])
def no_mails(token: str) -> ResponseReturnValue:
    """Switch a kind of mails off, for whoever has the link; a button first: mail scanners follow links, people press
    buttons. Mail programs press for their people (RFC 8058), without a form, so there is no form token: the link itself
    is the secret.
    """
    found, kind = notices.of_link(session(), token, config().secret_key)
    pressed = request.method == "POST"
    if pressed:
        users.set_unwanted_mails(session(), found.id, users.unwanted_mails(session(), found.id) | {kind})
        session().commit()
    return render_template("public/no_mails.html", token=token, what=notices.KINDS[kind], done=pressed)


@signed_in.get("/devices")
def devices() -> ResponseReturnValue:
    """The connected browsers."""
    return render_template("reader/devices.html", devices=access.devices(session(), user()))


@signed_in.post("/devices/<int:device_id>/disconnect")
def disconnect(device_id: int) -> ResponseReturnValue:
    """Revoke a browser's token."""
    device = access.disconnect(session(), user(), device_id, now=clock())
    return done("/devices", f"{device.name} is disconnected.")


@signed_in.route("/connect/<pairing_id>", methods=["GET", "POST"])
def connect(pairing_id: str) -> ResponseReturnValue:
    """Ask for the code that the browser shows; typing it, not pressing OK, keeps strangers' browsers out."""
    typed = request.method == "POST"
    if typed:
        limit(f"codes:{user().id}", 30, timedelta(hours=1))
        right = access.try_code(session(), pairing_id, request.form.get("code", ""), user(), now=clock())
        session().commit()
        if right:
            return render_template("reader/connected.html")
    access.open_pairing(session(), pairing_id, now=clock())
    return render_template("reader/connect.html", pairing_id=pairing_id, wrong=typed), 422 if typed else 200


@signed_in.get("/payout-settings")
def payout_settings() -> ResponseReturnValue:
    """The account, masked, with its state; what is payable and why not all; the last payments."""
    return render_template(
        "owner/payout_settings.html",
        standing=owners.standing(session(), user(), config().payout_min_micros, now=clock()),
        payments=payments.latest(session(), user()),
        is_fresh=access.is_fresh(g.web_session, now=clock()),
    )


@signed_in.post("/payout-settings")
def change_account() -> ResponseReturnValue:
    """Change where the user is paid, if they signed in freshly."""
    if not access.is_fresh(g.web_session, now=clock()):
        flash("Please sign in again: it is about money, so we want to be sure that it is you.")
        return to_sign_in("/payout-settings")
    iban, holder = request.form.get("iban", ""), request.form.get("holder", "")
    details.change(session(), user(), iban, holder, config().currency, now=clock())
    return done("/payout-settings", "Saved. You have mail about it.")


@signed_in.get("/export")
@signed_in.get("/export.csv")
def export_all() -> ResponseReturnValue:
    """Everything that is kept of the user, as JSON or as one table."""
    written, ending, content_type = export.as_json, "json", "application/json"
    if request.path.endswith(".csv"):
        written, ending, content_type = export.as_csv, "csv", "text/csv; charset=utf-8"
    text = stream_with_context(written(session(), user(), now=clock()))
    return download(text, f"flattr-{user().public_id}.{ending}", content_type)


@signed_in.get("/leave")
def leave() -> ResponseReturnValue:
    """Say what leaving does, and ask for the address."""
    held = ledger.balances(session(), [ledger.wallet(user().id), ledger.income(user().id)])
    to = [refunds.target(session(), user(), config().currency, for_refund=way) for way in (True, False)]
    by_card_micros = held[ledger.wallet(user().id)] - refunds.refundable_by_bank(session(), user())
    return render_template(
        "reader/leave.html",
        paid_back_micros=sum(held.values()),
        by_card_micros=by_card_micros,
        accounts=sorted({target.iban for target in to if target}),
    )


@signed_in.post("/leave")
def leave_now() -> ResponseReturnValue:
    """Delete the user who is signed in, if they are so freshly and mean it."""
    if not access.is_fresh(g.web_session, now=clock()):
        flash("Please sign in again: this cannot be undone, so we want to be sure that it is you.")
        return to_sign_in("/leave")
    if request.form.get("email", "").strip().lower() != user().email:
        raise InvalidRequest("Please type your address as it stands there: this cannot be undone.")
    left = leaving.leave(session(), user(), world(), config().currency, now=clock(), actor_id=user().id)
    session().commit()
    g.user = None
    return render_template("reader/left.html", left=left)
