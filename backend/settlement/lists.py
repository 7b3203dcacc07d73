"""Reading the lists of a chunk of readers: whom each click pays, what stays a promise, what an empty month does."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import bulk, clicks
from backend.bulk import Ints
from backend.claims import BEGINNING, END, Author
from backend.clicks import Click, Gift, Payee, Period, Promise, Share, months, pays_for
from backend.db import insert
from backend.period import ends_at
from backend.settlement.split import LOW, Lists, pack
from backend.users import Budget, User

READERS_PER_CHUNK = 2**14  # on SQLite; on PostgreSQL a chunk is one part of the month's partition
NOBODY, ASK = -1, -2  # instead of the place of an owner: the site has none, or who owns it depends on the time
_whole_month = sa.and_(Payee.since == BEGINNING, Payee.until == END)
_empty = bulk.working_table("empty_months", "reader_id", "charity")
_unowned = bulk.working_table("unowned_sites", "site_id")


def chunks(session: Session, period: str) -> range:
    """The chunks that the readers of a period come in: the same in every run, whoever signs up meanwhile."""
    if bulk.on_postgresql(session):
        return range(months.parts(session, period))
    return range((session.scalar(sa.select(sa.func.max(User.id))) or 0) // READERS_PER_CHUNK + 1)


class Source:
    """One chunk of a period: its clicks, and which readers belong to it."""

    def __init__(self, session: Session, period: str, number: int) -> None:
        self.period, self.number = period, number
        self.in_parts = months.parts(session, period) if bulk.on_postgresql(session) else 0
        whole = cast("sa.Table", Click.__table__)
        part = months.part_name(period, number)
        self.c: Any = (whole.to_metadata(sa.MetaData(), name=part) if self.in_parts else whole).c
        self.mine = sa.true() if self.in_parts else sa.and_(self.c.period == period, self.has(self.c.reader_id))

    def has(self, reader_id: Any) -> sa.ColumnElement[bool]:
        """Whether a reader, of any table, belongs to this chunk."""
        if self.in_parts:
            month = sa.cast(months.name(self.period), sa.dialects.postgresql.REGCLASS)
            return sa.func.satisfies_hash_partition(month, self.in_parts, self.number, reader_id)
        first = self.number * READERS_PER_CHUNK
        return sa.and_(reader_id >= first, reader_id < first + READERS_PER_CHUNK)


class Payees:
    """Who owns the sites of a period, as frozen: nearly all have one owner for the whole month, whatever the time."""

    def __init__(self, session: Session, period: str) -> None:
        frozen = sa.select(Payee.site_id, Payee.owner_id).where(Payee.period == period)
        found = bulk.read(session, frozen.where(_whole_month))
        self.changing = bulk.column(session, _changing(period).distinct())
        sites = found["site_id"].astype(np.int64)
        self.owners, places = np.unique(found["owner_id"].astype(np.int64), return_inverse=True)
        last = max(sites.max(initial=0), self.changing.max(initial=0)) + 1  # its place stands for all sites beyond
        self._places = np.full(last + 1, NOBODY, dtype=np.int32)
        self._places[sites] = places
        self._places[self.changing] = ASK

    def of(self, sites: Ints) -> npt.NDArray[np.int32]:
        """The place of each site's owner in `owners`, or NOBODY, or ASK."""
        return self._places[np.minimum(sites, self._places.size - 1)]


@dataclass(frozen=True)
class Read:
    """What the lists of a chunk say: whom each reader's list pays, and how many clicks count or are promises."""

    lists: Lists
    owners: Ints
    clicks: int
    promises: int


def read(session: Session, period: Period, source: Source, payees: Payees) -> Read:
    """Read the lists of a chunk, write down its promises, and decide its empty months."""
    plain = bulk.column(session, _plain(source))
    places = payees.of(plain & LOW)
    counts = places >= 0
    if payees.owners.size:
        counts &= payees.owners.take(places, mode="clip") != plain >> 32  # clip: not all places are places
    unowned = plain[places == NOBODY] & LOW
    pairs = pack(plain[counts] >> 32, places[counts])
    asked = bulk.read(session, _asked(source, payees.changing.size > 0))
    asking, owners = asked["reader_id"].astype(np.int64), asked["owner_id"].astype(np.int64)
    asked_counts = (owners > 0) & (owners != asking)
    promises = unowned.size + np.count_nonzero(owners == 0)
    if promises:
        _promise(session, source, np.unique(unowned), payees)
    counting = pairs.size + np.count_nonzero(asked_counts)
    listed = _with(Lists.of(pairs), payees.owners, asking[asked_counts], owners[asked_counts])
    gifts = _decide_empty(session, period, source, listed[0].readers)
    return Read(*_with(*listed, *gifts), int(counting), int(promises))


def _with(lists: Lists, known: Ints, readers: Ints, owners: Ints) -> tuple[Lists, Ints]:
    """Lists with more pairs of a reader and an owner, and all their owners."""
    if not readers.size:
        return lists, known
    known = np.concatenate([known, np.setdiff1d(owners, known)])
    order = np.argsort(known)
    places = order[np.searchsorted(known, owners, sorter=order)]
    return Lists.of(np.concatenate([lists.pairs, pack(readers, places)])), known


