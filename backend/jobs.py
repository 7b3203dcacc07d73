"""Background work: a table of what is due, and the worker that does it.

A job is claimed by moving its date to the next try, so one whose worker was killed comes due again by itself. It is
deleted when it is done. Handlers must bear being called twice.
"""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from backend.db import Base, Id, constant, existing, index_where, put, put_all
from backend.errors import DomainError, NotFound

MAX_TRIES = 12
LATE = timedelta(hours=1)
log = logging.getLogger(__name__)
Handler = Callable[[dict[str, Any]], object]  # what it answers is nobody's business


class Job(Base):
    """Something to do once *due_at* has come; one of a kind and key at a time."""

    __tablename__ = "jobs"
    __table_args__ = (sa.UniqueConstraint("kind", "key"), index_where("tries > 1", "jobs_failed_idx", "due_at", "id"))

    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(sa.String(16))
    key: Mapped[str] = mapped_column(sa.String(320))
    payload: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    due_at: Mapped[datetime] = mapped_column(index=True)
    tries: Mapped[int]


class Heartbeat(Base):
    """When something that has to happen again and again happened last: the worker's round, a backup."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    at: Mapped[datetime]


def enqueue(session: Session, kind: str, key: str, payload: dict[str, Any], *, now: datetime) -> None:
    """Have something done soon; the same kind and key waits only once.

    One that is being done right now is done again: it may have looked before what this is about happened.
    """
    enqueue_all(session, kind, {key: payload}, now=now)


def enqueue_all(session: Session, kind: str, payloads: Mapping[str, dict[str, Any]], *, now: datetime) -> None:
    """As `enqueue`, for any number of jobs by key."""
    rest = {"due_at": now, "tries": 0}
    rows = [{"kind": kind, "key": key[:320], "payload": payload} | rest for key, payload in payloads.items()]
    put_all(session, Job, ["kind", "key"], rows)


def mail(
    session: Session, user_id: int, to: str, about: str, subject: str, text: str, *, now: datetime, notice: str = ""
) -> None:
    """Have a mail sent to a user's address; the same *about* waits once. A kind of *notice* can be switched off."""
    enqueue_all(session, "mail", dict([letter(user_id, to, about, subject, text, notice=notice)]), now=now)


def letter(
    user_id: int, to: str, about: str, subject: str, text: str, *, notice: str = ""
) -> tuple[str, dict[str, Any]]:
    """The key and the payload of the job that sends a mail, as in `mail`."""
    payload = {"to": to, "subject": subject, "text": text} | ({"notice": notice, "user": user_id} if notice else {})
    # The person first: a job's key is cut off where it gets too long, and who leaves gets no more mails.
    return f"{user_id} {about}", payload


def is_waiting(session: Session, kind: str, key: str) -> bool:
    """Whether such a job has still to be done."""
    return bool(session.scalar(sa.select(Job.id).where(Job.kind == kind, Job.key == key)))


def forget_mails(session: Session, user_id: int) -> None:
    """What waits of a user's mails is not sent any more."""
    session.execute(sa.delete(Job).where(Job.kind == "mail", Job.key.startswith(f"{user_id} ")))


def stuck(session: Session, *, now: datetime, most: int) -> Sequence[Job]:
    """Jobs that failed more than once or are late, the oldest first."""
    query = sa.select(Job).where(sa.or_(Job.tries > constant(1), Job.due_at < now - LATE))
    return session.scalars(query.order_by(Job.due_at, Job.id).limit(most)).all()


def retry(session: Session, job_id: int, *, now: datetime) -> Job:
    """Have a job tried again now, as if it were new.

    Raises:
        NotFound: It is done, or was given up.
    """
    job = existing(session, Job, job_id, NotFound("This job is done, or was given up."), lock=True)
    job.due_at, job.tries = now, 0
    session.flush()
    return job


def beat(session: Session, name: str, *, now: datetime) -> None:
    """It happened now."""
    put(session, Heartbeat, {"name": name}, {"at": now})


def last_beat(session: Session, name: str) -> datetime | None:
    """When it happened last; None if never."""
    return session.scalar(sa.select(Heartbeat.at).where(Heartbeat.name == name))


def work(sessions: sessionmaker[Session], handlers: Mapping[str, Handler], clock: Callable[[], datetime]) -> int:
    """Do all that is due, one after the other; how many jobs were done."""
    done = 0
    while job := _claim(sessions, clock()):
        try:
            handlers[job.kind](job.payload)
        except (DomainError, OSError) as error:
            log.warning("job %s %s, try %d: %s", job.kind, job.id, job.tries, type(error).__name__)
            continue
        with sessions.begin() as session:
            session.execute(sa.delete(Job).where(Job.id == job.id, Job.due_at == job.due_at))
        done += 1
    return done


def _claim(sessions: sessionmaker[Session], now: datetime) -> Job | None:
    """A job that is due, for this worker: until its date comes again, nobody else does it."""
    with sessions.begin() as session:
        session.execute(sa.delete(Job).where(Job.tries >= MAX_TRIES))
        query = sa.select(Job).where(Job.due_at <= now).order_by(Job.due_at).limit(1).with_for_update(skip_locked=True)
        job = session.scalar(query)
        if job:
            job.tries += 1
            job.due_at = now + min(timedelta(seconds=30) * 2**job.tries, timedelta(hours=6))
    return job


def end_with_parent() -> None:
    """From now on this process ends when the one that started it does, however that dies."""
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_after, args=[parent], daemon=True).start()


def _end_after(process: BaseProcess) -> None:
    process.join()
    os._exit(0)
