"""Claims: who proved control over a site, and who gets its clicks.

A claim is one user's: pending -> verified -> lapsing -> lapsed, or contested, ended, revoked (RULES 3.7). `proof` reads
what was fetched, `states` draws the conclusions, and `stretches` says whose a site's clicks are, over time.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import bulk, platforms, sites
from backend.claims.proof import ADVICE, Finding, Wanted, ids_in_head
from backend.db import Base, Id, constant, index_where
from backend.errors import DomainError, NotFound
from backend.sites import Site
from backend.users import Thanks, User

__all__ = ["ADVICE", "Claim", "Finding", "Look", "Wanted", "ids_in_head"]

BEGINNING, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
HOLDING = ("verified", "lapsing", "contested")
OPEN = ("pending", *HOLDING)


class NoSuchClaim(NotFound):
    """Nobody claims this site."""


class Claim(Base):
    """One user's proof of control over one site.

    `verified_at`: proven for the first time. `proved_at`: proven last. `doubtful_at`: since when it lapses or is
    contested; what is clicked from then on is a promise. `ended_at`: over.
    """

    __tablename__ = "claims"
    __table_args__ = (
        sa.CheckConstraint(
            "state IN ('pending', 'verified', 'lapsing', 'lapsed', 'contested', 'ended', 'revoked')", name="state_known"
        ),
        sa.CheckConstraint(
            "(state IN ('lapsed', 'ended', 'revoked')) = (ended_at IS NOT NULL)", name="ended_has_a_time"
        ),
        sa.CheckConstraint("state <> 'verified' OR (verified_at IS NOT NULL AND doubtful_at IS NULL)", name="is_sure"),
        index_where("state = 'verified'", "claims_one_verified_per_site", "site_id", unique=True),
        index_where("ended_at IS NULL", "claims_one_open_per_user", "site_id", "user_id", unique=True),
        sa.Index("claims_next_check_at_idx", "next_check_at"),
        sa.Index("claims_site_id_idx", "site_id"),
        index_where("state = 'contested'", "claims_contested_idx", "doubtful_at", "id"),
    )

    id: Mapped[Id]
    site_id: Mapped[int] = mapped_column(sa.ForeignKey(Site.id))
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), index=True)
    state: Mapped[str] = mapped_column(sa.String(9))
    method: Mapped[str] = mapped_column(sa.String(8))
    token: Mapped[str] = mapped_column(sa.String(26))
    token_at: Mapped[datetime]
    created_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    proved_at: Mapped[datetime | None]
    doubtful_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    failed: Mapped[int]
    next_check_at: Mapped[datetime | None]


class Look(Base):
    """What one look at a site saw, by one method: the evidence of claims."""

    __tablename__ = "looks"
    __table_args__ = (index_where("code = 'needs_operator'", "looks_needs_operator_idx", "site_id"),)

    id: Mapped[Id]
    site_id: Mapped[int] = mapped_column(sa.ForeignKey(Site.id), index=True)
    at: Mapped[datetime]
    method: Mapped[str] = mapped_column(sa.String(8))
    code: Mapped[str] = mapped_column(sa.String(24))
    evidence: Mapped[dict[str, Any]] = mapped_column(sa.JSON)


class Author(Base):
    """A user whom a site's claimant lists as one of its authors."""

    __tablename__ = "authors"

    site_id: Mapped[int] = mapped_column(sa.ForeignKey(Site.id), primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), primary_key=True, index=True)


# Who gets it ----------------------------------------------------------------------------------------------------------


class Proof(NamedTuple):
    """What of a claim decides who gets a site's clicks, and who that is."""

    id: int
    user_id: int
    state: str
    method: str
    verified_at: datetime | None
    doubtful_at: datetime | None
    ended_at: datetime | None
    public_id: str
    name: str
    thanks: str | None = None


@dataclass(frozen=True)
class Stretch:
    """Clicks accepted in ``[since, until)`` belong to *owner_id*, or to nobody."""

    since: datetime
    until: datetime
    owner_id: int | None


