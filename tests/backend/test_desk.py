"""The operator's desk, as operators use it: real forms on both databases, and nothing there for anybody else."""

import io
import json
import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend import auditlog, jobs, runs, settlement, sites
from backend.claims import Claim
from backend.cli.serving import job_handlers
from backend.clicks import live
from backend.db import exclusive
from backend.deposits.entries import BankEntry
from backend.jobs import Job
from backend.payouts import batches
from backend.payouts.tables import Batch
from backend.users import User
from tests.backend.bank import OURS, Bank
from tests.backend.browser import Visitor, running
from tests.backend.office import DEBTOR, office, payday
from tests.backend.test_pages import assert_is_for_everybody

PAGES = ["/desk", "/desk/months", "/desk/deposits", "/desk/payouts", "/desk/claims", "/desk/log", "/desk/jobs"]
PAGES += ["/desk/audit"]


class House:
    """An installation, its two operators at their browsers, and its worker."""

    def __init__(self, town, config):
        self.town = town
        self.config = replace(config, bank_name=DEBTOR.name, bank_iban=OURS, bank_bic="")

    @contextmanager
    def on(self, day=None):
        """The same house on a day; everybody signs in anew."""
        if day:
            self.town.on(day)
        self.config = replace(self.config, fixed_now=self.town.now)
        with running(self.config) as app:
            self.app = app
            self.olga, self.otto = self.signed_in("olga"), self.signed_in("otto")
            yield self

    def signed_in(self, name):
        visitor = Visitor(self.app)
        visitor.sign_in(f"{name}@example.org", "/desk")
        return visitor

    def work(self):
        """The worker does what is due."""
        return jobs.work(self.town.sessions, job_handlers(self.config, self.town.sessions), self.config.now)

    def log(self, action):
        """Who did it, to what."""
        with self.town.sessions() as session:
            names = dict(session.execute(sa.select(User.id, User.name)).all())
            found = session.scalars(sa.select(auditlog.Entry).where(auditlog.Entry.action == action)).all()
        return [(names.get(entry.actor_id), entry.about, json.loads(entry.details)) for entry in found]

    def rows(self, table):
        with self.town.sessions() as session:
            return session.scalars(sa.select(table).order_by(sa.inspect(table).primary_key[0])).all()


@pytest.fixture
def house(sessions, monkeypatch, config):
    """Olga and Otto are operators; Ann and Bea own sites; it is 5 October."""
    return House(office(sessions, monkeypatch), config)


def rita_reads(town, wallet="20.00"):
    """Rita has a budget of 5 and flattrs a page of Ann's and one that nobody owns."""
    town.person("Rita", budget="5.00", wallet=wallet)
    town.claim("Ann", "ann.example.org")
    town.press("Rita", "ann.example.org/secret-page")
    town.press("Rita", "nobody.example.org/")


def upload(visitor, statement, name="statement.xml"):
    visitor.visit("/desk/deposits")
    action, form = visitor.page.form("Book the statement")
    return visitor.send(action, form | {"statement": (io.BytesIO(statement), name)})


# Who is let in --------------------------------------------------------------------------------------------------------


def test_to_everybody_else_the_desk_is_not_there(house):
    with house.on():
        ann, stranger = house.signed_in("ann"), Visitor(house.app)
        for visitor in (ann, stranger):
            for path in [*PAGES, "/desk/deposits/1", "/desk/payouts/1", "/desk/claims/1"]:
                page, nothing = visitor.visit(path), visitor.visit("/nothing")
                assert (page.status, page.text) == (404, nothing.text), path
        posts = [r.rule for r in house.app.url_map.iter_rules() if r.rule.startswith("/desk/") and "POST" in r.methods]
        _, form = ann.visit("/settings").form("Save")
        for rule in posts:
            path = re.sub(r"<any\((\w+).*?>", r"\1", rule)
            page = ann.send(re.sub("<.*?>", "1", path), {"csrf_token": form["csrf_token"]})
            assert (page.status, page.text) == (404, nothing.text), rule  # and not because there is no such thing
        assert len(posts) == 15
        assert "Desk" not in ann.visit("/month").links
        assert house.olga.visit("/month").links["Desk"] == "/desk"


