"""Does everything add up? Recomputed by another path than the one that wrote it: plain SQL over transfers and lists.

Balances, deposits and totals are looked at whole. What each list charged and each owner received is recomputed for a
sample of users, other ones each time, or in full: a range of user ids after the other.
"""

from sqlalchemy.orm import Session

from backend.audit import balances, cards, deposits, months, payouts
from backend.audit.balances import account_name
from backend.errors import DomainError

__all__ = ["AuditFailed", "account_name", "ensure_clean", "problems"]


class AuditFailed(DomainError):
    """The books do not add up. Nothing may be settled or paid out before this is understood."""


def problems(session: Session, *, full: bool = False) -> list[str]:
    """All that does not add up, a sentence each; empty when every micro is where it should be.

    Args:
        full: Recompute every list and income, not a sample of them.
    """
    return [
        *balances.problems(session),
        *deposits.problems(session),
        *payouts.problems(session),
        *cards.problems(session),
        *deposits.entry_problems(session),
        *months.problems(session, full),
    ]


def ensure_clean(session: Session) -> None:
    """Refuse to go on while anything does not add up.

    Raises:
        AuditFailed: Something does not; the message says what.
    """
    if found := problems(session):
        raise AuditFailed("The audit failed: " + " ".join(found[:3]))
