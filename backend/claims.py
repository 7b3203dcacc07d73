"""Claims: who proved control over a site, with the evidence, and who gets its clicks.

A claim is one user's. It pays while it is verified; one that ended pays the clicks from before its end; a revoked one
pays none. Proof is the tag in the `<head>` of the site's front page (RULES 3.1); what was seen is kept as a `Look`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from justhtml import JustHTML
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import sites, users
from backend.db import Base, Id, insert
from backend.errors import DomainError, NotFound
from backend.sites import Site
from backend.users import User

TAG = "flattr:id"
OPT_OUT = "none"
MAX_HEAD_BYTES = 128 * 1024
BEGINNING, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

ADVICE = {
    "verified": "The tag is there and names you.",
    "opted_out": 'The front page says that this site takes no part. Remove content="none" to change that.',
    "no_tag": "The front page has no flattr:id tag in its <head>. Paste it before </head> and check again.",
    "two_ids": "The front page has tags with different ids. Leave one.",
    "other_id": "The tag names somebody else. If this is your site, put your own id into it.",
    "unknown_id": "The tag's id belongs to nobody here. Copy your tag from this page again.",
    "claimed": "Somebody else has proved this site before. Ask them to remove their claim, or write to the operator.",
    "nul_byte": "The front page contains NUL bytes, so browsers disagree about it. Serve it as plain UTF-8.",
    "not_html": "The front page is not served as text/html.",
    "bad_status": "The front page did not answer with status 200.",
    "redirects_elsewhere": "The front page redirects to another site. Claim that one.",
    "too_many_redirects": "The front page redirects in a circle.",
    "no_https": "The site did not answer over https. A certificate is needed: anybody could fake a page without.",
    "dns_failed": "The name of the site could not be resolved.",
    "refused_address": "The name of the site points into a private network.",
    "unreachable": "The site did not answer.",
    "timeout": "The site took longer than ten seconds to answer.",
    "too_large": "The front page is too large: the tag must be in its first 128 KiB.",
    "bad_response": "The site's answer is not proper HTTP.",
}


class NoSuchClaim(NotFound):
    """Nobody claims this site."""

    code = "no_such_claim"


class SiteTaken(DomainError):
    """Somebody else's claim on this site is verified. Revoke it first."""

    code = "site_taken"


def _unique_while(condition: str, name: str, *columns: str) -> sa.Index:
    where = sa.text(condition)
    return sa.Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)


class Claim(Base):
    """One user's proof of control over one site: pending -> verified -> ended | revoked."""

    __tablename__ = "claims"
    __table_args__ = (
        sa.CheckConstraint("state IN ('pending', 'verified', 'ended', 'revoked')", name="state_known"),
        sa.CheckConstraint("(state = 'pending') = (verified_at IS NULL)", name="verified_has_a_time"),
        sa.CheckConstraint("(state IN ('ended', 'revoked')) = (ended_at IS NOT NULL)", name="ended_has_a_time"),
        _unique_while("state = 'verified'", "claims_one_verified_per_site", "site_id"),
        _unique_while("state IN ('pending', 'verified')", "claims_one_open_per_user", "site_id", "user_id"),
    )

    id: Mapped[Id]
    site_id: Mapped[int] = mapped_column(sa.ForeignKey(Site.id))
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), index=True)
    state: Mapped[str] = mapped_column(sa.String(8))
    method: Mapped[str] = mapped_column(sa.String(8))
    created_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    proved_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class Look(Base):
    """What was seen when a site's front page was looked at: the evidence of claims."""

    __tablename__ = "looks"

    id: Mapped[Id]
    site_id: Mapped[int] = mapped_column(sa.ForeignKey(Site.id), index=True)
    at: Mapped[datetime]
    code: Mapped[str] = mapped_column(sa.String(24))
    ids: Mapped[list[str]] = mapped_column(sa.JSON)
    evidence: Mapped[dict[str, Any]] = mapped_column(sa.JSON)