def test_who_signed_in_a_while_ago_signs_in_again_before_anything_is_changed(house):
    with house.on():
        cookie = house.olga.client.get_cookie("sid").value
    house.town.now += timedelta(minutes=11)
    with house.on():
        stale = Visitor(house.app)
        stale.client.set_cookie("sid", cookie)
        assert stale.visit("/desk/audit").status == 200
        stale.press("Audit now")
        assert stale.page.heading == "Sign in"
        assert "nothing was done" in stale.page.text
        assert stale.page.field("next")["value"] == "/desk/audit"
        assert house.rows(runs.Run) == []
        assert stale.sign_in("olga@example.org", "/desk/audit").heading == "Audit"
        assert "The worker looks now." in stale.press("Audit now").text


def test_only_an_operators_statement_may_be_large(house):
    large = b"x" * 300_000
    with house.on():
        ann = house.signed_in("ann")
        _, form = ann.visit("/settings").form("Save")
        sent = {"csrf_token": form["csrf_token"], "statement": (io.BytesIO(large), "x.xml")}
        assert ann.send("/desk/deposits/import", sent).status == 413
        assert house.olga.visit("/desk/audit").status == 200
        _, form = house.olga.page.form("Audit now")
        assert house.olga.send("/desk/audit/audit", form | {"statement": (io.BytesIO(large), "x.xml")}).status == 413
        assert upload(house.olga, large).status == 422


# The overview ---------------------------------------------------------------------------------------------------------


def test_the_desk_says_what_goes_on_and_what_waits(house):
    town = house.town
    with house.on():
        page = house.olga.visit("/desk")
        assert "Nobody has flattred anything yet." in page.text
        assert "Nothing." in page.text
        assert "Backup Never seen." in page.text
    rita_reads(town)
    town.person("Rob", budget="3.00", wallet="1.50")
    town.press("Rob", "ann.example.org/")
    town.press("Ann", "ann2.example.org/")
    with house.on():
        page = house.olga.visit("/desk")
        assert page.heading == "October 2026 so far"
        assert "6.50" in page.text
        assert "Readers with a list 3 Flattrs 4 Of them promises 2 Owners 1" in page.text
        assert "secret-page" not in page.html
    with house.on("2026-11-02"):
        waits = "October 2026 has ended and is not settled."
        assert house.olga.visit("/desk").links[waits] == "/desk/months"


def test_a_large_month_is_told_about(house, monkeypatch):
    town = house.town
    town.claim("Ann", "ann.example.org")
    for number in range(12):
        town.person(f"Reader {number}".replace(" ", ""), budget="5.00", wallet="9.00")
        for page in range(3):
            town.press(f"Reader{number}", f"ann.example.org/{page}")
    monkeypatch.setattr(live, "SOME", 10)
    with town.sessions.begin() as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(sa.text("ANALYZE clicks"))
    with town.sessions() as session:
        found = live.so_far(session, "2026-10")
    assert found == live.SoFar(12, 1, 36, 0, 60_000_000, is_estimate=True)
    with house.on():
        assert "Readers with a list about 12" in house.olga.visit("/desk").text


# Months ---------------------------------------------------------------------------------------------------------------


def test_a_month_is_tried_then_settled_and_pressing_twice_is_harmless(house):
    rita_reads(house.town)
    with house.on("2026-11-02"):
        olga = house.olga
        assert "Settle October 2026" not in olga.visit("/desk/months").buttons
        action, form = olga.page.form("Try October 2026")
        assert "A dry run of October 2026 has begun." in olga.press("Try October 2026").text
        assert olga.page.tree.query("meta[http-equiv=refresh]")
        assert olga.page.buttons == []
        assert "nothing else was started" in olga.send(action, form).text
        house.work()
        page = olga.visit("/desk/months")
        assert "Charged 5.000000 € of 1 reader Received 5.000000 € by 1 owner" in page.text
        assert not page.tree.query("meta[http-equiv=refresh]")
        assert house.town.balances()["Rita wallet"] == "20.00"

        action, form = page.form("Settle October 2026")
        assert "Settling October 2026 has begun." in olga.press("Settle October 2026").text
        assert "nothing else was started" in house.olga.send(action, form).text
        tried = olga.send("/desk/months/dry_run", form)
        assert (tried.status, "Another run" in tried.text) == (409, True)
        house.work()
        page = olga.visit("/desk/months")
        assert "Every month that has ended is settled." in page.text
        assert house.town.balances()["Ann income"] == "5.00"
        olga.send(action, form)  # a form that was left open
        house.work()
        assert house.town.balances()["Ann income"] == "5.00"
        assert house.log("dry_run.started") == [("Olga", "2026-10", {})]
        assert house.log("settle.started") == [("Olga", "2026-10", {})] * 2


