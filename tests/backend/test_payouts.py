"""Money out: frozen, approved by somebody else, exported, confirmed, and back when a bank says no."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from lxml import etree

from backend import audit, auditlog, ledger
from backend.bank import pain
from backend.db import exclusive
from backend.errors import AnotherRun, InvalidRequest
from backend.jobs import Job
from backend.ledger import Transfer
from backend.money import parse_amount
from backend.payouts import batches, details, owners, returned
from backend.payouts.batches import (
    BatchChanged,
    BatchOver,
    NoBank,
    NoSuchBatch,
    NotAnOperator,
    NotApproved,
    OneOperator,
    WrongDigest,
)
from backend.payouts.details import BadIban
from backend.payouts.returned import NoSuchPayout
from backend.payouts.tables import Batch, Payout, PayoutDetails
from tests.backend import office as offices
from tests.backend.at_once import at_once, must_wait
from tests.backend.office import DEBTOR, IBANS, TERMS


@pytest.fixture
def office(sessions, monkeypatch):
    return offices.office(sessions, monkeypatch)


@pytest.fixture
def payday(office):
    return offices.payday(office)


PAID = {"bank": "-0.003456", "Ann income": "0.003456"}
OUT = {"bank": "-37.123456", "Ann income": "0.003456", "Ann transit": "25.12", "Bea transit": "12.00"}
UNPAID = {"bank": "-37.123456", "Ann income": "25.123456", "Bea income": "12.00"}


# All the way ----------------------------------------------------------------------------------------------------------


def test_a_batch_goes_all_the_way_and_less_than_a_cent_stays_payable(payday):
    prepared = payday.prepare(by="Otto")
    batch = prepared.batch
    assert (prepared.is_new, prepared.skipped) == (True, {})
    assert (batch.payouts, batch.total_micros, batch.state) == (2, parse_amount("37.12"), "prepared")
    assert payday.balances() == OUT

    assert payday.approve(batch) is True
    file = payday.act("export", batch.id)
    assert hashlib.sha256(file).digest() == batch.digest
    assert payday.act("confirm", batch.id) is True
    assert payday.balances() == PAID
    assert [payout.state for payout in payday.rows(Payout)] == ["paid", "paid"]
    steps = ("prepared", "approved", "exported", "confirmed")
    assert payday.log()[-4:] == [f"payout_batch.{step}" for step in steps]
    payday.paid("Ann", "10.006544")
    assert payday.prepare().batch.total_micros == parse_amount("10.01")


def test_run_again_each_step_says_so_and_pays_nobody_twice(payday):
    batch = payday.prepare().batch
    again = payday.prepare()
    assert (again.batch.id, again.batch.digest, again.is_new) == (batch.id, batch.digest, False)
    assert [payday.approve(batch), payday.approve(batch), payday.approve(batch, "Otto")] == [True, False, False]
    assert payday.act("export", batch.id) == payday.act("export", batch.id)
    assert [payday.act("confirm", batch.id), payday.act("confirm", batch.id)] == [True, False]
    assert hashlib.sha256(payday.act("export", batch.id)).digest() == batch.digest
    assert payday.prepare().batch is None
    assert payday.balances() == PAID
    assert payday.log().count("payout_batch.confirmed") == 1


def test_the_file_says_who_gets_what_from_whom(payday):
    batch = payday.exported()
    document = etree.fromstring(payday.rows(Batch)[0].file)
    said = lambda path: [node.text for node in document.iterfind(".//{*}" + path.replace("/", "/{*}"))]  # noqa: E731
    assert said("GrpHdr/MsgId") == [f"FLATTR-B-{batch.id}-20261013T120000"]
    assert said("CtrlSum") == ["37.12", "37.12"]
    assert said("NbOfTxs") == ["2", "2"]
    assert said("DbtrAcct/Id/IBAN") == [DEBTOR.iban]
    assert said("DbtrAgt/FinInstnId/BICFI") == [DEBTOR.bic]
    assert said("ReqdExctnDt/Dt") == ["2026-10-13"]
    assert said("Cdtr/Nm") == ["Ann", "Bea Oesterlund"]
    assert said("CdtrAcct/Id/IBAN") == IBANS[:2]
    assert said("InstdAmt") == ["25.12", "12.00"]
    assert said("EndToEndId") == [payout.end_to_end_id for payout in payday.rows(Payout)]


def test_a_cancelled_batch_gives_the_money_back_and_the_next_one_pays_it(payday):
    batch = payday.prepare().batch
    assert [payday.act("cancel", batch.id), payday.act("cancel", batch.id)] == [True, False]
    assert payday.balances() == UNPAID
    for step in ("export", "confirm"):
        with pytest.raises(BatchOver):
            payday.act(step, batch.id)
    with pytest.raises(BatchOver):
        payday.approve(batch)
    other = payday.prepare().batch
    payday.approve(other)
    payday.act("cancel", other.id)  # approved, but not exported
    assert payday.prepare().batch.id == other.id + 1
    assert payday.balances() == OUT


def test_a_batch_that_is_out_cannot_be_cancelled(payday):
    batch = payday.exported()
    with pytest.raises(BatchOver, match="is out"):
        payday.act("cancel", batch.id)
    payday.act("confirm", batch.id)
    with pytest.raises(BatchOver):
        payday.act("cancel", batch.id)


def test_nothing_is_exported_or_confirmed_that_was_not_approved_and_exported(payday):
    batch = payday.prepare().batch
    with pytest.raises(NotApproved, match="is not approved"):
        payday.act("export", batch.id)
    with pytest.raises(NotApproved, match="never exported"):
        payday.act("confirm", batch.id)
    payday.approve(batch)
    with pytest.raises(NotApproved, match="never exported"):
        payday.act("confirm", batch.id)
    assert payday.balances() == OUT


@pytest.mark.parametrize("number", [99, 2**63, 10**30])
def test_what_is_not_there_is_said(payday, number):
    for step in ("export", "confirm", "cancel"):
        with pytest.raises(NoSuchBatch):
            payday.act(step, number)
    with pytest.raises(NoSuchPayout):
        payday.act("fail", number, "EUR")


# Approval -------------------------------------------------------------------------------------------------------------


def test_who_prepared_does_not_approve(payday):
    batch = payday.prepare(by="Otto").batch
    with pytest.raises(OneOperator):
        payday.approve(batch, "Otto")
    assert payday.approve(batch, "Olga") is True


def test_only_operators_prepare_and_approve(payday):
    with pytest.raises(NotAnOperator):
        payday.prepare(by="Ann")
    batch = payday.prepare().batch
    with pytest.raises(NotAnOperator):
        payday.approve(batch, "Ann")
    assert payday.rows(Batch)[0].state == "prepared"


@pytest.mark.parametrize("digest", ["", "00" * 32, "x", "\0", "é"])
def test_a_digest_that_is_not_the_batchs_approves_nothing(payday, digest):
    batch = payday.prepare().batch
    with pytest.raises(WrongDigest):
        payday.approve(batch, digest=digest)
    assert payday.approve(batch, digest=f" {batch.digest.hex().upper()} ") is True
    with pytest.raises(WrongDigest):  # a second operator who says something else is not told "already"
        payday.approve(batch, "Otto", digest=digest)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE payouts SET iban = 'NL91ABNA0417164300' WHERE id = (SELECT MIN(id) FROM payouts)",
        "UPDATE payouts SET holder = 'Eve' WHERE id = (SELECT MIN(id) FROM payouts)",
        "UPDATE payouts SET amount_micros = amount_micros + 10000 WHERE id = (SELECT MIN(id) FROM payouts)",
        "UPDATE payout_batches SET payouts = payouts + 1",
        "UPDATE payout_batches SET currency = 'USD'",
    ],
)
def test_a_batch_that_was_edited_before_approval_is_refused(payday, change):
    batch = payday.prepare().batch
    with payday.sessions.begin() as session:
        session.execute(sa.text(change))
    with pytest.raises(BatchChanged), payday.sessions.begin() as session:
        batches.approve(session, batch.id, payday.people["Olga"], batch.digest.hex(), DEBTOR, now=payday.now)


def test_a_batch_whose_file_was_replaced_is_neither_approved_nor_exported(payday):
    batch = payday.prepare().batch
    tamper(payday, sa.update(Batch).values(file=b"<Document/>"))
    with pytest.raises(BatchChanged), payday.sessions.begin() as session:
        batches.approve(session, batch.id, payday.people["Olga"], batch.digest.hex(), DEBTOR, now=payday.now)
    tamper(payday, sa.update(Batch).values(file=batch.file))
    payday.approve(batch)
    tamper(payday, sa.update(Batch).values(file=b"<Document/>"))
    with pytest.raises(BatchChanged), payday.sessions.begin() as session:
        batches.export(session, batch.id, now=payday.now)


def test_the_operators_account_cannot_change_between_prepare_and_approve(payday):
    batch = payday.prepare().batch
    with pytest.raises(BatchChanged):
        payday.approve(batch, debtor=replace(DEBTOR, iban=IBANS[3]))


def test_the_database_itself_keeps_the_preparer_from_approving(payday):
    payday.prepare(by="Otto")
    with pytest.raises(sa.exc.IntegrityError, match="by_two_people"):
        tamper(payday, sa.update(Batch).values(state="approved", approved_by=Batch.prepared_by, approved_at=payday.now))
    with pytest.raises(sa.exc.IntegrityError, match="approved_first"):
        tamper(payday, sa.update(Batch).values(state="exported"))


# Who is paid ----------------------------------------------------------------------------------------------------------


def test_owners_below_the_minimum_wait(office):
    office.paid("Ann", "9.999999")
    office.account("Ann")
    office.on("2026-10-13")
    assert office.prepare().batch is None
    assert office.reason("Ann") == "below_minimum"
    office.paid("Ann", "0.000001")
    assert office.prepare().batch.total_micros == parse_amount("10.00")


@pytest.mark.parametrize("minimum", ["0", "0.00", "0.001"])
def test_without_a_minimum_a_cent_is_paid_and_less_is_not(office, minimum):
    office.paid("Ann", "0.01")
    office.paid("Bea", "0.009999")
    office.account("Ann")
    office.account("Bea", IBANS[1])
    office.on("2026-10-13")
    assert office.prepare(terms=replace(TERMS, minimum_micros=parse_amount(minimum))).batch.total_micros == 10_000


def test_who_gave_no_account_waits(office):
    office.paid("Ann", "10.00")
    prepared = office.prepare()
    assert (prepared.batch, prepared.skipped) == (None, {"no_account": 1})


def test_an_account_rests_for_a_week_when_it_is_new_and_after_each_change(office):
    office.paid("Ann", "10.00")
    office.account("Ann")
    office.on("2026-10-12", hour=11)
    assert office.prepare().skipped == {"account_on_hold": 1}
    office.account("Ann", IBANS[1])  # the account before is not paid meanwhile either
    office.on("2026-10-19", hour=10)
    assert office.prepare().skipped == {"account_on_hold": 1}
    office.on("2026-10-19", hour=11)
    office.prepare()
    assert [payout.iban for payout in office.rows(Payout)] == [IBANS[1]]


def test_saying_the_same_account_again_changes_nothing(office):
    office.account("Ann", "de02 1203 0000 0000 2020 51", "Ann  A")
    office.on("2026-10-09")
    office.account("Ann", IBANS[0], "Ann A")
    assert office.rows(PayoutDetails)[0].changed_at == office.now - timedelta(days=4)
    assert len(office.mails()) == 1
    office.account("Ann", IBANS[0], "Eve")
    assert office.rows(PayoutDetails)[0].changed_at == office.now


def test_a_change_is_mailed_and_logged_without_the_iban(office):
    office.account("Ann")
    mail = office.rows(Job, Job.kind == "mail")[0].payload
    assert mail["to"] == "ann@example.org"
    assert "DE … 2051 of Ann" in mail["text"]
    assert "12 October 2026" in mail["text"]
    assert "not you" in mail["text"]
    entry = office.rows(auditlog.Entry)[-1]
    assert (entry.action, entry.about) == ("payout_details.changed", office.people["Ann"].public_id)
    assert IBANS[0] not in mail["text"] + entry.details
    assert "2051" in entry.details


@pytest.mark.parametrize(
    "iban",
    [
        "",
        "x",
        "DE02120300000000202052",
        "US02120300000000202051",
        "BR1800360305000010009795493C1",
        "DE" * 40,
        "DE0212030000000020205\x00",
        "DE021203000000002020\u0665\u0661",
        "<script>",
        "GB82WEST12345698765433",
    ],
)
def test_what_is_no_iban_that_sepa_reaches_is_refused(office, iban):
    with pytest.raises(details.BadIban):
        office.account("Ann", iban)
    assert office.rows(PayoutDetails) == []


@pytest.mark.parametrize("holder", ["", " ", "\0\u202e", "-", "..."])
def test_a_holder_needs_a_name(office, holder):
    with pytest.raises(InvalidRequest), office.sessions.begin() as session:
        details.change(session, office.people["Ann"], IBANS[0], holder, "EUR", now=office.now)


def test_where_money_from_cards_is_held_only_the_rest_is_paid(payday, monkeypatch):
    ann = payday.people["Ann"].id
    asked = []
    kept = lambda session, owners, *, now: asked.append(list(owners)) or {ann: parse_amount("15.00")}  # noqa: E731
    monkeypatch.setattr("backend.payouts.owners.held", kept)
    with payday.sessions() as session:
        hers = owners.standing(session, payday.people["Ann"], 0, now=payday.now)
    assert hers.payable_micros == parse_amount("10.12")
    payday.prepare()
    assert payday.balances()["Ann income"] == "15.003456"
    assert sorted(asked[-1]) == [ann, payday.people["Bea"].id]


def test_owners_of_sites_that_were_not_looked_at_lately_wait_until_they_were(payday):
    payday.on("2026-10-09", hour=11)
    payday.claim("Ann", "ann.example.org")
    payday.on("2026-10-13", hour=12)
    prepared = payday.prepare()
    assert prepared.skipped == {"waits_for_look": 1}
    assert [payout.user_id for payout in payday.rows(Payout)] == [payday.people["Bea"].id]
    assert [job.payload for job in payday.rows(Job, Job.kind == "look")] == [{"site": "ann.example.org"}]
    payday.act("cancel", prepared.batch.id)
    payday.look("ann.example.org")
    assert payday.prepare().batch.payouts == 2


def test_a_site_that_was_looked_at_in_vain_keeps_its_owner_waiting_until_it_is_proven_or_lapses(payday):
    payday.claim("Ann", "ann.example.org")
    payday.web["ann.example.org"] = "<head></head>"
    payday.on("2026-10-20")
    assert payday.prepare().skipped == {"waits_for_look": 1}
    payday.act("cancel", 1)
    payday.look("ann.example.org")
    assert payday.prepare().skipped == {"not_proven": 1}
    assert payday.reason("Ann") == "not_proven"
    payday.act("cancel", 2)
    for day in ("2026-10-21", "2026-10-22", "2026-10-24", "2026-10-28", "2026-11-01"):
        payday.on(day)
        payday.look("ann.example.org")
    assert payday.prepare().skipped == {}  # it lapses: what came in before is still hers


def test_a_claim_that_its_owner_gave_up_or_an_operator_vouched_for_needs_no_look(payday):
    payday.claim("Ann", "ann.example.org")
    payday.give_up("Ann", "ann.example.org")
    with payday.sessions.begin() as session:
        from backend import sites
        from backend.claims import states

        states.approve(session, sites.ensure(session, "bea.example.org"), payday.people["Bea"], now=payday.now)
    payday.on("2026-10-20")
    assert payday.prepare().batch.payouts == 2


def test_who_takes_part_no_more_is_paid_what_came_in_before(payday):
    payday.claim("Ann", "ann.example.org")
    payday.web["ann.example.org"] = '<head><meta name="flattr:id" content="none"></head>'
    payday.look("ann.example.org")
    payday.on("2026-10-20")
    assert payday.prepare().batch.payouts == 2


def test_a_full_batch_leaves_the_others_for_the_next_one(payday, monkeypatch):
    monkeypatch.setattr(batches, "MOST", 1)
    first = payday.prepare()
    assert (first.batch.payouts, first.skipped) == (1, {"next_batch": 1})
    payday.approve(first.batch)
    assert payday.prepare().batch.payouts == 1
    assert payday.balances() == OUT


def test_more_than_a_payment_can_carry_is_paid_in_parts(office):
    office.paid("Ann", "999999999.99")
    office.now += timedelta(seconds=1)
    office.paid("Ann", "100.00")
    office.account("Ann")
    office.on("2026-10-13")
    office.exported()
    assert office.balances()["Ann income"] == "100.00"


@pytest.mark.parametrize(
    "debtor", [pain.Party("", DEBTOR.iban), pain.Party("F", ""), pain.Party("F", "DE00"), pain.Party("F", "US1")]
)
def test_without_the_operators_account_nothing_is_prepared(payday, debtor):
    with pytest.raises(NoBank):
        payday.prepare(terms=replace(TERMS, debtor=debtor))
    assert payday.balances() == UNPAID


def test_nothing_is_prepared_while_the_books_do_not_add_up(payday):
    tamper(payday, sa.text("UPDATE accounts SET balance_micros = balance_micros + 1 WHERE kind = 0"))
    with pytest.raises(audit.AuditFailed):
        batches.prepare(payday.sessions, TERMS, now=payday.now)
    assert payday.rows(Batch) == []


# What comes back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirmed", [False, True])
def test_what_the_bank_sends_back_is_the_owners_again_and_the_account_rests(payday, confirmed):
    batch = payday.exported()
    if confirmed:
        payday.act("confirm", batch.id)
    ann, _ = payday.rows(Payout)
    assert [payday.act("fail", ann.id, "EUR", reason="closed"), payday.act("fail", ann.id, "EUR")] == [True, False]
    assert payday.balances()["Ann income"] == "25.123456"
    assert ("ann", "25.12\N{NO-BREAK SPACE}€ came back from your bank") in payday.mails()
    payday.act("confirm", batch.id)
    assert payday.balances() == {"bank": "-25.123456", "Ann income": "25.123456"}
    assert payday.prepare().skipped == {"account_returned": 1}
    payday.account("Ann", IBANS[0])  # the same again: she says that it is right
    payday.on("2026-10-21")
    assert payday.prepare().batch.total_micros == parse_amount("25.12")


def test_a_payout_that_no_bank_has_does_not_fail(payday):
    batch = payday.prepare().batch
    ann, bea = payday.rows(Payout)
    with pytest.raises(BatchOver):
        payday.act("fail", ann.id, "EUR")
    payday.approve(batch)
    with pytest.raises(BatchOver):
        payday.act("fail", ann.id, "EUR")
    payday.act("cancel", batch.id)
    with pytest.raises(BatchOver):
        payday.act("fail", bea.id, "EUR")
    assert payday.balances() == UNPAID


def test_an_account_that_was_changed_meanwhile_is_not_blamed(payday):
    payday.exported()
    payday.account("Ann", IBANS[3])
    payday.act("fail", payday.rows(Payout)[0].id, "EUR")
    assert payday.rows(PayoutDetails, PayoutDetails.user_id == payday.people["Ann"].id)[0].returned_at is None


def test_an_owner_who_changes_the_account_after_prepare_is_paid_where_it_was_frozen(payday):
    batch = payday.prepare().batch
    payday.account("Ann", IBANS[3])
    payday.approve(batch)
    assert IBANS[0].encode() in payday.act("export", batch.id)


def test_an_owner_who_leaves_after_prepare_is_paid_and_then_forgotten(payday):
    batch = payday.prepare().batch
    payday.leave("Ann")
    assert IBANS[0] in {payout.iban for payout in payday.rows(Payout)}
    payday.approve(batch)
    payday.act("export", batch.id)
    payday.act("confirm", batch.id)
    ann, bea = payday.rows(Payout)
    assert (ann.state, ann.iban, ann.holder, bea.iban) == ("paid", None, None, IBANS[1])
    assert payday.rows(Batch)[0].file is None
    with pytest.raises(BatchOver, match="forgotten"):
        payday.act("export", batch.id)
    assert payday.act("confirm", batch.id) is False


def test_who_leaves_after_being_paid_is_forgotten_at_once(payday):
    batch = payday.exported()
    payday.act("confirm", batch.id)
    payday.leave("Ann")
    assert [payout.iban for payout in payday.rows(Payout)] == [None, IBANS[1]]
    assert payday.rows(Batch)[0].file is None


def test_what_comes_back_for_somebody_who_left_is_kept_and_the_operators_are_told(payday):
    payday.exported()
    payday.leave("Ann")
    ann = payday.rows(Payout)[0]
    payday.act("fail", ann.id, "EUR")
    assert payday.balances()["Somebody who left income"] == "25.12"
    assert {("olga", f"Payout {ann.id} came back"), ("otto", f"Payout {ann.id} came back")} <= payday.mails()
    payday.act("confirm", 1)
    assert payday.rows(Payout)[0].iban is None


def test_what_came_back_for_somebody_who_left_is_paid_again_once(payday):
    payday.exported()
    payday.leave("Ann")
    ann, bea = payday.rows(Payout)
    for too_early in (ann, bea):
        with pytest.raises(NoSuchPayout):
            payday.act("again", too_early.id, IBANS[3], "Ann A.", "EUR")
    for payout in (ann, bea):
        payday.act("fail", payout.id, "EUR")
    with payday.sessions() as session:
        assert [(user.id, payout.id) for user, payout in returned.stranded(session)] == [(ann.user_id, ann.id)]
    for payout, iban, holder, refusal in (
        (bea, IBANS[3], "Bea", NoSuchPayout),
        (ann, IBANS[3], " ", InvalidRequest),
        (ann, "DE00", "Ann A.", BadIban),
    ):
        with pytest.raises(refusal):
            payday.act("again", payout.id, iban, holder, "EUR")

    made = [payday.act("again", ann.id, IBANS[3], "Ann A.", "EUR") for _ in range(2)]

    assert [(payout.id, is_new) for payout, is_new in made] == [(made[0][0].id, True), (made[0][0].id, False)]
    with payday.sessions() as session:
        assert returned.stranded(session) == []
    payday.act("confirm", 1)
    assert payday.prepare().batch.payouts == 1
    assert payday.rows(Payout)[-1].iban == IBANS[3]
    assert payday.problems() == []


# At once --------------------------------------------------------------------------------------------------------------


def test_two_prepares_at_once_make_one_batch(payday):
    found = at_once(*[lambda: batches.prepare(payday.sessions, TERMS, now=payday.now)] * 3)
    assert {type(one) for one in found} <= {batches.Prepared, AnotherRun}
    assert sum(one.is_new for one in found if isinstance(one, batches.Prepared)) == 1
    assert len(payday.rows(Batch)) == 1
    assert payday.balances() == OUT
    assert payday.problems() == []


def test_nothing_is_prepared_while_a_month_is_being_settled(payday):
    with exclusive(payday.sessions.kw["bind"], "settle"), pytest.raises(AnotherRun):
        payday.prepare()


def test_of_two_operators_who_approve_at_once_one_does(payday):
    batch = payday.prepare().batch

    def by(name):
        with payday.sessions.begin() as session:
            return batches.approve(session, batch.id, payday.people[name], batch.digest.hex(), DEBTOR, now=payday.now)

    assert sorted(at_once(lambda: by("Olga"), lambda: by("Otto"))) == [False, True]
    assert payday.log().count("payout_batch.approved") == 1


def test_a_batch_is_exported_or_cancelled_but_not_both(payday):
    batch = payday.prepare().batch
    payday.approve(batch)

    def do(step):
        with payday.sessions.begin() as session:
            return getattr(batches, step)(session, batch.id, now=payday.now)

    exported, cancelled = at_once(lambda: do("export"), lambda: do("cancel"))
    assert (isinstance(exported, bytes), cancelled is True) in ((True, False), (False, True))
    assert payday.balances() == (OUT if isinstance(exported, bytes) else UNPAID)


def test_confirm_and_fail_at_once_count_once_each(payday):
    batch = payday.exported()
    ann, _ = payday.rows(Payout)

    def fail():
        with payday.sessions.begin() as session:
            return returned.fail(session, ann.id, "EUR", now=payday.now)

    def confirm():
        with payday.sessions.begin() as session:
            return batches.confirm(session, batch.id, now=payday.now)

    assert sorted(at_once(fail, confirm, fail, confirm)) == [False, False, True, True]
    assert payday.balances() == {"bank": "-25.123456", "Ann income": "25.123456"}
    assert payday.problems() == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_leaving_waits_for_who_prepares(payday, engine):
    """Otherwise both would pay the same income out."""
    with payday.sessions.begin() as session:
        owners.standings(session, TERMS.minimum_micros, now=payday.now)
        must_wait(lambda: payday.leave("Ann"), session.rollback, engine)


# Tampering ------------------------------------------------------------------------------------------------------------


def tamper(town, statement, **values):
    with town.sessions.begin() as session:
        assert session.execute(statement, values).rowcount >= 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE payouts SET amount_micros = amount_micros + 10000 WHERE id = :id", "Payout {id} is not what"),
        ("UPDATE payouts SET amount_micros = amount_micros + 10000 WHERE id = :id", "Batch {batch} is not the sum"),
        ("UPDATE payouts SET state = 'failed' WHERE id = :id", "Payout {id} is not what"),
        ("UPDATE payouts SET state = 'failed' WHERE id = :id", "Transit of user {ann} is not"),
        ("UPDATE payouts SET state = 'paid' WHERE id = :id", "Payout {id} is not what"),
        ("UPDATE payouts SET purpose = 'refund' WHERE id = :id", "Payout {id} is not what"),
        ("UPDATE payouts SET user_id = user_id + 1 WHERE id = :id", "Payout {id} is not what"),
        ("UPDATE payouts SET user_id = user_id + 1 WHERE id = :id", "Transit of user {ann} is not"),
        ("UPDATE payouts SET batch_id = NULL WHERE id = :id", "Batch {batch} is not the sum"),
        ("DELETE FROM payouts WHERE id = :id", "2 payouts were posted, 1 are known."),
        ("UPDATE payout_batches SET total_micros = total_micros + 1", "Batch {batch} is not the sum"),
        ("UPDATE payout_batches SET digest = :digest", "file of batch {batch} has another digest"),
    ],
)
def test_a_payout_that_was_changed_afterwards_is_found(payday, change, said):
    batch = payday.exported()
    ids = {"id": payday.rows(Payout)[0].id, "digest": bytes(32)}
    tamper(payday, sa.text(change), **{name: value for name, value in ids.items() if f":{name}" in change})
    said = said.format(id=ids["id"], batch=batch.id, ann=payday.people["Ann"].id)
    assert said in " ".join(payday.problems())


def test_money_in_transit_without_a_payout_is_found(payday):
    ann = payday.people["Ann"].id
    with payday.sessions.begin() as session:
        stray = ledger.Posting("stray", "1", ledger.income(ann), ledger.transit(ann), 7, concerns=ledger.income(ann))
        ledger.post(session, [stray], now=payday.now)
    assert payday.problems() == [f"Transit of user {ann} is not what open payouts and card refunds say."]


def test_a_payout_that_was_paid_or_given_back_twice_is_found(payday):
    batch = payday.exported()
    payday.act("confirm", batch.id)
    ann, payout = payday.people["Ann"].id, payday.rows(Payout)[0]
    with payday.sessions.begin() as session:
        again = ledger.Posting(
            "payout_return", str(payout.id), ledger.BANK, ledger.income(ann), 10_000, concerns=ledger.income(ann)
        )
        ledger.post(session, [again], now=payday.now)
    assert payday.problems() == [f"Payout {payout.id} is not what its transfers say."]


def test_all_movements_of_a_payout_are_named_after_it(payday):
    batch = payday.exported()
    payday.act("confirm", batch.id)
    ann = payday.rows(Payout)[0]
    payday.act("fail", ann.id, "EUR")
    moves = payday.rows(Transfer, Transfer.about == str(ann.id), Transfer.code.startswith("payout"))
    assert {move.code for move in moves} == {"payout", "payout_paid", "payout_return"}
