"""What follows from a look at a site: claims begin, are confirmed, fall into doubt, and end (RULES 3.7 to 3.10)."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import auditlog, sites, users
from backend.claims import HOLDING, OPEN, Author, Claim, Finding, Look, NoSuchClaim, SiteTaken, Wanted
from backend.db import insert
from backend.sites import Page, Site
from backend.users import User, new_id

TOKEN_LIFE = timedelta(days=30)
FIRST_RECHECK = timedelta(days=1)
RECHECK_DAYS, JITTER_DAYS = 30, 3
RETRIES = [timedelta(hours=hours) for hours in (1, 6, 24, 72)]
LAPSES_AFTER = timedelta(days=30)
CONTEST_LASTS = timedelta(days=10)
_WORTH = ("file", "tag", "rel_me", "dns")
_READ = {"tag": ("proved", "no_tag", "two_ids"), "file": ("proved", "token_not_found")}


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
    case = _Case(session, site, now)
    for found in findings:
        _keep(session, site, found, now)
    _note_opt_out(session, case.site, findings, now)
    if case.site.opted_out_at:
        session.flush()
        return Outcome("opted_out")
    named = _named(session, findings)
    revoked = {claim.user_id for claim in case.claims("revoked")}
    case.provers = {user_id: method for user_id, method in named.items() if user_id not in revoked}
    case.outcome.code = "proved" if case.provers else "revoked" if named else _failure(findings)
    is_another = _is_another(case.site, findings, proven=bool(case.provers))
    if holder := next((claim for claim in case.claims(*HOLDING) if claim.verified_at), None):
        case.review(holder, gone=is_another or any(found.code == "no_such_host" for found in findings))
    else:
        case.begin()
    session.flush()
    return case.outcome


def _keep(session: Session, site: Site, found: Finding, now: datetime) -> None:
    evidence = found.evidence | {"named": [public_id[:64] for public_id in found.ids]}
    look = {"site_id": site.id, "at": now, "method": found.method, "code": found.code, "evidence": evidence}
    session.execute(sa.insert(Look), [look])


def _is_another(site: Site, findings: Iterable[Finding], *, proven: bool) -> bool:
    """Whether an account's name belongs to another account now (RULES 2.3); the number is kept with each proof."""
    told = next((found.evidence["account_id"] for found in findings if "account_id" in found.evidence), None)
    another = bool(told and site.account_id and told != site.account_id)
    if told and proven:
        site.account_id = told
    return another


def _note_opt_out(session: Session, site: Site, findings: Iterable[Finding], now: datetime) -> None:
    """The marker counts until it is seen gone from where it was: what could not be read takes nothing away."""
    codes = {found.method: found.code for found in findings}
    if "opted_out" in codes.values():
        site.opted_out_at = site.opted_out_at or now
    elif site.opted_out_at:
        said = sa.select(Look.method).where(Look.site_id == site.id, Look.code == "opted_out")
        where = set(session.scalars(said.where(Look.at >= site.opted_out_at))) or {"tag"}
        if all(codes.get(method) in _READ[method] for method in where):
            site.opted_out_at = None


def _named(session: Session, findings: Iterable[Finding]) -> dict[int, str]:
    """The users whom a look found, each with the method that is worth most: DNS covers the hosts below too."""
    by_worth = sorted(findings, key=lambda found: _WORTH.index(found.method))
    return {
        user.id: found.method
        for found in by_worth
        for user in filter(None, (users.by_public_id(session, named) for named in found.ids))
    }


def _failure(findings: Iterable[Finding]) -> str:
    failures = [found.code for found in findings if found.code != "token_not_found"] or ["token_not_found"]
    return "unknown_id" if failures[0] == "proved" else failures[0]


