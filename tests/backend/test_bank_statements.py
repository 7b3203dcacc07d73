"""Money in by bank: every micro that came is booked once, to whom it names, or waits where an operator sees it."""

import itertools
import json
import string
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend import audit, auditlog, deposits, ledger, users
from backend.bank.camt import BadStatement
from backend.deposits import BadDeposit, Deposit, Origin, entries, imports, reversals
from backend.deposits.entries import BankEntry, BankStatement, NoSuchEntry, NotUnmatched
from backend.deposits.reversals import NotReversible
from backend.ledger import Account, Transfer
from backend.money import MICROS
from backend.users import NoSuchUser, User
from tests.backend.at_once import at_once, must_wait
from tests.backend.bank import OURS, PAYER, Bank, Booked
from tests.backend.gallows import book

NOON = datetime(2026, 10, 9, 12, tzinfo=UTC)
DAY = "2026-10-05"


@pytest.fixture
def bank():
    return Bank()


@pytest.fixture
def office(sessions, tmp_path):
    return Office(sessions, tmp_path)


class Office:
    """The operator's desk: readers, and files from the bank."""

    def __init__(self, sessions, folder):
        self.sessions, self.folder, self.numbers = sessions, folder, itertools.count()
        with sessions.begin() as session:
            people = [users.add(session, f"{name}@example.org", now=NOON) for name in ("ann", "bea")]
        self.ann, self.bea = people

    def keep(self, data):
        file = self.folder / f"statement-{next(self.numbers)}.xml"
        file.write_bytes(data)
        return file

    def imports(self, data):
        """What became of a file; the books are right afterwards."""
        told = imports.import_file(self.sessions, self.keep(data), iban=OURS, currency="EUR", now=NOON)
        assert self.problems() == []
        return told

    def counts(self, data):
        told = self.imports(data)
        return told.imported, told.already, told.unmatched, told.ignored

    def problems(self):
        with self.sessions() as session:
            return audit.problems(session, full=True)

    def holds(self):
        """What is on the wallets of Ann and Bea and on suspense, in euros; together what the bank owes us."""
        accounts = [ledger.wallet(self.ann.id), ledger.wallet(self.bea.id), ledger.SUSPENSE, ledger.BANK]
        with self.sessions() as session:
            found = ledger.balances(session, accounts)
        *held, owed = (found[account] / MICROS for account in accounts)
        assert sum(held) == -owed
        return tuple(held)

    def entries(self):
        with self.sessions() as session:
            return session.scalars(sa.select(BankEntry).order_by(BankEntry.id)).all()

    def do(self, act, *arguments):
        with self.sessions.begin() as session:
            return act(session, *arguments, now=NOON)

    def leaves(self, user):
        with self.sessions.begin() as session:
            row = session.get_one(User, user.id)
            row.email, row.left_at = f"{row.public_id}@left.invalid", NOON


# What names a reader --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("habit", "version"), [("de", "02"), ("nl", "08"), ("fr", "08")])
def test_a_transfer_that_names_its_reader_is_a_deposit(office, bank, habit, version):
    bank.habit, bank.version = habit, version
    bank.credit(DAY, "20.00", f"for the month of October, reference {office.ann.deposit_reference}, thank you")
    bank.credit(DAY, "1.23", structured=office.bea.deposit_reference, name="Bea")

    assert office.counts(bank.statement()) == (2, 0, 0, 0)
    assert office.holds() == (20.0, 1.23, 0)
    with office.sessions() as session:
        first, second = session.scalars(sa.select(Deposit).order_by(Deposit.id))
    assert (first.source, first.payer_name, first.payer_iban) == ("bank", "Ann Example", PAYER)
    assert second.payer_name == "Bea"


def test_the_reference_may_be_the_end_to_end_id_or_in_what_the_bank_adds(office, bank):
    bank.credit(DAY, "2.00", end_to_end_id=office.ann.deposit_reference)
    bank.credit(DAY, "3.00", more=f"TRANSFER {office.ann.deposit_reference.lower()} EUR")
    assert office.counts(bank.statement()) == (2, 0, 0, 0)


def test_a_batch_pays_each_of_its_readers(office, bank):
    refs = (office.ann.deposit_reference, office.bea.deposit_reference, "")
    bank.batch(DAY, *(Booked(date(2026, 10, 5), "1.50", ref, ref="B1") for ref in refs), ref="B1")
    data = bank.statement()
    assert [office.counts(data) for _ in range(2)] == [(2, 0, 1, 0), (0, 3, 0, 0)]
    assert office.holds() == (1.5, 1.5, 1.5)


