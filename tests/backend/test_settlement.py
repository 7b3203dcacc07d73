"""Settlement: an ended month becomes transfers, exactly once, whatever happens in between."""

import itertools
import json
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend import audit, db, deposits, ledger, settlement, sites, statements, users
from backend.audit import AuditFailed
from backend.claims import Claim
from backend.clicks import Click, ensure_period
from backend.errors import AnotherRun
from backend.settlement import EarlierOpen, Interrupted, NotOver, Terms, lists, steps
from tests.backend import gallows
from tests.backend.at_once import at_once
from tests.backend.books import Copies, dump
from tests.backend.town import TERMS, WORLD

OCTOBER = "2026-10"
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
WITH_FEE = Terms("EUR", 333)


@pytest.fixture
def october(town, monkeypatch):
    """An ended month with all that can happen in one."""
    monkeypatch.setattr(lists, "READERS_PER_CHUNK", 2)
    for owner in ("Bea", "Carl", "Dora"):
        town.person(owner, budget="4.00", wallet="3.00")
        town.claim(owner, f"{owner.lower()}.example.org")
    for number, reader in enumerate(("Ann", "Emil", "Fay", "Gus", "Hal")):
        town.person(reader, budget="5.00", wallet=f"{number + 1}.000001")
        for owner in ("bea", "carl", "dora")[: 1 + number % 3]:
            town.press(reader, f"{owner}.example.org/{number}")
        town.press(reader, "ida.example.org/")
    town.press("Bea", "carl.example.org/")
    town.card("Gus", "5.00")
    town.card("Hal", "10.00")
    town.on("2026-10-20")
    town.revoke("dora.example.org")
    town.on("2026-11-01", hour=0)
    town.person("Ida")
    town.claim("Ida", "ida.example.org")
    return town


def settle(town, period=OCTOBER, terms=WITH_FEE, **more):
    return settlement.settle(town.sessions, period, terms, WORLD, now=town.now, **more)


def contents(town):
    with town.sessions() as session:
        return dump(session)


# When -----------------------------------------------------------------------------------------------------------------


def test_a_month_is_settled_from_its_last_instant_on_and_not_before(town):
    town.now = NOVEMBER - timedelta(microseconds=1)
    before = contents(town)
    with pytest.raises(NotOver, match="ends at 2026-11-01 00:00 UTC"):
        settle(town)
    assert contents(town) == before
    town.now = NOVEMBER
    assert settle(town).state == "settled"


def test_a_later_month_waits_for_the_earlier_ones(town):
    town.person("Ann")
    town.press("Ann", "bea.example.org/")
    town.on("2026-12-05")
    with pytest.raises(EarlierOpen, match="2026-10 has to be settled first"):
        settle(town, "2026-11")
    with town.sessions() as session:
        assert settlement.oldest_due(session, now=town.now) == OCTOBER


def test_when_nothing_ever_happened_last_month_is_settled_as_empty(town):
    town.on("2026-11-05")
    result = settle(town, None)
    assert (result.period, result.state, result.readers, result.clicks, result.charged_micros) == (
        OCTOBER,
        "settled",
        0,
        0,
        0,
    )
    assert settle(town, None) == result


@pytest.mark.parametrize("pressed_later", [True, False])
def test_a_month_is_due_when_a_reader_chose_what_becomes_of_it_though_nobody_had_pressed_yet(town, pressed_later):
    town.person("Charity")
    town.person("Ann", budget="1.00", wallet="5.00")
    town.choose("Ann", "charity")
    town.on("2026-11-09")
    if pressed_later:
        town.press("Ann", "bea.example.org/")
    town.on("2026-12-01")
    with pytest.raises(EarlierOpen, match="2026-10 has to be settled first"):
        town.settle("2026-11", charity="Charity")

    assert [town.settle(charity="Charity").period for _ in range(2)] == [OCTOBER, "2026-11"]
    assert town.balances() == {"bank": "-5.00", "Ann wallet": "3.00", "Charity income": "2.00"}


def test_only_one_settles_at_a_time(october, engine):
    before = contents(october)
    with db.exclusive(engine, "settle"):
        with pytest.raises(AnotherRun):
            settle(october)
        with pytest.raises(AnotherRun):
            settlement.dry_run(october.sessions, OCTOBER, WITH_FEE, now=october.now)
    assert contents(october) == before


def test_operators_who_settle_at_once_settle_once(october):
    results = at_once(*[lambda: settle(october)] * 4)

    done = [result for result in results if not isinstance(result, AnotherRun)]
    assert len(set(done)) == 1
    assert settle(october) == done[0]
    assert october.problems() == []


