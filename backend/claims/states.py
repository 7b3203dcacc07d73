"""What follows from a look at a site: claims begin, are confirmed, fall into doubt, and end (RULES 3.7 to 3.10)."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import sites, users
from backend.claims import HOLDING, OPEN, Claim, Finding, Look, NoSuchClaim, SiteTaken, Wanted
from backend.db import insert
from backend.sites import Site
from backend.users import User, new_id

TOKEN_LIFE = timedelta(days=30)
FIRST_RECHECK = timedelta(days=1)
RECHECK_DAYS, JITTER_DAYS = 30, 3
RETRIES = [timedelta(hours=hours) for hours in (1, 6, 24, 72)]
LAPSES_AFTER = timedelta(days=30)
CONTEST_LASTS = timedelta(days=10)


@dataclass
class Outcome:
    """What a look came to: a code for the one who asked, and what happened to which claim."""

    code: str
    events: list[tuple[str, Claim]] = field(default_factory=list)

    @property
    def begun(self) -> list[Claim]:
        """Claims that pay from now on, or pay again."""
        return [claim for event, claim in self.events if event in ("verified", "restored")]


def record(session: Session, site: Site, findings: Collection[Finding], *, now: datetime) -> Outcome:
    """Write down what a look saw, and do what follows."""
    for found in findings:
        look = {"site_id": site.id, "at": now, "method": found.method, "code": found.code, "evidence": found.evidence}
        session.execute(sa.insert(Look), [look])
    _note_opt_out(site, findings, now)
    if site.opted_out_at:
        return Outcome("opted_out")
    provers = {
        user.id: found.method
        for found in reversed(list(findings))
        for user in filter(None, (users.by_public_id(session, named) for named in found.ids))
    }
    outcome = Outcome(_code(findings, provers))
    gone = any(found.code == "no_such_host" for found in findings)
    holder = session.scalar(_claims(site, HOLDING).where(Claim.verified_at.is_not(None)).with_for_update())
    if holder is None:
        _begin(session, site, provers, outcome, now)
    else:
        _review(session, site, holder, provers, outcome, now, gone=gone)
    session.flush()
    return outcome


def _note_opt_out(site: Site, findings: Iterable[Finding], now: datetime) -> None:
    """The marker counts while it is there; only a front page that was read can take it away again."""
    codes = {found.method: found.code for found in findings}
    if "opted_out" in codes.values():
        site.opted_out_at = site.opted_out_at or now
    elif codes.get("tag") in ("proved", "no_tag", "two_ids"):
        site.opted_out_at = None


def _code(findings: Iterable[Finding], provers: Collection[int]) -> str:
    if provers:
        return "proved"
    failures = [found.code for found in findings if found.code != "token_not_found"] or ["token_not_found"]
    return "unknown_id" if failures[0] == "proved" else failures[0]


def _begin(session: Session, site: Site, provers: dict[int, str], outcome: Outcome, now: datetime) -> None:
    """Nobody holds the site: whoever alone proves it gets it; two at once are for the operator to sort out."""
    if len(provers) > 1:
        outcome.code = "contested"
        return
    for user_id, method in provers.items():
        _verify(session, site, user_id, method, outcome, now)


def _review(
    session: Session, site: Site, holder: Claim, provers: dict[int, str], outcome: Outcome, now: datetime, *, gone: bool
) -> None:
    """Somebody holds the site: are they still the one, and the only one?"""
    rivals = {user_id: method for user_id, method in provers.items() if user_id != holder.user_id}
    if holder.state == "contested" and holder.doubtful_at and now < holder.doubtful_at + CONTEST_LASTS:
        outcome.code = "contested"
    elif holder.state == "contested":
        _decide(session, site, holder, holder.user_id in provers, rivals, outcome, now)
    elif rivals:
        _contest(session, site, holder, rivals, outcome, now)
    elif holder.user_id in provers:
        _confirm(holder, provers[holder.user_id], outcome, now)
    elif holder.method != "operator":
        _doubt(holder, outcome, now, gone=gone)


def _verify(session: Session, site: Site, user_id: int, method: str, outcome: Outcome, now: datetime) -> None:
    claim = ask(session, site, session.get_one(User, user_id), now=now)
    claim.state, claim.method, claim.doubtful_at, claim.failed = "verified", method, None, 0
    claim.verified_at, claim.proved_at, claim.next_check_at = claim.verified_at or now, now, now + FIRST_RECHECK
    outcome.events.append(("verified", claim))


def _confirm(claim: Claim, method: str, outcome: Outcome, now: datetime) -> None:
    if claim.state == "lapsing":
        outcome.events.append(("restored", claim))
    claim.state, claim.method, claim.doubtful_at, claim.failed, claim.proved_at = "verified", method, None, 0, now
    jitter = Random(f"{claim.id} {now:%Y-%m-%d}").uniform(-JITTER_DAYS, JITTER_DAYS)  # noqa: S311 - spreads load only
    claim.next_check_at = now + timedelta(days=RECHECK_DAYS + jitter)


def _doubt(claim: Claim, outcome: Outcome, now: datetime, *, gone: bool) -> None:
    """Proof was not found: try again, then lapse. A name that is gone may be somebody else's tomorrow."""
    claim.failed += 1
    if claim.state == "verified" and (gone or claim.failed > len(RETRIES)):
        claim.state, claim.doubtful_at = "lapsing", now
        outcome.events.append(("lapsing", claim))
    if claim.state == "verified":
        claim.next_check_at = now + RETRIES[claim.failed - 1]
    elif claim.doubtful_at and now >= claim.doubtful_at + LAPSES_AFTER:
        _end(claim, "lapsed", now)
        outcome.events.append(("lapsed", claim))
    else:
        claim.next_check_at = now + timedelta(days=1)


