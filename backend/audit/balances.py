"""Every account against its transfers, and all accounts together."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.ledger import Kind

_BALANCES = """
SELECT id, SUM(kept) AS kept, SUM(moved) AS moved FROM (
  SELECT id, balance_micros AS kept, 0 AS moved FROM accounts
  UNION ALL SELECT credit_account_id, 0, amount_micros FROM transfers
  UNION ALL SELECT debit_account_id, 0, -amount_micros FROM transfers
) x GROUP BY id HAVING SUM(kept) <> SUM(moved) ORDER BY id LIMIT 20
"""


def account_name(account_id: int) -> str:
    """A ledger account for people: ``wallet of user 17``."""
    kind = Kind(account_id % 8).name.lower()
    return f"{kind} of user {account_id // 8}" if account_id >= 8 else kind


def problems(session: Session) -> list[str]:
    """Balances that are not what transfers say."""
    rows = session.execute(sa.text(_BALANCES)).all()
    found = [f"Account {account_name(i)} says {int(kept)}, its transfers say {int(moved)}." for i, kept, moved in rows]
    total = int(session.scalar(sa.text("SELECT COALESCE(SUM(balance_micros), 0) FROM accounts")))
    return found + ([f"All balances together are {total}, not 0."] if total else [])