def test_a_refusal_of_a_month_is_said_in_words(house):
    rita_reads(house.town)
    with house.on("2026-11-02"):
        with house.town.sessions.begin() as session:
            session.execute(sa.text("UPDATE accounts SET balance_micros = balance_micros + 1 WHERE user_id > 0"))
        house.olga.visit("/desk/months")
        house.olga.press("Try October 2026")
        house.work()
        page = house.olga.visit("/desk/months")
        assert "The dry run of October 2026 was refused: The audit failed: Account wallet of user" in page.text
        assert "Settle October 2026" not in page.buttons
        _, form = page.form("Try October 2026")
        assert "is not a month" in house.olga.send("/desk/months/settle", form | {"period": "2026-13"}).text
        house.olga.send("/desk/months/settle", form | {"period": "2026-11"})
        house.work()
        assert house.rows(runs.Run)[-1].refusal.startswith("2026-11 is not over yet")


def test_a_run_waits_for_another_one_and_is_done_once(house, monkeypatch):
    rita_reads(house.town)
    with house.on("2026-11-02"):
        house.olga.visit("/desk/months")
        house.olga.press("Try October 2026")
        with exclusive(house.town.sessions.kw["bind"], "settle"):
            house.work()
            assert house.rows(runs.Run)[0].ended_at is None
        assert "Trying October 2026" in house.olga.visit("/desk/months").text
        calls = []
        monkeypatch.setattr(settlement, "dry_run", lambda *_, **__: calls.append(1) or RESULT)
        for _ in range(2):
            runs.perform(house.town.sessions, house.config, "dry_run")
        assert calls == [1]


RESULT = settlement.Result("2026-10", "settled", "EUR", 1, 1, 1, 1, 5, 5, 0, "00")


def test_how_far_a_settlement_is_can_be_seen(house, monkeypatch):
    rita_reads(house.town)
    monkeypatch.setattr(runs, "TELLS_EVERY", 0.0)
    with house.on("2026-11-02"):
        seen = []

        def settle(sessions, *_, progress, **__):
            progress(settlement.Progress(10, 3, 17))
            seen.append(house.otto.visit("/desk/months"))
            return RESULT

        monkeypatch.setattr(settlement, "settle", settle)
        house.olga.visit("/desk/months")
        house.olga.press("Try October 2026")
        house.work()
        house.olga.visit("/desk/months")
        house.olga.press("Settle October 2026")
        house.work()
    assert "Settling October 2026: 3 of 17 steps." in seen[0].text
    assert seen[0].tree.query("progress")[0].attrs["value"] == "3"


def test_a_run_that_was_given_up_is_said_and_can_be_started_again(house):
    rita_reads(house.town)
    with house.on("2026-11-02"):
        house.olga.visit("/desk/months")
        house.olga.press("Try October 2026")
        with house.town.sessions.begin() as session:
            session.execute(sa.delete(Job))
        assert "given up after too many tries" in house.olga.visit("/desk/months").text
        house.olga.press("Try October 2026")
        assert house.work() == 1


# Deposits -------------------------------------------------------------------------------------------------------------