class _Case:
    """The claims on one site, and what becomes of them now that some users prove it, each by a method.

    Who decides about a site's claims does so alone: two looks at once would see each other's half.
    """

    def __init__(self, session: Session, site: Site, now: datetime) -> None:
        query = sa.select(Site).where(Site.id == site.id).with_for_update(key_share=True)
        self.site = session.scalars(query.execution_options(populate_existing=True)).one()
        self.session, self.now, self.outcome = session, now, Outcome("proved")
        self.provers: dict[int, str] = {}

    def claims(self, *states: str) -> Sequence[Claim]:
        query = sa.select(Claim).where(Claim.site_id == self.site.id, Claim.state.in_(states))
        return self.session.scalars(query.order_by(Claim.id)).all()

    def begin(self) -> None:
        """Nobody holds the site: whoever alone proves it gets it. When several do, the operator decides."""
        for claim in self.claims("contested"):
            claim.next_check_at = self.now + timedelta(days=1)
            is_old = self.now >= (claim.doubtful_at or self.now) + LAPSES_AFTER
            if claim.user_id not in self.provers and (self.provers or is_old):
                self.end(claim, "ended", "lost")
        if len(self.provers) > 1:
            for claim in self.oppose(self.provers):
                claim.next_check_at = self.now + timedelta(days=1)
        else:
            for user_id, method in self.provers.items():
                self.verify(user_id, method)

    def review(self, holder: Claim, *, gone: bool) -> None:
        """Somebody holds the site: are they still the one, and the only one?"""
        rivals = self._rivals(holder)
        if set(rivals) - {claim.user_id for claim in self.claims("contested")}:
            # Another user proves the site: nobody is displaced; new clicks are promises until it is decided.
            self.contest(holder, "contested")
            self.oppose(rivals)
        elif holder.state == "contested" and holder.next_check_at and self.now < holder.next_check_at:
            self.outcome.code = "contested"
        elif holder.state == "contested":
            self._decide(holder, rivals)
        elif holder.user_id in self.provers:
            self._confirm(holder, self.provers[holder.user_id])
        elif holder.method != "operator":
            self._doubt(holder, gone=gone)

    def _rivals(self, holder: Claim) -> list[int]:
        """Who else proves the site; not those against whom the operator decided when this holder got it."""
        lost = (
            sa.select(Claim.user_id)
            .join(Look, sa.and_(Look.site_id == Claim.site_id, Look.at == Claim.ended_at))
            .where(Claim.site_id == self.site.id, Look.method == "operator", Look.at >= holder.verified_at)
        )
        left_out = {holder.user_id, *self.session.scalars(lost)}
        return [user_id for user_id in self.provers if user_id not in left_out]

    def contest(self, holder: Claim, event: str) -> None:
        holder.state, holder.doubtful_at = "contested", holder.doubtful_at or self.now
        holder.next_check_at = self.now + CONTEST_LASTS
        self.outcome.events.append((event, holder))

    def oppose(self, user_ids: Iterable[int]) -> list[Claim]:
        """The contested claims of those who prove a site that is not, or not only, theirs."""
        self.outcome.code = "contested"
        claims = [self.ask(user_id) for user_id in user_ids]
        for claim in claims:
            if claim.state != "contested":
                claim.state, claim.method, claim.doubtful_at = "contested", self.provers[claim.user_id], self.now
                self.outcome.events.append(("contested", claim))
        return claims

    def _decide(self, holder: Claim, rivals: list[int]) -> None:
        """Ten days later: who alone still proves the site keeps it. When several do, the operator decides."""
        holder.next_check_at = self.now + timedelta(days=1)
        # The operator's word stands until it is taken back.
        still = holder.user_id in self.provers or holder.method == "operator"
        if len(rivals) + still > 1:
            self.outcome.code = "contested"
            return
        for loser in self.claims("contested"):
            if loser.id != holder.id and loser.user_id not in rivals:
                self.end(loser, "ended", "lost")
        if rivals:
            self.end(holder, "ended", "lost")
            self.session.flush()
            self.verify(rivals[0], self.provers[rivals[0]])
        elif still:
            self._confirm(holder, self.provers.get(holder.user_id, holder.method))
        else:
            holder.state = "lapsing"
            self.outcome.events.append(("lapsing", holder))

    def _prove(self, claim: Claim, method: str) -> None:
        """A claim stands, or stands again.

        The time before is kept as a claim of its own when it was in doubt or reached other hosts (DNS): months that
        ended meanwhile stay as they were (DESIGN 2.3), and hosts below keep what they had.
        """
        if claim.verified_at and (claim.doubtful_at or (claim.method != method and "dns" in (claim.method, method))):
            kept = "site_id user_id method token token_at created_at verified_at proved_at failed doubtful_at".split()
            before = {name: getattr(claim, name) for name in kept}
            self.session.add(Claim(**before, state="ended", ended_at=self.now))
            claim.verified_at = self.now
        claim.state, claim.method, claim.doubtful_at, claim.failed = "verified", method, None, 0
        claim.verified_at, claim.proved_at = claim.verified_at or self.now, self.now

    def verify(self, user_id: int, method: str) -> None:
        claim = self.ask(user_id)
        self._prove(claim, method)
        claim.next_check_at = None if method == "operator" else self.now + FIRST_RECHECK
        self.outcome.events.append(("verified", claim))

    def _confirm(self, claim: Claim, method: str) -> None:
        if claim.doubtful_at:
            self.outcome.events.append(("restored", claim))
        elif method == "dns" and claim.method != "dns":
            self.outcome.events.append(("verified", claim))  # promises to hosts below come true
        self._prove(claim, method)
        dice = Random(f"{claim.id} {self.now:%Y-%m-%d}")  # noqa: S311 - spreads load only
        days = RECHECK_DAYS + dice.uniform(-JITTER_DAYS, JITTER_DAYS)
        claim.next_check_at = None if method == "operator" else self.now + timedelta(days=days)

    def _doubt(self, claim: Claim, *, gone: bool) -> None:
        """Proof was not found: try again, then lapse. A name that is gone may be somebody else's tomorrow.

        Only tries that are due count: whoever asks for a look again and again would make an hour's outage five
        failures.
        """
        if claim.failed and not gone and claim.next_check_at and self.now < claim.next_check_at:
            return
        claim.failed += 1
        if claim.state == "verified" and (gone or claim.failed > len(RETRIES)):
            claim.state, claim.doubtful_at = "lapsing", self.now
            self.outcome.events.append(("lapsing", claim))
        if claim.state == "verified":
            claim.next_check_at = self.now + RETRIES[claim.failed - 1]
        elif claim.doubtful_at and self.now >= claim.doubtful_at + LAPSES_AFTER:
            self.end(claim, "lapsed", "lapsed")
        else:
            claim.next_check_at = self.now + timedelta(days=1)

    def end(self, claim: Claim, state: str, event: str) -> None:
        """A claim is over. The authors whom its user listed are not the next claimant's."""
        if claim.verified_at:
            self.session.execute(sa.delete(Author).where(Author.site_id == claim.site_id))
            pages = sa.update(Page).where(Page.site_id == claim.site_id, Page.author_id.is_not(None))
            self.session.execute(pages.values(author_id=None))
        claim.state, claim.ended_at, claim.next_check_at = state, self.now, None
        self.outcome.events.append((event, claim))

    def free(self) -> None:
        """Who contests a site that nobody holds any more is looked at soon."""
        self.session.flush()
        for claim in self.claims("contested"):
            claim.next_check_at = claim.next_check_at or self.now

    def ask(self, user_id: int) -> Claim:
        """The user's open claim; a pending one, with a token that is fresh, until proof is found."""
        row = {"site_id": self.site.id, "user_id": user_id, "state": "pending", "method": "tag"}
        row |= {"token": new_id(26), "token_at": self.now, "created_at": self.now, "failed": 0}
        self.session.execute(insert(self.session, Claim).on_conflict_do_nothing(), row)
        claim = next(claim for claim in self.claims(*OPEN) if claim.user_id == user_id)
        if is_stale(claim, now=self.now):
            claim.token, claim.token_at = new_id(26), self.now
        return claim