def stretches(claims: Iterable[Proof], *, by: datetime) -> list[Stretch]:
    """Who owns a site's clicks, over time, counting the claims proven before *by*; in order, without overlaps.

    A claim covers all clicks back to the end of somebody else's claim before it: who claims later in the month gets
    the month's earlier clicks, but never those from the time of another (DESIGN 2.4, 2.5). Clicks from when a claim
    was in doubt are nobody's while it is, also where somebody owns a host above.
    """
    found: list[Stretch] = []
    doubts: list[Stretch] = []
    ends: dict[int, datetime] = {}
    proven = [claim for claim in claims if claim.verified_at and claim.verified_at < by]
    for claim in sorted(proven, key=lambda claim: (claim.verified_at, claim.id)):
        others = [end for user_id, end in ends.items() if user_id != claim.user_id]
        since = max([BEGINNING, *others, *(stretch.until for stretch in found)])
        until = min(claim.doubtful_at or END, claim.ended_at or END)
        if until > since:
            found.append(Stretch(since, until, None if claim.state == "revoked" else claim.user_id))
        if (claim.ended_at or END) > max(since, until):
            doubts.append(Stretch(max(since, until), claim.ended_at or END, None))
        ends[claim.user_id] = max(claim.ended_at or END, ends.get(claim.user_id, BEGINNING))
    return overlay([found, doubts]) if doubts else _joined(found)


def overlay(levels: Iterable[list[Stretch]]) -> list[Stretch]:
    """The most specific claim wins: gaps between the stretches of one level are filled by the next."""
    merged: list[Stretch] = []
    for level in levels:
        edges = sorted({BEGINNING, END} | {edge for s in (*merged, *level) for edge in (s.since, s.until)})
        spans = pairwise(edges)
        pieces = [(since, until, _at(merged, since) or _at(level, since)) for since, until in spans]
        merged = _joined(Stretch(since, until, stretch.owner_id) for since, until, stretch in pieces if stretch)
    return merged


def _joined(pieces: Iterable[Stretch]) -> list[Stretch]:
    """Pieces of the same owner that follow each other are one."""
    joined: list[Stretch] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last and (last.until, last.owner_id) == (piece.since, piece.owner_id):
            joined[-1] = Stretch(last.since, piece.until, piece.owner_id)
        else:
            joined.append(piece)
    return joined


def _at(found: Iterable[Stretch], instant: datetime) -> Stretch | None:
    return next((stretch for stretch in found if stretch.since <= instant < stretch.until), None)


def owner_in(found: Iterable[Stretch], at: datetime) -> int | None:
    """The owner at an instant."""
    stretch = _at(found, at)
    return stretch.owner_id if stretch else None


def owner_of(site: str, claims: dict[str, list[Proof]], at: datetime, *, by: datetime = END) -> int | None:
    """Who gets a click on *site* that was accepted at *at*, as far as was proven before *by*, the end of its period.

    Args:
        claims: All claims that were ever proven, by the name of their site.
    """
    return owner_in(stretches_of(site, claims, by=by), at)


def stretches_of(site: str, claims: dict[str, list[Proof]], *, by: datetime) -> list[Stretch]:
    """Who owns a site's clicks, over time: by claims on itself, or proven by DNS on a host above it."""
    own, *above = [claims.get(name, []) for name in (site, *sites.hosts_above(site))]
    levels = [own, *([claim for claim in level if claim.method == "dns"] for level in above)]
    found = [stretches(level, by=by) for level in levels if level]
    return found[0] if len(found) == 1 else overlay(found)


def proven(session: Session, names: Collection[str]) -> dict[str, list[Proof]]:
    """All claims that were ever proven on these sites and the hosts above them, by site name."""
    wanted = {name for site in names for name in (site, *sites.hosts_above(site))}
    found: defaultdict[str, list[Proof]] = defaultdict(list)
    for site, *proof in _PROVEN.ask(session, name=wanted):
        found[site].append(Proof(*proof))
    return found


_of_claim = (getattr(Claim, name) for name in Proof._fields[:-3])
_of_user = (User.public_id, User.name, Thanks.line)
_proofs = sa.select(Site.name, *_of_claim, *_of_user).where(Claim.verified_at.is_not(None))
_PROVEN = bulk.Question(
    lambda given, _: (
        _proofs.join(Claim, Claim.site_id == Site.id)
        .join(User, User.id == Claim.user_id)
        .outerjoin(Thanks, Thanks.user_id == User.id)
        .join(given, given.c.name == Site.name)
    ),
    name=sa.String(),
)


def owner_now(session: Session, site: Site, *, now: datetime) -> User | None:
    """Who gets a click on this site that is made now."""
    owner_id = owner_of(site.name, proven(session, [site.name]), now)
    return session.get(User, owner_id) if owner_id else None