def _contest(
    session: Session, site: Site, holder: Claim, rivals: dict[int, str], outcome: Outcome, now: datetime
) -> None:
    """A second user proves the site: nobody is displaced; new clicks are promises until it is decided."""
    outcome.code = "contested"
    holder.state, holder.doubtful_at, holder.next_check_at = "contested", holder.doubtful_at or now, now + CONTEST_LASTS
    outcome.events.append(("contested", holder))
    for user_id, method in rivals.items():
        rival = ask(session, site, session.get_one(User, user_id), now=now)
        rival.state, rival.method, rival.doubtful_at = "contested", method, now
        outcome.events.append(("contested", rival))


def _decide(
    session: Session,
    site: Site,
    holder: Claim,
    still: bool,
    rivals: dict[int, str],
    outcome: Outcome,
    now: datetime,
) -> None:
    """Ten days later: who alone still proves the site keeps it. When several do, the operator decides."""
    holder.next_check_at = now + timedelta(days=1)
    if len(rivals) + still > 1:
        outcome.code = "contested"
        return
    losers = session.scalars(_claims(site, ("contested",)).where(Claim.id != holder.id)).all()
    for loser in losers:
        if loser.user_id not in rivals:
            _end(loser, "ended", now)
            outcome.events.append(("lost", loser))
    if rivals:
        _end(holder, "ended", now)
        outcome.events.append(("lost", holder))
        session.flush()
        _verify(session, site, *next(iter(rivals.items())), outcome, now)
    elif still:
        holder.state, holder.doubtful_at, holder.proved_at, holder.failed = "verified", None, now, 0
        outcome.events.append(("restored", holder))
    else:
        holder.state = "lapsing"
        outcome.events.append(("lapsing", holder))


def _end(claim: Claim, state: str, now: datetime) -> None:
    claim.state, claim.ended_at, claim.next_check_at = state, now, None


# What people and operators do with claims -----------------------------------------------------------------------------