# What people and operators do with claims -----------------------------------------------------------------------------


def ask(session: Session, site: Site, user: User, *, now: datetime) -> Claim:
    """The user's open claim on a site; a pending one, with a token that is fresh, until proof is found."""
    return _Case(session, site, now).ask(user.id)


def is_stale(claim: Claim, *, now: datetime) -> bool:
    """Whether a claim's token is too old to prove it for the first time (RULES 3.3)."""
    return claim.state == "pending" and claim.token_at <= now - TOKEN_LIFE


def approve(session: Session, site: Site, user: User, *, now: datetime, **said: Any) -> Outcome:
    """The operator vouches for what nothing else can prove, or decides a contest.

    Args:
        said: For the audit log: `actor_id`, unless it is a command, and what else is to be known, such as a reason.

    Raises:
        SiteTaken: Another user's claim is verified, and nobody contests it.
        NotFlattrable: The site is a public suffix, which nobody can claim (RULES 3.6).
    """
    if sites.is_public_suffix(site.name):
        sites.refuse_unclaimable(site.name)
    case = _Case(session, site, now)
    others = [claim for claim in case.claims(*HOLDING) if claim.user_id != user.id]
    if any(other.state == "verified" for other in others):
        raise SiteTaken
    _keep(session, site, Finding("operator", "proved", (user.public_id,)), now)
    for other in others:
        case.end(other, "ended", "lost")
    session.flush()
    claim = case.ask(user.id)
    # Who proved it by DNS keeps the hosts below: the operator only said that the proof is right.
    method = "dns" if claim.method == "dns" and claim.state != "pending" else "operator"
    case.verify(user.id, method)
    auditlog.record(session, "claim.approved", site.name, now=now, user=user.public_id, **said)
    return case.outcome


