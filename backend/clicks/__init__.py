"""The monthly click list: record, undo, list, and the promises that wait for an owner.

A click stores the site, never the owner: who gets it is asked when it is shown and, for money, at settlement.
"""

from backend.clicks.changes import confirm_author, forget, remove_author, remove_open, take_back, undo
from backend.clicks.lists import (
    Answer,
    Month,
    Shown,
    explain,
    last_paid,
    month,
    payees_of,
    people_of,
    promising,
    repeatable,
)
from backend.clicks.months import ensure_period, first_due, make_ahead, new_period, open_period
from backend.clicks.press import PageFacts, Press, Recorded, record, record_batch
from backend.clicks.promises import keep_promises
from backend.clicks.tables import Chunk, Click, Gift, Payee, Period, Promise, Share, paid_to, pays, pays_for

__all__ = [
    "Answer",
    "Chunk",
    "Click",
    "Gift",
    "Month",
    "PageFacts",
    "Payee",
    "Period",
    "Press",
    "Promise",
    "Recorded",
    "Share",
    "Shown",
    "confirm_author",
    "ensure_period",
    "explain",
    "first_due",
    "forget",
    "keep_promises",
    "last_paid",
    "make_ahead",
    "month",
    "new_period",
    "open_period",
    "paid_to",
    "payees_of",
    "pays",
    "pays_for",
    "people_of",
    "promising",
    "record",
    "record_batch",
    "remove_author",
    "remove_open",
    "repeatable",
    "take_back",
    "undo",
]