def ask(session: Session, site: Site, user: User, *, now: datetime) -> Claim:
    """The user's open claim on a site; a pending one, with a token that is fresh, until proof is found."""
    row = {"site_id": site.id, "user_id": user.id, "state": "pending", "method": "tag", "created_at": now}
    row |= {"token": new_id(26), "token_at": now, "failed": 0}
    session.execute(insert(session, Claim).on_conflict_do_nothing(), row)
    claim = session.scalars(_claims(site, OPEN).where(Claim.user_id == user.id)).one()
    if claim.token_at < now - TOKEN_LIFE and claim.state == "pending":
        claim.token, claim.token_at = new_id(26), now
    return claim


def approve(session: Session, site: Site, user: User, *, now: datetime) -> Outcome:
    """The operator vouches for what nothing else can prove, or decides a contest.

    Raises:
        SiteTaken: Another user's claim is verified, and nobody contests it.
    """
    outcome = Outcome("proved")
    others = session.scalars(_claims(site, HOLDING).where(Claim.user_id != user.id)).all()
    if any(other.state == "verified" for other in others):
        raise SiteTaken
    for other in others:
        _end(other, "ended", now)
        outcome.events.append(("lost", other))
    session.flush()
    _verify(session, site, user.id, "operator", outcome, now)
    outcome.events[-1][1].next_check_at = None
    session.flush()
    return outcome


def revoke(session: Session, site: Site, *, now: datetime) -> Claim:
    """The operator takes a claim back: it pays nothing that is not settled yet.

    Raises:
        NoSuchClaim: The site has no claim that was proven.
    """
    claim = session.scalar(_claims(site, HOLDING).where(Claim.verified_at.is_not(None)))
    if claim is None:
        raise NoSuchClaim(f"Nobody's claim on {site.name} is verified.")
    _end(claim, "revoked", now)
    session.flush()
    return claim


def give_up(session: Session, claim: Claim, *, now: datetime) -> None:
    """The owner ends a claim; one never proven just goes. Clicks from before are still theirs."""
    if claim.verified_at is None:
        session.delete(claim)
    elif claim.ended_at is None:
        _end(claim, "ended", now)
    session.flush()


def dispute(session: Session, claim: Claim, *, now: datetime) -> None:
    """Someone who holds a host above says that this claim is not right: new clicks are promises until it is decided."""
    if claim.state in ("verified", "lapsing"):
        claim.state, claim.doubtful_at = "contested", claim.doubtful_at or now
        claim.next_check_at = now + CONTEST_LASTS
    session.flush()


def wanted(session: Session, site: Site, *, now: datetime) -> list[Wanted]:
    """The open claims on a site with the tokens that may prove them."""
    query = sa.select(User.public_id, Claim.token).join(Claim, Claim.user_id == User.id)
    alive = sa.or_(Claim.verified_at.is_not(None), Claim.token_at > now - TOKEN_LIFE)
    return [
        Wanted(*row) for row in session.execute(query.where(Claim.site_id == site.id, Claim.ended_at.is_(None), alive))
    ]


def due(session: Session, *, now: datetime) -> list[str]:
    """The sites whose claims have to be looked at again."""
    query = sa.select(Site.name).join(Claim, Claim.site_id == Site.id).where(Claim.next_check_at <= now)
    return list(session.scalars(query.where(Claim.ended_at.is_(None)).distinct().limit(100)))


def claimants_around(session: Session, site: Site) -> list[tuple[Claim, Site]]:
    """The open claims on a site and on the hosts above it, which are told of what happens there (RULES 3.11)."""
    names = (site.name, *sites.hosts_above(site.name))
    query = sa.select(Claim, Site).join(Site, Site.id == Claim.site_id)
    return list(session.execute(query.where(Site.name.in_(names), Claim.state.in_(HOLDING))))


def _claims(site: Site, states: Collection[str]) -> sa.Select[Claim]:
    return sa.select(Claim).where(Claim.site_id == site.id, Claim.state.in_(states)).order_by(Claim.id)
