"""All that is kept of one user, for that user: row by row, so that no list is too long."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend import access, claims, clicks, statements, users
from backend.card_money import CardPayment
from backend.clicks import Click, Period, Share
from backend.deposits import Deposit
from backend.payouts.tables import Payout, PayoutDetails
from backend.sites import Page, Site
from backend.statements import text_cell
from backend.users import Budget, User

Row = Mapping[str, object]
COLUMNS = ("part", "period", "at", "name", "iban", "url", "site", "state", "amount_micros")


def parts(session: Session, user: User, *, now: datetime) -> Iterator[tuple[str, Iterator[Row]]]:
    """What is kept, part by part; the rows of a part are read while they are taken."""

    def own(whose: sa.SQLColumnExpression[int], by: sa.SQLColumnExpression[Any], *told: Any) -> Iterator[Row]:
        return _rows(session, sa.select(*told).where(whose == user.id).order_by(by))

    # Lists and shares are kept by month.
    periods = session.scalars(sa.select(Period.period).order_by(Period.period)).all()
    clicked = _CLICKED.where(Click.reader_id == user.id)
    given = statements.given_over(session, user, periods)
    received = statements.received_over(session, user, periods)
    budget = (Budget.period, Budget.budget_micros.label("amount_micros"), Budget.empty_month.label("state"))
    deposit = (Deposit.reference.label("name"), Deposit.at, Deposit.amount_micros)
    payment = (CardPayment.created_at.label("at"), CardPayment.state, CardPayment.amount_micros)
    account = (PayoutDetails.holder.label("name"), PayoutDetails.iban)
    payout = (Payout.created_at.label("at"), Payout.holder.label("name"), Payout.iban, Payout.state)
    yield "user", iter([_user(session, user)])
    yield "budgets", own(Budget.reader_id, Budget.period, *budget)
    yield "clicks", chain.from_iterable(_rows(session, clicked.where(Click.period == period)) for period in periods)
    yield "promises", (_promise(found) for found in clicks.promises_of(session, user, now=now))
    yield "given", (_gave(share) for share in given)
    yield "received", ({"period": period, "amount_micros": net} for period, net in sorted(received.items()))
    yield "deposits", own(Deposit.user_id, Deposit.id, *deposit)
    yield "card_payments", own(CardPayment.user_id, CardPayment.id, *payment)
    yield "payout_account", own(PayoutDetails.user_id, PayoutDetails.user_id, *account)
    yield "payouts", own(Payout.user_id, Payout.id, *payout, Payout.amount_micros)
    yield "sites", ({"site": site.name, "state": claim.state} for claim, site in claims.of_user(session, user))
    yield "devices", ({"name": d.name, "at": _iso(d.created_at)} for d in access.devices(session, user))


_CLICKED = (
    sa.select(Click.period, Click.clicked_at.label("at"), Page.title.label("name"), Page.url, Site.name.label("site"))
    .add_columns(Click.promised_in)
    .join(Page, Page.id == Click.page_id)
    .join(Site, Site.id == Click.site_id)
    .order_by(Click.clicked_at, Click.page_id)
)


def as_json(session: Session, user: User, *, now: datetime) -> Iterator[str]:
    """One JSON object: a list for each part."""
    opening = "{"
    for part, rows in parts(session, user, now=now):
        yield f'{opening}\n"{part}": ['
        for number, row in enumerate(rows):
            yield ("," if number else "") + "\n  " + json.dumps(row, ensure_ascii=False)
        yield "]"
        opening = ","
    yield "\n}\n"


def as_csv(session: Session, user: User, *, now: datetime) -> Iterator[str]:
    """The same as one table, for spreadsheets."""
    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS, extrasaction="ignore")
    table.writeheader()
    for part, rows in parts(session, user, now=now):
        for row in rows:
            cells = {"part": part, **row}.items()
            table.writerow({name: text_cell(value) if isinstance(value, str) else value for name, value in cells})
            yield out.getvalue()
            out.seek(0)
            out.truncate()


def _rows(session: Session, query: sa.Select[*tuple[Any, ...]]) -> Iterator[Row]:
    for row in session.execute(query).mappings():
        yield {name: _iso(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _iso(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _user(session: Session, user: User) -> Row:
    said = users.thanks_of(session, user.id)
    return {
        "public_id": user.public_id,
        "email": user.email,
        "name": user.name,
        "at": _iso(user.created_at),
        "deposit_reference": user.deposit_reference,
        "thanks": said.line,
        "shows_name": said.shows_name,
        "shows_supporters": said.shows_supporters,
        "unwanted_mails": " ".join(sorted(users.unwanted_mails(session, user.id))),
    }


def _promise(promised: clicks.Promised) -> Row:
    found = dict(promised._mapping)
    del found["page_id"]
    return {"name": found.pop("title"), "state": found.pop("outcome")} | found


def _gave(month: Share) -> Row:
    each, people = month.share_micros, month.owners
    return {"period": month.period, "amount_micros": each * people, "people": people, "share_micros": each}
