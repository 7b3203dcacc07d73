"""Background work: a table of what is due, and the worker that does it.

A job is claimed by moving its date to the next try, so one whose worker was killed comes due again by itself. It is
deleted when it is done. Handlers must bear being called twice.
"""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from backend.db import Base, Id, insert
from backend.errors import DomainError

MAX_TRIES = 12
log = logging.getLogger(__name__)
Handler = Callable[[dict[str, Any]], None]


class Job(Base):
    """Something to do once *due_at* has come; one of a kind and key at a time."""

    __tablename__ = "jobs"
    __table_args__ = (sa.UniqueConstraint("kind", "key"),)

    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(sa.String(16))
    key: Mapped[str] = mapped_column(sa.String(320))
    payload: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    due_at: Mapped[datetime] = mapped_column(index=True)
    tries: Mapped[int]


@dataclass(frozen=True)
class Claimed:
    """A job that this worker does now."""

    id: int
    kind: str
    payload: dict[str, Any]
    tries: int
    due_at: datetime


def enqueue(session: Session, kind: str, key: str, payload: dict[str, Any], *, now: datetime) -> None:
    """Have something done soon; the same kind and key waits only once.

    One that is being done right now is done again: it may have looked before what this is about happened.
    """
    row = {"kind": kind, "key": key[:320], "payload": payload, "due_at": now, "tries": 0}
    statement = insert(session, Job)
    anew = {name: statement.excluded[name] for name in ("payload", "due_at", "tries")}
    session.execute(statement.on_conflict_do_update(index_elements=["kind", "key"], set_=anew), row)


def is_waiting(session: Session, kind: str, key: str) -> bool:
    """Whether such a job has still to be done."""
    return bool(session.scalar(sa.select(Job.id).where(Job.kind == kind, Job.key == key)))


def forget(session: Session, kind: str, prefix: str) -> None:
    """What waits of a kind, and whose key begins so, is not done any more."""
    session.execute(sa.delete(Job).where(Job.kind == kind, Job.key.startswith(prefix, autoescape=True)))


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


def _claim(sessions: sessionmaker[Session], now: datetime) -> Claimed | None:
    with sessions.begin() as session:
        session.execute(sa.delete(Job).where(Job.tries >= MAX_TRIES))
        query = sa.select(Job).where(Job.due_at <= now).order_by(Job.due_at).limit(1).with_for_update(skip_locked=True)
        job = session.scalar(query)
        if job is None:
            return None
        job.tries += 1
        job.due_at = now + min(timedelta(seconds=30) * 2**job.tries, timedelta(hours=6))
        return Claimed(job.id, job.kind, job.payload, job.tries, job.due_at)


def end_with_parent() -> None:
    """From now on this process ends when the one that started it does, however that dies."""
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_after, args=[parent], daemon=True).start()


def _end_after(process: BaseProcess) -> None:
    process.join()
    os._exit(0)
