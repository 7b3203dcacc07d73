"""Payouts, what is in transit, and the files for the bank."""

import hashlib

import sqlalchemy as sa
from sqlalchemy.orm import Session

# Payouts against their transfers: what left its source, what the bank has, and what is still in transit.
_PAYOUTS = """
SELECT p.id FROM payouts p LEFT JOIN (
  SELECT about, MIN(CASE WHEN code = 'payout' THEN debit_account_id END) AS source,
         SUM(CASE WHEN code = 'payout' THEN amount_micros ELSE 0 END) AS made,
         SUM(CASE WHEN code = 'payout_paid' THEN amount_micros ELSE 0 END) AS paid,
         SUM(CASE WHEN code = 'payout_back' THEN amount_micros ELSE 0 END) AS back,
         SUM(CASE WHEN code = 'payout_return' THEN amount_micros ELSE 0 END) AS returned
  FROM transfers WHERE code IN ('payout', 'payout_paid', 'payout_back', 'payout_return') GROUP BY about
) t ON t.about = CAST(p.id AS VARCHAR(20))
WHERE t.made IS NULL OR t.made <> p.amount_micros
   OR t.source <> p.user_id * 8 + CASE p.purpose WHEN 'refund' THEN 4 ELSE 5 END
   OR t.made - t.paid - t.back <> CASE p.state WHEN 'open' THEN p.amount_micros ELSE 0 END
   OR t.paid - t.returned <> CASE p.state WHEN 'paid' THEN p.amount_micros ELSE 0 END
ORDER BY p.id LIMIT 20
"""
_PAID_OUT = """
SELECT (SELECT COUNT(*) FROM payouts) AS said, (SELECT COUNT(*) FROM transfers WHERE code = 'payout') AS posted
"""
_IN_TRANSIT = """
SELECT user_id FROM (
  SELECT user_id, balance_micros AS micros FROM accounts WHERE kind = 6 AND user_id > 0
  UNION ALL SELECT user_id, -amount_micros FROM payouts WHERE state = 'open'
  UNION ALL SELECT p.user_id, -r.amount_micros
  FROM card_refunds r JOIN card_payments p ON p.id = r.payment_id WHERE r.state = 'asked'
) x GROUP BY user_id HAVING SUM(micros) <> 0 ORDER BY user_id LIMIT 20
"""
_BATCHES = """
SELECT b.id FROM payout_batches b LEFT JOIN (
  SELECT batch_id, COUNT(*) AS payouts, SUM(amount_micros) AS total FROM payouts GROUP BY batch_id
) p ON p.batch_id = b.id
WHERE b.state <> 'cancelled' AND (p.payouts IS NULL OR p.payouts <> b.payouts OR p.total <> b.total_micros)
ORDER BY b.id LIMIT 20
"""
_FILES = """
SELECT id, digest, file FROM payout_batches WHERE state NOT IN ('confirmed', 'cancelled') ORDER BY id
"""


def problems(session: Session) -> list[str]:
    """Payouts, transit and batches that do not agree."""
    payouts, transit, batches, files, ((said, posted),) = (
        session.execute(sa.text(query)).all() for query in (_PAYOUTS, _IN_TRANSIT, _BATCHES, _FILES, _PAID_OUT)
    )
    found = [f"Payout {row.id} is not what its transfers say." for row in payouts]
    found += [f"Transit of user {row.user_id} is not what open payouts and card refunds say." for row in transit]
    found += [f"Batch {row.id} is not the sum of its payouts." for row in batches]
    is_other = {row.id: hashlib.sha256(row.file).digest() != bytes(row.digest) for row in files}
    found += [f"The file of batch {batch_id} has another digest." for batch_id, other in is_other.items() if other]
    return found + ([f"{posted} payouts were posted, {said} are known."] if said < posted else [])