def test_a_statement_is_booked_and_what_names_nobody_is_given_to_its_reader(house):
    town, bank = house.town, Bank()
    rita = town.person("Rita")
    bank.credit("2026-10-02", "10.00", rita.deposit_reference)
    bank.credit("2026-10-03", "7.00", "for Rita", name="Rita's aunt")
    bank.credit("2026-10-04", "2.00", "by mistake")
    with house.on("2026-10-06"):
        page = upload(house.olga, bank.statement())
        assert "1 booked for their readers, 0 known already, 2 without a reader, 0 that left" in page.text
        assert town.balances()["Rita wallet"] == "10.00"
        assert "2 payments into the bank account, 9.00 €, without a reader." in house.otto.visit("/desk").text
        assert "0 booked for their readers, 3 known already" in upload(house.otto, bank.statement()).text
        assert [said[0] for said in house.log("bank_statement.imported")] == ["Olga"]

        mine, other = [entry.id for entry in house.rows(BankEntry) if entry.state == "unmatched"]
        page = house.olga.visit(f"/desk/deposits/{mine}")
        assert "Rita's aunt" in page.text
        assert not any(button.startswith("Book it") for button in page.buttons)
        for asked in ("rita@example.org", rita.deposit_reference.lower(), rita.public_id):
            page = house.olga.visit(f"/desk/deposits/{mine}?reader={asked}")
            assert "Reader Rita Address rita@example.org" in page.text, asked
        assert town.balances()["Rita wallet"] == "10.00"
        action, form = page.form("Book it for rita@example.org")
        assert "7.00 € is booked for rita@example.org." in house.olga.press("Book it for rita@example.org").text
        assert "7.00 € was booked already for rita@example.org." in house.olga.send(action, form).text
        assert town.balances()["Rita wallet"] == "17.00"
        assert house.log("bank_entry.assigned") == [("Olga", str(mine), {"user": rita.public_id})]
        _, form = house.olga.visit(f"/desk/deposits/{other}").form("Take 2.00 € off the books".replace(" €", "\u00a0€"))
        said = house.olga.send(f"/desk/deposits/{mine}/assign", form | {"public_id": town.people["Ann"].public_id})
        assert (said.status, "does not wait for a reader" in said.text) == (409, True)
        for _ in range(2):
            said = house.otto.send(f"/desk/deposits/{other}/release", _csrf(house.otto))
            assert "off the books" in said.text
        assert house.log("bank_entry.returned") == [("Otto", str(other), {"amount_micros": 2_000_000})]
        assert "Every payment has found its reader." in house.olga.visit("/desk/deposits").text
        assert town.problems() == []


def test_the_desk_shows_and_books_what_the_bank_took_back(house, town):
    bank = Bank()
    bank.credit("2026-10-02", "10.00", town.person("Rita").deposit_reference)
    bank.debit("2026-10-03", "10.00", reversal=True)
    with house.on("2026-10-06"):
        upload(house.olga, bank.statement())
        assert "1 payment was taken back by the bank." in house.olga.visit("/desk").text
        entry = house.rows(BankEntry)[-1]
        assert f"/desk/deposits/{entry.id}" in house.olga.visit("/desk/deposits").html
        house.olga.visit(f"/desk/deposits/{entry.id}?reader=rita@example.org")
        for_good = house.olga.press("Book it against rita@example.org").text
        assert "Out of the wallet 10.00 €, out of the reserve 0.00 €." in for_good
        assert "taken back" not in house.olga.visit("/desk").text
        assert [said[0] for said in house.log("deposit.reversed")] == ["Olga"]
        assert "out of the wallet" in house.olga.visit(f"/desk/deposits/{entry.id}").text
    assert town.problems() == []


def _csrf(visitor):
    """A form's token, from a page that always has a form."""
    _, form = visitor.visit("/desk/audit").form("Audit now")
    return form


def test_what_cannot_be_booked_is_said_and_nothing_of_it_is(house):
    bank = Bank(iban=DEBTOR.iban)
    bank.credit("2026-10-02", "10.00")
    with house.on("2026-10-06"):
        assert "choose the file" in house.olga.send("/desk/deposits/import", _csrf(house.olga)).text
        for sent in (b"", b"no XML", bank.statement()):
            assert upload(house.olga, sent).status == 422
        assert house.rows(BankEntry) == []
        assert house.olga.visit("/desk/deposits/1").status == 404
        assert house.olga.visit(f"/desk/deposits/{2**64}").status == 404


def test_a_reader_who_cannot_be_found_is_not_guessed(house):
    bank = Bank()
    rita = house.town.person("Rita")
    bank.credit("2026-10-02", "10.00", "who?")
    wrong = rita.deposit_reference[:4] + ("0" if rita.deposit_reference[4] != "0" else "1") + rita.deposit_reference[5:]
    with house.on("2026-10-06"):
        upload(house.olga, bank.statement())
        [entry] = house.rows(BankEntry)
        for asked, said in ((wrong, "mistyped"), ("who@example.org", "no user"), ("x", "Nobody has this")):
            page = house.olga.visit(f"/desk/deposits/{entry.id}?reader={asked}")
            assert (page.status, said in page.text) == (404, True), asked