def test_what_a_matched_entry_said_is_not_kept_twice(office, bank):
    bank.credit(DAY, "2.00", office.ann.deposit_reference, end_to_end_id="E1")
    office.imports(bank.statement())
    (entry,) = office.entries()
    assert (entry.payer_name, entry.payer_iban, entry.text, entry.end_to_end_id) == (None, None, None, None)


# What does not --------------------------------------------------------------------------------------------------------


def test_what_names_nobody_waits_with_the_reason(office, bank):
    ann, bea = office.ann.deposit_reference, office.bea.deposit_reference
    wrong = ann[:-1] + ("0" if ann[-1] != "0" else "2")
    office.leaves(office.bea)
    cases = {
        "no_reference": {"text": "for Ann"},
        "mistyped_reference": {"text": wrong},
        "unknown_reference": {"text": users.deposit_reference("0" * 12)},
        "several_references": {"text": f"{ann} and {bea}"},
        "user_left": {"text": bea},
        "returned_payout": {"text": ann, "returned": True, "end_to_end_id": "P17"},
        "reversal": {"text": ann, "reversal": True},
        "unclear_batch": {"parts": (Booked(date(2026, 10, 5), "0.50", ann), Booked(date(2026, 10, 5), "0.49", ann))},
    }
    for details in cases.values():
        bank.credit(DAY, "1.00", **details)
    told = office.imports(bank.statement())

    assert [entry.reason for entry in told.entries] == list(cases)
    assert (told.imported, told.unmatched) == (0, 8)
    assert office.holds() == (0, 0, 8.0)
    returned = told.entries[list(cases).index("returned_payout")]
    assert (returned.end_to_end_id, returned.payer_name, returned.payer_iban) == ("P17", "Ann Example", PAYER)


def test_a_slip_of_one_letter_never_pays_somebody_else(office, bank):
    right = office.ann.deposit_reference
    for place, letter in itertools.product(range(len(right)), string.ascii_uppercase + string.digits):
        bank.credit(DAY, "1.00", right[:place] + letter + right[place + 1 :])
    told = office.imports(bank.statement())

    ann, bea, waiting = office.holds()
    assert told.imported == ann >= len(right)  # as it is, and where a letter stands for the digit that it looks like
    assert (bea, waiting) == (0, len(bank.booked) - ann)
    assert {entry.reason for entry in told.entries} <= {"mistyped_reference", "no_reference", "unknown_reference"}


def test_what_left_is_noted_and_moves_nothing(office, bank):
    bank.debit(DAY, "3.50", f"fee {office.ann.deposit_reference}", name="The Bank")
    bank.debit(DAY, "4.50", reversal=True)
    bank.credit(DAY, "0.00", "interest")
    bank.credit(DAY, "9.99", status="PDNG")
    told = office.imports(bank.statement())

    assert [(entry.state, entry.reason) for entry in told.entries] == [
        ("ignored", "debit"),
        ("ignored", "reversal"),
        ("ignored", "no_money"),
    ]
    assert office.holds() == (0, 0, 0)
    assert {(entry.text, entry.payer_name) for entry in office.entries()[:2]} == {(None, None)}


def test_a_bad_file_books_nothing(office, bank):
    bank.credit(DAY, "1.00", office.ann.deposit_reference)
    bank.credit("2026-10-06", "2.00", office.ann.deposit_reference, currency="USD")
    bodies = bank.body(DAY, DAY), bank.body("2026-10-06", "2026-10-06")
    for data in (bank.file(*bodies), bank.statement()[:-20], bank.statement(balances=False)):
        with pytest.raises(BadStatement):
            office.imports(data)
    assert office.entries() == []
    assert office.holds() == (0, 0, 0)


# Told twice, in pieces, out of order ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["", "B1"])
def test_two_equal_transfers_are_two_however_often_they_are_told(office, bank, ref):
    for _ in range(2):
        bank.credit(DAY, "5.00", office.ann.deposit_reference, ref=ref)
    data = bank.statement()
    assert [office.counts(data) for _ in range(3)] == [(2, 0, 0, 0), (0, 2, 0, 0), (0, 2, 0, 0)]
    assert office.holds() == (10.0, 0, 0)


