"""Paying: a batch is prepared by one operator and approved by another, handed to the bank, confirmed."""

from flask import render_template, request
from flask.typing import ResponseReturnValue

from backend import users
from backend.context import clock, config, session, sessions
from backend.errors import InvalidRequest
from backend.money import format_money
from backend.payouts import batches, returned
from backend.payouts.tables import Payout
from backend.users import User
from backend.web.base import done, download, user, whole_number
from backend.web.desk.base import A_PAGE, operators


@operators.get("/payouts")
def desk_payouts() -> ResponseReturnValue:
    """The batches, the newest first."""
    listed, stranded = batches.listing(session(), most=A_PAGE), returned.stranded(session())
    return render_template("desk/payouts.html", batches=listed, stranded=stranded[:A_PAGE])


@operators.post("/payouts/prepare")
def desk_prepare() -> ResponseReturnValue:
    """Freeze a batch of all that can be paid."""
    prepared = batches.prepare(sessions(), batches.Terms.of(config()), now=clock(), by=user())
    batch = prepared.batch
    if batch is None:
        return done("/desk/payouts", "There is nothing to pay.", *prepared.left_out)
    said = f"Batch {batch.id} waits for approval already; nothing else was prepared."
    if prepared.is_new:
        total = format_money(batch.total_micros, batch.currency)
        said = f"Batch {batch.id} is prepared: {batch.payouts} payouts, {total}. Another operator has to approve it."
    return done(f"/desk/payouts/{batch.id}", said, *prepared.left_out)


@operators.get("/payouts/<int:batch_id>")
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


@operators.post("/payouts/<int:batch_id>/approve")
def desk_approve(batch_id: int) -> ResponseReturnValue:
    """Vouch for a batch that another operator prepared, by its digest."""
    digest = "".join(request.form.get("digest", "").split())
    is_new = batches.approve(session(), batch_id, user(), digest, batches.debtor_of(config()), now=clock())
    return _done(batch_id, "approved", is_new)


@operators.post("/payouts/<int:batch_id>/export")
def desk_export(batch_id: int) -> ResponseReturnValue:
    """The file for the bank, the same bytes each time."""
    written = batches.export(session(), batch_id, now=clock(), by=user())
    session().commit()
    return download(written, f"payouts-{batch_id}.xml", "application/xml")


@operators.post("/payouts/<int:batch_id>/confirm")
def desk_confirm(batch_id: int) -> ResponseReturnValue:
    """The bank has paid."""
    return _done(batch_id, "confirmed", batches.confirm(session(), batch_id, now=clock(), by=user()))


@operators.post("/payouts/<int:batch_id>/cancel")
def desk_cancel(batch_id: int) -> ResponseReturnValue:
    """Drop a batch that no bank has seen."""
    return _done(batch_id, "cancelled", batches.cancel(session(), batch_id, now=clock(), by=user()))


@operators.post("/payouts/<int:batch_id>/fail")
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
    became = "failed: the money is its payee's again, who has mail" if is_new else "had failed already"
    return done(f"/desk/payouts/{batch_id}", f"Payout {payout_id} {became}.")


def _done(batch_id: int, state: str, is_new: bool) -> ResponseReturnValue:
    became = f"is {state}" if is_new else f"was {state} already"
    return done(f"/desk/payouts/{batch_id}", f"Batch {batch_id} {became}.")
