"""An economy that lives for years: whatever people do in whatever order, it comes to what the rules say."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from backend import audit, clicks, db, ledger
from backend.claims import NoSuchClaim
from backend.clicks import NotSettledYet, months
from backend.errors import OwnSite, PeriodEnded
from backend.money import decimal_text
from backend.period import following
from backend.settlement import EarlierOpen, NotOver, lists
from backend.statements import Held
from tests.backend.books import Copies
from tests.backend.reckoning import Economy, Refused, after, end_of, month_of
from tests.backend.town import Town

NAMES = ["Ann", "Bea", "Carl", "Dora", "Emil", "Fay", "Gus"]
SITES = ["one.example.org", "two.example.org", "three.example.org"]
PAGES = {f"https://{site}/{number}": site for site in SITES for number in range(2)}
REFUSALS = {r.__name__: r for r in (OwnSite, PeriodEnded, NotSettledYet, NotOver, EarlierOpen, NoSuchClaim)}
MONEY = [0, 1, 2, 5, 7, 9_999, 10_000, 999_999, 4_000_000, 5_000_001]

person = st.integers(0, 3)  # of those who are here; counted round
money = st.integers(4_000_000, 20_000_000) | st.sampled_from(MONEY)


def text(micros):
    return decimal_text(micros, places=6)


class Life(RuleBasedStateMachine):
    """Does everything twice: in a real database, and in the reckoning. `copies` are of an upgraded database."""

    copies: Copies

    def __init__(self):
        super().__init__()
        self.url = self.copies.new()
        self.engine = db.make_engine(self.url.render_as_string(hide_password=False))
        if self.engine.dialect.name == "sqlite":  # no test survives a power cut anyway
            sa.event.listen(self.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr(lists, "READERS_PER_CHUNK", 2)
        self.patches.setattr(months, "PARTS", 2)
        self.town = Town(db.session_maker(self.engine), self.patches)
        self.economy, self.arrivals, self.references = Economy(), iter(NAMES), itertools.count()
        self.results, self.steps = {}, 0

    def teardown(self):
        for month in self.results:
            self.compare_statements(month)
        for who in self.economy.wallets:
            self.follow_the_money(who)
        self.patches.undo()
        self.engine.dispose()
        self.copies.drop(self.url)

    # Both worlds

    @property
    def now(self):
        return self.town.now

    def who(self, number):
        here = self.economy.here()
        return here[number % len(here)]

    def both(self, really, reckoned):
        """Do it in both worlds: what both came to, or that both refused it, for the same reason."""
        try:
            expected = reckoned()
        except Refused as refusal:
            with pytest.raises(REFUSALS[str(refusal)]):
                really()
            return None
        return really(), expected

    def tick(self):
        """No two things happen at the same instant, as long as it is the same month."""
        if month_of(self.now + timedelta(seconds=1)) == month_of(self.now):
            self.town.now += timedelta(seconds=1)

    # What happens

    @initialize(
        wallets=st.lists(money, min_size=4, max_size=4),
        owners=st.lists(st.none() | person, min_size=3, max_size=3),
        day=st.integers(1, 28),
    )
    def begin(self, wallets, owners, day):
        self.town.now = datetime(2026, 10, day, 12, tzinfo=UTC)
        for number, wallet in enumerate(wallets):
            self.arrive()
            if wallet:
                self.deposit(number, wallet)
        for site, owner in zip(SITES, owners, strict=True):
            if owner is not None:
                self.claim(owner, site)

    @precondition(lambda self: len(self.economy.wallets) < len(NAMES))
    @rule()
    def arrive(self):
        self.tick()
        name = next(self.arrivals)
        self.town.person(name)
        self.economy.arrive(name)

    @rule(number=person, amount=money.filter(bool))
    def deposit(self, number, amount):
        self.tick()
        who = self.who(number)
        self.town.deposit(who, text(amount), f"deposit {next(self.references)}")
        self.economy.deposit(who, amount)

    @rule(pressed=st.lists(st.tuples(person, st.sampled_from(sorted(PAGES))), min_size=3, max_size=10))
    def press(self, pressed):
        self.tick()
        for number, page in pressed:
            self.press_one(self.who(number), page)

    def press_one(self, who, page):
        done = self.both(
            lambda: self.town.press(who, page), lambda: self.economy.press(who, PAGES[page], page, self.now)
        )
        if done:
            (shown, is_new), expected = done
            assert (shown.url, shown.period, is_new) == (page, month_of(self.now), expected)

    @rule(pressed=st.lists(st.tuples(person, st.sampled_from(sorted(PAGES))), min_size=3, max_size=10))
    def press_more(self, pressed):
        """What people do most."""
        self.press(pressed)

    @rule(number=person, page=st.sampled_from(sorted(PAGES)), back=st.sampled_from([0, 0, 0, 1]))
    def undo(self, number, page, back):
        self.tick()
        who, month = self.who(number), after(month_of(self.now), -back)
        listed = {click.url: click.page_id for click in self.town.month(who, month).clicks}
        self.both(
            lambda: self.town.undo(who, listed.get(page, 0), month),
            lambda: self.economy.undo(who, page, month, self.now),
        )

    @rule(number=person, amount=st.sampled_from(MONEY) | st.integers(0, 4_000_000))
    def change_budget(self, number, amount):
        self.tick()
        self.town.budget(self.who(number), text(amount))
        self.economy.decide(self.who(number), self.now, budget=amount)

    @rule(number=person, choice=st.sampled_from(["repeat", "charity", "repeat", "keep"]))
    def choose(self, number, choice):
        self.tick()
        self.town.choose(self.who(number), choice)
        self.economy.decide(self.who(number), self.now, choice=choice)

    @rule(number=person, site=st.sampled_from(SITES))
    def claim(self, number, site):
        self.tick()
        who = self.who(number)
        if not self.economy.banned(who, site):  # the operator took it from them: their tag proves nothing there
            self.town.claim(who, site)
            self.economy.look(site, who, self.now)

    @rule(site=st.sampled_from(SITES), gone=st.booleans())
    def look_again(self, site, gone):
        """A re-check; what the site names may have changed since, or the site is gone."""
        self.tick()
        if gone:
            self.town.web.pop(site, None)
        self.town.look(site)
        self.economy.look(site, self.named(site), self.now)

    def named(self, site):
        return next((who for who in self.economy.here() if self.town.web.get(site) == self.town.tag(who)), None)

    @rule(number=person, site=st.sampled_from(SITES))
    def give_up(self, number, site):
        held, who = self.economy.sites[site], self.who(number)
        if who in held.rivals or (held.holder() and held.holder().who == who):
            self.tick()
            self.town.give_up(who, site)
            self.economy.give_up(who, site, self.now)

    @rule(site=st.sampled_from(SITES), sure=st.booleans())
    def revoke(self, site, sure):
        if not sure:
            return
        self.tick()
        self.town.web.pop(site, None)
        self.both(lambda: self.town.revoke(site), lambda: self.economy.revoke(site, self.now))

    @precondition(lambda self: len(self.economy.here()) > 2)
    @rule(number=person, sure=st.integers(0, 3))
    def leave(self, number, sure):
        if sure < 3:
            return
        self.tick()
        who = self.who(number)
        tag = self.town.tag(who)
        done = self.both(lambda: self.town.leave(who).paid_back_micros, lambda: self.economy.leave(who, self.now))
        if done:
            assert done[0] == done[1]
            for site in [site for site, page in self.town.web.items() if page == tag]:
                del self.town.web[site]

    @rule(days=st.sampled_from([1, 11, 11, 31, 40, 400]))
    def time_passes(self, days):
        self.town.now += timedelta(days=days)

    @rule(last=st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(hours=5)]))
    def the_month_ends(self, last):
        """To its very end, or to just before it."""
        ends = end_of(month_of(self.now))
        self.town.now = ends if not last else max(self.now, ends - last)

    @rule(
        which=st.sampled_from(["due", "due", "due", "last", "this", "again"]),
        bps=st.sampled_from([0, 0, 250, 10_000]),
        charity=st.none() | person,
        tried=st.booleans(),
        again=st.booleans(),
    )
    def settle(self, which, bps, charity, tried, again):
        this = month_of(self.now)
        month = {"due": None, "last": after(this, -1), "this": this, "again": max(self.results, default=None)}[which]
        terms = {"fee_bps": bps, "charity": None if charity is None else self.who(charity)}
        expected = month or self.economy.oldest_due(self.now)
        foretold = self.town.foretell(month, **terms) if tried and self.may_settle(expected) else None
        done = self.both(
            lambda: self.town.settle(month, **terms),
            lambda: self.economy.settle(expected, bps, terms["charity"], self.now),
        )
        if done:
            result, reckoned = done
            assert {name: getattr(result, name) for name in reckoned} == reckoned
            assert foretold in (None, result)
            assert self.results.setdefault(expected, result) == result
            self.compare_statements(expected)
            if again:
                assert self.town.settle(expected, fee_bps=77) == result

    def may_settle(self, month):
        return month in self.economy.closed or (end_of(month) <= self.now and not self.economy.due(month))

    @rule(bps=st.sampled_from([0, 333]), charity=st.none() | person)
    def settle_all_that_is_due(self, bps, charity):
        self.the_month_ends(timedelta(0))
        for _ in range(15):
            if self.economy.due(month_of(self.now)):
                self.settle("due", bps, charity, tried=False, again=False)

    # What holds after each step

    @invariant()
    def the_books_add_up_and_say_what_was_reckoned(self):
        economy, people = self.economy, self.town.people
        expected = {ledger.wallet(people[who].id): held for who, held in economy.wallets.items()}
        expected |= {ledger.income(people[who].id): held for who, held in economy.incomes.items()}
        expected |= {ledger.BANK: -economy.bank, ledger.FEES: economy.fees}
        with self.town.sessions() as session:
            assert audit.problems(session, full=True) == []
            assert sum(ledger.trial_balance(session).values()) == 0
            held = dict(session.execute(sa.select(ledger.Account.id, ledger.Account.balance_micros)).all())
        assert {account: amount for account, amount in held.items() if amount} == {
            account: amount for account, amount in expected.items() if amount
        }

    @invariant()
    def lists_are_what_was_reckoned(self):
        """Everybody's of this month, and somebody's of the last one."""
        this, here = month_of(self.now), self.economy.here()
        self.steps += 1
        with self.town.sessions() as session:
            for who in here:
                self.compare_list(session, who, this)
            if here:
                self.compare_list(session, here[self.steps % len(here)], after(this, -1))

    def compare_list(self, session, who, month):
        shown = clicks.month(session, self.town.people[who], month, now=self.now)
        assert {click.url: click.state for click in shown.clicks} == self.economy.listed(who, month), (who, month)
        if month in self.economy.closed:
            expected = self.economy.closed[month].shares.get(who, (0, 0))
        else:
            count = len({o for (r, _), o in self.economy.owners(month).items() if r == who} - {None, who})
            pot = min(self.economy.decision(who, month)[0], self.economy.wallets[who])
            expected = (pot // count if count else 0, count)
        assert (shown.share_micros, shown.owners) == expected, (who, month)

    def compare_statements(self, month):
        """Everybody's statement, also of those who left."""
        closed = self.economy.closed[month]
        for who in self.economy.wallets:
            found = self.town.statement(who, month)
            share, owners = closed.shares.get(who, (0, 0))
            assert found.given.charged_micros == share * owners == sum(line.amount_micros for line in found.given.lines)
            assert (found.given.share_micros, found.given.owners) == ((share, owners) if share else (0, 0))
            gross, fee = closed.gross.get(who, 0), closed.fees.get(who, 0)
            assert (found.received.received_micros, found.received.fee_micros) == (gross - fee, fee)
            readers = [r for r, paid in self.economy.paid.items() if who in paid.get(month, ())]
            assert found.received.readers == len(readers)

    def follow_the_money(self, who):
        """From month to month, statements go on where the last one ended, up to what is in the books."""
        month, held = "2026-10", Held()
        while month <= month_of(self.now):
            found = self.town.statement(who, month)
            assert found.opening == held
            for account in ("wallet", "income"):
                amounts = [m.amount_micros for m in found.movements if m.account == account]
                balances = [m.balance_micros for m in found.movements if m.account == account]
                before, after = (getattr(when, f"{account}_micros") for when in (found.opening, found.closing))
                assert before + sum(amounts) == after
                assert [*itertools.accumulate(amounts, initial=before)][1:] == balances
                assert all(balance >= 0 for balance in balances)
            month, held = following(month), found.closing
        user = self.town.people[who].id
        with self.town.sessions() as session:
            kept = [ledger.balance(session, of(user)) for of in (ledger.wallet, ledger.income)]
        assert [held.wallet_micros, held.income_micros] == kept


def live(copies, runs, steps):
    many = settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(type("Life", (Life,), {"copies": copies}), settings=many)


def test_whatever_people_do_comes_to_what_the_rules_say_on_sqlite(upgraded_sqlite, tmp_path, long):
    copies = Copies(sa.create_engine(f"sqlite:///{upgraded_sqlite}"), tmp_path)
    live(copies, *((2_000, 50) if long else (14, 30)))


def test_whatever_people_do_comes_to_what_the_rules_say_on_postgresql(postgres, tmp_path, long):
    admin, url = postgres
    copies = Copies(sa.create_engine(url.format("upgraded")), tmp_path, admin)
    live(copies, *((60, 50) if long else (5, 20)))
