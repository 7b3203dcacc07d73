"""Money in: booked once, however often it is reported."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from backend import audit, deposits, ledger, users
from backend.deposits import BadDeposit, Deposit, DepositConflict
from backend.money import MAX_MICROS
from tests.backend.at_once import at_once

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
TWENTY = 20_000_000


@pytest.fixture
def people(sessions):
    with sessions.begin() as session:
        return [users.add(session, f"{name}@example.org", now=NOON) for name in ("ann", "bea")]


def test_money_that_is_reported_twice_arrives_once(session, people):
    ann, _ = people
    deposit, is_new = deposits.add(session, ann, TWENTY, " bank  1 ", now=NOON)
    again, is_new_again = deposits.add(session, ann, TWENTY, "bank 1", now=NOON + timedelta(days=1))

    assert (is_new, is_new_again) == (True, False)
    assert (again.id, again.at, again.reference) == (deposit.id, NOON, "bank 1")
    assert ledger.balances(session, [ledger.wallet(ann.id), ledger.BANK]) == {
        ledger.wallet(ann.id): TWENTY,
        ledger.BANK: -TWENTY,
    }
    assert audit.problems(session) == []


def test_a_reference_belongs_to_one_amount_and_one_reader(session, people):
    ann, bea = people
    deposits.add(session, ann, TWENTY, "bank 1", now=NOON)
    with pytest.raises(DepositConflict):
        deposits.add(session, ann, TWENTY + 1, "bank 1", now=NOON)
    with pytest.raises(DepositConflict):
        deposits.add(session, bea, TWENTY, "bank 1", now=NOON)
    assert ledger.trial_balance(session)["wallet"] == TWENTY


def test_two_transfers_of_the_same_amount_are_two(session, people):
    for reference in ("bank 1", "bank 2", "BANK 1"):
        assert deposits.add(session, people[0], TWENTY, reference, now=NOON)[1]
    assert ledger.balance(session, ledger.wallet(people[0].id)) == 3 * TWENTY


@pytest.mark.parametrize(
    ("amount", "reference"),
    [(0, "r"), (-1, "r"), (MAX_MICROS + 1, "r"), (10**30, "r"), (1, ""), (1, " \0 "), (1, "r" * 141)],
)
def test_a_deposit_needs_a_reference_and_a_positive_amount(session, people, amount, reference):
    with pytest.raises(BadDeposit):
        deposits.add(session, people[0], amount, reference, now=NOON)
    assert session.scalar(sa.select(sa.func.count()).select_from(Deposit)) == 0


def test_the_bank_and_the_operator_who_report_it_at_once_book_it_once(sessions, people):
    def report():
        with sessions.begin() as session:
            return deposits.add(session, people[0], TWENTY, "bank 1", now=NOON)[1]

    results = at_once(*[report] * 8)
    assert sorted(results) == [False] * 7 + [True]
    with sessions() as session:
        assert ledger.balance(session, ledger.wallet(people[0].id)) == TWENTY
        assert audit.problems(session) == []


def test_different_amounts_reported_at_once_under_one_reference_book_one(sessions, people):
    def report(amount):
        with sessions.begin() as session:
            return deposits.add(session, people[0], amount, "bank 1", now=NOON)[1]

    results = at_once(*[lambda amount=TWENTY + n: report(amount) for n in range(6)])
    assert results.count(True) == 1
    assert sum(isinstance(result, DepositConflict) for result in results) == 5
    with sessions() as session:
        assert audit.problems(session) == []
