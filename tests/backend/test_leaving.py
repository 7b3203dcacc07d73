"""Leaving: the money is paid back, a name goes, and what was given and received still adds up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend import access, claims, clicks, jobs, users
from backend.claims import Author, Claim
from backend.clicks import Click, NotSettledYet, Promise
from backend.db import Base
from backend.jobs import Job
from backend.leaving import TOMBSTONE
from backend.ledger import Transfer
from backend.sites import Page, Site
from backend.users import Budget, User

ROOT = Path(__file__).parents[2]


@pytest.fixture
def town(town):
    """October is settled: Ann gave Bea and Carl 1.666666 each, and Dora, who wrote a page of Carl's."""
    for owner in ("Bea", "Carl"):
        town.person(owner, budget="3.00", wallet="7.00")
        town.claim(owner, f"{owner.lower()}.example.org")
    town.person("Dora")
    town.person("Ann", budget="5.00", wallet="20.00")
    for page in ("bea.example.org/", "bea.example.org/2", "carl.example.org/", "carl.example.org/by-dora"):
        town.press("Ann", page)
    written_by(town, "Dora", "carl.example.org")
    town.press("Bea", "carl.example.org/")
    town.on("2026-11-01")
    town.settle("2026-10", fee_bps=100)
    town.on("2026-11-05")
    return town


def written_by(town, author, host):
    with town.sessions.begin() as session:
        site = session.scalars(sa.select(Site).where(Site.name == host)).one()
        claims.list_author(session, site, town.people[author])
        page = session.scalars(sa.select(Page).where(Page.url == f"https://{host}/by-{author.lower()}")).one()
        clicks.confirm_author(session, page, town.people[author], now=town.now)


def rows(town, table, *where):
    with town.sessions() as session:
        return session.scalars(sa.select(table).where(*where)).all()


def transfers(town):
    with town.sessions() as session:
        return set(
            session.execute(sa.select(Transfer.code, Transfer.about, Transfer.account_id, Transfer.amount_micros))
        )


def test_whole_cents_are_paid_back_and_the_rest_stays_with_the_fees(town):
    before = town.balances()
    assert (before["Ann wallet"], before["fees"]) == ("15.000002", "0.079998")
    assert (before["Bea wallet"], before["Bea income"]) == ("4.00", "1.65")

    ann, bea = town.leave("Ann"), town.leave("Bea")

    assert (ann.paid_back_micros, ann.rest_micros) == (15_000_000, 2)
    assert (bea.paid_back_micros, bea.rest_micros) == (4_000_000 + 1_650_000, 0)
    assert ann.reference == users.deposit_reference(town.people["Ann"].public_id)
    after = town.balances()
    assert not {name for name in after if TOMBSTONE in name or "Ann" in name or "Bea" in name}
    assert after["fees"] == "0.08"
    assert after["bank"] == "-13.35"
    assert town.problems() == []


def test_the_rest_of_wallet_and_income_is_less_than_two_cents(town):
    town.deposit("Bea", "0.019999")
    left = town.leave("Bea")
    assert (left.paid_back_micros, left.rest_micros) == (4_010_000 + 1_650_000, 9_999)
    assert town.problems() == []


def test_who_has_nothing_leaves_without_a_transfer(town):
    town.person("Emil")
    before = transfers(town)
    left = town.leave("Emil")
    assert (left.paid_back_micros, left.rest_micros) == (0, 0)
    assert transfers(town) == before


def test_all_that_told_about_a_person_is_gone(town):
    ann, address = town.people["Ann"], "ann@example.org"
    town.press("Ann", "bea.example.org/3")
    town.press("Ann", "nobody.example.org/")
    town.claim("Ann", "ann.example.org")
    town.web["pending.example.org"] = "<head></head>"
    with town.sessions.begin() as session:
        access.new_link(session, address, now=town.now)
        access.new_device(session, ann, "Firefox", now=town.now)
        access.sign_in(session, ann, now=town.now)
        jobs.enqueue(session, "mail", f"{ann.id} news", {"to": address, "subject": "News", "text": ""}, now=town.now)

    town.leave("Ann")

    with town.sessions() as session:
        told = [
            (table.name, column.name)
            for table in Base.metadata.sorted_tables
            if table.name != "jobs"
            for column in table.columns
            if isinstance(column.type, sa.String)
            and session.scalar(sa.select(sa.func.count()).where(sa.func.lower(column) == address))
        ]
        mails = [
            job.payload["subject"]
            for job in session.scalars(sa.select(Job).where(Job.kind == "mail"))
            if job.payload["to"] == address
        ]
    assert told == []
    assert mails == ["You have left Flattr"]  # the last one, which says so
    mine = (
        (Click, Click.reader_id),
        (Promise, Promise.reader_id),
        (Budget, Budget.reader_id),
        (Author, Author.user_id),
    )
    mine += tuple((table, table.user_id) for table in (access.Device, access.WebSession, access.Pairing))
    assert [table.__name__ for table, column in mine if rows(town, table, column == ann.id)] == []
    assert {claim.state for claim in rows(town, Claim, Claim.user_id == ann.id)} <= {"ended", "revoked"}
    [tombstone] = rows(town, User, User.id == ann.id)
    assert (tombstone.name, tombstone.is_operator, tombstone.left_at) == (TOMBSTONE, False, town.now)
    assert tombstone.email.endswith("@left.invalid")


