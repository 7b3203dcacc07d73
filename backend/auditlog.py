"""The audit log: who changed what that matters. The database lets nobody change or remove an entry."""

import json
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db import Base, Id, append_only


class Entry(Base):
    """One change: who (nobody: a command), what was done, to what, and what of it one must know."""

    __tablename__ = "audit_log"

    id: Mapped[Id]
    at: Mapped[datetime]
    actor_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    action: Mapped[str] = mapped_column(sa.String(40))
    about: Mapped[str] = mapped_column(sa.String(300), index=True)
    details: Mapped[str] = mapped_column(sa.Text)


append_only(Entry)


def record(
    session: Session, action: str, about: str, *, now: datetime, actor_id: int | None = None, **details: object
) -> None:
    """Write down a change, in the transaction that makes it.

    Args:
        action: What was done, such as ``payout_batch.approved``.
        about: To what, such as a batch's number, a site or a user's public id; never an address or a name, which
            outlive their users here.
        actor_id: The user who did it; None for a command.
        details: What one must know to understand it; JSON.
    """
    text = json.dumps(details, sort_keys=True)
    session.add(Entry(at=now, actor_id=actor_id, action=action, about=about[:300], details=text))
    session.flush()


def entries(
    session: Session,
    *,
    about: str | None = None,
    since: datetime | None = None,
    limit: int = 100,
    action: str | None = None,
    actor_id: int | None = None,
    before: int | None = None,
) -> Sequence[Entry]:
    """The newest entries, newest first: all, or those about one thing, from an instant on, before an entry's id."""
    query = sa.select(Entry).order_by(Entry.id.desc()).limit(limit)
    query = query.where(Entry.about == about) if about else query
    query = query.where(Entry.action.startswith(action, autoescape=True)) if action else query
    query = query.where(Entry.actor_id == actor_id) if actor_id else query
    query = query.where(Entry.id < before) if before else query
    return session.scalars(query.where(Entry.at >= since) if since else query).all()
