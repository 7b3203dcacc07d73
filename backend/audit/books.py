"""What each part of the books says of money, against the transfers."""

# By the sentence that says what is wrong, a query of what it says that of; none: all is well.
CHECKS = {
    "All balances together are {}, not 0.": """
SELECT total FROM (SELECT SUM(balance_micros) AS total FROM accounts) x WHERE total <> 0
""",
    "Deposit {} has no transfer of its amount.": """
SELECT d.id FROM deposits d
LEFT JOIN transfers t ON t.code = 'deposit' AND t.about = CAST(d.id AS VARCHAR(20)) AND t.account_id = d.user_id * 8 + 4
WHERE t.amount_micros IS NULL OR t.amount_micros <> d.amount_micros LIMIT 20
""",
    "{} were posted as deposits, {} arrived.": """
SELECT posted, said FROM (
  SELECT (SELECT COALESCE(SUM(amount_micros), 0) FROM deposits) AS said,
         (SELECT COALESCE(SUM(amount_micros), 0) FROM transfers WHERE code = 'deposit') AS posted
) x WHERE said < posted
""",
    # What left a payout's source, what the bank has, and what is still in transit.
    "Payout {} is not what its transfers say.": """
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
""",
    "Transit of user {} is not what open payouts and card refunds say.": """
SELECT user_id FROM (
  SELECT user_id, balance_micros AS micros FROM accounts WHERE kind = 6 AND user_id > 0
  UNION ALL SELECT user_id, -amount_micros FROM payouts WHERE state = 'open'
  UNION ALL SELECT p.user_id, -r.amount_micros
  FROM card_refunds r JOIN card_payments p ON p.id = r.payment_id WHERE r.state = 'asked'
) x GROUP BY user_id HAVING SUM(micros) <> 0 ORDER BY user_id LIMIT 20
""",
    "Batch {} is not the sum of its payouts.": """
SELECT b.id FROM payout_batches b LEFT JOIN (
  SELECT batch_id, COUNT(*) AS payouts, SUM(amount_micros) AS total FROM payouts GROUP BY batch_id
) p ON p.batch_id = b.id
WHERE b.state <> 'cancelled' AND (p.payouts IS NULL OR p.payouts <> b.payouts OR p.total <> b.total_micros)
ORDER BY b.id LIMIT 20
""",
    "{} payouts were posted, {} are known.": """
SELECT posted, said FROM (
  SELECT (SELECT COUNT(*) FROM payouts) AS said, (SELECT COUNT(*) FROM transfers WHERE code = 'payout') AS posted
) x WHERE said < posted
""",
    # Each card payment that was made is a deposit of its amount that the provider holds, and the other way round.
    "Card payment {} is not a deposit that the provider holds.": """
SELECT COALESCE(p.provider_id, d.reference) AS id FROM (SELECT * FROM card_payments WHERE state = 'paid') p
FULL JOIN (SELECT * FROM deposits WHERE source = 'card') d
  ON d.reference = p.provider_id AND d.user_id = p.user_id AND d.amount_micros = p.amount_micros
LEFT JOIN transfers t ON t.code = 'deposit' AND t.about = CAST(d.id AS VARCHAR(20)) AND t.account_id = d.user_id * 8 + 4
WHERE p.id IS NULL OR d.id IS NULL OR t.debit_account_id IS NULL OR t.debit_account_id <> 3 ORDER BY 1 LIMIT 20
""",
    # Each move of money between a provider and whoever bears a refund or dispute has its transfer.
    "Refund or dispute {} has no transfers of its amounts.": """
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
""",
    # What readers asked for is in transit until it is done or refused.
    "Card refund {} is not in transit as it says.": """
SELECT r.id FROM card_refunds r JOIN card_payments p ON p.id = r.payment_id
LEFT JOIN transfers t
  ON t.code = 'card_refund' AND t.about = CAST(r.id AS VARCHAR(20)) AND t.account_id = p.user_id * 8 + 4
LEFT JOIN transfers b ON b.code = 'card_unrefund' AND b.about = t.about AND b.account_id = t.account_id
WHERE COALESCE(t.amount_micros, 0) <> r.amount_micros
   OR COALESCE(b.amount_micros, 0) <> CASE WHEN r.state = 'refused' THEN r.amount_micros ELSE 0 END ORDER BY 1 LIMIT 20
""",
    # What went back of a payment is what its moves say and what is on its way; what is done of that is in the moves.
    "Of card payment {} something else went back than it says.": """
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
""",
    "More is held of the income of user {} than came in.": """
SELECT h.owner_id AS id
FROM (SELECT period, owner_id, SUM(held_micros) AS held_micros FROM held GROUP BY period, owner_id) h
JOIN periods n ON n.period = h.period
LEFT JOIN transfers t ON t.code = 'share' AND t.account_id = h.owner_id * 8 + 5
  AND t.about = CAST(h.period / 100 AS VARCHAR(4)) || '-' || SUBSTR(CAST(h.period AS VARCHAR(6)), 5)
WHERE n.state = 'settled' AND COALESCE(t.amount_micros, 0) < h.held_micros ORDER BY 1 LIMIT 20
""",
    # There are no transfers but those of the moves and refunds above.
    "Money went to the card provider, or came from it, for no refund or dispute that is known.": """
SELECT 1 FROM (
  SELECT (SELECT SUM(ABS(wallet_micros) + ABS(transit_micros) + ABS(reserve_micros)) FROM card_moves) AS moved,
         (SELECT SUM(amount_micros) FROM transfers WHERE code IN ('card_taken', 'card_back')) AS posted,
         (SELECT COUNT(*) FROM transfers WHERE code IN ('card_refund', 'card_unrefund')) AS asked,
         (SELECT COUNT(*) + SUM(CASE WHEN state = 'refused' THEN 1 ELSE 0 END) FROM card_refunds) AS wanted
) x WHERE COALESCE(moved, 0) < COALESCE(posted, 0) OR COALESCE(wanted, 0) < asked
""",
    # Whatever a bank statement brought is in a deposit, waits on SUSPENSE, or was sent back from there.
    "Bank entry {} is not booked as it says.": """
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
""",
    # Each debit that took back a deposit is whole on its reader's wallet and the reserve, and there are no others.
    "Bank entry {} did not take back what it says.": """
SELECT r.entry_id AS id FROM reversals r
JOIN deposits d ON d.id = r.deposit_id JOIN bank_entries e ON e.id = r.entry_id
LEFT JOIN transfers w ON w.code = 'deposit_taken' AND w.about = CAST(r.entry_id AS VARCHAR(20))
  AND w.account_id = d.user_id * 8 + 4 AND w.debit_account_id = w.account_id AND w.credit_account_id = 0
LEFT JOIN transfers b ON b.code = 'deposit_taken' AND b.about = CAST(r.entry_id AS VARCHAR(20))
  AND b.account_id = 7 AND b.debit_account_id = 7 AND b.credit_account_id = 0
WHERE COALESCE(w.amount_micros, 0) <> r.wallet_micros OR COALESCE(b.amount_micros, 0) <> r.reserve_micros
   OR r.wallet_micros + r.reserve_micros <> -e.amount_micros ORDER BY 1 LIMIT 20
""",
    "{} were taken back by the bank, {} are known.": """
SELECT posted, said FROM (
  SELECT (SELECT COALESCE(SUM(wallet_micros + reserve_micros), 0) FROM reversals) AS said,
         (SELECT COALESCE(SUM(amount_micros), 0) FROM transfers WHERE code = 'deposit_taken') AS posted
) x WHERE said < posted
""",
    "{} were booked from bank statements, whose entries say {}.": """
SELECT booked, said FROM (
  SELECT (SELECT COALESCE(SUM(amount_micros), 0) FROM bank_entries WHERE state = 'matched') AS said,
         (SELECT COALESCE(SUM(t.amount_micros), 0) FROM deposits d JOIN transfers t
          ON t.code = 'deposit' AND t.about = CAST(d.id AS VARCHAR(20)) AND t.account_id = d.user_id * 8 + 4
          WHERE d.source = 'bank' AND t.debit_account_id = 0) AS booked
) x WHERE said <> booked
""",
    "{} wait on suspense, bank entries say {}.": """
SELECT suspended, said FROM (
  SELECT (SELECT COALESCE(SUM(amount_micros), 0) FROM bank_entries WHERE state = 'unmatched') AS said,
         (SELECT COALESCE(SUM(CASE WHEN credit_account_id = 6 THEN amount_micros ELSE -amount_micros END), 0)
          FROM transfers WHERE debit_account_id = 6 OR credit_account_id = 6) AS suspended
) x WHERE said <> suspended
""",
    "{} wait on the clearing account, but no month is settling.": """
SELECT balance_micros FROM accounts
WHERE id = 2 AND balance_micros <> 0 AND NOT EXISTS (SELECT 1 FROM periods WHERE state = 'closing')
""",
}
