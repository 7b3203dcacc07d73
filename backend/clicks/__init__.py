"""The monthly click list: record, undo, list, and the promises that wait for an owner.

A click stores the site, never the owner: who gets it is asked when it is shown and, for money, at settlement.
"""

from backend.clicks.lists import Answer, Month, Shown, explain, month, payees_of, promising
from backend.clicks.press import (
    PageFacts,
    confirm_author,
    new_period,
    open_period,
    record,
    remove_author,
    remove_open,
    undo,
)
from backend.clicks.promises import keep_promises
from backend.clicks.tables import Click, Payee, Period, Promise, Share, paid_to, pays

__all__ = [
    "Answer",
    "Click",
    "Month",
    "PageFacts",
    "Payee",
    "Period",
    "Promise",
    "Share",
    "Shown",
    "confirm_author",
    "explain",
    "keep_promises",
    "month",
    "new_period",
    "open_period",
    "paid_to",
    "payees_of",
    "pays",
    "promising",
    "record",
    "remove_author",
    "remove_open",
    "undo",
]