def test_a_token_of_somebody_who_left_is_no_token_any_more(town):
    with town.sessions.begin() as session:
        token, _ = access.new_device(session, town.people["Ann"], "Firefox", now=town.now)
        assert access.readers_of(session, {token}, now=town.now)
    town.leave("Ann")
    with town.sessions() as session:
        assert not access.readers_of(session, {token}, now=town.now)


def test_transfers_stay_and_nothing_is_written_about_settled_months(town):
    before = transfers(town)
    town.leave("Ann")
    town.leave("Bea")
    after = transfers(town)
    assert before <= after
    assert {about for _, about, _, _ in after - before} == {"leaving"}


def test_statements_of_others_still_add_up_to_the_micro_when_a_reader_has_left(town):
    before = {name: town.statement(name, "2026-10") for name in ("Bea", "Carl", "Dora")}
    town.leave("Ann")
    after = {name: town.statement(name, "2026-10") for name in ("Bea", "Carl", "Dora")}

    for name, statement in after.items():
        assert statement.given == before[name].given
        received = statement.received
        assert (received.received_micros, received.fee_micros) == (
            before[name].received.received_micros,
            before[name].received.fee_micros,
        )
        assert received.readers == before[name].received.readers
    # Which pages it were went with the reader; the amount is still the sum of what all readers were charged.
    gross = sum(one.received.received_micros + one.received.fee_micros for one in after.values())
    assert gross == town.statement("Ann", "2026-10").given.charged_micros + after["Bea"].given.charged_micros
    assert town.problems() == []


def test_statements_of_readers_still_show_the_amount_for_an_owner_who_has_left(town):
    before = town.statement("Ann", "2026-10").given
    town.leave("Bea")
    given = town.statement("Ann", "2026-10").given

    assert (given.charged_micros, given.owners, given.share_micros) == (4_999_998, 3, 1_666_666)
    assert sum(line.amount_micros for line in given.lines) == given.charged_micros
    assert {line.owner_id for line in given.lines} == {line.owner_id for line in before.lines}
    assert sorted(line.name for line in given.lines) == ["Carl", "Dora", TOMBSTONE]


def test_two_owners_who_left_are_still_two_people_on_a_statement(town):
    town.leave("Bea")
    town.leave("Dora")
    lines = town.statement("Ann", "2026-10").given.lines
    assert [line.amount_micros for line in lines] == [1_666_666] * 3
    assert town.problems() == []


def test_nobody_leaves_while_a_month_that_ended_is_not_settled(town):
    town.press("Carl", "bea.example.org/")
    town.on("2026-12-01")
    before = town.balances()
    for name in ("Ann", "Bea", "Carl"):  # those it concerns and those it does not
        with pytest.raises(NotSettledYet, match="2026-11 has ended"):
            town.leave(name)
    assert town.balances() == before

    town.settle("2026-11")
    assert town.leave("Bea").paid_back_micros == 4_000_000 + 1_650_000 + 3_000_000


def test_the_next_month_is_settled_without_whoever_left(town):
    """Who left cannot be paid: the readers' months go to the others on their lists."""
    for page in ("bea.example.org/", "carl.example.org/"):
        town.press("Ann", page)
    town.press("Carl", "bea.example.org/")
    town.press("Bea", "carl.example.org/")
    town.leave("Bea")
    assert town.month("Ann").owners == 1
    town.on("2026-12-01")
    result = town.settle("2026-11")

    assert (result.readers, result.owners, result.clicks, result.promises) == (1, 1, 1, 2)
    assert not {name for name in town.balances() if name.startswith(TOMBSTONE)}
    assert given_to(town, "Ann") == {"Carl": 5_000_000}


def given_to(town, name, period="2026-11"):
    return {line.name: line.amount_micros for line in town.statement(name, period).given.lines}


def test_a_claim_given_up_before_leaving_pays_nobody_who_left_either(town):
    town.press("Ann", "bea.example.org/")
    town.on("2026-11-08")
    town.give_up("Bea", "bea.example.org")
    assert town.month("Ann").owners == 1
    town.on("2026-11-09")
    town.leave("Bea")
    town.on("2026-12-01")
    assert town.settle("2026-11").charged_micros == 0
    assert not {name for name in town.balances() if name.startswith(TOMBSTONE)}