# Payouts --------------------------------------------------------------------------------------------------------------


def test_one_operator_prepares_and_another_approves_and_both_can_hand_it_to_the_bank(house):
    payday(house.town)
    with house.on("2026-10-20"):
        olga, otto = house.olga, house.otto
        olga.visit("/desk/payouts")
        page = olga.press("Prepare a batch")
        assert "Batch 1 is prepared: 2 payouts, 37.12 €." in page.text
        assert page.buttons == ["Cancel batch 1"]
        [batch] = house.rows(Batch)
        digest = batch.digest.hex()
        assert digest in page.text
        otto.visit("/desk/payouts")
        assert "waits for approval already" in otto.press("Prepare a batch").text
        assert "waits for another operator's approval" in otto.visit("/desk").text

        otto.visit("/desk/payouts/1")
        action, form = otto.page.form("Approve")
        said = olga.send(action, _csrf(olga) | {"digest": digest})
        assert (said.status, "ask another operator" in said.text) == (403, True)
        assert otto.send(action, form | {"digest": digest[:-1]}).status == 409
        assert otto.send("/desk/payouts/1/export", form).status == 409  # not before it is approved
        assert otto.send("/desk/payouts/1/confirm", form).status == 409
        assert "Batch 1 is approved." in otto.send(action, form | {"digest": f" {digest.upper()} "}).text
        assert "Batch 1 was approved already." in otto.send(action, form | {"digest": digest}).text

        action, form = olga.visit("/desk/payouts/1").form("Download the file")
        files = [olga.client.post(action, data=form) for _ in range(2)]
        assert [file.data for file in files] == [batch.file] * 2
        assert files[0].headers["Content-Disposition"] == 'attachment; filename="payouts-1.xml"'
        assert "its file is out" in olga.send("/desk/payouts/1/cancel", form).text.lower() or olga.page.status == 409
        olga.visit("/desk/payouts/1")
        action, form = olga.page.form("The bank has paid")
        assert "Batch 1 is confirmed." in olga.press("The bank has paid").text
        assert "Batch 1 was confirmed already." in olga.send(action, form).text
        did = {f"payout_batch.{done}": by for done, by in DID.items()}
        assert {action: [by for by, *_ in house.log(action)] for action in did} == {a: [by] for a, by in did.items()}
        assert house.town.problems() == []


DID = {"prepared": "Olga", "approved": "Otto", "exported": "Olga", "confirmed": "Olga"}


def test_a_batch_is_cancelled_and_one_payout_fails(house):
    payday(house.town)
    with house.on("2026-10-20"):
        olga = house.olga
        olga.visit("/desk/payouts")
        olga.press("Prepare a batch")
        assert "Batch 1 is cancelled." in olga.press("Cancel batch 1").text
        assert house.log("payout_batch.cancelled")[0][0] == "Olga"
        olga.visit("/desk/payouts")
        olga.press("Prepare a batch")
        batch = house.rows(Batch)[-1]
        house.town.approve(batch, "Otto", debtor=batches.debtor_of(house.config))
        house.town.act("export", batch.id)
        olga.visit(f"/desk/payouts/{batch.id}")
        action, form = olga.page.form("It failed")
        said = olga.press("It failed", payout="FLATTR-P-1", reason="account closed")
        assert (said.status, "no payout 1 in batch 2" in said.text) == (404, True)
        assert olga.send(action, form | {"payout": "3", "reason": " "}).status == 422
        assert olga.send(action, form | {"payout": "9" * 30, "reason": "x"}).status == 422
        assert (
            "Payout 3 failed: the money" in olga.send(action, form | {"payout": "3", "reason": "account closed"}).text
        )
        assert "Payout 3 had failed already." in olga.send(action, form | {"payout": "3", "reason": "x"}).text
        assert [(by, said["reason"]) for by, _, said in house.log("payout.failed")] == [("Olga", "account closed")]
        assert house.town.problems() == []