def test_a_third_that_comes_later_in_the_day_is_a_third(office, bank):
    for _ in range(3):
        bank.credit(DAY, "5.00", office.ann.deposit_reference)
    assert office.counts(bank.statement(DAY, DAY, upto=2)) == (2, 0, 0, 0)
    assert office.counts(bank.statement(DAY, DAY)) == (1, 2, 0, 0)
    assert office.holds() == (15.0, 0, 0)


def test_a_later_statement_may_wrap_the_text_otherwise_and_give_a_reference(office, bank):
    bank.credit(DAY, "5.00", f"October and November {office.ann.deposit_reference}")
    office.imports(bank.statement())
    bank.habit, bank.version = "nl", "08"
    bank.booked[0] = Booked(**{**vars(bank.booked[0]), "ref": "B1"})
    assert office.counts(bank.statement()) == (0, 1, 0, 0)
    assert [entry.bank_reference for entry in office.entries()] == ["B1"]


def test_a_later_statement_may_say_whose_it_is(office, bank):
    bank.credit(DAY, "5.00", "TRANSFER", ref="B1")
    assert office.counts(bank.statement()) == (0, 0, 1, 0)
    assert office.holds() == (0, 0, 5.0)
    bank.booked[0] = Booked(**{**vars(bank.booked[0]), "text": office.ann.deposit_reference})
    assert office.counts(bank.statement()) == (1, 0, 0, 0)
    assert office.counts(bank.statement()) == (0, 1, 0, 0)
    assert office.holds() == (5.0, 0, 0)


def test_numbers_within_a_statement_are_no_references(office, bank):
    """Every entry of this bank is number 1 in NtryRef; and NONREF names nothing."""
    bank.credit(DAY, "5.00", office.ann.deposit_reference, ref="NONREF")
    bank.credit(DAY, "5.00", office.bea.deposit_reference, ref="NONREF")
    assert office.counts(bank.statement()) == (2, 0, 0, 0)


def test_a_missing_statement_is_said_and_can_come_later(office, bank):
    for day in ("2026-10-05", "2026-10-06", "2026-10-07"):
        bank.credit(day, "5.00", office.ann.deposit_reference)
    days = [bank.statement(day, day) for day in ("2026-10-05", "2026-10-06", "2026-10-07")]

    assert office.imports(days[0]).warnings == []
    (warning,) = office.imports(days[2]).warnings
    assert "2026-10-07 opens with 110.00" in warning
    assert office.imports(days[1]).warnings == []
    assert office.imports(bank.statement()).warnings == []
    assert office.holds() == (15.0, 0, 0)


def test_two_that_were_taken_for_one_are_seen_in_the_balance(office, bank):
    """A bank that tells only what is new in the day, without references: only its balance tells the two apart."""
    for _ in range(2):
        bank.credit(DAY, "5.00", office.ann.deposit_reference)
    office.imports(bank.statement(DAY, DAY, upto=1))
    told = office.imports(bank.statement(DAY, DAY, since=1))
    assert told.already == 1
    assert "105.00, but the bank says 110.00" in told.warnings[0]


# Whose it is ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(office, bank):
    """An entry of 5.00 that names nobody."""
    bank.credit(DAY, "5.00", "for Ann", end_to_end_id="E1")
    (entry,) = office.imports(bank.statement()).entries
    return entry


def test_an_operator_says_whose_it_is_once(office, waiting):
    deposit, is_new = office.do(entries.assign, waiting.id, office.ann)
    again, is_new_again = office.do(entries.assign, waiting.id, office.ann)

    assert (is_new, is_new_again, again.id) == (True, False, deposit.id)
    assert (deposit.source, deposit.payer_name, deposit.payer_iban) == ("bank", "Ann Example", PAYER)
    assert office.holds() == (5.0, 0, 0)
    (entry,) = office.entries()
    assert (entry.state, entry.payer_name, entry.text) == ("assigned", None, None)
    with pytest.raises(NotUnmatched):
        office.do(entries.assign, waiting.id, office.bea)
    with pytest.raises(NotUnmatched):
        office.do(entries.release, waiting.id)
    with office.sessions() as session:
        query = sa.select(auditlog.Entry).order_by(auditlog.Entry.id)
        log = [(logged.action, logged.about) for logged in session.scalars(query)]
    assert [action for action, _ in log] == ["bank_statement.imported", "bank_entry.assigned"]
    assert log[1][1] == str(waiting.id)
    assert office.problems() == []


