"""What claim tests do over and over: tokens, the worker's rounds, mails, states."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import sqlalchemy as sa

from backend import checks, claims, cli, jobs, mail, sites
from backend.claims import Claim, Look, proof, states
from backend.fetch import FetchFailed
from backend.jobs import Job
from backend.sites import Site
from tests.backend.town import WORLD

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EMPTY = "<!doctype html><head><title>A blog</title></head>"
OPT_OUT = '<!doctype html><head><meta name="flattr:id" content="none"></head>'
GONE = FetchFailed("no_such_host")
DOWN = FetchFailed("timeout")


def ask(town, name, site, world=WORLD):
    """A user claims a site: a look is queued."""
    with town.sessions.begin() as session:
        return checks.ask(session, town.people[name], site, world, now=town.now)


def token(town, name, site):
    """The line for DNS or a file, of a claim that is asked for if there is none."""
    with town.sessions.begin() as session:
        found = sites.ensure(session, site)
        return proof.token_line(states.ask(session, found, town.people[name], now=town.now).token)


def prove_by_dns(town, name, site):
    """A TXT record beside those that are there."""
    town.web.setdefault(f"dns:_flattr-challenge.{site}", []).append(token(town, name, site))


def prove_by_file(town, name, site):
    town.web[f"https://{site}/.well-known/flattr-site-verification.txt"] = token(town, name, site)


def approve(town, name, site):
    with town.sessions.begin() as session:
        found = sites.ensure(session, site)
        outcome = states.approve(session, found, town.people[name], now=town.now)
        checks.follow(session, found, outcome, WORLD, now=town.now)


def all_claims(town, site):
    """All claims on a site, by name and state, in the order they were made."""
    with town.sessions() as session:
        return [(user.name, claim.state) for claim, of, user in claims.listing(session) if of.name == site]


def state(town, name, site):
    """The state of the claim that is open; without one, of the last that ended."""
    with town.sessions() as session:
        query = sa.select(Claim).join(Site, Site.id == Claim.site_id)
        mine = query.where(Site.name == site, Claim.user_id == town.people[name].id)
        found = session.scalars(mine.order_by(Claim.ended_at.is_not(None), Claim.ended_at.desc())).first()
        return found and found.state


def claim_of(town, name, site):
    """The open claim."""
    with town.sessions() as session:
        return next(claim for claim, of in claims.of_user(session, town.people[name]) if of.name == site)


def owner(town, site):
    """The name of who gets a click that is made now."""
    with town.sessions() as session:
        found = claims.owner_now(session, sites.find(session, site) or Site(name=site), now=town.now)
        return found and found.name


def looks(town, site):
    """How often a site was looked at."""
    with town.sessions() as session:
        query = sa.select(Look.at).join(Site, Site.id == Look.site_id).where(Site.name == site).distinct()
        return len(session.scalars(query).all())


def waiting(town, kind="look"):
    """The keys of jobs that wait."""
    with town.sessions() as session:
        return sorted(session.scalars(sa.select(Job.key).where(Job.kind == kind)))


def mails(town):
    """Mails that wait to be sent, as (name, subject), and forgets them."""
    with town.sessions.begin() as session:
        waiting = session.scalars(sa.select(Job).where(Job.kind == "mail").order_by(Job.id)).all()
        sent = [(job.payload["to"].partition("@")[0].capitalize(), job.payload["subject"]) for job in waiting]
        session.execute(sa.delete(Job).where(Job.kind == "mail"))
    return sorted(sent)


def links(town, name):
    """The "this was not me" links in the mails that wait for somebody."""
    with town.sessions() as session:
        waiting = session.scalars(sa.select(Job).where(Job.kind == "mail").order_by(Job.id)).all()
        texts = [job.payload["text"] for job in waiting if job.payload["to"] == town.people[name].email]
    return [
        line.rpartition("/not-me/")[2].strip() for text in texts for line in text.splitlines() if "/not-me/" in line
    ]


def not_me(town, link):
    with town.sessions.begin() as session:
        return checks.not_me(session, link, WORLD, now=town.now).name


class Worker:
    """The real worker's loop over the real job table, on the town's clock; mail goes to `sent`."""

    def __init__(self, town, monkeypatch):
        self.town, self.sent = town, []
        monkeypatch.setattr(mail, "send", lambda _config, to, subject, *_: self.sent.append((to, subject)))
        config = SimpleNamespace(base_url=WORLD.base_url, dev=False, secret_key=WORLD.secret, now=lambda: town.now)
        self.handlers = cli.job_handlers(config, town.sessions)

    def round(self):
        """What the worker does now: the re-checks that are due, then all jobs; how many."""
        checks.enqueue_due(self.town.sessions, now=self.town.now)
        return jobs.work(self.town.sessions, self.handlers, lambda: self.town.now)

    def until(self, day):
        """Let time pass up to a day such as ``2026-12-24``: a round each hour in which something is due."""
        end = datetime.fromisoformat(day).replace(tzinfo=UTC)
        while self.town.now < end:
            self.town.now = min(end, max(self.town.now + HOUR, self._next_due() or end))
            self.round()

    def _next_due(self):
        with self.town.sessions() as session:
            claimed = session.scalar(sa.select(sa.func.min(Claim.next_check_at)).where(Claim.ended_at.is_(None)))
            queued = session.scalar(sa.select(sa.func.min(Job.due_at)))
        return min(filter(None, (claimed, queued)), default=None)

    def mails(self):
        """Who was sent what since the last time this was asked."""
        sent, self.sent = [(to.partition("@")[0].capitalize(), subject) for to, subject in self.sent], []
        return sent
