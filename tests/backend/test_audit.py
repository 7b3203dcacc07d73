"""The audit: it finds every micro that is not where it should be, and says which."""

import pytest
import sqlalchemy as sa

from backend import audit, ledger
from backend.audit import AuditFailed, account_name, months


@pytest.fixture
def settled(town):
    """A settled month: Ann gave Bea 5.00 less a fee, Carl had nobody to pay."""
    town.person("Ann", budget="5.00", wallet="20.00")
    town.person("Bea")
    town.person("Carl", budget="5.00", wallet="20.00")
    town.claim("Bea", "bea.example.org")
    town.press("Ann", "bea.example.org/")
    town.press("Carl", "dora.example.org/")
    town.on("2026-11-02")
    town.settle(fee_bps=100)
    return town


def tamper(town, statement, **values):
    with town.sessions.begin() as session:
        assert session.execute(sa.text(statement), values).rowcount == 1


def test_a_new_database_adds_up(session):
    assert audit.problems(session) == []
    audit.ensure_clean(session)


@pytest.mark.parametrize("name", ["wallet", "income", "bank", "fees"])
def test_a_balance_that_nobody_moved_is_found_and_named(settled, name):
    ann, bea = settled.people["Ann"].id, settled.people["Bea"].id
    account = {"wallet": ledger.wallet(ann), "income": ledger.income(bea), "bank": ledger.BANK, "fees": ledger.FEES}[
        name
    ]
    tamper(settled, "UPDATE accounts SET balance_micros = balance_micros + 1 WHERE id = :id", id=account)

    first, second = settled.problems()
    assert first.startswith(f"Account {account_name(account)} says ")
    assert second == "All balances together are 1, not 0."


def test_two_wrongs_that_cancel_out_are_found_both(settled):
    for name, change in (("Ann", 5), ("Carl", -5)):
        account = ledger.wallet(settled.people[name].id)
        tamper(settled, f"UPDATE accounts SET balance_micros = balance_micros + {change} WHERE id = :id", id=account)
    assert len(settled.problems()) == 2


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE deposits SET amount_micros = amount_micros + 1 WHERE user_id = :ann", "has no transfer of its amount"),
        ("UPDATE periods SET charged_micros = charged_micros + 1", "2026-10: 5000000 charged"),
        ("UPDATE periods SET fee_micros = fee_micros + 1, received_micros = received_micros - 1", "sealed otherwise"),
        ("UPDATE shares SET owners = 2, share_micros = 2500000", "wallet of user {ann} was not charged what the list"),
        ("DELETE FROM shares WHERE reader_id = :ann", "wallet of user {ann} was not charged what the list"),
        (
            "UPDATE clicks SET site_id = (SELECT site_id FROM payees) WHERE reader_id = :carl",
            "wallet of user {carl} was",
        ),
        ("UPDATE payees SET owner_id = :carl", "income of user {carl} is not what the lists say"),
    ],
)
def test_a_record_that_was_changed_afterwards_is_found(settled, statement, said):
    ids = {name.lower(): user.id for name, user in settled.people.items()}
    used = {name: user_id for name, user_id in ids.items() if f":{name}" in statement}
    tamper(settled, statement, **used)

    assert said.format(**ids) in " ".join(settled.problems())
    with settled.sessions() as session, pytest.raises(AuditFailed, match="The audit failed"):
        audit.ensure_clean(session)


def test_a_deposit_without_its_money_is_found(settled):
    tamper(
        settled,
        "INSERT INTO deposits (user_id, reference, amount_micros, at, source) "
        "VALUES (:ann, 'bank 9', 5, '2026-11-02', 'operator')",
        ann=settled.people["Ann"].id,
    )
    assert [said.partition(" has")[2] for said in settled.problems()] == [" no transfer of its amount."]


def test_money_that_waits_on_clearing_while_no_month_is_settling_is_found(settled):
    wallet = ledger.wallet(settled.people["Ann"].id)
    with settled.sessions.begin() as session:
        stray = ledger.Posting("charge", "2026-11", wallet, ledger.CLEARING, 7, concerns=wallet)
        ledger.post(session, [stray], now=settled.now)
    assert settled.problems() == ["7 wait on the clearing account, but no month is settling."]


def test_a_payment_that_no_list_asks_for_is_found(settled):
    wallet, income = ledger.wallet(settled.people["Ann"].id), ledger.income(settled.people["Carl"].id)
    with settled.sessions.begin() as session:
        stolen = ledger.Posting("share", "2026-10", wallet, income, 7, concerns=income)
        ledger.post(session, [stolen], now=settled.now)
    assert settled.problems() == ["2026-10: 5000000 charged, 5000007 shared, 50000 fees; sealed otherwise."]


def test_accounts_have_names_for_people():
    assert [account_name(a) for a in (ledger.BANK, ledger.FEES, ledger.CLEARING)] == ["bank", "fees", "clearing"]
    assert (account_name(ledger.wallet(17)), account_name(ledger.income(17))) == (
        "wallet of user 17",
        "income of user 17",
    )


def test_a_sample_looks_at_some_users_and_a_full_audit_at_all(settled, monkeypatch):
    monkeypatch.setattr(months, "SAMPLE", 1)
    monkeypatch.setattr(months, "RANGE", 2)
    with settled.sessions() as session:
        most = session.scalar(sa.text("SELECT MAX(id) FROM users"))
        places = {tuple(months._ranges(session, full=False)) for _ in range(200)}
        whole = list(months._ranges(session, full=True))
    assert most > 1
    assert places == {((place, place),) for place in range(1, most + 1)}
    assert [place for first, last in whole for place in range(first, last + 1)][: most + 1] == list(range(most + 1))

    tamper(settled, "UPDATE shares SET owners = 2, share_micros = 2500000")
    with settled.sessions() as session:
        assert "wallet of user" in " ".join(audit.problems(session, full=True))