def test_an_operator_sends_it_back_once(office, bank, waiting):
    assert [office.do(entries.release, waiting.id)[1] for _ in range(2)] == [True, False]
    assert office.holds() == (0, 0, 0)
    with pytest.raises(NotUnmatched):
        office.do(entries.assign, waiting.id, office.ann)
    assert office.counts(bank.statement()) == (0, 1, 0, 0)
    with office.sessions() as session:
        assert entries.unmatched(session) == []
        query = sa.select(auditlog.Entry).order_by(auditlog.Entry.id)
        actions = [logged.action for logged in session.scalars(query)]
    assert actions == ["bank_statement.imported", "bank_entry.returned"]
    assert office.problems() == []


def test_what_is_nobodys_cannot_be_assigned(office, bank, waiting):
    bank.credit(DAY, "1.00", returned=True, end_to_end_id="P1")
    bank.debit(DAY, "1.00")
    office.imports(bank.statement())
    _, returned, left = office.entries()
    for entry in (returned, left):
        with pytest.raises(NotUnmatched):
            office.do(entries.assign, entry.id, office.ann)
    with pytest.raises(NotUnmatched):
        office.do(entries.release, left.id)
    with pytest.raises(NoSuchEntry):
        office.do(entries.assign, 10**12, office.ann)
    office.leaves(office.bea)
    with office.sessions() as session, pytest.raises(NoSuchUser):
        entries.assign(session, waiting.id, session.get(User, office.bea.id), now=NOON)
    assert office.holds() == (0, 0, 6.0)


def test_two_operators_at_once_give_it_to_one(office, waiting):
    both = [lambda user=user: office.do(entries.assign, waiting.id, user) for user in (office.ann, office.bea)] * 3
    results = at_once(*both, lambda: office.do(entries.release, waiting.id))
    assert sum(isinstance(result, tuple) and result[1] for result in results) == 1
    assert all(isinstance(result, tuple | NotUnmatched) for result in results)
    assert sorted(office.holds())[:2] == [0, 0]
    assert office.problems() == []


def test_nobody_books_by_hand_what_is_known_as_an_entry(office):
    with office.sessions() as session, pytest.raises(BadDeposit, match="bank statements"):
        deposits.add(session, office.ann, 1, "bank entry 1", now=NOON)


# What the bank takes back ---------------------------------------------------------------------------------------------


def reserve(office):
    with office.sessions() as session:
        return ledger.balance(session, ledger.RESERVE) / MICROS


def taken_back(office, bank, amount="20.00", **details):
    """Ann paid 20.00 in; then the bank took an amount back."""
    bank.credit(DAY, "20.00", office.ann.deposit_reference)
    bank.debit(DAY, amount, **(details or {"reversal": True}))
    office.imports(bank.statement())
    return office.entries()[-1]


@pytest.mark.parametrize("details", [{"reversal": True}, {"returned": True}])
def test_a_deposit_that_the_bank_takes_back_leaves_the_wallet_once(office, bank, details):
    entry = taken_back(office, bank, **details)
    with office.sessions() as session:
        assert [found.id for found in reversals.waiting(session)] == [entry.id]
    with pytest.raises(NotReversible):
        office.do(reversals.reverse, entry.id, office.bea)
    with pytest.raises(NotReversible, match="nothing left"):
        office.do(reversals.reverse, 1, office.ann)

    assert [office.do(reversals.reverse, entry.id, office.ann)[1] for _ in range(2)] == [True, False]
    with pytest.raises(NotReversible, match="another reader"):
        office.do(reversals.reverse, entry.id, office.bea)
    assert (office.holds(), reserve(office)) == ((0, 0, 0), 0)
    with office.sessions() as session:
        assert reversals.waiting(session) == []
        last = session.scalars(sa.select(auditlog.Entry).order_by(auditlog.Entry.id.desc())).first()
    assert (last.action, last.about) == ("deposit.reversed", str(entry.id))
    assert office.problems() == []


def spend_thirteen(office):
    spent = ledger.Posting("charge", "2026-10", ledger.wallet(office.ann.id), ledger.CLEARING, 13 * MICROS, 0)
    with office.sessions.begin() as session:
        ledger.post(session, [replace(spent, concerns=spent.debit)], now=NOON)


