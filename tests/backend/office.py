"""A town with operators who pay its owners."""

import hashlib

import sqlalchemy as sa

from backend import auditlog, deposits, ledger, users
from backend.bank import pain
from backend.deposits import Origin, reversals
from backend.deposits.entries import BankEntry
from backend.jobs import Job
from backend.money import parse_amount
from backend.payouts import batches, details, owners, refunds, returned
from backend.payouts.batches import Terms
from backend.users import User
from tests.backend.town import Town, amount

DEBTOR = pain.Party("Flattr e.V.", "DE89370400440532013000", "COBADEFFXXX")
TERMS = Terms(DEBTOR, "EUR", parse_amount("10.00"))
IBANS = ["DE02120300000000202051", "FR1420041010050500013M02606", "NL91ABNA0417164300", "AT611904300234573201"]


class Office(Town):
    """A town with two operators, who pay its owners."""

    def paid(self, name, amount):
        """Income, as a settled month brings it; the deposit that it came from is there, too."""
        with self.sessions.begin() as session:
            user, micros = self.people[name], parse_amount(amount)
            giver = users.add(session, "giver@example.org", now=self.now, name="Giver")
            about = f"{name} {amount} {self.now.isoformat()}"
            deposits.add(session, giver, micros, about, now=self.now)
            here, there = ledger.wallet(giver.id), ledger.income(user.id)
            ledger.post(session, [ledger.Posting("gift", about, here, there, micros, concerns=there)], now=self.now)

    def account(self, name, iban=IBANS[0], holder=None):
        with self.sessions.begin() as session:
            return details.change(session, self.user(session, name), iban, holder or name, "EUR", now=self.now)

    def user(self, session, name):
        return session.get_one(User, self.people[name].id)

    def prepare(self, by=None, terms=TERMS):
        operator = self.people[by] if by else None
        found = batches.prepare(self.sessions, terms, now=self.now, by=operator)
        assert self.problems() == []
        return found

    def act(self, what, *about, **said):
        """One of the steps, in a transaction of its own; the books are right afterwards."""
        with self.sessions.begin() as session:
            answer = (getattr(batches, what, None) or getattr(returned, what))(session, *about, now=self.now, **said)
        assert self.problems() == []
        return answer

    def approve(self, batch, by="Olga", digest=None, debtor=DEBTOR):
        digest = batch.digest.hex() if digest is None else digest
        return self.act("approve", batch.id, self.people[by], digest, debtor)

    def rows(self, table, *where):
        with self.sessions() as session:
            return session.scalars(sa.select(table).where(*where).order_by(*table.__table__.primary_key)).all()

    def log(self):
        return [entry.action for entry in self.rows(auditlog.Entry)]

    def mails(self):
        return {
            (job.payload["to"].partition("@")[0], job.payload["subject"]) for job in self.rows(Job, Job.kind == "mail")
        }

    def from_bank(self, name, amount, iban=IBANS[2], payer="Payer"):
        """Money arrives for a reader on the operator's account, and a statement says so."""
        micros, content = parse_amount(amount), f"{name} {amount} {self.now.isoformat()}".encode()
        entry = BankEntry(account=DEBTOR.iban, booked_on=self.now.date(), amount_micros=micros, state="matched")
        entry.content, entry.at = hashlib.sha256(content).digest(), self.now
        origin = Origin("bank", payer_name=payer, payer_iban=iban)
        with self.sessions.begin() as session:
            session.add(entry)
            session.flush()
            deposits.add(session, self.people[name], micros, entry.deposit_reference, now=self.now, origin=origin)

    def bank_takes(self, name, amount):
        """The bank takes back part of what somebody paid in, and the operator books it."""
        entry = BankEntry(account=DEBTOR.iban, booked_on=self.now.date(), amount_micros=-parse_amount(amount))
        entry.state, entry.reason, entry.at = "ignored", "reversal", self.now
        entry.content = hashlib.sha256(f"taken {name} {amount}".encode()).digest()
        with self.sessions.begin() as session:
            session.add(entry)
            session.flush()
            reversals.reverse(session, entry.id, self.people[name], now=self.now)

    def take_back(self, name):
        """A reader takes unspent money back: how much is on its way."""
        with self.sessions.begin() as session:
            taken = refunds.request(session, self.user(session, name), "EUR", now=self.now)
        assert self.problems() == []
        return amount(taken.amount_micros)

    def exported(self, by="Olga"):
        """A batch whose file is at the bank."""
        batch = self.prepare().batch
        self.approve(batch, by)
        self.act("export", batch.id)
        return batch

    def reason(self, name):
        """Why somebody is not paid."""
        with self.sessions() as session:
            return owners.standing(session, self.user(session, name), TERMS.minimum_micros, now=self.now).reason


def office(sessions, monkeypatch):
    """Olga and Otto run it; Ann and Bea own sites."""
    town = Office(sessions, monkeypatch)
    for name in ("Olga", "Otto", "Ann", "Bea"):
        town.person(name)
    for name in ("Olga", "Otto"):
        with sessions.begin() as session:
            town.people[name] = users.add(session, f"{name}@example.org", now=town.now, operator=True)
    return town


def payday(town):
    """Ann has 25.123456 and Bea 12.00, on accounts that are older than a week."""
    town.paid("Ann", "25.123456")
    town.paid("Bea", "12.00")
    town.account("Ann", IBANS[0])
    town.account("Bea", IBANS[1], "Béa Österlund")
    town.on("2026-10-13")
    return town
