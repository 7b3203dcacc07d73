"""What an economy comes to, reckoned in plain dictionaries from the rules of the game (DESIGN 2, RULES 3.7 to 3.10).

Nothing here knows a database, NumPy or the code that is tested; only how a month is written and what comes after it.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

CENT = 10_000
CONTEST, LAPSE = timedelta(days=10), timedelta(days=30)


def month_of(instant):
    return instant.strftime("%Y-%m")


def after(month, months=1):
    number = int(month[:4]) * 12 + int(month[5:]) - 1 + months
    return f"{number // 12}-{number % 12 + 1:02d}"


def end_of(month):
    return datetime.fromisoformat(f"{after(month)}-01T00:00:00+00:00")


@dataclass
class Claim:
    """Somebody proved a site at `since`; it was in doubt from `doubt` on, and over at `end`; void, it pays nothing."""

    who: str
    since: datetime
    doubt: datetime | None = None
    end: datetime | None = None
    void: bool = False


@dataclass
class Held:
    """A site: all claims in order, who contests the last one since when, and until when nothing is decided."""

    claims: list = field(default_factory=list)
    rivals: dict = field(default_factory=dict)
    undecided: datetime | None = None

    def holder(self):
        return next((claim for claim in self.claims if claim.end is None), None)

    def starts(self, claim):
        """From when a claim pays: back to the end of anybody else's before it."""
        earlier = self.claims[: self.claims.index(claim)]
        return max((other.end for other in earlier if other.who != claim.who), default=None)

    def owner(self, at, by=None):
        """Who gets a click made then, as far as was proven before *by*."""
        for claim in self.claims:
            start, stops = self.starts(claim), [t for t in (claim.doubt, claim.end) if t]
            if (by is None or claim.since < by) and (start is None or start <= at) and all(at < t for t in stops):
                return None if claim.void else claim.who
        return None


@dataclass
class Waiting:
    """A promise."""

    site: str
    month: str
    made: datetime
    joined: bool = False


@dataclass
class Closed:
    """What a settled month came to: each reader's share and owners, what each owner got, whom each click was for."""

    result: dict
    shares: dict
    gross: dict
    fees: dict
    owners: dict


class Refused(Exception):
    """The rules say no; the message is the name of the refusal."""


