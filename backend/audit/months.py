"""What settled months charged and paid, against their totals, their lists and the frozen payees."""

import random
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

SAMPLE = 1000  # users; an installation with no more is looked at whole
RANGE = 20_000

_SETTLED = "SELECT period FROM periods WHERE state = 'settled' ORDER BY period"
_TOTALS = """
SELECT charged, shared, fees FROM (
  SELECT COALESCE(SUM(CASE WHEN code = 'charge' THEN amount_micros END), 0) AS charged,
         COALESCE(SUM(CASE WHEN code = 'share' THEN amount_micros END), 0) AS shared,
         COALESCE(SUM(CASE WHEN code = 'fee' THEN amount_micros END), 0) AS fees
  FROM transfers WHERE about = :about AND code IN ('charge', 'share', 'fee')
) x JOIN periods p ON p.period = :period
WHERE charged <> shared OR charged <> p.charged_micros OR charged <> p.received_micros + p.fee_micros
   OR fees <> p.fee_micros
"""
# What the lists of some readers say, from the clicks, the frozen payees and the gifts, against what was charged.
_SHARES = """
SELECT COALESCE(x.reader_id, s.reader_id) FROM (
  SELECT reader_id, COUNT(*) AS owners FROM (
    SELECT c.reader_id, COALESCE(c.author_id, p.owner_id) AS owner_id FROM clicks c
    JOIN payees p ON p.period = :period AND p.site_id = c.site_id
                 AND c.accepted_at >= p.since AND c.accepted_at < p.until
    WHERE c.period = :period AND c.reader_id BETWEEN :first AND :last
    UNION SELECT reader_id, owner_id FROM gifts WHERE period = :period AND reader_id BETWEEN :first AND :last
  ) w WHERE owner_id <> reader_id GROUP BY reader_id
) x
FULL JOIN (
  SELECT reader_id, owners, pot_micros, share_micros FROM shares
  WHERE period = :period AND reader_id BETWEEN :first AND :last
) s ON s.reader_id = x.reader_id
LEFT JOIN transfers t
  ON t.code = 'charge' AND t.about = :about AND t.account_id = COALESCE(x.reader_id, s.reader_id) * 8 + 4
WHERE x.owners IS NULL OR s.owners IS NULL OR s.owners <> x.owners OR s.share_micros <> s.pot_micros / s.owners
   OR COALESCE(t.amount_micros, 0) <> s.share_micros * s.owners LIMIT 20
"""
# What those lists gave some owners, against what they received.
_OWNERS = """
SELECT y.owner_id FROM (
  SELECT x.owner_id, SUM(s.share_micros) AS gross FROM (
    SELECT c.reader_id, p.owner_id FROM payees p
    JOIN clicks c ON c.period = :period AND c.site_id = p.site_id AND c.author_id IS NULL
                 AND c.accepted_at >= p.since AND c.accepted_at < p.until
    WHERE p.period = :period AND p.owner_id BETWEEN :first AND :last
    UNION SELECT c.reader_id, c.author_id FROM clicks c
    JOIN payees p ON p.period = :period AND p.site_id = c.site_id
                 AND c.accepted_at >= p.since AND c.accepted_at < p.until
    WHERE c.period = :period AND c.author_id BETWEEN :first AND :last
    UNION SELECT reader_id, owner_id FROM gifts WHERE period = :period AND owner_id BETWEEN :first AND :last
  ) x JOIN shares s ON s.period = :period AND s.reader_id = x.reader_id
  WHERE x.owner_id <> x.reader_id GROUP BY x.owner_id
) y
LEFT JOIN transfers t ON t.code = 'share' AND t.about = :about AND t.account_id = y.owner_id * 8 + 5
WHERE COALESCE(t.amount_micros, 0) <> y.gross LIMIT 20
"""


def problems(session: Session, full: bool) -> list[str]:
    """Settled months that do not come to what their lists say."""
    found: list[str] = []
    for period in session.scalars(sa.text(_SETTLED)).all():
        asked = {"period": period, "about": f"{period // 100}-{period % 100:02d}"}
        found += _found(session, "{about}: {} charged, {} shared, {} fees; sealed otherwise.", _TOTALS, asked)
        for first, last in _ranges(session, full):
            asked |= {"first": first, "last": last}
            found += _found(session, "{about}: wallet of user {} was not charged what the list says.", _SHARES, asked)
            found += _found(session, "{about}: income of user {} is not what the lists say.", _OWNERS, asked)
    return found


def _found(session: Session, said: str, query: str, asked: dict[str, Any]) -> list[str]:
    return [said.format(*row, **asked) for row in session.execute(sa.text(query), asked)]


def _ranges(session: Session, full: bool) -> Iterator[tuple[int, int]]:
    """Ranges of user ids to look at: all of them, or a few in one place."""
    most = session.scalar(sa.text("SELECT MAX(id) FROM users")) or 0
    if full or most <= SAMPLE:
        yield from ((first, first + RANGE - 1) for first in range(0, most + 1, RANGE))
    else:
        first = random.randint(1, most - SAMPLE + 1)  # noqa: S311 (a sample, not a secret)
        yield first, first + SAMPLE - 1