def test_what_is_spent_of_it_is_borne_by_the_reserve(office, bank):
    entry = taken_back(office, bank)
    bank.debit(DAY, "13.00", reversal=True)
    office.imports(bank.statement())
    more = office.entries()[-1]
    spend_thirteen(office)

    made, _ = office.do(reversals.reverse, entry.id, office.ann)

    assert (made.wallet_micros, made.reserve_micros) == (7 * MICROS, 13 * MICROS)
    with office.sessions() as session:
        assert ledger.balance(session, ledger.wallet(office.ann.id)) == 0
    assert reserve(office) == -13
    with pytest.raises(NotReversible):  # all of it was taken back, whoever bore it
        office.do(reversals.reverse, more.id, office.ann)


def test_no_more_is_taken_back_of_a_deposit_than_was_paid_in(office, bank):
    first = taken_back(office, bank, "15.00")
    office.do(reversals.reverse, first.id, office.ann)
    bank.debit(DAY, "6.00", reversal=True)
    office.imports(bank.statement())
    second = office.entries()[-1]
    with pytest.raises(NotReversible):
        office.do(reversals.reverse, second.id, office.ann)
    bank.credit(DAY, "9.00", office.ann.deposit_reference)
    office.imports(bank.statement())
    made, _ = office.do(reversals.reverse, second.id, office.ann)
    with office.sessions() as session:
        assert session.get(Deposit, made.deposit_id).amount_micros == 9 * MICROS
    assert office.holds()[0] == 8


def test_it_is_the_latest_deposit_of_the_amount_or_else_the_latest_that_is_larger_and_none_by_card(office, bank):
    for amount in (*["5.00"] * 6, "30.00"):
        bank.debit(DAY, amount, reversal=True)
    office.imports(bank.statement())
    *debits, by_card = office.entries()
    with office.sessions.begin() as session:
        for number, (euros, day) in enumerate(((5, 0), (5, 1), (5, 1), (9, 2), (9, 3))):
            deposits.add(session, office.ann, euros * MICROS, f"hand {number}", now=NOON + timedelta(days=day))
        card = Origin("card", ledger.CARDS)
        deposits.add(session, office.ann, 30 * MICROS, "pi_1", now=NOON, origin=card)

    made = [office.do(reversals.reverse, debit.id, office.ann)[0] for debit in debits[:5]]

    for none in (debits[5], by_card):
        with pytest.raises(NotReversible):
            office.do(reversals.reverse, none.id, office.ann)
    with office.sessions() as session:
        booked = [session.get_one(Deposit, one.deposit_id).reference for one in made]
        said = auditlog.entries(session, action="deposit.reversed", limit=1)[0].details
        moved_at = session.scalars(sa.select(Transfer.at).where(Transfer.code == "deposit_taken")).all()
    assert {*moved_at, *(one.at for one in made)} == {NOON}
    assert booked == ["hand 2", "hand 1", "hand 0", "hand 4", "hand 3"]
    parts = {"wallet_micros": 5 * MICROS, "reserve_micros": 0}
    assert json.loads(said) == {"deposit": made[4].deposit_id, "user": office.ann.public_id} | parts


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_who_books_at_the_same_moment_waits_and_sees_what_was_booked(office, bank, engine):
    first = taken_back(office, bank)
    bank.debit(DAY, "20.00", reversal=True)
    office.imports(bank.statement())
    second = office.entries()[-1]
    with office.sessions() as session:
        reversals.reverse(session, first.id, office.ann, now=NOON)
        _, is_new = must_wait(lambda: office.do(reversals.reverse, first.id, office.ann), session.commit, engine)
    assert not is_new
    bank.credit(DAY, "20.00", office.ann.deposit_reference)
    bank.debit(DAY, "20.00", reversal=True)
    office.imports(bank.statement())
    third = office.entries()[-1]

    def refused():
        with pytest.raises(NotReversible):
            office.do(reversals.reverse, third.id, office.ann)

    with office.sessions() as session:
        reversals.reverse(session, second.id, office.ann, now=NOON)
        must_wait(refused, session.commit, engine)
    assert office.holds() == (0, 0, 0)
    assert office.problems() == []


def test_who_has_left_is_found_by_the_reference(office, bank):
    entry = taken_back(office, bank)
    reference = office.ann.deposit_reference
    office.leaves(office.ann)
    with office.sessions() as session:
        assert reversals.payer(session, reference).id == office.ann.id
        for nobody in ("who", "who@example.org", f"{reference} {office.bea.deposit_reference}"):
            with pytest.raises(NoSuchUser):
                reversals.payer(session, nobody)
    assert office.do(reversals.reverse, entry.id, office.ann)[1]