def test_a_long_batch_is_turned_over_page_by_page(house, monkeypatch):
    payday(house.town)
    monkeypatch.setattr("backend.web.desk.payouts.A_PAGE", 1)
    with house.on("2026-10-20"):
        house.olga.visit("/desk/payouts")
        first = house.olga.press("Prepare a batch")
        second = house.olga.visit(first.links["The next"])
        assert ("FLATTR-P-1" in first.text, "FLATTR-P-2" in first.text) == (True, False)
        assert ("FLATTR-P-1" in second.text, "FLATTR-P-2" in second.text) == (False, True)
        assert "The next" not in second.links
        assert "DE02" not in first.html  # the whole account stands in the file only
        assert house.olga.visit("/desk/payouts/1?after=x").status == 422
        assert house.olga.visit("/desk/payouts/9").status == 404


def test_nothing_to_pay_and_no_bank_are_said(house):
    with house.on():
        house.olga.visit("/desk/payouts")
        assert "There is nothing to pay." in house.olga.press("Prepare a batch").text
    house.config = replace(house.config, bank_name="")
    with house.on():
        house.olga.visit("/desk/payouts")
        page = house.olga.press("Prepare a batch")
        assert (page.status, "FLATTR_BANK_NAME" in page.text) == (409, True)


# Claims ---------------------------------------------------------------------------------------------------------------


def test_a_contest_is_decided_and_taken_back_with_a_reason(house):
    town = house.town
    town.claim("Ann", "blog.example.org")
    town.web["blog.example.org"] = town.tag("Ann") + town.tag("Bea")
    town.web["https://blog.example.org/.well-known/flattr.txt"] = "x"
    town.look("blog.example.org")
    town.web["blog.example.org"] = town.tag("Bea")
    town.look("blog.example.org")
    with house.on("2026-10-17"):
        assert "2 claims are contested, the longest for 12 days." in house.olga.visit("/desk").text
        page = house.olga.visit("/desk/claims")
        page = house.olga.visit(page.links["blog.example.org"])
        assert "contested for 12 days" in page.text
        assert f"names {town.people['Bea'].public_id}" in page.text
        action, form = page.form("Approve")
        form["public_id"] = town.people["Bea"].public_id
        assert "say why" in house.olga.send(action, form).text
        said = house.olga.send(action, form | {"reason": "she showed the contract"}).text
        assert "blog.example.org belongs to bea@example.org now." in said
        [(by, about, details)] = house.log("claim.approved")
        assert (by, about, details["reason"]) == ("Olga", "blog.example.org", "she showed the contract")
        action, form = house.olga.page.form("Revoke the claim")
        assert "the claim of bea@example.org, which holds the site" in house.olga.page.text
        said = house.olga.press("Revoke the claim", reason="the contract was false")
        assert "The claim on blog.example.org is revoked." in said.text
        assert [by for by, *_ in house.log("claim.revoked")] == ["Olga"]
        assert house.olga.send(action, form | {"reason": "x"}).status == 404  # pressed twice, it takes no other one
        states = {claim.user_id: claim.state for claim in house.rows(Claim)}
        assert states == {town.people["Ann"].id: "ended", town.people["Bea"].id: "revoked"}


def test_what_only_an_operator_can_prove_is_listed_until_somebody_vouches(house, monkeypatch):
    town = house.town
    with house.on():
        ann = house.signed_in("ann")
        ann.visit("/sites")
        ann.press("Check now", site="https://www.instagram.com/ann/")
        house.work()
        page = house.olga.visit("/desk/claims")
        [name] = [name for name in page.links if name.startswith("instagram.com/")]
        assert "1 claim needs an operator's word." in house.olga.visit("/desk").text
        house.olga.visit(page.links[name])
        assert house.olga.press("Approve", reason="x", public_id=town.people["Ann"].public_id).status == 200
        assert "None." in house.olga.visit("/desk/claims").text
        found = house.olga.client.get("/desk/claims?site=instagram.com/ann").location
        assert found == page.links[name]
        assert house.olga.visit("/desk/claims?site=unknown.example.org").status == 404
        assert house.olga.visit("/desk/claims/99").status == 404


# The log, the jobs, the audit -----------------------------------------------------------------------------------------


