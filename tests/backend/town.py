"""People who read, write and settle, so that tests read like accounts. Only the web outside is pretended."""

import itertools
from datetime import UTC, datetime
from types import SimpleNamespace

import sqlalchemy as sa

from backend import (
    audit,
    card_payments,
    cards,
    checks,
    claims,
    clicks,
    deposits,
    fetch,
    leaving,
    ledger,
    settlement,
    sites,
    statements,
    users,
)
from backend.checks import World
from backend.claims import states
from backend.fetch import Fetched, FetchFailed
from backend.ledger import Account, Kind
from backend.money import decimal_text, parse_amount
from backend.period import period_of
from backend.users import User

NOW = datetime(2026, 10, 5, 12, tzinfo=UTC)
WORLD = World("https://flattr.example", dev=False)
_numbers = itertools.count(1)
TERMS = settlement.Terms("EUR", 0)


class Town:
    """One installation with its people; `now` is set by hand."""

    def __init__(self, sessions, monkeypatch):
        self.sessions, self.now, self.web, self.people = sessions, NOW, {}, {}
        monkeypatch.setattr(fetch, "get", self._get)
        monkeypatch.setattr(fetch, "txt", self._txt)

    def _get(self, url, **_):
        """The web: the pages written in `web` by host (front pages) or address; other hosts do not exist."""
        host = url.split("/")[2]
        page = self.web.get(host if url.endswith(f"{host}/") else url)
        if page is None and host in self.web:
            return Fetched(404, "text/html", b"", [url], "93.184.215.14")
        if not isinstance(page, str):
            raise page or FetchFailed("no_such_host")
        return Fetched(200, "text/html", page.encode(), [url], "93.184.215.14")

    def _txt(self, name):
        """TXT records: the texts written in `web` under ``dns:NAME``."""
        return self.web.get(f"dns:{name}", [])

    def on(self, day, hour=12):
        """Go to a day: ``"2026-11-02"``."""
        self.now = datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC)

    def person(self, name, *, budget=None, wallet=None):
        """Somebody new, with a budget and money in the wallet."""
        with self.sessions.begin() as session:
            user = users.add(session, f"{name.lower()}@example.org", now=self.now, name=name)
            if budget is not None:
                users.set_budget(session, user, parse_amount(budget), now=self.now)
        self.people[name] = user
        if wallet:
            self.deposit(name, wallet)
        return user

    def deposit(self, name, amount, reference=None):
        """Money arrives for a reader."""
        reference = reference or f"{name} {amount} {self.now.isoformat()}"
        with self.sessions.begin() as session:
            return deposits.add(session, self.people[name], parse_amount(amount), reference, now=self.now)

    def card(self, name, amount):
        """A reader pays by card; what the provider says is booked."""
        number = next(_numbers)
        said = cards.Payment(f"k{number}", f"pi_{number}", "paid", parse_amount(amount), "EUR")
        with self.sessions.begin() as session:
            payment = card_payments.begin(session, self.people[name], parse_amount(amount), now=self.now)
            payment.key, payment.checkout_id = said.key, f"cs_{number}"
        provider = SimpleNamespace(payment=lambda checkout: said)
        card_payments.reconcile(self.sessions, provider, payment.id, "EUR", now=self.now)
        return payment

    def budget(self, name, amount):
        """A reader changes the budget."""
        with self.sessions.begin() as session:
            users.set_budget(session, self.people[name], parse_amount(amount), now=self.now)

    def press(self, name, url, **facts):
        """A reader flattrs a page: the click as shown, and whether it was new."""
        with self.sessions.begin() as session:
            press = clicks.PageFacts(url if "://" in url else f"https://{url}", **facts)
            return clicks.record(session, self.people[name], press, now=self.now)

    def undo(self, name, page_id, period=None):
        """A reader takes a click back."""
        with self.sessions.begin() as session:
            clicks.undo(session, self.people[name], page_id, period or period_of(self.now), now=self.now)

    def month(self, name, period=None):
        """A reader's list."""
        with self.sessions() as session:
            return clicks.month(session, self.people[name], period or period_of(self.now), now=self.now)

    def tag(self, name):
        """A front page with somebody's tag."""
        return f'<!doctype html><head><meta name="flattr:id" content="{self.people[name].public_id}"></head>'

    def claim(self, name, site):
        """An owner puts the tag on the front page, and the site is looked at."""
        self.web[site] = self.tag(name)
        return self.look(site)

    def look(self, site):
        return checks.look(self.sessions, site, WORLD, now=self.now)

    def revoke(self, site):
        with self.sessions.begin() as session:
            states.revoke(session, sites.ensure(session, site), now=self.now)

    def give_up(self, name, site):
        with self.sessions.begin() as session:
            mine = [claim for claim, of in claims.of_user(session, self.people[name]) if of.name == site]
            states.give_up(session, mine[0], now=self.now)

    def choose(self, name, choice):
        """A reader decides what becomes of an empty month."""
        with self.sessions.begin() as session:
            users.set_empty_month(session, self.people[name], choice, now=self.now)

    def leave(self, name):
        """A user is deleted; what is paid back."""
        with self.sessions.begin() as session:
            user = session.get_one(User, self.people[name].id)
            return leaving.leave(session, user, WORLD, "EUR", now=self.now)

    def terms(self, fee_bps=0, charity=None):
        """What the operator's settings say; *charity* is somebody's name."""
        return settlement.Terms("EUR", fee_bps, self.people[charity].id if charity else None)

    def settle(self, period=None, **terms):
        """The operator settles; the books are right afterwards."""
        result = settlement.settle(self.sessions, period, self.terms(**terms), WORLD, now=self.now)
        assert self.problems() == []
        return result

    def foretell(self, period=None, **terms):
        """What settling would come to."""
        return settlement.dry_run(self.sessions, period, self.terms(**terms), now=self.now)

    def problems(self):
        with self.sessions() as session:
            return audit.problems(session, full=True)

    def statement(self, name, period):
        with self.sessions() as session:
            return statements.statement(session, self.people[name], period, "EUR")

    def balances(self):
        """All accounts that hold something, as decimals: ``{"bank": "-5.00", "Ann wallet": "5.00"}``."""
        with self.sessions() as session:
            assert sum(ledger.trial_balance(session).values()) == 0
            names = dict(session.execute(sa.select(User.id, User.name)).all())
            accounts = session.scalars(sa.select(Account).where(Account.balance_micros != 0)).all()
        return {
            " ".join(filter(None, (names.get(a.user_id), Kind(a.kind).name.lower()))): amount(a.balance_micros)
            for a in accounts
        }


def amount(micros):
    """Decimals as people write them: at least two, more where needed."""
    text = decimal_text(micros, places=6)
    return text[:-4] + text[-4:].rstrip("0")
