"""Card payments: whatever the provider and the network do, the books come to what the provider says."""

import random
import signal
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend import audit, card_payments, db, jobs, ledger, users
from backend.card_money import CardMove, CardPayment, CardRefund
from backend.card_payments import CardMismatch, NothingToRefund
from backend.cards import CardsAway
from backend.cards.stripe import Stripe
from backend.deposits import Deposit
from backend.money import MICROS
from tests.backend import gallows
from tests.backend.card_provider import CENT, SECRET, open_provider, signed
from tests.backend.town import NOW

RUNS = 15  # on each database; the long form has forty times as many


@pytest.fixture
def there():
    with open_provider() as provider:
        yield provider


@pytest.fixture
def stripe(there):
    return Stripe("sk_test_key", SECRET, there.url, timeout=(5, 5))


class Desk:
    """Our side: one installation that takes cards, at an hour of its own."""

    def __init__(self, sessions, stripe, there):
        self.sessions, self.stripe, self.there, self.now = sessions, stripe, there, NOW

    def reader(self, name):
        with self.sessions.begin() as session:
            return users.add(session, f"{name}@example.org", now=self.now)

    def begin(self, user, cents):
        """A reader presses; the id of the checkout, or None where the provider did not answer."""
        with self.sessions.begin() as session:
            payment = card_payments.begin(session, user, cents * CENT, now=self.now)
        try:
            checkout = self.stripe.checkout(payment.key, cents * CENT, "EUR", "http://127.0.0.1/money")
        except CardsAway:
            return None
        with self.sessions.begin() as session:
            card_payments.keep_checkout(session, payment.key, checkout.id)
        return checkout.id

    def paid(self, user, cents):
        """A payment that is made and booked: the provider's id."""
        payment = self.there.pay(self.begin(user, cents))
        self.sync()
        return payment

    def refund(self, user, cents):
        with self.sessions.begin() as session:
            return card_payments.refund(session, user, cents * CENT, now=self.now)

    def look(self, payment_id):
        return card_payments.reconcile(self.sessions, self.stripe, payment_id, "EUR", now=self.now)

    def work(self):
        """The background worker does what is due."""
        handlers = {"card": lambda job: self.look(job["payment"]), "mail": lambda mail: None}
        return jobs.work(self.sessions, handlers, lambda: self.now)

    def hear(self, event):
        body, headers = signed(event)
        with self.sessions.begin() as session:
            return card_payments.hear(session, self.stripe.verify(body, headers), now=self.now)

    def sync(self):
        """`flattr cards sync`: how many changed."""
        with self.sessions() as session:
            due = card_payments.looked_after(session)
        return sum(self.look(payment_id) for payment_id in due)

    def balances(self, user):
        with self.sessions() as session:
            wanted = {
                "wallet": ledger.wallet(user.id),
                "transit": ledger.transit(user.id),
                "reserve": ledger.RESERVE,
                "cards": ledger.CARDS,
            }
            found = ledger.balances(session, list(wanted.values()))
            assert audit.problems(session, full=True) == []
        return {name: found[account] // CENT for name, account in wanted.items() if found[account]}

    def spend(self, user, micros):
        """A month takes money out of a wallet."""
        account = ledger.wallet(user.id)
        with self.sessions.begin() as session:
            about = f"{user.id} {random.getrandbits(60)}"
            gone = ledger.Posting("spent", about, account, ledger.FEES, micros, concerns=account)
            ledger.post(session, [gone], now=self.now)


@pytest.fixture
def desk(sessions, stripe, there):
    return Desk(sessions, stripe, there)


# One thing after the other --------------------------------------------------------------------------------------------


def test_a_payment_is_a_deposit_once_the_provider_says_so(desk, there):
    ann = desk.reader("ann")
    checkout = desk.begin(ann, 2000)
    assert (desk.sync(), desk.balances(ann)) == (0, {})

    payment = there.pay(checkout)
    [event] = there.events
    for _ in range(3):
        assert desk.hear(event)
        desk.work()
    assert desk.balances(ann) == {"wallet": 2000, "cards": -2000}
    with desk.sessions() as session:
        [deposit] = session.scalars(sa.select(Deposit))
        assert (deposit.reference, deposit.source, deposit.at) == (payment, "card", NOW)


def test_a_payment_whose_every_message_was_lost_is_found(desk, there):
    ann = desk.reader("ann")
    there.pay(desk.begin(ann, 2000))
    desk.now += timedelta(minutes=1)
    with desk.sessions.begin() as session:
        card_payments.enqueue_due(session, now=desk.now)
    assert desk.work() == 1
    assert desk.balances(ann) == {"wallet": 2000, "cards": -2000}


def test_a_payment_that_nobody_makes_is_over_one_day(desk, there):
    ann = desk.reader("ann")
    there.expire(desk.begin(ann, 2000))
    there.broken = "429"
    assert desk.begin(ann, 2000) is None
    there.broken = None
    desk.now += timedelta(hours=27)
    assert (desk.sync(), desk.balances(ann)) == (2, {})
    with desk.sessions() as session:
        assert card_payments.looked_after(session) == []
        assert session.scalars(sa.select(CardPayment.state)).all() == ["expired", "expired"]


def test_how_often_the_provider_is_asked_about_a_payment_grows_less(desk, there):
    ann = desk.reader("ann")
    desk.paid(ann, 2000)
    looks, until = [], desk.now + timedelta(days=300)
    while desk.now < until:
        with desk.sessions.begin() as session:
            card_payments.enqueue_due(session, now=desk.now)
        if desk.work():
            looks.append((desk.now - NOW).days)
        desk.now += timedelta(days=1)
    assert looks == [1, 2, 4, 8, 16, 32, 64, 128, 256]


def test_a_refund_goes_through_transit_and_once(desk, there):
    ann = desk.reader("ann")
    desk.paid(ann, 2000)
    desk.refund(ann, 700)
    assert desk.balances(ann) == {"wallet": 1300, "transit": 700, "cards": -2000}
    for _ in range(3):
        desk.sync()
    assert desk.balances(ann) == {"wallet": 1300, "cards": -1300}
    assert there.posts.count("refunds") == 1


@pytest.mark.parametrize("trouble", ["500 after", "cut off after", "stall", "429", "500 before", "cut off"])
def test_a_refund_whose_answer_was_lost_is_made_once(desk, there, trouble, monkeypatch):
    ann = desk.reader("ann")
    desk.paid(ann, 2000)
    desk.refund(ann, 700)
    desk.stripe = Stripe("sk_test_key", SECRET, there.url, timeout=(0.1, 0.1))
    post = desk.stripe.refund

    def in_trouble(*asked):
        there.broken = trouble
        try:
            post(*asked)
        finally:
            there.broken = None

    monkeypatch.setattr(desk.stripe, "refund", in_trouble)
    for _ in range(3):
        try:
            desk.sync()
        except CardsAway:
            assert desk.balances(ann) == {"wallet": 1300, "transit": 700, "cards": -2000}
            monkeypatch.setattr(desk.stripe, "refund", post)
    assert desk.balances(ann) == {"wallet": 1300, "cards": -1300}
    assert len(there.refunds) == 1
    assert there.posts.count("refunds") == 1


def test_a_refund_that_is_refused_is_in_the_wallet_again_and_said(desk, there):
    ann = desk.reader("ann")
    payment = desk.paid(ann, 2000)
    desk.refund(ann, 700)
    there.dispute(payment, 500)
    desk.sync()
    assert desk.balances(ann) == {"wallet": 1500, "cards": -1500}
    with desk.sessions() as session:
        assert session.scalars(sa.select(CardRefund.state)).all() == ["refused"]
        [mail] = session.scalars(sa.select(jobs.Job.payload).where(jobs.Job.kind == "mail"))
    assert mail["to"] == "ann@example.org"


def test_a_refund_that_fails_weeks_later_comes_back_into_the_wallet(desk, there):
    ann = desk.reader("ann")
    desk.paid(ann, 2000)
    desk.refund(ann, 700)
    desk.sync()
    there.fail(*there.refunds)
    assert (desk.sync(), desk.sync()) == (1, 0)
    assert desk.balances(ann) == {"wallet": 2000, "cards": -2000}


def test_a_chargeback_after_the_money_was_spent_is_the_reserves(desk, there):
    ann = desk.reader("ann")
    payment = desk.paid(ann, 2000)
    desk.spend(ann, 15 * MICROS)
    dispute = there.dispute(payment, 2000)
    desk.sync()
    assert desk.balances(ann) == {"reserve": -1500}

    there.decide(dispute, "won")
    desk.sync()
    assert desk.balances(ann) == {"wallet": 500, "cards": -2000}

    there.decide(dispute, "lost")
    desk.sync()
    assert desk.balances(ann) == {"reserve": -1500}
    with desk.sessions() as session:
        moves = session.scalars(sa.select(CardMove).order_by(CardMove.number))
        assert [(m.number, m.wallet_micros // CENT, m.reserve_micros // CENT) for m in moves] == [
            (1, 500, 1500),
            (2, -500, -1500),
            (3, 500, 1500),
        ]


def test_an_inquiry_takes_nothing(desk, there):
    ann = desk.reader("ann")
    dispute = there.dispute(desk.paid(ann, 2000), 2000)
    there.decide(dispute, "warning_needs_response")
    desk.sync()
    assert desk.balances(ann) == {"wallet": 2000, "cards": -2000}


def test_the_operators_refund_takes_what_is_there_and_the_reserve_the_rest(desk, there):
    ann = desk.reader("ann")
    payment = desk.paid(ann, 2000)
    desk.spend(ann, 15 * MICROS)
    there.refund(payment, 600)
    desk.sync()
    assert desk.balances(ann) == {"reserve": -100, "cards": -1400}


def test_only_what_is_unspent_goes_back_and_the_oldest_money_is_spent_first(desk):
    ann = desk.reader("ann")
    desk.paid(ann, 1000)
    with desk.sessions.begin() as session:
        card_payments.deposits.add(session, ann, 10 * MICROS, "bank 1", now=desk.now)
    desk.paid(ann, 500)
    for spent, most in ((0, 1500), (4_000_001, 1099), (6_000_000, 500), (12_000_000, 299)):
        if spent:
            desk.spend(ann, spent)
        with desk.sessions() as session:
            assert card_payments.refundable_by_card(session, ann) == most * CENT
        for micros in (0, -CENT, most * CENT + CENT, most * CENT - CENT // 2):
            with pytest.raises(NothingToRefund), desk.sessions.begin() as session:
                card_payments.refund(session, ann, micros, now=desk.now)
        if spent == 4_000_001:
            with desk.sessions() as session:
                found = card_payments._refundable(session, ann)
                assert [amount // CENT for _, amount in found] == [500, 599]


def test_somebody_who_paid_and_left_gets_it_back(desk, there, town):
    ann = desk.reader("ann")
    checkout = desk.begin(ann, 2000)
    town.people["Ann"] = ann
    town.leave("Ann")
    there.pay(checkout)
    desk.sync()
    desk.work()
    assert desk.balances(ann) == {}
    assert [refund["amount"] for refund in there.refunds.values()] == [2000]


@pytest.mark.parametrize("said", [{"currency": "usd"}, {"amount_total": 1999}, {"client_reference_id": "another"}])
def test_a_payment_that_is_not_what_was_asked_for_is_not_booked(desk, there, said):
    ann = desk.reader("ann")
    checkout = desk.begin(ann, 2000)
    there.pay(checkout)
    there.sessions[checkout] |= said
    with pytest.raises(CardMismatch):
        desk.sync()
    assert desk.balances(ann) == {}


def test_what_was_read_before_another_change_was_booked_is_read_again(desk, there, monkeypatch):
    ann = desk.reader("ann")
    dispute = there.dispute(desk.paid(ann, 2000), 2000)
    read, reads = desk.stripe.payment, []

    def slowly(checkout_id):
        reads.append(read(checkout_id))
        if len(reads) == 1:  # meanwhile the dispute is won, which another worker books first
            monkeypatch.setattr(desk.stripe, "payment", read)
            desk.sync()
            there.decide(dispute, "won")
            desk.sync()
            monkeypatch.setattr(desk.stripe, "payment", slowly)
        return reads[-1]

    monkeypatch.setattr(desk.stripe, "payment", slowly)
    desk.sync()
    assert desk.balances(ann) == {"wallet": 2000, "cards": -2000}
    assert len(reads) == 2


# Bad days -------------------------------------------------------------------------------------------------------------


class BadDay:
    """A reader pays, spends and wants it back, and things go wrong: whatever a seed says."""

    ACTS = ("pay", "pay", "refund", "refund_theirs", "dispute", "decide", "fail", "spend", "hear", "work")

    def __init__(self, desk, there, seed):
        self.desk, self.there, self.fate = desk, there, random.Random(seed)
        self.user, self.checkouts = desk.reader(f"reader{seed}"), []
        there.random, there.events, there.trouble = random.Random(seed), [], self.fate.choice((0, 0.1, 0.3))

    def pass_by(self):
        for _ in range(self.fate.randint(3, 9)):
            getattr(self, self.fate.choice(self.ACTS))()
        for event in self.fate.sample(self.there.events, k=len(self.there.events) // 2):
            self.desk.hear(event)
        self.desk.work()
        self.there.trouble, self.there.kept = 0, {}  # a day later, the provider has forgotten the keys
        self.desk.now += timedelta(days=1)

    @property
    def payments(self):
        made = [self.there.sessions[id_]["payment_intent"] for id_ in self.checkouts]
        return [payment for payment in made if payment]

    def of_mine(self, things):
        return [thing for thing in things.values() if thing["payment_intent"] in self.payments]

    def part_of_a_payment(self):
        for payment in self.fate.sample(self.payments, k=len(self.payments)):
            if (left := self.there.left(payment)) > 0:
                return payment, self.fate.choice((left, self.fate.randint(1, left)))
        return None

    def pay(self):
        if checkout := self.desk.begin(self.user, self.fate.choice((500, 2000, 4999))):
            self.checkouts.append(checkout)
            (self.there.expire if self.fate.random() < 0.1 else self.there.pay)(checkout)

    def refund(self):
        with self.desk.sessions() as session:
            most = card_payments.refundable_by_card(session, self.user) // CENT
        if most:
            self.desk.refund(self.user, self.fate.randint(1, most))

    def refund_theirs(self):
        if part := self.part_of_a_payment():
            self.there.refund(*part)

    def dispute(self):
        if part := self.part_of_a_payment():
            self.there.dispute(*part)

    def decide(self):
        if disputes := self.of_mine(self.there.disputes):
            self.there.decide(self.fate.choice(disputes)["id"], self.fate.choice(("won", "lost", "under_review")))

    def fail(self):
        if refunds := self.of_mine(self.there.refunds):
            self.there.fail(self.fate.choice(refunds)["id"])

    def spend(self):
        with self.desk.sessions() as session:
            held = ledger.balance(session, ledger.wallet(self.user.id))
        if held:
            self.desk.spend(self.user, self.fate.randint(1, held))

    def hear(self):
        """Messages come late, twice, out of order, or never."""
        if self.there.events:
            for event in self.fate.choices(self.there.events, k=2):
                self.desk.hear(event)

    def work(self):
        self.desk.work()
        self.desk.now += timedelta(minutes=self.fate.choice((1, 90)))


def settle(desk, user):
    with desk.sessions() as session:
        mine = session.scalars(sa.select(CardPayment.id).where(CardPayment.user_id == user.id)).all()
    for _ in range(2):
        for payment_id in mine:
            desk.look(payment_id)
    return mine


def test_whatever_goes_wrong_the_books_come_to_what_the_provider_says(desk, there, long):
    patient, hasty = desk.stripe, Stripe("sk_test_key", SECRET, there.url, timeout=(0.1, 0.1))
    for number in range(RUNS * (40 if long else 1)):
        seed = number if not long else random.getrandbits(40)
        desk.stripe = hasty
        day = BadDay(desk, there, seed)
        day.pass_by()
        desk.stripe, user = patient, day.user
        payments = settle(desk, user)
        with desk.sessions() as session:
            held = -ledger.balance(session, ledger.CARDS)
            waiting = ledger.balance(session, ledger.transit(user.id))
            rows = session.scalars(sa.select(CardPayment).where(CardPayment.user_id == user.id)).all()
            asked = sa.select(CardRefund).where(CardRefund.payment_id.in_(payments))
            refunds = session.scalars(asked).all()
            assert (held, waiting) == (there.holds(), 0), f"seed {seed}"
            assert len([r for r in rows if r.state == "paid"]) == len(day.payments), f"seed {seed}"
            assert {r.state for r in refunds} <= {"done", "refused"}, f"seed {seed}"
            ours = [r["metadata"].get("flattr") for r in there.refunds.values()]
            assert all(ours.count(key) == 1 for key in ours if key), f"seed {seed}: a refund was made twice"
            if number % 15 == 14:
                assert audit.problems(session, full=True) == [], f"seed {seed}"


# Killed ---------------------------------------------------------------------------------------------------------------


def _reconcile(url, provider_url, payment_id, at, answer):
    engine = db.make_engine(url)
    killer = gallows.Gallows(engine, at)
    stripe = Stripe("sk_test_key", SECRET, provider_url)
    card_payments.reconcile(db.session_maker(engine), stripe, payment_id, "EUR", now=NOW)
    answer.send(killer.count)


def reconcile_elsewhere(url, there, payment_id, at=None):
    """In a process of its own, killed before its *at*-th statement or commit: how many there were, None if killed."""
    ours, theirs = gallows.PROCESSES.Pipe()
    process = gallows.PROCESSES.Process(target=_reconcile, args=(url, there.url, payment_id, at, theirs))
    process.start()
    theirs.close()
    process.join(60)
    if process.exitcode == -signal.SIGKILL:
        return None
    assert process.exitcode == 0
    return ours.recv()


def test_a_refund_killed_anywhere_and_run_again_is_made_and_booked_once(desk, there, database_url, long):
    ann = desk.reader("ann")
    desk.paid(ann, 50000)
    [payment] = [row["client_reference_id"] for row in there.sessions.values()]
    with desk.sessions() as session:
        payment_id = session.scalar(sa.select(CardPayment.id).where(CardPayment.key == payment))
    desk.refund(ann, 100)
    steps = reconcile_elsewhere(database_url, there, payment_id)
    assert steps > 10
    done = 1
    for at in range(1, steps + 1, 1 if long else 3):
        desk.refund(ann, 100)
        assert reconcile_elsewhere(database_url, there, payment_id, at) is None
        desk.look(payment_id)
        done += 1
        assert desk.balances(ann) == {"wallet": 50000 - 100 * done, "cards": 100 * done - 50000}, at
        assert len(there.refunds) == there.posts.count("refunds") == done, at
    assert there.holds() == (50000 - 100 * done) * CENT


# Changed afterwards ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE card_payments SET provider_id = 'pi_x' WHERE taken_micros > 0", "is not a deposit"),
        ("UPDATE card_payments SET amount_micros = amount_micros + 10000 WHERE taken_micros > 0", "is not a deposit"),
        ("UPDATE deposits SET source = 'bank' WHERE id = 1", "is not a deposit that the provider holds"),
        ("UPDATE card_payments SET taken_micros = taken_micros + 1 WHERE taken_micros > 0", "something else went back"),
        ("UPDATE card_refunds SET state = 'refused' WHERE state = 'done'", "is not in transit as it says"),
        ("UPDATE card_refunds SET amount_micros = amount_micros + 1 WHERE state = 'done'", "is not in transit"),
        ("UPDATE card_refunds SET state = 'asked' WHERE state = 'done'", "something else went back"),
        ("UPDATE card_moves SET wallet_micros = wallet_micros + 1 WHERE cause LIKE 'dp%'", "has no transfers"),
        ("UPDATE card_moves SET cause = 'dp_x' WHERE cause LIKE 'dp%'", "has no transfers of its amounts"),
        ("DELETE FROM card_moves WHERE cause LIKE 'dp%'", "for no refund or dispute that is known"),
    ],
)
def test_what_is_changed_afterwards_is_found(desk, there, engine, statement, said):
    ann = desk.reader("ann")
    payment = desk.paid(ann, 2000)
    desk.refund(ann, 700)
    desk.sync()
    there.dispute(payment, 300)
    desk.sync()
    assert desk.balances(ann) == {"wallet": 1000, "cards": -1000}
    with desk.sessions.begin() as session:
        if "card_moves" in statement:  # whoever can do that can take the trigger away as well
            for trigger in triggers_of(session):
                session.execute(sa.text(trigger))
        assert session.execute(sa.text(statement)).rowcount == 1
    with desk.sessions() as session:
        assert said in " ".join(audit.problems(session))


def triggers_of(session):
    if session.get_bind().dialect.name == "sqlite":
        return [f"DROP TRIGGER card_moves_no_{verb}" for verb in ("update", "delete")]
    return ["DROP TRIGGER card_moves_append_only ON card_moves"]


@pytest.mark.parametrize("change", ["UPDATE card_moves SET number = 2", "DELETE FROM card_moves"])
def test_nobody_changes_what_was_booked_for_the_provider(desk, there, change):
    there.dispute(desk.paid(desk.reader("ann"), 2000), 300)
    desk.sync()
    with desk.sessions.begin() as session, pytest.raises(sa.exc.DBAPIError, match="append-only"):
        session.execute(sa.text(change))