def test_the_log_is_searched_and_turned_over(house, monkeypatch):
    monkeypatch.setattr("backend.web.desk.upkeep.A_PAGE", 2)
    with house.town.sessions.begin() as session:
        for number in range(5):
            actor = house.town.people["Olga" if number % 2 else "Otto"]
            said = {"amount_micros": 1_500_000} if number == 4 else {}
            auditlog.record(
                session, "fee.changed", f"2026-0{number + 1}", now=house.town.now, actor_id=actor.id, **said
            )
        auditlog.record(session, "x", "<script>", now=house.town.now - timedelta(days=9))
    with house.on():
        page = house.olga.visit("/desk/log?action=fee.")
        assert ("2026-05" in page.text, "1.500000 €" in page.text, "2026-03" in page.text) == (True, True, False)
        page = house.olga.visit(page.links["Older"])
        assert ("2026-05" in page.text, "2026-03" in page.text) == (False, True)
        assert house.olga.visit("/desk/log?by=olga@example.org").text.count("fee.changed") == 2
        assert house.olga.visit("/desk/log?about=2026-03").text.count("fee.changed") == 1
        assert "Nothing of that kind." in house.olga.visit("/desk/log?since=2026-10-06").text
        assert house.olga.visit("/desk/log?about=%3Cscript%3E").tree.query("script") == []
        for bad, status in (("since=x", 422), ("by=who@example.org", 404), ("before=-1", 422)):
            assert house.olga.visit(f"/desk/log?{bad}").status == status


def test_a_stuck_job_is_shown_without_what_it_says_and_tried_again(house):
    with house.town.sessions.begin() as session:
        mail = {"to": "rita@example.org", "subject": "Your promise to a.example.org", "text": "secret"}
        jobs.enqueue(session, "mail", "7 Your promise to a.example.org", mail, now=house.town.now)
        jobs.enqueue(session, "look", "slow.example.org", {"site": "slow.example.org"}, now=house.town.now)
        session.execute(sa.update(Job).values(tries=3, due_at=house.town.now + timedelta(hours=3)))
    with house.on():
        page = house.olga.visit("/desk/jobs")
        assert "slow.example.org" in page.text
        assert not {"a.example.org", "rita@example.org", "secret"} & set(re.split(r"[\s<>\"]+", page.html))
        assert "2 jobs are late or failed." in house.olga.visit("/desk").text
        look = next(job for job in house.rows(Job) if job.kind == "look")
        house.olga.visit("/desk/jobs")
        action, form = house.olga.page.form(f"Try now: job {look.id}")
        assert "It is tried again now." in house.olga.press(f"Try now: job {look.id}").text
        assert house.log("job.retried") == [("Olga", f"look {look.id}", {})]
        assert house.work() == 1
        assert house.olga.send(action, form).status == 404


def test_the_audit_and_the_doctor_are_run_by_the_worker(house):
    with house.on():
        for button in ("Audit now", "Examine now"):
            house.olga.visit("/desk/audit")
            assert "The worker looks now." in house.olga.press(button).text
            assert "The worker looks already." in house.olga.press(button).text
        assert house.work() == 2
        page = house.olga.visit("/desk/audit")
        assert "All adds up." in page.text
        assert "FLATTR_SECRET_KEY" in page.text
        assert house.config.secret_key not in page.html
        with house.town.sessions.begin() as session:
            session.execute(sa.text("INSERT INTO accounts (id, user_id, kind, balance_micros) VALUES (0, 0, 0, -7)"))
        house.olga.press("Audit now")
        house.work()
        page = house.olga.visit("/desk/audit")
        assert "Account bank says -7, its transfers say 0." in page.text
        assert "2 things do not add up" in house.olga.visit("/desk").text


def test_every_page_of_the_desk_is_for_everybody(house):
    rita_reads(house.town)
    house.town.claim("Bea", "bea.example.org")
    with house.on("2026-11-02"):
        site = house.rows(sites.Site)[0].id
        for path in [*PAGES, f"/desk/claims/{site}"]:
            page = house.olga.visit(path)
            assert page.status == 200, path
            assert_is_for_everybody(page, path)
            assert len(page.html) < 50_000, path
            for form in page.tree.query("form[method=post]"):
                assert form.query("input[name=csrf_token]"), path
