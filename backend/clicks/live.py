"""An open month as it stands: counted where that is quick, else estimated from some of its lists."""

from collections import defaultdict
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import bulk, ledger
from backend.claims import owner_in
from backend.clicks import months
from backend.clicks.lists import payees_of
from backend.clicks.tables import Click
from backend.sites import Site
from backend.users import DEFAULT_BUDGET_MICROS, Budget, User

SOME = 5000  # clicks to look at


@dataclass(frozen=True)
class SoFar:
    """What an open month would come to now; *is_estimate*: in round numbers, and *owners* are those seen."""

    readers: int
    owners: int
    clicks: int
    promises: int
    pots_micros: int
    is_estimate: bool


def so_far(session: Session, period: str) -> SoFar:
    """How many readers have a list, what they would give together, to how many owners, and how much is promised.

    It looks at `SOME` clicks at most: a month that has more is estimated from the lists in the middle of its readers.
    """
    found = _some(session, period, 0)
    more = len(found) > SOME
    if more:
        middle = (session.scalar(sa.select(sa.func.max(User.id))) or 0) // 2
        found = _some(session, period, middle) if len(_some(session, period, middle)) > SOME else found
        last = found[-1].reader_id  # whose list may be cut off
        found = [click for click in found if click.reader_id != last] or found
    owned = payees_of(session, period, {click.site_id: click.name for click in found})
    people: defaultdict[int, set[int]] = defaultdict(set)  # whom each reader's list pays
    promises = 0
    for click in found:
        owner_id = owner_in(owned.get(click.site_id, []), click.accepted_at)
        if owner_id is None:
            promises += 1
        elif (click.author_id or owner_id) != click.reader_id:
            people[click.reader_id].add(click.author_id or owner_id)
    seen = (len({click.reader_id for click in found}), promises, _pots(session, period, list(people)))
    clicks = max(_about(session, period), len(found)) if more else len(found)
    readers, promises, pots = (number * clicks // max(len(found), 1) for number in seen)
    return SoFar(readers, len(set().union(*people.values())), clicks, promises, pots, is_estimate=more)


def _some(session: Session, period: str, first: int) -> list[sa.Row[*tuple[int, ...]]]:
    query = sa.select(Click.reader_id, Click.site_id, Click.author_id, Click.accepted_at, Site.name)
    query = query.join(Site, Site.id == Click.site_id).where(Click.period == period, Click.reader_id >= first)
    return list(session.execute(query.order_by(Click.reader_id).limit(SOME + 1)))


def _pots(session: Session, period: str, readers: list[int]) -> int:
    """What these readers can spend together."""
    decided = sa.select(Budget.reader_id, Budget.budget_micros).where(
        Budget.reader_id.in_(readers), Budget.period <= period
    )
    budgets = dict(session.execute(decided.order_by(Budget.period)).all())  # of several the last one stays
    wallets = ledger.balances(session, [ledger.wallet(reader) for reader in readers])
    return sum(
        ledger.pot(budgets.get(reader, DEFAULT_BUDGET_MICROS), wallets[ledger.wallet(reader)]) for reader in readers
    )


def _about(session: Session, period: str) -> int:
    """How many clicks a month has: on PostgreSQL as it guesses by itself."""
    if not bulk.on_postgresql(session):
        return session.scalar(sa.select(sa.func.count()).where(Click.period == period)) or 0
    guess = "SELECT SUM(GREATEST(c.reltuples, 0)) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
    guess += "WHERE i.inhparent = CAST(:month AS regclass)"
    return int(session.scalar(sa.text(guess), {"month": months.name(period)}) or 0)
