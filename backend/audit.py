"""Does everything add up? Recomputed by another path than the one that wrote it: plain SQL over transfers and lists."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.errors import DomainError
from backend.ledger import Kind

_BALANCES = """
SELECT a.id, a.balance_micros, COALESCE(c.total, 0) - COALESCE(d.total, 0) AS recomputed
FROM accounts a
LEFT JOIN (SELECT credit_account_id AS id, SUM(amount_micros) AS total FROM transfers GROUP BY 1) c ON c.id = a.id
LEFT JOIN (SELECT debit_account_id AS id, SUM(amount_micros) AS total FROM transfers GROUP BY 1) d ON d.id = a.id
WHERE a.balance_micros <> COALESCE(c.total, 0) - COALESCE(d.total, 0) ORDER BY a.id LIMIT 20
"""
_DEPOSITS = """
SELECT d.id FROM deposits d
LEFT JOIN transfers t ON t.code = 'deposit' AND t.about = CAST(d.id AS VARCHAR(20)) AND t.account_id = d.user_id * 8 + 4
WHERE t.amount_micros IS NULL OR t.amount_micros <> d.amount_micros LIMIT 20
"""
# What each reader's list says, from the clicks and the frozen payees, against what was charged.
_SHARES = """
SELECT x.reader_id FROM (
  SELECT c.period, c.reader_id, COUNT(DISTINCT COALESCE(c.author_id, p.owner_id)) AS owners FROM clicks c
  JOIN periods m ON m.period = c.period AND m.state = 'settled'
  JOIN payees p ON p.period = c.period AND p.site_id = c.site_id
                AND c.accepted_at >= p.since AND c.accepted_at < p.until
  WHERE COALESCE(c.author_id, p.owner_id) <> c.reader_id AND c.period = :period GROUP BY 1, 2
) x
LEFT JOIN shares s ON s.period = x.period AND s.reader_id = x.reader_id
LEFT JOIN transfers t ON t.code = 'charge' AND t.about = :about AND t.account_id = x.reader_id * 8 + 4
WHERE s.owners IS NULL OR s.owners <> x.owners OR s.share_micros <> s.pot_micros / s.owners
   OR COALESCE(t.amount_micros, 0) <> s.share_micros * s.owners LIMIT 20
"""
_SETTLED = """
SELECT period, charged_micros, received_micros, fee_micros FROM periods WHERE state = 'settled' ORDER BY period
"""
_PAID = """
SELECT COALESCE(SUM(CASE WHEN code = 'charge' THEN amount_micros END), 0) AS charged,
       COALESCE(SUM(CASE WHEN code = 'share' THEN amount_micros END), 0) AS shared,
       COALESCE(SUM(CASE WHEN code = 'fee' THEN amount_micros END), 0) AS fees
FROM transfers WHERE about = :about AND code IN ('charge', 'share', 'fee')
"""
_OWNERS = """
SELECT y.owner_id FROM (
  SELECT x.owner_id, SUM(s.share_micros) AS gross FROM (
    SELECT DISTINCT c.reader_id, COALESCE(c.author_id, p.owner_id) AS owner_id FROM clicks c
    JOIN payees p ON p.period = c.period AND p.site_id = c.site_id
                AND c.accepted_at >= p.since AND c.accepted_at < p.until
    WHERE COALESCE(c.author_id, p.owner_id) <> c.reader_id AND c.period = :period
  ) x JOIN shares s ON s.period = :period AND s.reader_id = x.reader_id GROUP BY 1
) y
LEFT JOIN transfers t ON t.code = 'share' AND t.about = :about AND t.account_id = y.owner_id * 8 + 5
WHERE COALESCE(t.amount_micros, 0) <> y.gross LIMIT 20
"""


class AuditFailed(DomainError):
    """The books do not add up. Nothing may be settled or paid out before this is understood."""

    code = "audit_failed"


def problems(session: Session) -> list[str]:
    """All that does not add up, a sentence each; empty when every micro is where it should be."""
    return [*_balance_problems(session), *_deposit_problems(session), *_period_problems(session)]


def ensure_clean(session: Session) -> None:
    """Refuse to go on while anything does not add up.

    Raises:
        AuditFailed: Something does not; the message says what.
    """
    if found := problems(session):
        raise AuditFailed("The audit failed: " + " ".join(found[:3]))


def account_name(account_id: int) -> str:
    """A ledger account for people: ``wallet of user 17``."""
    kind = Kind(account_id % 8).name.lower()
    return f"{kind} of user {account_id // 8}" if account_id >= 8 else kind


def _balance_problems(session: Session) -> list[str]:
    rows = session.execute(sa.text(_BALANCES)).all()
    found = [f"Account {account_name(i)} says {kept}, its transfers say {int(sum_)}." for i, kept, sum_ in rows]
    total = int(session.scalar(sa.text("SELECT COALESCE(SUM(balance_micros), 0) FROM accounts")))
    return found + ([f"All balances together are {total}, not 0."] if total else [])


def _deposit_problems(session: Session) -> list[str]:
    return [f"Deposit {row.id} has no transfer of its amount." for row in session.execute(sa.text(_DEPOSITS))]


def _period_problems(session: Session) -> list[str]:
    closing = session.scalar(sa.text("SELECT COUNT(*) FROM periods WHERE state = 'closing'"))
    cleared = session.scalar(sa.text("SELECT balance_micros FROM accounts WHERE id = :id"), {"id": Kind.CLEARING}) or 0
    found = [] if closing or not cleared else [f"{cleared} wait on the clearing account, but no month is settling."]
    for row in session.execute(sa.text(_SETTLED)).all():
        about = f"{row.period // 100}-{row.period % 100:02d}"
        about_it = {"period": row.period, "about": about}
        paid = session.execute(sa.text(_PAID), {"about": about}).one()
        charged, shared, fees = int(paid.charged), int(paid.shared), int(paid.fees)
        if (
            not charged == shared == row.charged_micros == row.received_micros + row.fee_micros
            or fees != row.fee_micros
        ):
            found.append(f"{about}: {charged} charged, {shared} shared, {fees} fees; sealed otherwise.")
        readers = session.scalars(sa.text(_SHARES), about_it)
        found += [f"{about}: wallet of user {i} was not charged what the list says." for i in readers]
        owners = session.scalars(sa.text(_OWNERS), about_it)
        found += [f"{about}: income of user {i} is not what the lists say." for i in owners]
    return found
