"""Users: people with an address."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iso11649

from backend import users
from backend.users import ALPHABET, BadAddress, BudgetOutOfRange, NoSuchUser, User
from tests.backend.at_once import at_once

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)


def test_adding_somebody_twice_keeps_what_is_known(session):
    ann = users.add(session, " Ann@Example.org ", now=NOON, name="Ann", operator=True)
    again = users.add(session, "ann@example.ORG", now=NOON + timedelta(days=1))

    assert again is ann
    assert (ann.email, ann.name, ann.is_operator, ann.created_at) == ("ann@example.org", "Ann", True, NOON)
    assert session.scalar(sa.select(sa.func.count()).select_from(User)) == 1


def test_without_a_name_somebody_is_called_as_their_address_begins(session):
    assert users.add(session, "bea.baker@example.org", now=NOON).name == "bea.baker"
    assert users.add(session, "bea.baker@example.org", now=NOON, name="\u202eBea\0").name == "Bea"


def test_two_sign_ups_at_once_make_one_user(sessions):
    def sign_up():
        with sessions.begin() as session:
            return users.add(session, "ann@example.org", now=NOON).public_id

    assert len(set(at_once(*[sign_up] * 6))) == 1


@pytest.mark.parametrize(
    "text", ["", "ann", "@example.org", "ann@", "a b@example.org", "ann@example.org\nBcc: bea@example.org", "a\0@b.org"]
)
def test_what_is_no_address_is_refused(session, text):
    with pytest.raises(BadAddress, match="is not an e-mail address"):
        users.add(session, text, now=NOON)


def test_people_may_try_flattr_with_a_made_up_name(session):
    assert users.add(session, "ann@demo.test", now=NOON).email == "ann@demo.test"


def test_somebody_is_found_by_address_however_it_is_typed(session):
    ann = users.add(session, "ann@example.org", now=NOON)

    assert users.by_email(session, " ANN@example.org") is ann
    assert users.by_public_id(session, ann.public_id) is ann
    assert users.by_public_id(session, ann.public_id.upper()) is None
    with pytest.raises(NoSuchUser, match=r"bea@example\.org"):
        users.by_email(session, "bea@example.org")


def test_somebody_with_an_umlaut_is_found_by_both_spellings_of_the_domain(session):
    ann = users.add(session, "ann@xn--bcher-kva.example.org", now=NOON)

    assert users.by_email(session, "ann@b\u00fccher.example.org") is ann
    assert users.by_email(session, "ann@xn--bcher-kva.example.org") is ann


def test_a_public_id_survives_being_read_out(session):
    ids = [users.add(session, f"{n}@example.org", now=NOON).public_id for n in range(20)]
    assert len(set(ids)) == 20
    assert all(len(i) == 12 and set(i) <= set(ALPHABET) for i in ids)
    assert not set("ilou") & set(ALPHABET)


@given(st.text(ALPHABET, min_size=12, max_size=12), st.integers(0, 11), st.sampled_from(ALPHABET))
def test_banks_notice_a_mistyped_deposit_reference(public_id, place, typed):
    reference = users.deposit_reference(public_id)
    mistyped = reference[: place + 4] + typed.upper() + reference[place + 5 :]

    assert iso11649.is_valid(reference)
    if mistyped != reference and typed.isdigit() == public_id[place].isdigit():
        assert not iso11649.is_valid(mistyped)


# Budgets --------------------------------------------------------------------------------------------------------------


def test_a_month_is_worth_five_until_the_reader_says_otherwise(session):
    ann = users.add(session, "ann@example.org", now=NOON)
    users.set_budget(session, ann, 7_000_000, now=NOON)
    users.set_budget(session, ann, 8_000_000, now=NOON + timedelta(days=3))
    users.set_budget(session, ann, 0, now=NOON + timedelta(days=92))

    in_force = {p: users.decision(session, ann.id, p)[0] for p in ("2026-09", "2026-10", "2026-12", "2027-01")}
    assert in_force == {"2026-09": 5_000_000, "2026-10": 8_000_000, "2026-12": 8_000_000, "2027-01": 0}


def test_everybody_has_a_budget_of_their_own(session):
    ann, bea = (users.add(session, f"{name}@example.org", now=NOON) for name in ("ann", "bea"))
    users.set_budget(session, ann, 1, now=NOON)
    assert [users.decision(session, user.id, "2026-10")[0] for user in (ann, bea)] == [1, 5_000_000]


@pytest.mark.parametrize("budget", [-1, 1_000_000_000_001, 2**63, 10**30])
def test_a_budget_beyond_reason_is_refused(session, budget):
    ann = users.add(session, "ann@example.org", now=NOON)
    with pytest.raises(BudgetOutOfRange):
        users.set_budget(session, ann, budget, now=NOON)