def test_nothing_is_settled_while_the_books_do_not_add_up(october):
    ann = october.people["Ann"].id
    with october.sessions.begin() as session:
        session.execute(
            sa.text("UPDATE accounts SET balance_micros = balance_micros + 1 WHERE id = :id"),
            {"id": ledger.wallet(ann)},
        )
    before = contents(october)

    with pytest.raises(AuditFailed, match=f"wallet of user {ann} says 1000002, its transfers say 1000001"):
        settle(october)
    with pytest.raises(AuditFailed):
        settlement.dry_run(october.sessions, OCTOBER, WITH_FEE, now=october.now)

    assert contents(october) == before


# What -----------------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_happen_and_changes_nothing(october):
    before = contents(october)
    foretold = settlement.dry_run(october.sessions, OCTOBER, WITH_FEE, now=october.now)
    assert contents(october) == before

    assert foretold == settle(october)
    settled = contents(october)
    assert settlement.dry_run(october.sessions, OCTOBER, TERMS, now=october.now) == foretold
    assert contents(october) == settled


def test_the_result_is_what_the_ledger_says(october):
    result = settle(october)
    with october.sessions() as session:
        trial = ledger.trial_balance(session)

    assert (result.readers, result.owners, result.currency) == (6, 2, "EUR")
    # Ann 1.000001, Emil 2, Fay 3, Gus 5, Hal 5, Bea 3; of it Bea 11.000001 and Carl 8, less 3.33 percent each
    assert (result.charged_micros, result.received_micros, result.fee_micros) == (19_000_001, 18_367_301, 632_700)
    assert trial["income"] == result.received_micros
    assert trial["fees"] == result.fee_micros
    assert trial["clearing"] == sum(trial.values()) == 0
    assert json.loads(json.dumps(result.as_json()))["digest"] == result.digest
    assert len(bytes.fromhex(result.digest)) == 32