@pytest.mark.parametrize("listed", [True, False])
def test_pages_by_an_author_who_left_are_the_claimants_again(town, listed):
    town.press("Ann", "carl.example.org/by-dora")
    town.on("2026-11-08")
    if not listed:  # who gives a site up takes its authors along; clicks from before are still theirs
        town.give_up("Carl", "carl.example.org")
    town.leave("Dora")
    town.on("2026-12-01")
    town.settle("2026-11")
    assert given_to(town, "Ann") == {"Carl": 5_000_000}


def test_a_site_of_somebody_who_left_can_be_claimed_and_gets_what_is_promised_from_then_on(town):
    town.press("Ann", "bea.example.org/before")
    town.on("2026-11-06")
    town.leave("Bea")
    town.press("Ann", "bea.example.org/between")
    town.person("Emil")
    town.on("2026-11-07")
    assert town.claim("Emil", "bea.example.org").code == "proved"
    assert {click.url.rpartition("/")[2]: click.state for click in town.month("Ann").clicks} == {
        "between": "counts",
        "before": "promise",
    }


def test_who_left_claims_nothing_by_a_tag_that_is_still_there(town):
    tag = town.tag("Bea")
    town.leave("Bea")
    for site in ("bea.example.org", "new.example.org"):
        town.web[site] = tag
        assert town.look(site).code == "unknown_id"
    with town.sessions() as session:
        assert (
            claims.is_held(session, session.scalars(sa.select(Site).where(Site.name == "bea.example.org")).one())
            is False
        )
    town.press("Ann", "bea.example.org/", owner_id=town.people["Bea"].public_id)
    assert town.month("Ann").owners == 0


def test_who_signs_up_again_is_somebody_new(town):
    town.leave("Ann")
    again = town.person("Ann")
    assert rows(town, User, User.email == "ann@example.org")[0].id == again.id
    assert len({user.public_id for user in rows(town, User)}) == 5
    assert town.statement("Ann", "2026-10").given.charged_micros == 0
    assert town.month("Ann").pot_micros == 0
    town.deposit("Ann", "1.00")
    assert town.problems() == []


def test_what_a_reader_who_left_gave_is_not_repeated_for_the_next_one_with_the_address(town):
    town.leave("Ann")
    town.person("Ann", budget="2.00", wallet="2.00")
    town.choose("Ann", "repeat")
    town.on("2026-12-01")
    assert town.settle("2026-11").charged_micros == 0


def test_operators_are_told_what_to_pay_back(town):
    town.person("Olga")
    with town.sessions.begin() as session:
        users.add(session, "olga@example.org", now=town.now, operator=True)
    left = town.leave("Ann")
    mails = {job.payload["to"]: job.payload["text"] for job in rows(town, Job, Job.kind == "mail")}
    assert "15.00" in mails["olga@example.org"]
    assert left.reference in mails["olga@example.org"]
    assert "ann@example.org" not in mails["olga@example.org"]


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def flattr(database_url, tmp_path):
    """The command as operators run it, against the test's database."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FLATTR_")}
    env |= {"PYTHONPATH": str(ROOT), "FLATTR_INSTANCE": str(tmp_path), "FLATTR_DATABASE_URL": database_url}
    env |= {"FLATTR_DEV": "1", "FLATTR_NOW": "2026-11-05T12:00:00Z"}

    def run(*words, now=None):
        command = [sys.executable, "-m", "backend.cli", *words]
        here = env | ({"FLATTR_NOW": now} if now else {})
        return subprocess.run(command, env=here, capture_output=True, text=True, check=False, timeout=120)

    return run


def test_the_command_deletes_a_user_and_says_what_to_pay_back(town, flattr):
    ann = town.people["Ann"]
    done = flattr("users", "delete", "ann@example.org", "--yes", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "public_id": ann.public_id,
        "reference": ann.deposit_reference,
        "on_its_way_micros": 0,
        "paid_back_micros": 15_000_000,
        "rest_micros": 2,
        "currency": "EUR",
    }
    again = flattr("users", "delete", "ann@example.org", "--yes", "--json")
    assert (again.returncode, again.stdout) == (3, "")
    assert "no user" in again.stderr
    assert json.loads(flattr("audit", "--json").stdout)["ok"] is True


def test_the_command_refuses_while_a_month_that_ended_is_not_settled(town, flattr):
    town.press("Ann", "bea.example.org/")
    refused = flattr("users", "delete", "ann@example.org", "--yes", "--json", now="2026-12-01T00:00:00Z")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "2026-11 has ended" in refused.stderr
    assert town.balances()["Ann wallet"] == "15.000002"
