"""Does everything add up? Recomputed by another path than the one that wrote it: plain SQL over transfers and lists.

Balances, deposits and totals are looked at whole. What each list charged and each owner received is recomputed for a
sample of users, other ones each time, or in full: a range of user ids after the other.
"""

import hashlib

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.audit import months
from backend.audit.books import CHECKS
from backend.errors import DomainError
from backend.ledger import Kind

_BALANCES = """
SELECT id, SUM(kept) AS kept, SUM(moved) AS moved FROM (
  SELECT id, balance_micros AS kept, 0 AS moved FROM accounts
  UNION ALL SELECT credit_account_id, 0, amount_micros FROM transfers
  UNION ALL SELECT debit_account_id, 0, -amount_micros FROM transfers
) x GROUP BY id HAVING SUM(kept) <> SUM(moved) ORDER BY id LIMIT 20
"""
_FILES = "SELECT id, digest, file FROM payout_batches WHERE state NOT IN ('confirmed', 'cancelled') ORDER BY id"


class AuditFailed(DomainError):
    """The books do not add up. Nothing may be settled or paid out before this is understood."""


def problems(session: Session, *, full: bool = False) -> list[str]:
    """All that does not add up, a sentence each; empty when every micro is where it should be.

    Args:
        full: Recompute every list and income, not a sample of them.
    """
    balances, files = (session.execute(sa.text(query)).all() for query in (_BALANCES, _FILES))
    found = [f"Account {account_name(i)} says {kept}, its transfers say {moved}." for i, kept, moved in balances]
    found += [said.format(*row) for said, query in CHECKS.items() for row in session.execute(sa.text(query))]
    changed = (batch_id for batch_id, digest, file in files if hashlib.sha256(file).digest() != bytes(digest))
    found += [f"The file of batch {batch_id} has another digest." for batch_id in changed]
    return found + months.problems(session, full)


def account_name(account_id: int) -> str:
    """A ledger account for people: ``wallet of user 17``."""
    kind = Kind(account_id % 8).name.lower()
    return f"{kind} of user {account_id // 8}" if account_id >= 8 else kind


def ensure_clean(session: Session) -> None:
    """Refuse to go on while anything does not add up.

    Raises:
        AuditFailed: Something does not; the message says what.
    """
    if found := problems(session):
        raise AuditFailed("The audit failed: " + " ".join(found[:3]))