def test_a_debit_that_took_back_no_deposit_is_not_asked_about_any_more(office, bank):
    bank.credit(DAY, "2.00", "who knows")
    bank.debit(DAY, "2.00", reversal=True)
    office.imports(bank.statement())
    credit, debit = office.entries()
    assert [office.do(entries.release, one.id)[1] for one in (credit, debit, debit)] == [True, True, False]
    with office.sessions() as session:
        assert reversals.waiting(session) == []
    assert office.holds() == (0, 0, 0)
    assert office.problems() == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE bank_entries SET amount_micros = -1 WHERE amount_micros < 0", "did not take back what it says"),
        ("UPDATE deposits SET user_id = user_id + 1", "did not take back what it says"),
        ("DELETE FROM reversals", "20000000 were taken back by the bank, 0 are known"),
        ("DELETE FROM transfers WHERE code = 'deposit_taken' AND account_id = 7", "did not take back what it says"),
    ],
)
def test_a_reversal_that_was_changed_afterwards_is_found(office, bank, statement, said):
    entry = taken_back(office, bank)
    spend_thirteen(office)
    office.do(reversals.reverse, entry.id, office.ann)
    with office.sessions.begin() as session:
        if statement.startswith("DELETE"):
            unlock(session, statement.split()[2])
        assert session.execute(sa.text(statement)).rowcount >= 1
    assert said in " ".join(office.problems())


