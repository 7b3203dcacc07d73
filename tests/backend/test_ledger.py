"""The money: split evenly, moved once, never lost."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from backend import ledger
from backend.ledger import BANK, CLEARING, FEES, Posting, Transfer, TransferConflict, income, wallet
from backend.money import MAX_MICROS
from tests.backend.at_once import at_once

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
ANN, BEA = 17, 18

micros = st.integers(0, MAX_MICROS)


# The split ------------------------------------------------------------------------------------------------------------


@given(micros, st.integers(1, 100_000))
def test_everybody_gets_the_same_and_less_than_a_micro_each_is_left_over(pot, owners):
    share = ledger.even_share(pot, owners)
    assert share * owners <= pot < (share + 1) * owners
    assert 0 <= pot - share * owners < owners


@given(micros, micros)
def test_a_reader_never_spends_more_than_the_budget_nor_more_than_the_wallet(budget, money):
    pot = ledger.pot(budget, money)
    assert pot <= budget
    assert pot <= money
    assert pot in (budget, money)


@given(micros, st.integers(0, 10_000))
def test_a_fee_is_never_more_than_agreed_and_less_than_a_micro_below(gross, bps):
    fee = ledger.fee(gross, bps)
    assert 0 <= fee <= gross
    assert fee * 10_000 <= gross * bps < (fee + 1) * 10_000


@given(st.lists(st.tuples(micros, st.integers(1, 30)), max_size=20), st.integers(0, 10_000))
def test_what_readers_are_charged_is_what_owners_and_the_operator_get(readers, bps):
    gross = {}
    for pot, owners in readers:
        for owner in range(owners):
            gross[owner] = gross.get(owner, 0) + ledger.even_share(pot, owners)
    charged = sum(ledger.even_share(pot, owners) * owners for pot, owners in readers)
    fees = sum(ledger.fee(amount, bps) for amount in gross.values())

    assert charged <= sum(pot for pot, _ in readers)
    assert sum(amount - ledger.fee(amount, bps) for amount in gross.values()) + fees == charged


def test_three_people_share_five_euros():
    assert ledger.even_share(5_000_000, 3) == 1_666_666
    assert ledger.fee(1_666_666, 250) == 41_666


# Double entry ---------------------------------------------------------------------------------------------------------


def paid_in(amount, about="1", to=ANN):
    return Posting("deposit", about, BANK, wallet(to), amount, concerns=wallet(to))


def paid_out(amount, about):
    return Posting("payout", about, wallet(ANN), BANK, amount, concerns=wallet(ANN))


def post(session, *postings):
    return ledger.post(session, postings, now=NOON)


def test_what_one_account_gains_another_loses(session):
    assert post(session, paid_in(5_000_000)) == 1
    assert post(session, Posting("charge", "2026-10", wallet(ANN), CLEARING, 3_000_001, concerns=wallet(ANN))) == 1
    post(session, Posting("share", "2026-10", CLEARING, income(BEA), 3_000_001, concerns=income(BEA)))
    post(session, Posting("fee", "2026-10", income(BEA), FEES, 1, concerns=income(BEA)))

    assert ledger.balances(session, [BANK, wallet(ANN), CLEARING, income(BEA), FEES, wallet(BEA)]) == {
        BANK: -5_000_000,
        wallet(ANN): 1_999_999,
        CLEARING: 0,
        income(BEA): 3_000_000,
        FEES: 1,
        wallet(BEA): 0,
    }
    assert ledger.trial_balance(session) == {
        "bank": -5_000_000,
        "fees": 1,
        "clearing": 0,
        "cards": 0,
        "wallet": 1_999_999,
        "income": 3_000_000,
        "transit": 0,
        "reserve": 0,
    }


def test_an_account_that_never_saw_money_holds_nothing(session):
    assert ledger.balance(session, wallet(ANN)) == 0
    assert sum(ledger.trial_balance(session).values()) == 0


def test_posting_twice_moves_money_once(session):
    post(session, paid_in(5), paid_in(7, about="2"))
    assert post(session, paid_in(5), paid_in(7, about="2"), paid_in(9, about="3")) == 1
    assert ledger.balance(session, wallet(ANN)) == 21


@pytest.mark.parametrize(
    "different",
    [
        paid_in(6),
        Posting("deposit", "1", FEES, wallet(ANN), 5, concerns=wallet(ANN)),
        Posting("deposit", "1", wallet(ANN), BANK, 5, concerns=wallet(ANN)),
    ],
    ids=["amount", "from", "direction"],
)
def test_posting_something_different_for_the_same_purpose_is_an_error(session, different):
    post(session, paid_in(5))
    with pytest.raises(TransferConflict, match="deposit 1 was already posted"):
        post(session, paid_in(9, about="2"), different)
    assert ledger.balances(session, [wallet(ANN), FEES]) == {wallet(ANN): 5, FEES: 0}


def test_the_same_purpose_may_concern_many_accounts(session):
    assert post(session, paid_in(5), paid_in(5, to=BEA)) == 2
    assert ledger.trial_balance(session)["wallet"] == 10


def test_nothing_to_post_is_fine(session):
    assert post(session) == 0


# What the database refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", [wallet(ANN), income(ANN)])
def test_neither_a_wallet_nor_an_income_goes_below_zero(session, account):
    post(session, Posting("deposit", "1", BANK, account, 5, concerns=account))
    with pytest.raises(sa.exc.IntegrityError, match="never_below_zero"):
        post(session, Posting("payout", "1", account, BANK, 6, concerns=account))


@pytest.mark.parametrize(
    ("posting", "rule"),
    [
        (paid_in(0), "amount_positive"),
        (paid_in(-5), "amount_positive"),
        (Posting("x", "1", BANK, BANK, 5, concerns=BANK), "accounts_differ"),
        (Posting("x", "1", BANK, FEES, 5, concerns=CLEARING), "concerns_its_account"),
        (Posting("x", "1", BANK, ANN * 8 + 3, 5, concerns=BANK), "kind_known"),
        (Posting("x", "1", BANK, ANN * 8 + 7, 5, concerns=BANK), "kind_known"),
        (Posting("x", "1", BANK, wallet(0), 5, concerns=BANK), "kind_known"),
    ],
)
def test_a_transfer_that_makes_no_sense_is_refused_by_the_database(session, posting, rule):
    with pytest.raises(sa.exc.IntegrityError, match=rule):
        post(session, posting)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transfers SET amount_micros = amount_micros + 1",
        "UPDATE transfers SET at = at WHERE code = 'deposit'",
        "DELETE FROM transfers",
        "TRUNCATE transfers",
    ],
)
def test_a_transfer_stays_as_it_was_written(sessions, change):
    with sessions.begin() as session:
        post(session, paid_in(5))
    if "TRUNCATE" in change and session.get_bind().dialect.name == "sqlite":
        change = "DELETE FROM transfers WHERE amount_micros = 5"  # SQLite has no TRUNCATE

    with sessions() as session, pytest.raises(sa.exc.DBAPIError, match="append-only"):
        session.execute(sa.text(change))

    with sessions() as session:
        assert session.scalars(sa.select(Transfer.amount_micros)).all() == [5]


def test_an_account_says_whose_it_is(session):
    post(session, paid_in(5))
    with pytest.raises(sa.exc.IntegrityError, match="id_is_user_and_kind"):
        session.execute(sa.text("UPDATE accounts SET user_id = 3"))


# At the same moment ---------------------------------------------------------------------------------------------------


def test_two_who_withdraw_at_once_cannot_overdraw(sessions):
    with sessions.begin() as session:
        post(session, paid_in(10))

    def withdraw(about):
        with sessions.begin() as session:
            if ledger.balance(session, wallet(ANN)) < 6:
                return "not enough"
            return post(session, paid_out(6, about))

    results = at_once(*[lambda about=str(n): withdraw(about) for n in range(6)])

    assert results.count(1) == 1
    assert all(r in (1, "not enough") or isinstance(r, sa.exc.IntegrityError) for r in results)
    with sessions() as session:
        held = {kind: micros for kind, micros in ledger.trial_balance(session).items() if micros}
        assert held == {"bank": -4, "wallet": 4}


def test_many_who_pay_in_at_once_are_all_booked(sessions):
    def pay_in(number):
        with sessions.begin() as session:
            return post(session, paid_in(1, about=str(number), to=ANN + number % 3))

    assert at_once(*[lambda number=n: pay_in(number) for n in range(12)]) == [1] * 12
    with sessions() as session:
        assert [ledger.balance(session, wallet(ANN + n)) for n in range(3)] == [4, 4, 4]
        assert sum(ledger.trial_balance(session).values()) == 0