def rule_for(site: str, owner_id: int | None, *, opted_out: bool = False, by_author: bool = False) -> str:
    """The rule that decided whom a page belongs to, first match (RULES 2.4)."""
    if opted_out:
        return "opted_out"
    if owner_id:
        return "author" if by_author else "claimed"
    return "promise_account" if platforms.is_account(site) else "promise_host"


def is_held(session: Session, site: Site) -> bool:
    """Whether there is an open claim on the site itself that was proven, in doubt or not."""
    held = sa.select(Claim.id).where(Claim.site_id == site.id, Claim.state.in_(HOLDING), Claim.verified_at.is_not(None))
    return session.scalar(held.limit(1)) is not None


# Authors --------------------------------------------------------------------------------------------------------------


def authors(session: Session, site: Site) -> list[User]:
    """Whom the site's claimant lists as authors."""
    query = sa.select(User).join(Author, Author.user_id == User.id).where(Author.site_id == site.id)
    return list(session.scalars(query.order_by(User.name)))


def list_author(session: Session, site: Site, author: User) -> None:
    """Add an author to a site's list."""
    session.merge(Author(site_id=site.id, user_id=author.id))
    session.flush()


def is_author(session: Session, site: Site, user: User) -> bool:
    """Whether the claimant lists the user."""
    return session.get(Author, (site.id, user.id)) is not None


# Lists ----------------------------------------------------------------------------------------------------------------


def of_user(session: Session, user: User) -> list[tuple[Claim, Site]]:
    """The user's open claims."""
    return list(session.execute(_of_user_by_name(user, Claim, Site)))


def ids_of_user(session: Session, user: User) -> Sequence[int]:
    """The ids of the user's open claims, in the order of `of_user`."""
    return session.scalars(_of_user_by_name(user, Claim.id)).all()


def some_of_user(session: Session, user: User, claim_ids: Collection[int]) -> list[tuple[Claim, Site]]:
    """As `of_user`, of these claims."""
    return list(session.execute(_of_user_by_name(user, Claim, Site).where(Claim.id.in_(claim_ids))))


def sites_of_user(session: Session, user: User) -> Sequence[str]:
    """The names of the sites that are the user's, without doubt."""
    return session.scalars(_of_user_by_name(user, Site.name).where(Claim.state == "verified")).all()


def _of_user_by_name(user: User, *columns: Any) -> sa.Select[*tuple[Any, ...]]:
    mine = sa.select(*columns).join_from(Claim, Site, Site.id == Claim.site_id)
    return mine.where(Claim.user_id == user.id, Claim.state.in_(OPEN)).order_by(Site.name)


def latest_looks(session: Session, site: Site) -> list[Look]:
    """What the last look at a site saw, by each method."""
    last = sa.select(sa.func.max(Look.at)).where(Look.site_id == site.id).scalar_subquery()
    return list(session.scalars(sa.select(Look).where(Look.site_id == site.id, Look.at == last).order_by(Look.id)))


def listing(session: Session) -> list[tuple[Claim, Site, User]]:
    """All claims with site and user, for operators; the contested ones first."""
    return list(session.execute(_with_users().order_by(Claim.state != "contested", Site.name, Claim.id)))


def contested(session: Session, *, most: int | None = None) -> list[tuple[Claim, Site, User]]:
    """The contested claims, those that are so for the longest first."""
    query = _with_users(Claim.state == constant("contested")).order_by(Claim.doubtful_at, Claim.id)
    return list(session.execute(query.limit(most)))


def to_review(session: Session, *, most: int) -> list[tuple[Claim, Site, User]]:
    """What nothing but an operator's word can prove, the oldest first."""
    asked = sa.exists().where(Look.site_id == Claim.site_id, Look.code == constant("needs_operator"))
    query = _with_users(Claim.state == "pending", asked).order_by(Claim.created_at, Claim.id)
    return list(session.execute(query.limit(most)))


def on_site(session: Session, site: Site) -> list[tuple[Claim, Site, User]]:
    """All claims on a site, the newest first."""
    return list(session.execute(_with_users(Claim.site_id == site.id).order_by(Claim.id.desc()).limit(50)))


def _with_users(*where: sa.ColumnElement[bool]) -> sa.Select[*tuple[Any, ...]]:
    query = sa.select(Claim, Site, User).join(Site, Site.id == Claim.site_id).join(User, User.id == Claim.user_id)
    return query.where(*where)


class SiteTaken(DomainError):
    """Somebody else's claim on this site is verified. Revoke it first."""
