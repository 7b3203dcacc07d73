"""What is left of the money that a reader paid in, by the way it came: it goes back that way."""

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import clicks, ledger
from backend.ledger import BANK, CARDS, Transfer


class Unspent(NamedTuple):
    """Micros in a wallet that came by card, and that came through the bank or were booked by hand."""

    by_card: int
    by_bank: int


def unspent(session: Session, user_id: int) -> Unspent:
    """What of a wallet came which way: together all of it.

    Months take the oldest money first. What goes back takes what came its way, and where that does not reach (a bank
    took back a card payment whose money is spent), the oldest of the rest.
    """
    wallet = ledger.wallet(user_id)
    periods = [str(period) for period in session.scalars(sa.select(clicks.Period.period))]
    lots: list[tuple[bool, int]] = []  # whether by card, and micros: the oldest first
    # Transfers of one instant: what came in before what went out.
    moves = ledger.transfers_of(session, [wallet], periods)
    for move in sorted(moves, key=lambda move: (move.at, move.debit_account_id == wallet)):
        by_card = _is_by_card(move)
        if move.credit_account_id == wallet:
            lots.append((by_card, move.amount_micros))
        elif by_card or move.code.startswith("payout") or move.credit_account_id == BANK:
            lots = _less(lots, move.amount_micros, by_card)
        else:
            lots, _ = _taken(lots, move.amount_micros, (True, False))
    card = sum(micros for by_card, micros in lots if by_card)
    return Unspent(card, sum(micros for _, micros in lots) - card)


def _is_by_card(move: Transfer) -> bool:
    return CARDS in (move.debit_account_id, move.credit_account_id) or move.code.startswith("card_")


def _less(lots: list[tuple[bool, int]], micros: int, by_card: bool) -> list[tuple[bool, int]]:
    lots, missing = _taken(lots, micros, (by_card,))
    return _taken(lots, missing, (not by_card,))[0]


def _taken(lots: list[tuple[bool, int]], micros: int, ways: tuple[bool, ...]) -> tuple[list[tuple[bool, int]], int]:
    """What is left of the lots, and of what should be taken from them."""
    left = []
    for by_card, amount in lots:
        part = min(micros, amount) if by_card in ways else 0
        micros -= part
        left.append((by_card, amount - part))
    return left, micros
