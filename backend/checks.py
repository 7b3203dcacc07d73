"""Looking at a site's front page, and all that follows: a claim, promises that come true, an opt-out, and mail."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from backend import claims, clicks, fetch, jobs, limits, sites, users
from backend.claims import Outcome, Seen
from backend.errors import RateLimited
from backend.sites import Site
from backend.users import User


@dataclass(frozen=True)
class World:
    """What a look needs to know of this installation."""

    base_url: str
    dev: bool


def front_page(site: str, world: World) -> Seen:
    """What a site's front page proves; network, no database."""
    try:
        page = fetch.front_page(site, dev=world.dev, user_agent=f"flattr-verify/1 (+{world.base_url})")
    except fetch.FetchFailed as failure:
        return Seen(failure.code, evidence={"detail": str(failure)})
    if page.status != 200:
        return Seen("bad_status", evidence=page.evidence)
    if page.content_type != "text/html":
        return Seen("not_html", evidence=page.evidence)
    if b"\0" in page.body:
        return Seen("nul_byte", evidence=page.evidence)
    return Seen(ids=claims.ids_in_head(page.body), evidence=page.evidence)


def look(sessions: sessionmaker[Session], site_name: str, world: World, *, now: datetime) -> Outcome:
    """Look at a site's front page and do what follows. Safe to do twice.

    Raises:
        NotFlattrable: The site cannot be claimed at all.
    """
    sites.refuse_unclaimable(site_name)
    seen = front_page(site_name, world)
    with sessions.begin() as session:
        return record(session, site_name, seen, world, now=now)


def record(session: Session, site_name: str, seen: Seen, world: World, *, now: datetime) -> Outcome:
    """Write down what was seen on a site's front page, and do what follows."""
    site = sites.ensure(session, site_name)
    outcome = claims.record_look(session, site, seen, now=now)
    if outcome.code == "opted_out":
        readers = clicks.remove_open(session, site, now=now)
        _tell(session, readers, f"{site_name} takes no part", _OPTED_OUT.format(site=site_name), now)
    if outcome.is_new:
        claimed(session, site, outcome, world, now=now)
    return outcome


def claimed(session: Session, site: Site, outcome: Outcome, world: World, *, now: datetime) -> None:
    """A claim is verified: its user is told, and promises to the site join the open lists."""
    if outcome.claim:
        text = _CLAIMED.format(site=site.name, base_url=world.base_url)
        _tell(session, [outcome.claim.user_id], f"{site.name} is yours on Flattr", text, now)
    announce(session, clicks.keep_promises(session, [site.id], now=now), world, now=now)


def announce(session: Session, joined: Mapping[int, list[int]], world: World, *, now: datetime) -> None:
    """Tell readers which of their promises came true, while they can still withdraw them."""
    found = sites.by_ids(session, {site_id for ids in joined.values() for site_id in ids})
    for reader_id, ids in joined.items():
        names = ", ".join(sorted({found[i].name for i in ids})[:5])
        text = _CAME_TRUE.format(sites=names, base_url=world.base_url)
        _tell(session, [reader_id], f"Your promise to {names} counts now", text, now)


def ask(session: Session, user: User, text: str, world: World, *, now: datetime) -> str:
    """A user claims a site or wants it looked at again: queue the look; the site's name.

    Raises:
        NotFlattrable: No site that could be claimed.
        RateLimited: More than five looks at the site, or twenty by the user, in an hour.
    """
    name = sites.site_name(text, dev=world.dev)
    if not world.dev:
        limits.use(session, f"check:{name}", 5, timedelta(hours=1), now=now)
        limits.use(session, f"checks-of:{user.id}", 20, timedelta(hours=1), now=now)
    claims.ask(session, sites.ensure(session, name), user, now=now)
    jobs.enqueue(session, "look", name, {"site": name}, now=now)
    return name


def consider(session: Session, site_name: str, named: str | None, world: World, *, now: datetime) -> None:
    """After a click: a tag claims by itself (RULES 2.5).

    A host that nobody looked at yet gets one look; one whose page names a user gets another, within a budget of its
    own, so that invented ids cannot use up the owner's checks.
    """
    site = sites.ensure(session, site_name)
    if claims.owner_now(session, site, now=now) or sites.is_public_suffix(site_name):
        return
    was_seen = session.scalar(sa.select(claims.Look.id).where(claims.Look.site_id == site.id).limit(1))
    if was_seen and not (named and users.by_public_id(session, named)):
        return
    try:
        if not world.dev:
            limits.use(session, f"look:{site_name}", 3, timedelta(hours=1), now=now)
    except RateLimited:
        return
    jobs.enqueue(session, "look", site_name, {"site": site_name}, now=now)


def _tell(session: Session, user_ids: list[int], subject: str, text: str, now: datetime) -> None:
    for user in session.scalars(sa.select(User).where(User.id.in_(user_ids))):
        mail = {"to": user.email, "subject": subject, "text": text}
        jobs.enqueue(session, "mail", f"{user.id} {now:%Y-%m-%d} {subject}", mail, now=now)


_CLAIMED = """\
The front page of {site} names you, so its flattrs are yours from now on.

See what it receives: {base_url}/sites

If this was not you, somebody put your id on a site that you do not run.
You can give the claim up on the same page.
"""

_CAME_TRUE = """\
{sites} joined Flattr. What you promised is on this month's list now and counts like any flattr.

You can take it back until the month ends: {base_url}/month
"""

_OPTED_OUT = """\
{site} asked not to be part of Flattr, so it was taken off this month's list.
Your budget goes to the others.
"""