def _plain(source: Source) -> sa.Select[Any]:
    """Reader and site of each click without a confirmed author, packed into one number."""
    packed = source.c.reader_id.op("<<")(sa.literal_column("32")).op("|")(source.c.site_id)
    return sa.select(packed.label("packed")).where(source.mine, source.c.author_id.is_(None))


def _asked(source: Source, changing: bool) -> Any:
    """Reader and owner, 0 for nobody, of the clicks of which the site alone does not tell."""
    owner = sa.case((Payee.owner_id.is_(None), 0), else_=sa.func.coalesce(source.c.author_id, Payee.owner_id))
    paid = sa.select(source.c.reader_id, owner.label("owner_id")).outerjoin(Payee, pays_for(source.c))
    by_author = paid.where(source.mine, source.c.author_id.is_not(None))
    if not changing:
        return by_author
    at_times = paid.where(source.mine, source.c.author_id.is_(None), source.c.site_id.in_(_changing(source.period)))
    return by_author.union_all(at_times)


def _changing(period: str) -> sa.Select[Any]:
    return sa.select(Payee.site_id).where(Payee.period == period, ~_whole_month)


def _promise(session: Session, source: Source, unowned: Ints, payees: Payees) -> None:
    """Clicks that took no money wait for an owner; a newer promise to the same page renews the older one."""
    bulk.fill(session, _unowned, {"site_id": unowned})
    nobody = source.c.site_id.in_(sa.select(_unowned.c.site_id))
    if payees.changing.size:
        not_then = source.c.site_id.in_(_changing(source.period)) & ~sa.exists().where(pays_for(source.c))
        nobody = sa.or_(nobody, not_then)
    columns = ("reader_id", "page_id", "site_id", "period", "accepted_at")
    rows = sa.select(*(source.c[name] for name in columns)).where(source.mine, nobody)
    statement = insert(session, Promise).from_select([*columns[:-1], "made_at"], rows)
    new = statement.excluded
    renewed = {"period": new.period, "made_at": new.made_at, "joined": None}
    session.execute(statement.on_conflict_do_update(index_elements=["reader_id", "page_id"], set_=renewed))


# Empty months ---------------------------------------------------------------------------------------------------------


def _decide_empty(session: Session, period: Period, source: Source, paying: Ints) -> tuple[Ints, Ints]:
    """Whom readers pay whose list pays nobody, if they chose so; written down, for no click says it (DESIGN 2.6)."""
    chosen = bulk.read(session, _choices(period.period, source))
    empty = chosen[~np.isin(chosen["reader_id"], paying)]
    if not empty.size:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    bulk.fill(session, _empty, {name: empty[name] for name in ("reader_id", "charity")})
    if period.charity_id:
        _give(session, period.period, _to_charity(period.charity_id))
    _give(session, period.period, _as_before(period.period))
    given = sa.select(Gift.reader_id, Gift.owner_id).join(_empty, _empty.c.reader_id == Gift.reader_id)
    found = bulk.read(session, given.where(Gift.period == period.period))
    return found["reader_id"].astype(np.int64), found["owner_id"].astype(np.int64)


def _choices(period: str, source: Source) -> sa.Select[Any]:
    """The chunk's readers who chose something else than to keep an empty month's money, as in force at its end."""
    later = sa.orm.aliased(Budget)
    is_last = ~sa.exists().where(
        later.reader_id == Budget.reader_id, later.period > Budget.period, later.period <= period
    )
    chose = sa.select(Budget.reader_id, sa.case((Budget.empty_month == "charity", 1), else_=0).label("charity"))
    return chose.where(Budget.empty_month != "keep", Budget.period <= period, is_last, source.has(Budget.reader_id))


def _to_charity(charity_id: int) -> sa.Select[Any]:
    to = sa.literal(charity_id, sa.BigInteger).label("owner_id")
    return sa.select(_empty.c.reader_id, to).where(_empty.c.charity == 1, _empty.c.reader_id != charity_id)


def _as_before(period: str) -> sa.Select[Any]:
    """The people of each reader's last month that paid anybody, without those who cannot be paid any more."""
    last = clicks.last_paid(period).join(_empty, _empty.c.reader_id == Share.reader_id).where(_empty.c.charity == 0)
    people = clicks.people_of(last.subquery()).subquery()
    return sa.select(people.c.reader_id, people.c.owner_id).where(_payable(people.c.owner_id, period))


def _payable(owner_id: Any, period: str) -> sa.ColumnElement[bool]:
    """Whether somebody owned a site at the period's end, or is listed as an author of one."""
    at_end = sa.and_(Payee.period == period, Payee.until >= ends_at(period))
    listed = sa.exists().where(Author.user_id == owner_id, Author.site_id == Payee.site_id, at_end)
    return sa.or_(sa.exists().where(Payee.owner_id == owner_id, at_end), listed)


def _give(session: Session, period: str, people: sa.Select[Any]) -> None:
    people = people.add_columns(sa.literal(int(period.replace("-", "")), sa.Integer))
    session.execute(sa.insert(Gift).from_select(["reader_id", "owner_id", "period"], people))
