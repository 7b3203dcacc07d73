"""Card payments, refunds and what providers took back, against their transfers."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

# Each card payment that was made is a deposit of its amount that the provider holds, and the other way round.
_CARD_DEPOSITS = """
SELECT COALESCE(p.provider_id, d.reference) AS id FROM (SELECT * FROM card_payments WHERE state = 'paid') p
FULL JOIN (SELECT * FROM deposits WHERE source = 'card') d
  ON d.reference = p.provider_id AND d.user_id = p.user_id AND d.amount_micros = p.amount_micros
LEFT JOIN transfers t ON t.code = 'deposit' AND t.about = CAST(d.id AS VARCHAR(20)) AND t.account_id = d.user_id * 8 + 4
WHERE p.id IS NULL OR d.id IS NULL OR t.debit_account_id IS NULL OR t.debit_account_id <> 3 ORDER BY 1 LIMIT 20
"""
# Each move of money between a provider and whoever bears a refund or dispute has its transfer ...
_CARD_MOVES = """
SELECT x.about AS id FROM (
  SELECT m.cause || ' ' || CAST(m.number AS VARCHAR(20)) AS about, p.user_id * 8 + 4 AS account, wallet_micros AS amount
  FROM card_moves m JOIN card_payments p ON p.id = m.payment_id
  UNION ALL SELECT m.cause || ' ' || CAST(m.number AS VARCHAR(20)), p.user_id * 8 + 6, transit_micros
  FROM card_moves m JOIN card_payments p ON p.id = m.payment_id
  UNION ALL SELECT cause || ' ' || CAST(number AS VARCHAR(20)), 7, reserve_micros FROM card_moves
) x
LEFT JOIN transfers t ON t.account_id = x.account AND t.about = x.about
  AND t.code = CASE WHEN x.amount > 0 THEN 'card_taken' ELSE 'card_back' END
WHERE x.amount <> COALESCE(CASE WHEN t.credit_account_id = 3 THEN t.amount_micros ELSE -t.amount_micros END, 0)
ORDER BY 1 LIMIT 20
"""
# ... and there are no others. What readers asked for is in transit until it is done or refused.
_CARD_TOTALS = """
SELECT (SELECT SUM(ABS(wallet_micros) + ABS(transit_micros) + ABS(reserve_micros)) FROM card_moves) AS moved,
       (SELECT SUM(amount_micros) FROM transfers WHERE code IN ('card_taken', 'card_back')) AS posted,
       (SELECT COUNT(*) FROM transfers WHERE code IN ('card_refund', 'card_unrefund')) AS asked,
       (SELECT COUNT(*) + SUM(CASE WHEN state = 'refused' THEN 1 ELSE 0 END) FROM card_refunds) AS wanted
"""
_CARD_REFUNDS = """
SELECT r.id FROM card_refunds r JOIN card_payments p ON p.id = r.payment_id
LEFT JOIN transfers t
  ON t.code = 'card_refund' AND t.about = CAST(r.id AS VARCHAR(20)) AND t.account_id = p.user_id * 8 + 4
LEFT JOIN transfers b ON b.code = 'card_unrefund' AND b.about = t.about AND b.account_id = t.account_id
WHERE COALESCE(t.amount_micros, 0) <> r.amount_micros
   OR COALESCE(b.amount_micros, 0) <> CASE WHEN r.state = 'refused' THEN r.amount_micros ELSE 0 END ORDER BY 1 LIMIT 20
"""
# What went back of a payment is what its moves say and what is on its way; what was asked for and done is in the moves.
_CARD_TAKEN = """
SELECT p.id FROM card_payments p
LEFT JOIN (
  SELECT payment_id, SUM(wallet_micros + transit_micros + reserve_micros) AS taken,
         SUM(CASE WHEN transit_micros > 0 THEN transit_micros ELSE 0 END) AS refunded
  FROM card_moves GROUP BY payment_id
) m ON m.payment_id = p.id
LEFT JOIN (
  SELECT payment_id, SUM(CASE WHEN state = 'asked' THEN amount_micros ELSE 0 END) AS asked,
         SUM(CASE WHEN state = 'done' THEN amount_micros ELSE 0 END) AS done
  FROM card_refunds GROUP BY payment_id
) r ON r.payment_id = p.id
WHERE p.taken_micros <> COALESCE(m.taken, 0) + COALESCE(r.asked, 0)
   OR COALESCE(m.refunded, 0) <> COALESCE(r.done, 0) ORDER BY 1 LIMIT 20
"""
_HELD = """
SELECT h.owner_id AS id
FROM (SELECT period, owner_id, SUM(held_micros) AS held_micros FROM held GROUP BY period, owner_id) h
JOIN periods n ON n.period = h.period
LEFT JOIN transfers t ON t.code = 'share' AND t.account_id = h.owner_id * 8 + 5
  AND t.about = CAST(h.period / 100 AS VARCHAR(4)) || '-' || SUBSTR(CAST(h.period AS VARCHAR(6)), 5)
WHERE n.state = 'settled' AND COALESCE(t.amount_micros, 0) < h.held_micros ORDER BY 1 LIMIT 20
"""
_CARDS = {
    "Card payment {} is not a deposit that the provider holds.": _CARD_DEPOSITS,
    "Refund or dispute {} has no transfers of its amounts.": _CARD_MOVES,
    "Card refund {} is not in transit as it says.": _CARD_REFUNDS,
    "Of card payment {} something else went back than it says.": _CARD_TAKEN,
    "More is held of the income of user {} than came in.": _HELD,
}


def problems(session: Session) -> list[str]:
    """Card money that is not where it is said to be."""
    found = [said.format(row.id) for said, query in _CARDS.items() for row in session.execute(sa.text(query))]
    moved, posted, asked, wanted = (int(n or 0) for n in session.execute(sa.text(_CARD_TOTALS)).one())
    if moved < posted or wanted < asked:
        found.append("Money went to the card provider, or came from it, for no refund or dispute that is known.")
    return found
