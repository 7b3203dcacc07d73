"""Looking at sites, and all that follows: claims, promises that come true, opt-outs, confirmed authors, and mail."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy.orm import Session, sessionmaker

from backend import bulk, claims, clicks, fetch, jobs, limits, platforms, sites, users
from backend.claims import Claim, Finding, Look, Wanted, proof, states
from backend.claims.states import Outcome
from backend.errors import NotFound, RateLimited
from backend.sites import Page, Site
from backend.users import User

_HOUR = timedelta(hours=1)
_BY_HOST, _BY_USER = "check:{}", "checks-of:{}"  # whose looks are counted


@dataclass(frozen=True)
class World:
    """What a look needs to know of this installation."""

    base_url: str
    dev: bool
    secret: str = ""

    @property
    def user_agent(self) -> str:
        """Whom site owners find in their logs."""
        return f"flattr-verify/1 (+{self.base_url})"


# Looking: network, no database ----------------------------------------------------------------------------------------


def findings(site: str, wanted: list[Wanted], world: World) -> list[Finding]:
    """What a site proves now, by each method that applies to it."""
    if platforms.is_shared(site) or sites.is_public_suffix(site):
        return [Finding("tag", "needs_operator")]
    if platforms.is_account(site):
        return [_profile(site, world)]
    found = [_front_page(site, world)]
    if found[0].code == "opted_out":
        return found
    # A proof by tag is not the end of it: somebody else may prove the site too, DNS proves more, a file may say none.
    found.append(_file(site, wanted, world))
    return [*found, _dns(site, wanted)] if wanted and not world.dev else found


def _front_page(site: str, world: World) -> Finding:
    found = _tag_at(site, world)
    if found.code not in ("no_such_host", "dns_failed") or world.dev:
        return found
    at_www = _tag_at(f"www.{site}", world)  # the same site; some exist under this name only
    return found if at_www.code in ("no_such_host", "dns_failed") else at_www


def _tag_at(host: str, world: World) -> Finding:
    page = _page("tag", fetch.front_page, host, world)
    return page if isinstance(page, Finding) else proof.by_tag(page.body, page.evidence)


def _page(method: str, get: Callable[..., fetch.Fetched], where: str, world: World) -> fetch.Fetched | Finding:
    """A page of HTML, or what was found instead."""
    try:
        page = get(where, dev=world.dev, user_agent=world.user_agent)
    except fetch.FetchFailed as failure:
        return _failed(method, failure)
    return _html_problem(method, page) or page


def _failed(method: str, failure: fetch.FetchFailed) -> Finding:
    return Finding(method, failure.code, evidence={"detail": str(failure)})


def _html_problem(method: str, page: fetch.Fetched) -> Finding | None:
    if page.status != 200:
        return Finding(method, "bad_status", evidence=page.evidence)
    if page.content_type != "text/html":
        return Finding(method, "not_html", evidence=page.evidence)
    return None


def _file(site: str, wanted: list[Wanted], world: World) -> Finding:
    file = fetch.root_of(site, dev=world.dev) + proof.FILE_PATH[1:]
    try:
        found = fetch.get(file, dev=world.dev, user_agent=world.user_agent)
    except fetch.FetchFailed as failure:
        return _failed("file", failure)
    if found.status != 200:
        code = "token_not_found" if 400 <= found.status < 500 else "bad_status"
        return Finding("file", code, evidence=found.evidence)
    if len(found.body) > proof.MAX_FILE_BYTES:
        return Finding("file", "too_large", evidence=found.evidence)
    return proof.by_file(found.body, wanted, found.evidence)


def _dns(site: str, wanted: list[Wanted]) -> Finding:
    try:
        return proof.by_dns(fetch.txt(f"{proof.TXT_NAME}.{site}"), wanted)
    except fetch.FetchFailed as failure:
        found = _failed("dns", failure)
        return replace(found, code="token_not_found") if found.code == "no_such_host" else found


def _profile(account: str, world: World) -> Finding:
    if platforms.proof_of(account) == "operator":
        return Finding("rel_me", "needs_operator")
    page = _page("rel_me", fetch.get, f"https://{account}", world)
    if isinstance(page, Finding):
        return page
    return proof.by_rel_me(page.body, world.base_url, page.evidence, platforms.id_meta_of(account))


# What follows ---------------------------------------------------------------------------------------------------------


def look(
    sessions: sessionmaker[Session], site_name: str, world: World, *, now: datetime, asker_id: int | None = None
) -> Outcome:
    """Look at a site and do what follows. Safe to do twice.

    Args:
        asker_id: The user who wanted to see it proven, if one did.

    Raises:
        NotFlattrable: The site cannot be claimed at all.
    """
    with sessions() as session:
        site = sites.find(session, site_name)
        wanted = states.wanted(session, site, now=now) if site else []
    if not wanted:  # the operator may have approved one that nobody can claim
        sites.refuse_unclaimable(site_name)
    found = findings(site_name, wanted, world)
    with sessions.begin() as session:
        outcome = record(session, site_name, found, world, now=now)
        _give_back(session, site_name, outcome, asker_id, now)
        return outcome


def record(session: Session, site_name: str, found: list[Finding], world: World, *, now: datetime) -> Outcome:
    """Write down what was seen of a site, and do what follows."""
    site = sites.ensure(session, site_name)
    outcome = states.record(session, site, found, now=now)
    if outcome.code == "opted_out":
        said = f"{site_name} takes no part", _OPTED_OUT.format(site=site_name)
        _mail(session, dict.fromkeys(clicks.remove_open(session, site, now=now), said), now)
    follow(session, site, outcome, world, now=now)
    return outcome


def follow(session: Session, site: Site, outcome: Outcome, world: World, *, now: datetime) -> None:
    """Tell whom it concerns what happened to claims; promises to sites that have an owner now come true."""
    for event, claim in outcome.events:
        _tell_claimants(session, site, event, claim, world, now)
    if outcome.begun:
        announce(session, clicks.keep_promises(session, [site.name], now=now), world, now=now)


def announce(session: Session, joined: Mapping[int, list[str]], world: World, *, now: datetime) -> None:
    """Tell readers which of their promises came true, while they can still withdraw them."""
    mails = {}
    for reader_id, names in joined.items():
        said = ", ".join(sorted(set(names))[:5])
        text = _CAME_TRUE.format(sites=said, base_url=world.base_url)
        mails[reader_id] = f"Your promise to {said} counts now", text
    _mail(session, mails, now, notice="came_true")


def ask(session: Session, user: User, text: str, world: World, *, now: datetime) -> str:
    """A user claims a site or wants it looked at again: queue the look; the site's name.

    Raises:
        NotFlattrable: No site that could be claimed.
        RateLimited: More than five failed looks at the site, or twenty by the user, in an hour.
    """
    name = sites.site_name(text, dev=world.dev)
    sites.refuse_unclaimable(name)
    if not world.dev and not jobs.is_waiting(session, "look", name):
        # A look counts as failed until it has succeeded: so many can wait, too.
        limits.use(session, _BY_HOST.format(name), 5, _HOUR, now=now)
        limits.use(session, _BY_USER.format(user.id), 20, _HOUR, now=now)
    states.ask(session, sites.ensure(session, name), user, now=now)
    jobs.enqueue(session, "look", name, {"site": name, "asker": user.id}, now=now)
    return name


def _give_back(session: Session, site_name: str, outcome: Outcome, asker_id: int | None, now: datetime) -> None:
    """Looks that prove something do not count against the host, nor against who asked when it is theirs."""
    if asker_id and outcome.code == "proved":
        limits.give_back(session, _BY_HOST.format(site_name), _HOUR, now=now)
        mine = claims.of_user(session, session.get_one(User, asker_id))
        if any(site.name == site_name and claim.state == "verified" for claim, site in mine):
            limits.give_back(session, _BY_USER.format(asker_id), _HOUR, now=now)


def consider(session: Session, click: clicks.Shown, named: str | None, world: World, *, now: datetime) -> None:
    """After a click: a tag claims by itself (RULES 2.5), and a page's own tag may name an author (RULES 3.14).

    A host that nobody looked at yet gets one look; one whose page names a user gets another, within a budget of its
    own, so that invented ids cannot use up the owner's checks. What the reader's browser saw is a hint, never proof.
    """
    if click.owner and named in (None, click.owner.public_id) and click.rule != "author":
        return  # nearly always
    site = sites.ensure(session, click.site)
    user = users.by_public_id(session, named) if named else None
    if click.owner:
        _consider_author(session, click, site, user, world, now)
        if user is None or user.id == click.owner.id or claims.is_held(session, site):
            return  # else the host has an owner by DNS above only, and its own page names another
    if platforms.is_account(site.name) or platforms.is_shared(site.name) or sites.is_public_suffix(site.name):
        return
    was_seen = session.scalar(sa.select(Look.id).where(Look.site_id == site.id).limit(1))
    if (not was_seen or user) and _within_budget(session, f"look:{site.name}", world, now):
        jobs.enqueue(session, "look", site.name, {"site": site.name}, now=now)


def _consider_author(
    session: Session, click: clicks.Shown, site: Site, user: User | None, world: World, now: datetime
) -> None:
    """A page whose tag seems to name another author than the one known is looked at."""
    is_theirs = bool(user and click.owner and user.id == click.owner.id)
    is_new = user and not is_theirs and claims.is_author(session, site, user)
    is_over = click.rule == "author" and not is_theirs
    if (is_new or is_over) and _within_budget(session, f"page:{click.page_id}", world, now):
        jobs.enqueue(session, "page", str(click.page_id), {"page_id": click.page_id}, now=now)


def _within_budget(session: Session, key: str, world: World, now: datetime) -> bool:
    try:
        if not world.dev:
            limits.use(session, key, 3, _HOUR, now=now)
    except RateLimited:
        return False
    return True


def look_at_page(sessions: sessionmaker[Session], page_id: int, world: World, *, now: datetime) -> None:
    """See for ourselves whose tag a page carries, when its site lists authors."""
    with sessions() as session:
        url = session.get_one(Page, page_id).url
    answer = _page("tag", fetch.get, url, world)
    if isinstance(answer, Finding):
        return  # an error says nothing about who wrote the page
    found = proof.by_tag(answer.body, answer.evidence)
    with sessions.begin() as session:
        page = session.get_one(Page, page_id)
        author = users.by_public_id(session, found.ids[0]) if found.ids else None
        listed = author and claims.is_author(session, session.get_one(Site, page.site_id), author)
        clicks.confirm_author(session, page, author if listed else None, now=now)


def enqueue_due(sessions: sessionmaker[Session], *, now: datetime) -> None:
    """Queue the re-checks that are due (RULES 3.8)."""
    with sessions.begin() as session:
        for name in states.due(session, now=now):
            jobs.enqueue(session, "look", name, {"site": name}, now=now)


# "This was not me" ----------------------------------------------------------------------------------------------------


def _signer(world: World) -> URLSafeSerializer:
    return URLSafeSerializer(world.secret, salt="not-me", signer_kwargs={"digest_method": hashlib.sha256})


def not_me(session: Session, token: str, world: World, *, now: datetime) -> Site:
    """Somebody who was told of a claim says that it is not theirs, or not right: it ends, or is contested.

    Raises:
        NotFound: The link is not one of ours, the claim is gone, or it is none of their business any more.
    """
    try:
        claim_id, user_id = _signer(world).loads(token)
    except BadData as error:
        raise NotFound from error
    claim, user = session.get(Claim, claim_id), session.get(User, user_id)
    if claim is None or user is None:
        raise NotFound
    site = session.get_one(Site, claim.site_id)
    if claim.user_id == user.id:
        give_up(session, claim, world, now=now, actor_id=user.id)
    elif user.is_operator or user.id in {other.user_id for other, _ in states.claimants_around(session, site)}:
        follow(session, site, states.dispute(session, claim, now=now), world, now=now)
    else:
        raise NotFound  # who lost a contest, or a host above, could reopen it for ever
    return site


def approve(session: Session, site: Site, user: User, world: World, *, now: datetime, **said: Any) -> None:
    """The operator vouches for a claim, and everybody concerned is told (see `states.approve`, also for *said*)."""
    follow(session, site, states.approve(session, site, user, now=now, **said), world, now=now)


def revoke(session: Session, site: Site, world: World, *, now: datetime, **said: Any) -> None:
    """The operator takes a claim back, and everybody concerned is told (see `states.revoke`, also for *said*)."""
    follow(session, site, states.revoke(session, site, now=now, **said), world, now=now)


def give_up(session: Session, claim: Claim, world: World, *, now: datetime, actor_id: int | None = None) -> None:
    """The owner ends a claim, and everybody concerned is told."""
    site = session.get_one(Site, claim.site_id)
    follow(session, site, states.give_up(session, claim, now=now, actor_id=actor_id), world, now=now)


# Mail -----------------------------------------------------------------------------------------------------------------


def _tell_claimants(session: Session, site: Site, event: str, claim: Claim, world: World, now: datetime) -> None:
    concerned = {claim.user_id} | {other.user_id for other, _ in states.claimants_around(session, site)}
    if event in ("contested", "disputed"):
        concerned |= set(session.scalars(sa.select(User.id).where(User.is_operator)))
    subject, said = _EVENTS[event]
    mails = {}
    for user_id in concerned:
        link = f"{world.base_url}/not-me/{_signer(world).dumps([claim.id, user_id])}"
        mine = claim.user_id == user_id
        text = (said if mine else _TO_OTHERS.format(event=event)).format(site=site.name, base_url=world.base_url)
        mails[user_id] = subject.format(site=site.name), f"{text}\n{_NOT_ME.format(link=link)}"
    _mail(session, mails, now)


def _mail(session: Session, mails: Mapping[int, tuple[str, str]], now: datetime, *, notice: str = "") -> None:
    """Queue a mail, subject and text, for each of these users; kinds of *notice* can be switched off (`notices`)."""
    letters = (
        jobs.letter(user_id, address, f"{now:%Y-%m-%d} {mails[user_id][0]}", *mails[user_id], notice=notice)
        for user_id, address in _ADDRESSES.ask(session, id=mails)
    )
    jobs.enqueue_all(session, "mail", dict(letters), now=now)


_ADDRESSES = bulk.Question(
    lambda given, _: (
        sa.select(User.id, User.email)
        .join(given, given.c.id == User.id)
        .where(User.left_at.is_(None))
        .order_by(User.id)
    ),
    id=sa.BigInteger(),
)
_EVENTS = {
    "verified": (
        "{site} is yours on Flattr",
        "{site} names you, so its flattrs are yours from now on.\n\nSee what it receives: {base_url}/sites\n",
    ),
    "restored": ("{site} is proven again", "The proof on {site} was found again; its flattrs count for you.\n"),
    "lapsing": (
        "{site} no longer proves that it is yours",
        (
            "The proof on {site} was not found, five times in a row. New flattrs are promises until it is back.\n"
            "After 30 days the claim lapses: {base_url}/sites\n"
        ),
    ),
    "lapsed": (
        "Your claim on {site} has lapsed",
        "For 30 days nothing on {site} named you. Put the tag back to claim it.\n",
    ),
    "contested": (
        "{site} is claimed by two people",
        (
            "Two people prove {site} now. Nobody is displaced, but new flattrs are promises for ten days. Then who\n"
            "alone still proves it keeps it. If that is you, remove the other proof from your site: {base_url}/sites\n"
        ),
    ),
    "disputed": (
        "Your claim on {site} is disputed",
        (
            "Somebody who holds a host above {site} says that this claim is not right. New flattrs are promises for\n"
            "ten days; then it is looked at again, and a proof that is still there keeps it: {base_url}/sites\n"
        ),
    ),
    "ended": (
        "{site} was given up on Flattr",
        "Your claim on {site} has ended, as you asked. What was flattred before is still yours.\n",
    ),
    "revoked": (
        "Your claim on {site} was taken back",
        "The operator took your claim on {site} back. It pays nothing more; write to them if that is wrong.\n",
    ),
    "lost": (
        "{site} is no longer yours on Flattr",
        "Somebody else proves {site} now. What you received stays yours.\n",
    ),
}
_TO_OTHERS = "Something happened to a claim on {{site}}, which concerns a site of yours: {event}.\n"
_NOT_ME = "This was not you, or is not right? Say so here: {link}\n"

_CAME_TRUE = """\
{sites} joined Flattr. What you promised is on this month's list now and counts like any flattr.

You can take it back until the month ends: {base_url}/month
"""

_OPTED_OUT = """\
{site} asked not to be part of Flattr, so it was taken off this month's list.
Your budget goes to the others.
"""