def last_proven(session: Session, site: Site) -> Claim | None:
    """The claim that `revoke` takes back: the one that holds the site, else the last that did; None where none did."""
    proven = _proven(site).order_by(Claim.ended_at.is_not(None), Claim.ended_at.desc(), Claim.id)
    claim = session.scalar(proven.limit(1))
    return None if claim is None or claim.state == "revoked" else claim


def _proven(site: Site) -> sa.Select[Claim]:
    return sa.select(Claim).where(Claim.site_id == site.id, Claim.verified_at.is_not(None))


def revoke(session: Session, site: Site, *, now: datetime, claim_id: int | None = None, **said: Any) -> Outcome:
    """The operator takes back the last claim that was proven, also one that its user gave up before.

    It pays nothing that is not settled yet, and its user gets the site again by the operator's approval only.

    Args:
        claim_id: Of the claim that the operator was shown: no other one is taken back.
        said: As for `approve`.

    Raises:
        NoSuchClaim: The site has no claim that was proven, or the last one is another than *claim_id*.
    """
    case = _Case(session, site, now)
    claim = last_proven(session, site)
    if claim is None:
        raise NoSuchClaim(f"Nobody's claim on {site.name} is verified.")
    if claim_id not in (None, claim.id):
        raise NoSuchClaim(f"The claim on {site.name} was revoked already, or somebody else's came after it.")
    if claim.ended_at is None:
        case.end(claim, "revoked", "revoked")
        case.free()
    for earlier in session.scalars(_proven(site).where(Claim.user_id == claim.user_id)):
        earlier.state = "revoked"
    user = session.get_one(User, claim.user_id)
    auditlog.record(session, "claim.revoked", site.name, now=now, user=user.public_id, **said)
    return Outcome("revoked", [("revoked", claim)])


def give_up(session: Session, claim: Claim, *, now: datetime, actor_id: int | None = None) -> Outcome:
    """The owner ends a claim; one never proven just goes. Clicks from before are still theirs."""
    case = _Case(session, session.get_one(Site, claim.site_id), now)
    session.refresh(claim)
    if claim.state == "pending":
        session.delete(claim)
    elif claim.ended_at is None:
        case.end(claim, "ended", "ended")
        case.free()
        user = session.get_one(User, claim.user_id)
        auditlog.record(session, "claim.given_up", case.site.name, now=now, actor_id=actor_id, user=user.public_id)
    session.flush()
    return case.outcome


def void(session: Session, user: User) -> None:
    """Nothing that is not settled yet is paid by the claims of a user who leaves; all of them are over."""
    proven = sa.update(Claim).where(Claim.user_id == user.id, Claim.verified_at.is_not(None))
    session.execute(proven.values(state="revoked"))


def dispute(session: Session, claim: Claim, *, now: datetime) -> Outcome:
    """Someone who holds a host above says that this claim is not right: new clicks are promises until it is decided."""
    case = _Case(session, session.get_one(Site, claim.site_id), now)
    session.refresh(claim)
    if claim.state in ("verified", "lapsing"):
        case.contest(claim, "disputed")
    session.flush()
    return case.outcome


def wanted(session: Session, site: Site, *, now: datetime) -> list[Wanted]:
    """The open claims on a site with the tokens that may prove them."""
    query = sa.select(User.public_id, Claim.token).join(Claim, Claim.user_id == User.id)
    alive = sa.or_(Claim.state != "pending", Claim.token_at > now - TOKEN_LIFE)
    return [
        Wanted(*row) for row in session.execute(query.where(Claim.site_id == site.id, Claim.ended_at.is_(None), alive))
    ]


def due(session: Session, *, now: datetime) -> list[str]:
    """The sites to look at again: for their claims, or because they took no part a month ago."""
    waits = sa.exists().where(Claim.site_id == Site.id, Claim.next_check_at <= now, Claim.ended_at.is_(None))
    seen = sa.exists().where(Look.site_id == Site.id, Look.at > now - timedelta(days=RECHECK_DAYS))
    opted_out = Site.opted_out_at.is_not(None)
    query = sa.select(Site.name).where(sa.or_(~opted_out & waits, opted_out & ~seen))
    return list(session.scalars(query.limit(100)))


def claimants_around(session: Session, site: Site) -> list[tuple[Claim, Site]]:
    """The open claims on a site and on the hosts above it, which are told of what happens there (RULES 3.11)."""
    names = (site.name, *sites.hosts_above(site.name))
    query = sa.select(Claim, Site).join(Site, Site.id == Claim.site_id)
    return list(session.execute(query.where(Site.name.in_(names), Claim.state.in_(HOLDING))))
