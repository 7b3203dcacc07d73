"""The audit log keeps what was written."""

import json

import pytest
import sqlalchemy as sa

from backend import auditlog, deposits, sites, users
from backend.claims import states
from tests.backend.browser import Visitor
from tests.backend.town import NOW


def test_an_entry_says_who_did_what_to_what(session):
    auditlog.record(session, "claim.approved", "blog.example.org", now=NOW, actor_id=7, why="a call")
    auditlog.record(session, "claim.revoked", "blog.example.org", now=NOW)
    session.commit()

    entries = session.scalars(sa.select(auditlog.Entry).order_by(auditlog.Entry.id)).all()
    assert [(e.at, e.actor_id, e.action, e.about) for e in entries] == [
        (NOW, 7, "claim.approved", "blog.example.org"),
        (NOW, None, "claim.revoked", "blog.example.org"),
    ]
    assert json.loads(entries[0].details) == {"why": "a call"}


@pytest.mark.parametrize("change", ["UPDATE audit_log SET actor_id = 1", "DELETE FROM audit_log"])
def test_nobody_changes_or_removes_an_entry(session, change):
    auditlog.record(session, "claim.approved", "blog.example.org", now=NOW)
    session.commit()

    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        session.execute(sa.text(change))


# Who writes what ------------------------------------------------------------------------------------------------------


def log_of(town, about=None):
    """Entries, oldest first: who, what, about what, and the details."""
    with town.sessions() as session:
        names = {user.id: name for name, user in town.people.items()}
        found = reversed(auditlog.entries(session, about=about))
        return [(names.get(e.actor_id), e.action, e.about, json.loads(e.details)) for e in found]


def test_what_is_decided_about_a_claim_is_logged_with_whose_it_is(town, app):
    town.person("Bea")
    bea = {"user": town.people["Bea"].public_id}
    with town.sessions.begin() as session:
        site = sites.ensure(session, "bea.example.org")
        states.approve(session, site, town.people["Bea"], now=town.now)
    town.revoke("bea.example.org")
    town.claim("Bea", "blog.example.org")
    visitor = Visitor(app)
    visitor.sign_in("bea@example.org", "/sites")
    visitor.visit(visitor.page.links["blog.example.org"])
    visitor.press("blog.example.org is not mine any more")

    assert log_of(town) == [
        (None, "claim.approved", "bea.example.org", bea),
        (None, "claim.revoked", "bea.example.org", bea),
        ("Bea", "claim.given_up", "blog.example.org", bea),
    ]


def test_who_becomes_an_operator_and_who_is_none_any_more_is_logged(town):
    for _ in range(2):
        with town.sessions.begin() as session:
            town.people["Olga"] = users.add(session, "olga@example.org", now=town.now, name="Olga", operator=True)
    olga = town.people["Olga"].public_id
    assert log_of(town) == [(None, "operator.granted", olga, {})]
    town.leave("Olga")
    assert log_of(town, olga)[1:] == [
        (None, "operator.lost", olga, {}),
        (None, "user.left", olga, {"paid_back_micros": 0, "rest_micros": 0}),
    ]


def test_money_booked_by_hand_is_logged_once_and_money_from_the_bank_is_not(town):
    ann = town.person("Ann")
    for _ in range(2):
        deposit, _ = town.deposit("Ann", "20.00", "Bank 17")
    with town.sessions.begin() as session:
        origin = deposits.Origin("bank", payer_name="Ann B.")
        deposits.add(session, ann, 5_000_000, "Bank 18", now=town.now, origin=origin)
    by_hand = {"amount_micros": 20_000_000, "deposit": deposit.id}
    assert log_of(town) == [(None, "deposit.by_hand", ann.public_id, by_hand)]


def test_a_settled_month_is_logged_with_its_digest_and_a_fee_that_changed_with_both(town):
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    town.person("Ann", budget="5.00", wallet="20.00")
    results = []
    for day, fee_bps in (("2026-11-02", 100), ("2026-12-02", 100), ("2027-01-02", 250)):
        town.press("Ann", "bea.example.org/")
        town.on(day)
        town.foretell(fee_bps=fee_bps)
        results.append(town.settle(fee_bps=fee_bps))
        town.settle(results[-1].period, fee_bps=fee_bps)  # again: the same
    changed = (None, "fee.changed", "2026-12", {"before_bps": 100, "after_bps": 250})
    settled = [
        (None, "period.settled", r.period, {"digest": r.digest, "charged_micros": 5_000_000, "fee_bps": fee_bps})
        for r, fee_bps in zip(results, (100, 100, 250), strict=True)
    ]
    assert log_of(town)[1:] == [*settled[:2], changed, settled[2]]


def test_who_leaves_is_logged_by_whom_it_was_wanted(town, app):
    ann = town.person("Ann", wallet="3.123456")
    visitor = Visitor(app)
    visitor.sign_in("ann@example.org", "/leave")
    visitor.press("Leave for good", email="ann@example.org")
    amounts = {"paid_back_micros": 3_120_000, "rest_micros": 3_456}
    assert log_of(town, ann.public_id)[-1] == ("Ann", "user.left", ann.public_id, amounts)


def test_no_entry_has_an_address_or_a_name(town):
    town.person("Bea", wallet="3.00")
    town.claim("Bea", "blog.example.org")
    town.revoke("blog.example.org")
    town.leave("Bea")
    with town.sessions() as session:
        text = str([(e.action, e.about, e.details) for e in auditlog.entries(session)])
    assert "user.left" in text
    assert "bea@" not in text.lower()
    assert "Bea" not in text
