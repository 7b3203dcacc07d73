"""Money out for years, in any order: nothing is lost or paid twice, and the books are right after each step."""

from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from backend import audit, db, ledger
from backend.errors import DomainError
from backend.payouts import owners
from backend.payouts.tables import Payout
from tests.backend import office as offices
from tests.backend.books import Copies
from tests.backend.office import IBANS
from tests.backend.town import amount

OWNERS = ("Ann", "Bea", "Carl")
MICROS = st.sampled_from([1, 9_999, 10_000, 9_999_999, 10_000_000, 25_123_456, 3_000_000_001])


class Years(RuleBasedStateMachine):
    """Each time with a database of its own: of *copies*, which the test sets, as it does *monkeypatch*."""

    batches = Bundle("batches")

    @initialize()
    def open(self):
        self.copy = self.copies.new()
        self.engine = db.make_engine(self.copy.render_as_string(hide_password=False))
        self.office = offices.office(db.session_maker(self.engine), self.monkeypatch)
        self.office.person("Carl")
        self.came_in = 0

    def attempt(self, act, *about, **said):
        """What it came to, or the refusal: that must change nothing."""
        before = self.office.balances()
        try:
            return act(*about, **said)
        except DomainError:
            assert self.office.balances() == before
            return None

    @rule(name=st.sampled_from(OWNERS), micros=MICROS)
    def income_comes(self, name, micros):
        self.office.now += timedelta(seconds=1)
        self.office.paid(name, amount(micros))
        self.came_in += micros

    @rule(name=st.sampled_from(OWNERS), micros=MICROS)
    def a_deposit_comes(self, name, micros):
        self.office.now += timedelta(seconds=1)
        self.office.from_bank(name, amount(micros))
        self.came_in += micros

    @rule(name=st.sampled_from(OWNERS), iban=st.sampled_from(IBANS))
    def an_account_is_given(self, name, iban):
        self.office.account(name, iban)

    @rule(days=st.integers(1, 10))
    def days_pass(self, days):
        self.office.now += timedelta(days=days)

    @rule(name=st.sampled_from(OWNERS))
    def money_is_taken_back(self, name):
        self.attempt(self.office.take_back, name)

    @rule(target=batches)
    def a_batch_is_prepared(self):
        batch = self.office.prepare(by="Otto").batch
        return batch or 0

    @rule(batch=batches, by=st.sampled_from(["Olga", "Otto", "Ann"]))
    def it_is_approved(self, batch, by):
        if batch:
            self.attempt(self.office.approve, batch, by)

    @rule(batch=batches)
    def it_is_exported(self, batch):
        if batch:
            file = self.attempt(self.office.act, "export", batch.id)
            assert file is None or file == self.attempt(self.office.act, "export", batch.id)

    @rule(batch=batches)
    def it_is_cancelled(self, batch):
        if batch:
            self.attempt(self.office.act, "cancel", batch.id)

    @rule(batch=batches)
    def it_is_confirmed(self, batch):
        if batch:
            self.attempt(self.office.act, "confirm", batch.id)

    @rule(number=st.integers(1, 12))
    def the_bank_sends_one_back(self, number):
        self.attempt(self.office.act, "fail", number, "EUR")

    @invariant()
    def every_micro_is_somewhere(self):
        with self.office.sessions() as session:
            assert audit.problems(session, full=True) == []
            paid = sum(p.amount_micros for p in session.query(Payout).filter(Payout.state == "paid"))
            assert ledger.balance(session, ledger.BANK) == paid - self.came_in
            for name in OWNERS:
                assert owners.standing(session, self.office.people[name], 0, now=self.office.now).payable_micros >= 0

    def teardown(self):
        self.engine.dispose()
        self.copies.drop(self.copy)


def test_whatever_happens_to_payouts_no_micro_is_lost(engine, tmp_path, request, monkeypatch, long):
    admin = request.getfixturevalue("postgres")[0] if engine.dialect.name == "postgresql" else None
    engine.dispose()
    own = {"copies": Copies(engine, tmp_path, admin), "monkeypatch": monkeypatch}
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    run_state_machine_as_test(
        type("OwnYears", (Years,), own),
        settings=settings(
            max_examples=300 if long else 8, stateful_step_count=40, deadline=None, suppress_health_check=checks
        ),
    )