@dataclass(frozen=True)
class Seen:
    """What a look at a site's front page found: a failure's *code*, or the raw *ids* of its tags."""

    code: str = ""
    ids: list[str] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a look changed."""

    code: str
    claim: Claim | None = None
    is_new: bool = False

    @property
    def advice(self) -> str:
        """The outcome in a sentence, with what to do."""
        return ADVICE[self.code]


# Who gets it ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretch:
    """Clicks accepted in ``[since, until)`` belong to *owner_id*, or to nobody."""

    since: datetime
    until: datetime
    owner_id: int | None


def stretches(claims: Iterable[Claim], *, by: datetime) -> list[Stretch]:
    """Who owns a site's clicks, over time, counting the claims proven before *by*.

    A claim covers all clicks back to the end of the one before it: who claims later in the month gets the month's
    earlier clicks, but never those from the time of somebody else (DESIGN 2.4, 2.5).
    """
    found: list[Stretch] = []
    since = BEGINNING
    proven = [claim for claim in claims if claim.verified_at and claim.verified_at < by]
    for claim in sorted(proven, key=lambda claim: (claim.verified_at, claim.id)):
        until = claim.ended_at or END
        if until > since:
            found.append(Stretch(since, until, None if claim.state == "revoked" else claim.user_id))
            since = until
    return found


def owner_of(claims: Iterable[Claim], at: datetime, *, by: datetime = END) -> int | None:
    """Who gets a click that was accepted at *at*, as far as was proven before *by*."""
    return owner_in(stretches(claims, by=by), at)


def owner_in(found: Iterable[Stretch], at: datetime) -> int | None:
    """The owner at an instant."""
    return next((stretch.owner_id for stretch in found if stretch.since <= at < stretch.until), None)


def of_sites(session: Session, site_ids: Collection[int]) -> dict[int, list[Claim]]:
    """All claims that were ever verified, by site."""
    found: defaultdict[int, list[Claim]] = defaultdict(list)
    query = sa.select(Claim).where(Claim.site_id.in_(site_ids), Claim.verified_at.is_not(None))
    for claim in session.scalars(query):
        found[claim.site_id].append(claim)
    return found


def owner_now(session: Session, site: Site, *, now: datetime) -> User | None:
    """Who gets a click on this site that is made now."""
    owner_id = owner_of(of_sites(session, [site.id])[site.id], now)
    return session.get(User, owner_id) if owner_id else None


def rule_for(site: Site | None, owner_id: int | None) -> str:
    """The rule that decided whom a page belongs to, first match (RULES 2.4)."""
    if site and site.opted_out_at:
        return "opted_out"
    return "claimed" if owner_id else "promise_host"


# Proof ----------------------------------------------------------------------------------------------------------------


def ids_in_head(html: str | bytes) -> list[str]:
    """The contents of all flattr:id tags that a browser sees as children of `<head>`, raw, the empty ones left out.

    justhtml builds the tree as browsers do; more forgiving parsers see tags that no browser sees.
    """
    document = JustHTML(html[:MAX_HEAD_BYTES], sanitize=False)
    root = next((node for node in document.root.children or [] if node.name == "html"), None)
    head = next((node for node in (root.children if root else None) or [] if node.name == "head"), None)
    metas = [node for node in (head.children if head else None) or [] if node.name == "meta" and _is_html(node)]
    contents = [meta.attrs.get("content") for meta in metas if _ascii_lower(meta.attrs.get("name")) == TAG]
    return [content for content in contents if content]


def _is_html(node: Any) -> bool:
    return node.namespace in (None, "html")


def _ascii_lower(text: str | None) -> str:
    return "".join(c.lower() if c.isascii() else c for c in (text or "").strip(" \t\n\f\r"))


def named_id(ids: Iterable[str]) -> tuple[str, str]:
    """The one id that tags name, and a failure's code when they do not name just one."""
    distinct = {content.strip(" \t\n\f\r") for content in ids} - {""}
    if len(distinct) == 1:
        return distinct.pop(), ""
    return "", "two_ids" if distinct else "no_tag"


def record_look(session: Session, site: Site, seen: Seen, *, now: datetime) -> Outcome:
    """Write down what a look at the front page found, and what follows: a claim, an opt-out, or advice."""
    outcome = _follow(session, site, seen, now)
    look = Look(site_id=site.id, at=now, code=outcome.code, ids=[i[:64] for i in seen.ids[:8]], evidence=seen.evidence)
    session.add(look)
    session.flush()
    return outcome


