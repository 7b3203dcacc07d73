"""What arrived, and what a bank statement told of, against its transfers."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

_DEPOSITS = """
SELECT d.id FROM deposits d
LEFT JOIN transfers t ON t.code = 'deposit' AND t.about = CAST(d.id AS VARCHAR(20)) AND t.account_id = d.user_id * 8 + 4
WHERE t.amount_micros IS NULL OR t.amount_micros <> d.amount_micros LIMIT 20
"""
_DEPOSITED = """
SELECT (SELECT COALESCE(SUM(amount_micros), 0) FROM deposits) AS said,
       (SELECT COALESCE(SUM(amount_micros), 0) FROM transfers WHERE code = 'deposit') AS posted
"""
# Whatever a bank statement brought is in a deposit, waits on SUSPENSE, or was sent back from there.
_ENTRIES = """
SELECT e.id FROM bank_entries e
LEFT JOIN deposits d ON d.reference = 'bank entry ' || CAST(e.id AS VARCHAR(20))
LEFT JOIN transfers t ON t.code = 'deposit' AND t.about = CAST(d.id AS VARCHAR(20)) AND t.account_id = d.user_id * 8 + 4
LEFT JOIN transfers w ON w.code = 'suspense' AND w.about = CAST(e.id AS VARCHAR(20)) AND w.account_id = 6
LEFT JOIN transfers b ON b.code = 'sent_back' AND b.about = CAST(e.id AS VARCHAR(20)) AND b.account_id = 6
WHERE COALESCE(t.amount_micros, 0) <> CASE WHEN e.state IN ('matched', 'assigned') THEN e.amount_micros ELSE 0 END
   OR COALESCE(t.debit_account_id, 0) <> CASE WHEN e.state = 'assigned' THEN 6 ELSE 0 END
   OR COALESCE(w.amount_micros, 0)
      <> CASE WHEN e.state IN ('unmatched', 'assigned', 'returned') THEN e.amount_micros ELSE 0 END
   OR COALESCE(b.amount_micros, 0) <> CASE WHEN e.state = 'returned' THEN e.amount_micros ELSE 0 END
ORDER BY e.id LIMIT 20
"""
_ARRIVED = """
SELECT (SELECT COALESCE(SUM(amount_micros), 0) FROM bank_entries WHERE state = 'matched') AS matched,
       (SELECT COALESCE(SUM(amount_micros), 0) FROM bank_entries WHERE state = 'unmatched') AS waiting,
       (SELECT COALESCE(SUM(t.amount_micros), 0) FROM deposits d JOIN transfers t
        ON t.code = 'deposit' AND t.about = CAST(d.id AS VARCHAR(20)) AND t.account_id = d.user_id * 8 + 4
        WHERE d.source = 'bank' AND t.debit_account_id = 0) AS booked,
       (SELECT COALESCE(SUM(CASE WHEN credit_account_id = 6 THEN amount_micros ELSE -amount_micros END), 0)
        FROM transfers WHERE debit_account_id = 6 OR credit_account_id = 6) AS suspended
"""
# Each debit that took back a deposit is whole on its reader's wallet and the reserve, and there are no others.
_REVERSALS = """
SELECT r.entry_id AS id FROM reversals r
JOIN deposits d ON d.id = r.deposit_id JOIN bank_entries e ON e.id = r.entry_id
LEFT JOIN transfers w ON w.code = 'deposit_taken' AND w.about = CAST(r.entry_id AS VARCHAR(20))
  AND w.account_id = d.user_id * 8 + 4 AND w.debit_account_id = w.account_id AND w.credit_account_id = 0
LEFT JOIN transfers b ON b.code = 'deposit_taken' AND b.about = CAST(r.entry_id AS VARCHAR(20))
  AND b.account_id = 7 AND b.debit_account_id = 7 AND b.credit_account_id = 0
WHERE COALESCE(w.amount_micros, 0) <> r.wallet_micros OR COALESCE(b.amount_micros, 0) <> r.reserve_micros
   OR r.wallet_micros + r.reserve_micros <> -e.amount_micros ORDER BY 1 LIMIT 20
"""
_REVERSED = """
SELECT (SELECT COALESCE(SUM(wallet_micros + reserve_micros), 0) FROM reversals) AS said,
       (SELECT COALESCE(SUM(amount_micros), 0) FROM transfers WHERE code = 'deposit_taken') AS posted
"""


def problems(session: Session) -> list[str]:
    """Deposits without their transfers, and the other way round."""
    found = [f"Deposit {row.id} has no transfer of its amount." for row in session.execute(sa.text(_DEPOSITS))]
    said, posted = session.execute(sa.text(_DEPOSITED)).one()
    return found + ([f"{int(posted)} were posted as deposits, {int(said)} arrived."] if said < posted else [])


def entry_problems(session: Session) -> list[str]:
    """Bank entries that are not booked as they say."""
    found = [f"Bank entry {row.id} is not booked as it says." for row in session.execute(sa.text(_ENTRIES))]
    found += [f"Bank entry {row.id} did not take back what it says." for row in session.execute(sa.text(_REVERSALS))]
    said, posted = session.execute(sa.text(_REVERSED)).one()
    found += [f"{int(posted)} were taken back by the bank, {int(said)} are known."] if said < posted else []
    matched, waiting, booked, suspended = map(int, session.execute(sa.text(_ARRIVED)).one())
    if matched != booked:
        found += [f"{booked} were booked from bank statements, whose entries say {matched}."]
    return found + ([f"{suspended} wait on suspense, bank entries say {waiting}."] if waiting != suspended else [])