def test_a_month_that_was_begun_keeps_its_terms(october, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(steps, "charge", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            settle(october)
    october.on("2026-11-09")

    result = settle(october, None, terms=Terms("USD", 9_999))

    assert (result.currency, result.fee_micros) == ("EUR", result_of_fee(october))
    with october.sessions() as session:
        assert set(session.scalars(sa.select(ledger.Transfer.at).where(ledger.Transfer.code == "charge"))) == {NOVEMBER}


def result_of_fee(town):
    with town.sessions() as session:
        gross = session.scalars(sa.select(ledger.Transfer.amount_micros).where(ledger.Transfer.code == "share")).all()
    return sum(amount * 333 // 10_000 for amount in gross)


def test_a_claim_revoked_while_the_month_is_settled_changes_nothing_any_more(october):
    expected = settlement.dry_run(october.sessions, OCTOBER, WITH_FEE, now=october.now)
    told = []

    def revoke(progress):
        told.append(progress)
        if len(told) == 2:
            october.revoke("bea.example.org")

    assert settle(october, progress=revoke) == expected
    assert 0 < told[1].readers < told[-1].readers
    assert october.problems() == []


@pytest.mark.parametrize("sure", [0, 1, 2])
def test_sites_that_changed_hands_are_settled_beside_however_few_that_did_not(town, sure):
    town.person("Ann", budget="6.00", wallet="6.00")
    for number, owner in enumerate(("Bea", "Carl", "Dora")[: sure + 1]):
        town.person(owner)
        town.claim(owner, f"site{number}.example.org")
        town.press("Ann", f"site{number}.example.org/")
    town.on("2026-10-20")
    town.give_up("Bea", "site0.example.org")
    town.press("Ann", "site0.example.org/later")
    town.on("2026-11-01")

    result = settle(town, terms=TERMS)

    assert (result.owners, result.clicks, result.promises, result.charged_micros) == (sure + 1, sure + 1, 1, 6_000_000)
    assert town.problems() == []


def test_progress_is_told_step_by_step(october):
    told = []
    settle(october, progress=told.append)
    steps_done = [progress.steps for progress in told]
    assert steps_done == list(range(told[-1].of + 1))
    assert (told[0].readers, told[-1].readers) == (0, 6)


def test_a_dry_run_tells_its_progress_too(october):
    told = []
    settlement.dry_run(october.sessions, OCTOBER, WITH_FEE, now=october.now, progress=told.append)
    assert told[-1].steps == told[-1].of


def test_several_processes_come_to_the_same_as_one(copies):
    alone, together = copies.new(), copies.new()
    assert gallows.settle(text_of(alone))[1] == settle_with_pool(together)
    assert contents_of(alone) == contents_of(together)
    copies.drop(alone)
    copies.drop(together)


def settle_with_pool(url):
    engine = db.make_engine(text_of(url))
    result = settlement.settle(db.session_maker(engine), OCTOBER, WITH_FEE, WORLD, now=NOVEMBER, workers=2)
    engine.dispose()
    return result


def text_of(url):
    return url.render_as_string(hide_password=False)


def contents_of(url):
    """All that a settlement leaves, in the order of its keys."""
    engine = db.make_engine(text_of(url))
    with db.session_maker(engine)() as session:
        rows, problems = dump(session, without=["jobs"]), audit.problems(session)
        mails = sorted(session.execute(sa.text("SELECT key FROM jobs")).scalars())
    engine.dispose()
    assert problems == []
    return rows, mails


# Killed ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def copies(request, october, engine, tmp_path):
    engine.dispose()
    admin = request.getfixturevalue("postgres")[0] if engine.dialect.name == "postgresql" else None
    return Copies(engine, tmp_path, admin)


def killed_and_run_again(url, at):
    """Settle one copy, killed at a step, and settle it again; the result and all rows."""
    assert gallows.settle(text_of(url), at=at) is None, "the run was to be killed"
    engine = db.make_engine(text_of(url))
    sessions = db.session_maker(engine)
    with sessions() as session:
        assert audit.problems(session) == [], f"killed at step {at}"
    result = gallows.settle_again(sessions)
    engine.dispose()
    return result, *contents_of(url)


def test_a_settlement_killed_anywhere_and_run_again_comes_to_the_same(copies, engine, long):
    url = copies.new()
    count, result = gallows.settle(text_of(url))
    undisturbed = result, *contents_of(url)
    copies.drop(url)
    apart = 1 if long else 11 if engine.dialect.name == "sqlite" else 23

    differing = []
    for number in range(1, count + 1, apart):
        url = copies.new()
        if killed_and_run_again(url, number) != undisturbed:
            differing.append(number)
        copies.drop(url)

    assert count > 80
    assert differing == []


def test_a_worker_of_the_pool_that_is_killed_loses_nothing(copies, engine, monkeypatch):
    url = copies.new()
    expected = gallows.settle(text_of(url))[1]
    copies.drop(url)
    url = copies.new()
    with monkeypatch.context() as broken:
        broken.setattr(settlement.Worker, "start", die)
        with pytest.raises(Interrupted):
            settle_with_pool(url)
    assert settle_with_pool(url) == expected
    contents_of(url)
    copies.drop(url)


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_settlement_that_fails_after_posting_posts_once(october, monkeypatch, call):
    expected = settlement.dry_run(october.sessions, OCTOBER, WITH_FEE, now=october.now)
    real, calls = ledger.post_many, itertools.count(1)

    def post_many(*arguments, **named):
        real(*arguments, **named)
        if next(calls) == call:
            raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "post_many", post_many)
        with pytest.raises(ZeroDivisionError):
            settle(october)
    assert october.problems() == []

    assert settle(october) == expected
    assert october.problems() == []


# Random months, and the twenty lines that say what a month is ---------------------------------------------------------

PEOPLE = range(5)
moments = st.integers(0, 30 * 24).map(lambda hours: datetime(2026, 10, 1, 6, tzinfo=UTC) + timedelta(hours=hours))
money = st.sampled_from([0, 1, 2, 3, 7, 999_999, 5_000_000, 5_000_001]) | st.integers(0, 20_000_000)
claimed_sites = st.tuples(st.sampled_from(PEOPLE), moments, st.none() | moments, st.booleans())
months = st.fixed_dictionaries(
    {
        "budgets": st.lists(money, min_size=5, max_size=5),
        "wallets": st.lists(money, min_size=5, max_size=5),
        "sites": st.lists(claimed_sites | st.none(), min_size=3, max_size=5),
        "clicks": st.lists(st.tuples(st.sampled_from(PEOPLE), st.integers(0, 4), moments), min_size=3, max_size=24),
        "bps": st.sampled_from([0, 1, 250, 10_000]),
    }
)


def reference(month):
    """Wallets, incomes and fees after the month, without any database."""

    def owner(site, at):
        if site >= len(month["sites"]) or not month["sites"][site]:
            return None
        who, since, until, revoked = month["sites"][site]
        if until is None or until <= since:
            return who
        return None if revoked or at >= until else who

    wallets, gross = list(month["wallets"]), dict.fromkeys(PEOPLE, 0)
    for reader in PEOPLE:
        owners = {owner(site, at) for who, site, at in month["clicks"] if who == reader} - {None, reader}
        if owners:
            share = min(month["budgets"][reader], month["wallets"][reader]) // len(owners)
            wallets[reader] -= share * len(owners)
            for who in owners:
                gross[who] += share
    fees = [gross[who] * month["bps"] // 10_000 for who in PEOPLE]
    return wallets, [gross[who] - fees[who] for who in PEOPLE], sum(fees)


def write_down(session, month):
    """The same month as rows."""
    made = datetime(2026, 10, 1, tzinfo=UTC)
    people = [users.add(session, f"user{n}@example.org", now=made) for n in PEOPLE]
    for user, budget, wallet in zip(people, month["budgets"], month["wallets"], strict=True):
        users.set_budget(session, user, budget, now=made)
        if wallet:
            deposits.add(session, user, wallet, f"for {user.id}", now=made)
    ensure_period(session, OCTOBER)
    for number, claimed in enumerate(month["sites"]):
        site = sites.ensure(session, f"site{number}.example.org")
        if claimed:
            who, since, until, revoked = claimed
            ended = until if until and until > since else None
            state = "verified" if not ended else "revoked" if revoked else "ended"
            claim = {"state": state, "method": "tag", "created_at": since, "verified_at": since, "ended_at": ended}
            claim |= {"token": f"{number:026}", "token_at": since, "failed": 0}
            session.add(Claim(site_id=site.id, user_id=people[who].id, proved_at=since, **claim))
    for number, (who, site_number, at) in enumerate(month["clicks"]):
        site = sites.ensure(session, f"site{site_number}.example.org")
        page = sites.ensure_page(session, f"https://{site.name}/{number}", site, None)
        click = {"reader_id": people[who].id, "page_id": page.id, "clicked_at": at, "accepted_at": at}
        session.add(Click(period=OCTOBER, site_id=site.id, promised_in=None, **click))
    return people


def settled(sessions, month):
    """Wallets, incomes and fees after the month, by the real thing."""
    with sessions.begin() as session:
        people = write_down(session, month)
    result = settlement.settle(sessions, OCTOBER, Terms("EUR", month["bps"]), WORLD, now=NOVEMBER)
    with sessions() as session:
        assert audit.problems(session) == []
        assert result.clicks + result.promises <= len(month["clicks"])
        said = [statements.statement(session, user, OCTOBER, "EUR") for user in people]
        wallets, incomes = (
            [ledger.balance(session, account(user.id)) for user in people] for account in (ledger.wallet, ledger.income)
        )
        fees = ledger.balance(session, ledger.FEES)
    assert sum(s.given.charged_micros for s in said) == result.charged_micros == sum(incomes) + fees
    assert [s.received.received_micros for s in said] == incomes
    assert all(sum(line.amount_micros for line in s.given.lines) == s.given.charged_micros for s in said)
    return wallets, incomes, fees


def check_random_months(copies, monkeypatch, examples):
    monkeypatch.setattr(lists, "READERS_PER_CHUNK", 2)

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(months)
    def check(month):
        url = copies.new()
        engine = db.make_engine(url.render_as_string(hide_password=False))
        try:
            assert settled(db.session_maker(engine), month) == reference(month)
        finally:
            engine.dispose()
            copies.drop(url)

    check()


def test_any_month_on_sqlite_comes_to_what_twenty_lines_say(upgraded_sqlite, tmp_path, monkeypatch, long):
    copies = Copies(sa.create_engine(f"sqlite:///{upgraded_sqlite}"), tmp_path)
    check_random_months(copies, monkeypatch, 1_000 if long else 60)


def test_any_month_on_postgresql_comes_to_what_twenty_lines_say(postgres, tmp_path, monkeypatch, long):
    admin, url = postgres
    copies = Copies(sa.create_engine(url.format("upgraded")), tmp_path, admin)
    check_random_months(copies, monkeypatch, 100 if long else 10)


def test_the_same_month_has_the_same_digest_and_another_amount_another(town, monkeypatch, copies_of_nothing):
    numbers = itertools.count()
    monkeypatch.setattr(users, "new_id", lambda length: f"{next(numbers) % 5:0{length}}")
    month = {
        "budgets": [3, 0, 7, 5_000_000, 9],
        "wallets": [10_000_000] * 5,
        "sites": [(0, datetime(2026, 10, 2, tzinfo=UTC), None, False), (1, NOVEMBER - timedelta(days=2), None, False)],
        "clicks": [(reader, site, NOVEMBER - timedelta(hours=1)) for reader, site in ((3, 0), (3, 1), (2, 1))],
        "bps": 0,
    }
    digests = [
        settled_digest(copies_of_nothing, month),
        settled_digest(copies_of_nothing, month),
        settled_digest(copies_of_nothing, month | {"budgets": [3, 0, 7, 5_000_002, 9]}),
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.fixture
def copies_of_nothing(request, engine, tmp_path):
    engine.dispose()
    admin = request.getfixturevalue("postgres")[0] if engine.dialect.name == "postgresql" else None
    return Copies(engine, tmp_path, admin)


def settled_digest(copies, month):
    url = copies.new()
    engine = db.make_engine(url.render_as_string(hide_password=False))
    sessions = db.session_maker(engine)
    settled(sessions, month)
    digest = settlement.settle(sessions, OCTOBER, TERMS, WORLD, now=NOVEMBER).digest
    engine.dispose()
    copies.drop(url)
    return digest