class Economy:
    def __init__(self):
        self.wallets, self.incomes, self.decided = {}, {}, {}
        self.bank = self.fees = 0
        self.sites = defaultdict(Held)
        self.clicks = defaultdict(dict)  # month: {(reader, page): (site, at)}
        self.promises = {}  # (reader, page): Waiting
        self.closed = {}
        self.paid = defaultdict(dict)  # reader: {month: people}
        self.left = set()

    # People and money

    def arrive(self, who):
        self.wallets[who] = self.incomes[who] = 0
        self.decided[who] = {}

    def here(self):
        return [who for who in self.wallets if who not in self.left]

    def deposit(self, who, amount):
        self.wallets[who] += amount
        self.bank += amount

    def decision(self, who, month):
        """Budget and choice as in force at the end of a month."""
        known = [decided for since, decided in sorted(self.decided[who].items()) if since <= month]
        return known[-1] if known else (5_000_000, "keep")

    def decide(self, who, now, budget=None, choice=None):
        before = self.decision(who, month_of(now))
        budget = before[0] if budget is None else budget
        self.decided[who][month_of(now)] = (budget, choice or before[1])

    def leave(self, who, now):
        if self.due(month_of(now)):
            raise Refused("NotSettledYet")
        paid = 0
        for accounts in (self.wallets, self.incomes):
            paid += accounts[who] // CENT * CENT
            self.fees += accounts[who] % CENT
            accounts[who] = 0
        self.bank -= paid
        for held in self.sites.values():
            held.rivals.pop(who, None)
            for claim in held.claims:
                if claim.who == who:
                    claim.end, claim.void = claim.end or now, True
        for listed in (*self.clicks.values(), self.promises):
            for key in [key for key in listed if key[0] == who]:
                del listed[key]
        self.decided[who] = {}
        self.left.add(who)
        return paid

    # Lists

    def press(self, who, site, page, now):
        if self.sites[site].owner(now) == who:
            raise Refused("OwnSite")
        listed = self.clicks[month_of(now)]
        is_new = (who, page) not in listed
        listed.setdefault((who, page), (site, now))
        return is_new

    def undo(self, who, page, month, now):
        if month < month_of(now):
            raise Refused("PeriodEnded")
        self.clicks[month].pop((who, page), None)

    def owners(self, month):
        """Whom each click of a month is for."""
        if month in self.closed:
            return self.closed[month].owners
        by = end_of(month)
        return {key: self.sites[site].owner(at, by) for key, (site, at) in self.clicks[month].items()}

    def listed(self, who, month):
        """A reader's list: page and state."""
        owners = {key: owner for key, owner in self.owners(month).items() if key in self.clicks[month]}
        return {
            page: "counts" if owner and owner != reader else "promise"
            for (reader, page), owner in owners.items()
            if reader == who
        }

    # Claims

    def look(self, site, named, now):
        """What follows when a site names somebody, or is gone from the web."""
        held = self.sites[site]
        holder = held.holder()
        if holder is None:
            self._begin(site, named, now)
        elif named and named != holder.who and named not in held.rivals:
            holder.doubt, held.undecided, held.rivals[named] = holder.doubt or now, now + CONTEST, now
        elif held.undecided:
            self._decide(site, holder, named, now)
        elif named == holder.who:
            self._confirm(site, holder, now)
        else:
            self._doubt(holder, now)

    def _begin(self, site, named, now):
        rivals = self.sites[site].rivals
        for rival, since in list(rivals.items()):
            if rival != named and (named or now >= since + LAPSE):
                del rivals[rival]
        if named:
            self._prove(site, named, now)

    def _doubt(self, holder, now):
        if holder.doubt is None:
            holder.doubt = now
        elif now >= holder.doubt + LAPSE:
            holder.end = now

    def _decide(self, site, holder, named, now):
        held = self.sites[site]
        if now < held.undecided:
            return
        held.rivals = {who: since for who, since in held.rivals.items() if who == named}
        held.undecided = None
        if named == holder.who:
            self._confirm(site, holder, now)
        elif named:
            holder.end = now
            self._prove(site, named, now)

    def _prove(self, site, who, now):
        held = self.sites[site]
        held.rivals.pop(who, None)
        held.undecided = None
        held.claims.append(Claim(who, now))
        self._keep_promises(site, now)

    def _confirm(self, site, holder, now):
        if holder.doubt:
            holder.end = now
            self._prove(site, holder.who, now)

    def give_up(self, who, site, now):
        held = self.sites[site]
        holder = held.holder()
        if holder and holder.who == who:
            holder.end, held.undecided = now, None
        else:
            del held.rivals[who]

    def revoke(self, site, now):
        held = self.sites[site]
        last = held.holder() or max(held.claims, key=lambda claim: claim.end, default=None)
        if last is None or last.void:
            raise Refused("NoSuchClaim")
        if last.end is None:
            last.end, held.undecided = now, None
        for claim in held.claims:
            claim.void = claim.void or claim.who == last.who

    def banned(self, who, site):
        return any(claim.void and claim.who == who for claim in self.sites[site].claims)

    def _keep_promises(self, site, now):
        """Promises to a site that has an owner, not older than twelve months or somebody else's time, come true."""
        holder = self.sites[site].holder()
        if holder is None or holder.doubt:
            return
        start, month = self.sites[site].starts(holder), month_of(now)
        for (reader, page), promise in self.promises.items():
            old = promise.month < after(month, -12) or (start and promise.made < start)
            if promise.site == site and not promise.joined and reader != holder.who and not old:
                promise.joined = True
                self.clicks[month].setdefault((reader, page), (site, now))

    # Months

    def due(self, before):
        """The first month before another that is to be settled: it has clicks, or somebody chose what becomes of it."""
        chosen = [m for decided in self.decided.values() for m, (_, choice) in decided.items() if choice != "keep"]
        month = min([*self.clicks, *chosen], default=before)
        while month < before:
            if month not in self.closed and (self.clicks.get(month) or min(chosen, default=before) <= month):
                return month
            month = after(month)
        return None

    def oldest_due(self, now):
        this = month_of(now)
        return self.due(this) or max((m for m in self.closed if m < this), default=after(this, -1))

    def settle(self, month, bps, charity, now):
        if month in self.closed:
            return self.closed[month].result
        if end_of(month) > now:
            raise Refused("NotOver")
        if self.due(month):
            raise Refused("EarlierOpen")
        owners = self.owners(month)
        people = defaultdict(set)
        for (reader, _), owner in owners.items():
            people[reader] |= {owner} - {None, reader}
        for reader in self.here():
            people[reader] = people[reader] or self._empty(reader, month, charity)
        self.closed[month] = self._split(month, people, bps)
        self.closed[month].owners = owners
        counting = sum(owner not in (None, reader) for (reader, _), owner in owners.items())
        waiting = [key for key, owner in owners.items() if owner is None]
        self.closed[month].result |= {"period": month, "clicks": counting, "promises": len(waiting)}
        for key in waiting:
            site, at = self.clicks[month][key]
            self.promises[key] = Waiting(site, month, at)
        for site in self.sites:
            self._keep_promises(site, now)
        return self.closed[month].result

    def _empty(self, reader, month, charity):
        """Whom a month pays in which no click counts."""
        _, choice = self.decision(reader, month)
        if choice == "charity":
            return {charity} - {None, reader}
        last = max((m for m in self.paid[reader] if after(month, -12) <= m < month), default=None)
        if choice == "keep" or last is None:
            return set()
        end = end_of(month)
        instant = end - timedelta(microseconds=1)
        return {
            who for who in self.paid[reader][last] if any(s.owner(instant, end) == who for s in self.sites.values())
        }

    def _split(self, month, people, bps):
        shares, gross = {}, defaultdict(int)
        for reader, owners in people.items():
            if not owners:
                continue
            budget, _ = self.decision(reader, month)
            share = min(budget, self.wallets[reader]) // len(owners)
            shares[reader] = (share, len(owners))
            self.wallets[reader] -= share * len(owners)
            for owner in owners if share else ():
                gross[owner] += share
            if share:
                self.paid[reader][month] = owners
        fees = {owner: amount * bps // 10_000 for owner, amount in gross.items()}
        for owner, amount in gross.items():
            self.incomes[owner] += amount - fees[owner]
            self.fees += fees[owner]
        taken, charged = sum(fees.values()), sum(gross.values())
        result = {"readers": sum(share > 0 for share, _ in shares.values()), "owners": len(gross)}
        result |= {"charged_micros": charged, "received_micros": charged - taken, "fee_micros": taken}
        return Closed(result, shares, gross, fees, {})
