"""Mails about a reader's month, each of which can be switched off: it ends soon, it was settled, a promise came true.

A run tells all readers of one thing about one month, some at a time: who has their mail queued and how far the run is
are written in one transaction, so that a run that is killed goes on where it was and nobody is told twice.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from backend import clicks, jobs, mail, users
from backend.access import Device
from backend.clicks import Click, Period, Share
from backend.config import Config
from backend.db import Base, PeriodNumber, insert
from backend.errors import NotFound
from backend.ledger import Account, Kind
from backend.money import format_money
from backend.period import ends_at, month_name, period_of
from backend.users import User

KINDS = {
    "ending": "My month ends in three days, and nobody is on the list or nothing is in the wallet",
    "settled": "My month was settled",
    "came_true": "A promise came true",
}
BEFORE_END = timedelta(days=3)
LATEST = timedelta(days=14)  # what was settled longer ago is no news
SEEN_LATELY = timedelta(days=31)  # who has no money, no list and no browser in use reads no more: leave them in peace
CHUNK = 500


class NoticeRun(Base):
    """How far everybody was told: readers up to the user *up_to* are; all of them, once it is done."""

    __tablename__ = "notice_runs"

    kind: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    period: Mapped[str] = mapped_column(PeriodNumber, primary_key=True, autoincrement=False)
    up_to: Mapped[int] = mapped_column(sa.BigInteger)
    done_at: Mapped[datetime | None]


def begin_due(sessions: sessionmaker[Session], *, now: datetime) -> None:
    """Queue the runs that are due and not done."""
    with sessions.begin() as session:
        settled = sa.select(Period.period).where(Period.state == "settled", Period.closed_at > now - LATEST)
        runs = [("settled", period) for period in session.scalars(settled.order_by(Period.period))]
        if now >= ends_at(period_of(now)) - BEFORE_END:
            runs.append(("ending", period_of(now)))
        for kind, period in runs:
            run, key = session.get(NoticeRun, (kind, period)), f"{kind} {period}"
            if not (run and run.done_at) and not jobs.is_waiting(session, "notices", key):
                jobs.enqueue(session, "notices", key, {"kind": kind, "period": period}, now=now)


def spread(sessions: sessionmaker[Session], job: dict[str, Any], config: Config, *, now: datetime) -> None:
    """One step of a run: the mails of some readers, and the job for the next ones.

    The next step waits behind what was queued meanwhile: looks at sites do not wait for a million mails.
    """
    kind, period = job["kind"], job["period"]
    with sessions.begin() as session:
        start = {"kind": kind, "period": period, "up_to": 0, "done_at": None}
        session.execute(insert(session, NoticeRun).values(start).on_conflict_do_nothing())
        query = sa.select(NoticeRun).where(NoticeRun.kind == kind, NoticeRun.period == period).with_for_update()
        run = session.scalars(query).one()
        if run.done_at:
            return
        if kind == "settled":
            told = _settled(session, period, run.up_to, config)
        else:
            told = _ending(session, period, run.up_to, config, now) if now < ends_at(period) else []
        for user, subject, text in told:
            run.up_to = user.id
            if subject:
                jobs.mail(session, user.id, user.email, f"{kind} {period}", subject, text, now=now, notice=kind)
        if len(told) < CHUNK:
            run.done_at = now
        else:
            jobs.enqueue(session, "notices", f"{kind} {period}", job, now=now)


Told = tuple[User, str, str]  # a reader, and the mail's subject and text; without a subject there is nothing to say


def _settled(session: Session, period: str, after: int, config: Config) -> list[Told]:
    query = sa.select(User, Share).join(Share, Share.reader_id == User.id).where(Share.period == period)
    rows = session.execute(query.where(User.id > after, User.left_at.is_(None)).order_by(User.id).limit(CHUNK)).all()
    return [(user, *_what_it_came_to(share, config)) for user, share in rows]


def _what_it_came_to(share: Share, config: Config) -> tuple[str, str]:
    if not share.share_micros:
        return "", ""
    each = format_money(share.share_micros, config.currency)
    charged = format_money(share.share_micros * share.owners, config.currency)
    whom = "one person" if share.owners == 1 else f"{share.owners} people"
    got = f"That is {each} for each of them.\n" if share.owners > 1 else ""
    text = f"In {month_name(share.period)}, your {charged} went to {whom}. {got}\n"
    text += f"Who they are: {config.base_url}/month?period={share.period}\n"
    return f"Your {charged} went to {whom}", text


def _ending(session: Session, period: str, after: int, config: Config, now: datetime) -> list[Told]:
    listed = sa.exists().where(Click.period == period, Click.reader_id == User.id)
    held = sa.select(Account.balance_micros).where(Account.id == User.id * 8 + Kind.WALLET).scalar_subquery()
    lives = sa.and_(Device.revoked_at.is_(None), Device.used_at > now - SEEN_LATELY)
    reads = sa.exists().where(Device.user_id == User.id, lives)
    query = sa.select(User, listed, sa.func.coalesce(held, 0), reads).where(User.id > after, User.left_at.is_(None))
    rows = session.execute(query.order_by(User.id).limit(CHUNK)).all()
    return [
        (user, *(_what_is_missing(session, user, period, config, now) if listed or wallet or reads else ("", "")))
        for user, listed, wallet, reads in rows
    ]


def _what_is_missing(session: Session, user: User, period: str, config: Config, now: datetime) -> tuple[str, str]:
    month = clicks.month(session, user, period, now=now)
    budget, empty_month = users.decision(session, user.id, period)
    if not budget or (month.owners and month.share_micros):
        return "", ""
    ends = f"{month_name(period)} ends on {ends_at(period).day} {ends_at(period):%B} at 00:00 UTC"
    if not month.owners:
        goes_on = _EMPTY[empty_month]
        text = f"{ends}, and nobody on your list would be paid.\n{goes_on}\n\n"
        text += f"Press the Flattr button on a page you like, or look at your month: {config.base_url}/month\n"
        return "Nobody is on your list, and the month ends in three days", text
    people = "One person is" if month.owners == 1 else f"{month.owners} people are"
    text = f"{ends}. {people} on your list, and there is no money in your wallet to share.\n\n"
    text += f"Add money: {config.base_url}/money\n"
    return "Your wallet is empty, and the month ends in three days", text


_EMPTY = {
    "keep": "Nothing is charged then.",
    "repeat": "Then it goes to the people of your last month, as you chose; to nobody if there are none.",
    "charity": "Then it goes to charity, as you chose.",
}


# Sending, and switching off -------------------------------------------------------------------------------------------


def deliver(sessions: sessionmaker[Session], job: dict[str, Any], config: Config) -> None:
    """Send a queued mail; a notice only if it is still wanted, and with a link that switches its kind off (RFC 8058).

    Raises:
        OSError: The mail server could not be reached or refused.
    """
    kind = job.get("notice")
    if kind is None:
        mail.send(config, job["to"], job["subject"], job["text"])
        return
    with sessions() as session:
        if kind in users.unwanted_mails(session, job["user"]):
            return
    link = f"{config.base_url}/mails/{_signer(config.secret_key).dumps([job['user'], kind])}"
    headers = {"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    text = f"{job['text']}\n-- \nNo more mails like this one: {link}\n"
    mail.send(config, job["to"], job["subject"], text, headers)


def of_link(session: Session, token: str, secret: str) -> tuple[User, str]:
    """Whom a link in a mail is for, and the kind of mails that it switches off.

    Raises:
        NotFound: Not one of ours, or the user has left.
    """
    try:
        user_id, kind = _signer(secret).loads(token)
    except BadData as error:
        raise NotFound from error
    user = session.get(User, user_id)
    if user is None or user.left_at or kind not in KINDS:
        raise NotFound
    return user, kind


def _signer(secret: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt="mails-off", signer_kwargs={"digest_method": hashlib.sha256})
