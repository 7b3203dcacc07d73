"""What the card provider holds, says and pays out."""

import sys

import click

from backend import card_payments
from backend.cards import CardsAway, CardsRefused
from backend.cli.desk import Amount, Desk, desk, flattr, messages
from backend.cli.serving import look_at_card


@flattr.group("cards")
def cards_group() -> None:
    """Card payments."""


@cards_group.command("sync")
@desk
def cards_sync(desk: Desk) -> None:
    """Ask the provider about every payment that something may still happen to, and book what it says."""
    with desk.reading() as session:
        payments = card_payments.looked_after(session)
    changed, failed = 0, 0
    for payment_id in payments:
        try:
            changed += look_at_card(desk.config, desk.sessions, payment_id)
        except (CardsAway, CardsRefused, card_payments.CardMismatch) as refusal:
            failed += 1
            messages.print(f"Payment {payment_id}: {refusal}", highlight=False, markup=False)
    checked = len(payments) - failed
    failures = f", {failed} could not be" if failed else ""
    desk.answer(
        {"checked": checked, "changed": changed, "failed": failed}, f"{checked} checked, {changed} changed{failures}."
    )
    if failed:
        sys.exit(1)


@cards_group.command("paid-out")
@click.argument("amount", type=Amount())
@click.option("--fee", type=Amount(), default="0", help="What the provider kept besides.")
@click.option("--reference", required=True, help="What identifies it, such as the provider's id of the payout.")
@desk
def cards_paid_out(desk: Desk, amount: int, fee: int, reference: str) -> None:
    """Book that the provider paid AMOUNT to the bank; the same reference counts once. The reserve bears the fee."""
    with desk.sessions.begin() as session:
        is_new = card_payments.paid_out(session, amount, fee, reference, now=desk.config.now())
    result = {"amount_micros": amount, "fee_micros": fee, "reference": reference}
    said = f"{desk.money(amount)} {'booked' if is_new else 'was booked already'} from the card provider to the bank."
    desk.answer(result | {"state": "booked" if is_new else "already"}, said)