def unlock(session, table):
    """As somebody who owns the database could: rows can be removed."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
    else:
        session.execute(sa.text(f"DROP TRIGGER {table}_no_delete"))


# The audit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE bank_entries SET amount_micros = amount_micros + 1 WHERE id = 1", "Bank entry 1 is not booked"),
        ("UPDATE bank_entries SET amount_micros = amount_micros + 1 WHERE id = 2", "Bank entry 2 is not booked"),
        ("UPDATE bank_entries SET state = 'ignored' WHERE id = 1", "20000000 were booked from bank statements"),
        ("UPDATE bank_entries SET state = 'returned' WHERE id = 2", "Bank entry 2 is not booked"),
        ("UPDATE bank_entries SET state = 'assigned' WHERE id = 1", "Bank entry 1 is not booked"),
        ("UPDATE bank_entries SET state = 'matched' WHERE id = 3", "Bank entry 3 is not booked"),
        ("UPDATE bank_entries SET state = 'unmatched' WHERE id = 4", "Bank entry 4 is not booked"),
        ("UPDATE bank_entries SET state = 'matched', amount_micros = 1 WHERE id = 5", "Bank entry 5 is not booked"),
        ("DELETE FROM bank_entries WHERE id = 1", "20000000 were booked from bank statements, whose entries say 0."),
        ("DELETE FROM bank_entries WHERE id = 2", "3000000 wait on suspense, bank entries say 0."),
        ("UPDATE deposits SET reference = 'x' WHERE reference = 'bank entry 3'", "Bank entry 3 is not booked"),
        ("UPDATE deposits SET source = 'operator' WHERE reference = 'bank entry 1'", "0 were booked from bank"),
    ],
)
def test_an_entry_that_was_changed_afterwards_is_found(office, bank, statement, said):
    bank.credit(DAY, "20.00", office.ann.deposit_reference)
    for amount in ("3.00", "4.00", "5.00"):
        bank.credit(DAY, amount, "who knows")
    bank.debit(DAY, "1.00")
    office.imports(bank.statement())
    office.do(entries.assign, 3, office.ann)
    office.do(entries.release, 4)
    assert office.problems() == []

    with office.sessions.begin() as session:
        assert session.execute(sa.text(statement)).rowcount == 1
    assert said in " ".join(office.problems())


# At once, and killed --------------------------------------------------------------------------------------------------


def mixed(office, bank):
    bank.credit(DAY, "20.00", office.ann.deposit_reference)
    bank.credit(DAY, "3.00", "who knows")
    bank.debit(DAY, "1.00", "fee")
    return bank.statement()


def test_one_file_imported_by_many_at_once_is_booked_once(office, bank):
    data = mixed(office, bank)
    results = at_once(*[lambda: office.counts(data)] * 4)
    assert sorted(results) == [(0, 3, 0, 0)] * 3 + [(1, 0, 1, 1)]
    assert office.holds() == (20.0, 0, 3.0)


def books(sessions):
    """All that an import writes, but for numbers that the database counts by itself."""
    with sessions() as session:
        accounts = session.execute(sa.select(Account.id, Account.balance_micros).order_by(Account.id)).all()
        told = sa.select(
            BankEntry.booked_on, BankEntry.amount_micros, BankEntry.content, BankEntry.state, BankEntry.reason
        )
        moved = sa.select(Transfer.code, Transfer.debit_account_id, Transfer.credit_account_id, Transfer.amount_micros)
        counts = [session.scalar(sa.select(sa.func.count()).select_from(t)) for t in (Deposit, BankStatement)]
        return accounts, sorted(session.execute(told).all(), key=str), sorted(session.execute(moved).all()), counts


def test_an_import_killed_anywhere_books_all_or_nothing_and_can_be_run_again(database_url, office, bank):
    file = office.keep(mixed(office, bank))
    after = [books(office.sessions)]
    steps = itertools.count(1)
    while book(database_url, file, OURS, NOON, at=next(steps)) is None:
        after.append(books(office.sessions))
        assert office.problems() == []
    empty, whole = after[0], books(office.sessions)
    assert all(found in (empty, whole) for found in after)
    assert sum(found == empty for found in after) > 10
    assert office.holds() == (20.0, 0, 3.0)
    assert office.counts(file.read_bytes()) == (0, 3, 0, 0)


# Any statements -------------------------------------------------------------------------------------------------------

PAID = st.tuples(
    st.integers(1, 3),  # the day
    st.sampled_from(["0.01", "5.00", "5.00", "7.77777"]),
    st.sampled_from(["ann", "bea", "both", "nobody", "fee"]),
    st.booleans(),  # whether the bank has a reference for it
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PAID, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_overlapping_statements_in_any_order_end_in_the_same_books(office, paid, chance):
    ann, bea = office.ann.deposit_reference, office.bea.deposit_reference
    texts = {"ann": ann, "bea": f"{bea[:9]} {bea[9:]}", "both": ann + bea, "nobody": "hello", "fee": "fee"}
    bank = Bank(habit=chance.choice(["de", "nl", "fr"]))
    for n, (day, amount, who, has_ref) in enumerate(sorted(paid)):
        sign = -1 if who == "fee" else 1
        bank.credit(f"2026-10-0{day}", amount, texts[who], sign=sign, ref=f"B{n}" if has_ref else "")
    days = [f"2026-10-0{day}" for day in range(1, 4)]
    files = [bank.statement(first, last) for first, last in itertools.combinations_with_replacement(days, 2)]
    files += [bank.statement(days[0], days[-1], upto=chance.randint(1, len(paid)), reverse=True), files[0]]

    results = []
    for order in (files, chance.sample(files, len(files))):
        forget(office.sessions)
        for data in order:
            imports.import_file(office.sessions, office.keep(data), iban=OURS, currency="EUR", now=NOON)
        assert office.problems() == []
        results.append(books(office.sessions))
    assert results[0][:3] == results[1][:3]

    came = sum(b.micros for b in bank.booked if b.sign > 0)
    accounts = dict(results[0][0])
    assert accounts.get(ledger.BANK, 0) == -came
    for user, who in ((office.ann, "ann"), (office.bea, "bea")):
        theirs = sum(b.micros for b in bank.booked if b.sign > 0 and b.text == texts[who])
        assert accounts.get(ledger.wallet(user.id), 0) == theirs


def forget(sessions):
    """Everything but the users: the ledger's triggers are lifted for that."""
    with sessions.begin() as session:
        for model in (BankEntry, BankStatement, Deposit, Account, Transfer):
            name = model.__tablename__
            if session.get_bind().dialect.name == "postgresql":
                session.execute(sa.text(f"ALTER TABLE {name} DISABLE TRIGGER USER"))
                session.execute(sa.text(f"DELETE FROM {name}"))
                session.execute(sa.text(f"ALTER TABLE {name} ENABLE TRIGGER USER"))
                continue
            kept = session.scalar(sa.text("SELECT sql FROM sqlite_master WHERE name = :n"), {"n": f"{name}_no_delete"})
            session.execute(sa.text(f"DROP TRIGGER IF EXISTS {name}_no_delete"))
            session.execute(sa.text(f"DELETE FROM {name}"))
            if kept:
                session.execute(sa.text(kept))
