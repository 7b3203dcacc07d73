"""Paying: a batch is prepared by one operator and approved by another, handed to the bank, confirmed."""

from flask import Response, flash, render_template, request
from flask.typing import ResponseReturnValue

from backend import users
from backend.context import clock, config, session, sessions
from backend.errors import InvalidRequest
from backend.money import format_money
from backend.payouts import batches, returned
from backend.payouts.tables import Payout
from backend.users import User
from backend.web.base import back_to, blueprint, user
from backend.web.desk.base import A_PAGE, operators
from backend.web.reader import whole_number


@blueprint.get("/desk/payouts")
@operators
def desk_payouts() -> ResponseReturnValue:
    """The batches, the newest first."""
    listed, stranded = batches.listing(session(), most=A_PAGE), returned.stranded(session())
    return render_template("desk/payouts.html", batches=listed, stranded=stranded[:A_PAGE], bank=config())


@blueprint.post("/desk/payouts/prepare")
@operators
def desk_prepare() -> ResponseReturnValue:
    """Freeze a batch of all that can be paid."""
    prepared = batches.prepare(sessions(), batches.Terms.of(config()), now=clock(), by=user())
    batch = prepared.batch
    if batch is None:
        flash("There is nothing to pay.")
    elif prepared.is_new:
        total = format_money(batch.total_micros, batch.currency)
        flash(f"Batch {batch.id} is prepared: {batch.payouts} payouts, {total}. Another operator has to approve it.")
    else:
        flash(f"Batch {batch.id} waits for approval already; nothing else was prepared.")
    for sentence in prepared.left_out:
        flash(sentence)
    return back_to(f"/desk/payouts/{batch.id}" if batch else "/desk/payouts")


@blueprint.get("/desk/payouts/<int:batch_id>")
@operators
def desk_batch(batch_id: int) -> ResponseReturnValue:
    """A batch with a page of its payouts, and what can be done with it next."""
    after = whole_number(request.args.get("after", "0"))
    batch, rows = batches.of_batch(session(), batch_id, after=after, most=A_PAGE + 1)
    people = {id_: session().get_one(User, id_) for id_ in (batch.prepared_by, batch.approved_by) if id_}
    return render_template(
        "desk/batch.html",
        batch=batch,
        rows=rows[:A_PAGE],
        next_after=rows[A_PAGE - 1].id if len(rows) > A_PAGE else None,
        first=not after,
        people=people,
        payees=users.public_ids(session(), {row.user_id for row in rows}),
    )


@blueprint.post("/desk/payouts/<int:batch_id>/approve")
@operators
def desk_approve(batch_id: int) -> ResponseReturnValue:
    """Vouch for a batch that another operator prepared, by its digest."""
    digest = "".join(request.form.get("digest", "").split())
    is_new = batches.approve(session(), batch_id, user(), digest, batches.debtor_of(config()), now=clock())
    return _done(batch_id, "approved", is_new)


@blueprint.post("/desk/payouts/<int:batch_id>/export")
@operators
def desk_export(batch_id: int) -> ResponseReturnValue:
    """The file for the bank, the same bytes each time."""
    written = batches.export(session(), batch_id, now=clock(), by=user())
    session().commit()
    headers = {"Content-Disposition": f'attachment; filename="payouts-{batch_id}.xml"'}
    return Response(written, content_type="application/xml", headers=headers)


@blueprint.post("/desk/payouts/<int:batch_id>/confirm")
@operators
def desk_confirm(batch_id: int) -> ResponseReturnValue:
    """The bank has paid."""
    return _done(batch_id, "confirmed", batches.confirm(session(), batch_id, now=clock(), by=user()))


@blueprint.post("/desk/payouts/<int:batch_id>/cancel")
@operators
def desk_cancel(batch_id: int) -> ResponseReturnValue:
    """Drop a batch that no bank has seen."""
    return _done(batch_id, "cancelled", batches.cancel(session(), batch_id, now=clock(), by=user()))


@blueprint.post("/desk/payouts/<int:batch_id>/fail")
@operators
def desk_fail(batch_id: int) -> ResponseReturnValue:
    """The bank did not pay one payout, or sent it back."""
    number = request.form.get("payout", "").strip().upper().removeprefix("FLATTR-P-")
    payout_id, reason = whole_number(number), request.form.get("reason", "").strip()
    if not reason:
        raise InvalidRequest("Please say what the bank said.")
    payout = session().get(Payout, payout_id)
    if payout is None or payout.batch_id != batch_id:
        raise returned.NoSuchPayout(f"There is no payout {payout_id} in batch {batch_id}.")
    is_new = returned.fail(session(), payout_id, config().currency, now=clock(), reason=reason, by=user())
    session().commit()
    became = "failed: the money is its payee's again, who has mail" if is_new else "had failed already"
    flash(f"Payout {payout_id} {became}.")
    return back_to(f"/desk/payouts/{batch_id}")


def _done(batch_id: int, state: str, is_new: bool) -> ResponseReturnValue:
    session().commit()
    flash(f"Batch {batch_id} {'is' if is_new else 'was'} {state}{'' if is_new else ' already'}.")
    return back_to(f"/desk/payouts/{batch_id}")