def _follow(session: Session, site: Site, seen: Seen, now: datetime) -> Outcome:
    if seen.code:
        return Outcome(seen.code)
    named, failure = named_id(seen.ids)
    site.opted_out_at = (site.opted_out_at or now) if named == OPT_OUT else None
    if named == OPT_OUT:
        return Outcome("opted_out")
    if failure:
        return Outcome(failure)
    user = users.by_public_id(session, named)
    return Outcome("unknown_id") if user is None else _prove(session, site, user, "tag", now)


def _prove(session: Session, site: Site, user: User, method: str, now: datetime) -> Outcome:
    # Two proofs at once take turns: the second one finds the first.
    session.execute(sa.select(Site.id).where(Site.id == site.id).with_for_update(key_share=True))
    holder = session.scalar(sa.select(Claim).where(Claim.site_id == site.id, Claim.state == "verified"))
    if holder and holder.user_id != user.id:
        return Outcome("claimed")
    claim = holder or ask(session, site, user, now=now)
    claim.state, claim.method, claim.proved_at = "verified", method, now
    claim.verified_at = claim.verified_at or now
    session.flush()
    return Outcome("verified", claim, is_new=holder is None)


# What people and operators do with claims -----------------------------------------------------------------------------


def ask(session: Session, site: Site, user: User, *, now: datetime) -> Claim:
    """The user's open claim on a site; a pending one until proof is found.

    Raises:
        NotFlattrable: The site is a public suffix.
    """
    sites.refuse_unclaimable(site.name)
    row = {"site_id": site.id, "user_id": user.id, "state": "pending", "method": "tag", "created_at": now}
    session.execute(insert(session, Claim).on_conflict_do_nothing(), row)
    return session.scalars(_open_claims(site).where(Claim.user_id == user.id)).one()


def approve(session: Session, site: Site, user: User, *, now: datetime) -> Outcome:
    """The operator vouches for what no tag can prove.

    Raises:
        SiteTaken: Another user's claim is verified.
    """
    outcome = _prove(session, site, user, "operator", now)
    if outcome.claim is None:
        raise SiteTaken
    return outcome


def revoke(session: Session, site: Site, *, now: datetime) -> Claim:
    """The operator takes a claim back: it pays nothing that is not settled yet.

    Raises:
        NoSuchClaim: The site has no verified claim.
    """
    claim = session.scalar(sa.select(Claim).where(Claim.site_id == site.id, Claim.state == "verified"))
    if claim is None:
        raise NoSuchClaim(f"Nobody's claim on {site.name} is verified.")
    claim.state, claim.ended_at = "revoked", now
    session.flush()
    return claim


def give_up(session: Session, claim: Claim, *, now: datetime) -> None:
    """The owner ends a claim; a pending one just goes. Clicks from before are still theirs."""
    if claim.state == "verified":
        claim.state, claim.ended_at = "ended", now
    elif claim.state == "pending":
        session.delete(claim)
    session.flush()


def of_user(session: Session, user: User) -> list[tuple[Claim, Site, Look | None]]:
    """The user's open claims with the latest look at each site."""
    latest = sa.select(sa.func.max(Look.id)).where(Look.site_id == Site.id).correlate(Site).scalar_subquery()
    query = (
        sa.select(Claim, Site, Look)
        .join(Site, Site.id == Claim.site_id)
        .outerjoin(Look, Look.id == latest)
        .where(Claim.user_id == user.id, Claim.state.in_(("pending", "verified")))
        .order_by(Site.name)
    )
    return list(session.execute(query))


def listing(session: Session) -> list[tuple[Claim, Site, User]]:
    """All claims with site and user, for operators."""
    query = sa.select(Claim, Site, User).join(Site, Site.id == Claim.site_id).join(User, User.id == Claim.user_id)
    return list(session.execute(query.order_by(Site.name, Claim.id)))


def _open_claims(site: Site) -> sa.Select[Claim]:
    return sa.select(Claim).where(Claim.site_id == site.id, Claim.state.in_(("pending", "verified")))
