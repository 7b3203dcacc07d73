"""How people and their browsers get in: mail links, web sessions, pairings and device tokens (RULES 5).

Secrets are given out once and stored as SHA-256.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend import bulk, users
from backend.db import Base, Digest, Id, UtcDateTime, put
from backend.errors import DomainError, InvalidRequest, NotFound
from backend.urls import clean_title
from backend.users import User

LINK_LIFE = timedelta(minutes=15)
SESSION_LIFE = timedelta(days=90)
FRESH_LIFE = timedelta(minutes=10)
PAIRING_LIFE = timedelta(minutes=10)
DEVICE_LIFE = timedelta(days=180)
NOTED_EVERY = timedelta(days=1)
WRONG_CODES = 5
_READ_AS = str.maketrans("ilo", "110", " -")


class LinkSpent(DomainError):
    """This link was used already, has expired, or a newer one was sent."""


class Unauthorized(DomainError):
    """This browser is not connected (any more)."""


class PairingPending(DomainError):
    """The code has not been typed in yet."""


class PairingOver(DomainError):
    """This code was used already or has expired: ask for a new one."""


class SignInLink(Base):
    """The newest sign-in link of an address; a newer one replaces it, use deletes it."""

    __tablename__ = "sign_in_links"

    email: Mapped[str] = mapped_column(sa.String(254), primary_key=True)
    token_hash: Mapped[Digest] = mapped_column(unique=True)
    next_path: Mapped[str] = mapped_column(sa.String(2400))  # an address to flattr may stand in it, encoded
    created_at: Mapped[datetime]


class WebSession(Base):
    """A sign-in on the web pages."""

    __tablename__ = "web_sessions"

    id_hash: Mapped[Digest] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), index=True)
    signed_in_at: Mapped[datetime]


class Device(Base):
    """A browser connected to a user, with its token."""

    __tablename__ = "devices"

    id: Mapped[Id]
    user_id: Mapped[int] = mapped_column(sa.ForeignKey(User.id), index=True)
    name: Mapped[str] = mapped_column(sa.String(80))
    token_hash: Mapped[Digest] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Pairing(Base):
    """A browser that wants to be connected and shows a code."""

    __tablename__ = "pairings"

    id: Mapped[str] = mapped_column(sa.String(26), primary_key=True)
    challenge: Mapped[Digest]
    device_name: Mapped[str] = mapped_column(sa.String(80))
    code: Mapped[str] = mapped_column(sa.String(6))
    wrong_codes: Mapped[int]
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey(User.id))
    created_at: Mapped[datetime]


# Sign-in by mail ------------------------------------------------------------------------------------------------------


def new_link(session: Session, email: str, *, now: datetime, next_path: str = "/month") -> str:
    """A fresh sign-in token for an address, known or not; earlier ones stop working.

    Raises:
        BadAddress: *email* has not the form of an address.
    """
    token = secrets.token_urlsafe(20)
    row = {"token_hash": _hash(token), "next_path": _local(next_path), "created_at": now}
    put(session, SignInLink, {"email": users.normal_address(email)}, row)
    return token


def use_link(session: Session, token: str, *, now: datetime) -> tuple[User, str]:
    """The user who proved to own the address, new ones included, and the path they wanted to go to.

    Raises:
        LinkSpent: Used, expired, replaced or never given out.
    """
    link = session.execute(
        sa.delete(SignInLink)
        .where(SignInLink.token_hash == _hash(token), SignInLink.created_at > now - LINK_LIFE)
        .returning(SignInLink.email, SignInLink.next_path)
    ).one_or_none()
    if link is None:
        raise LinkSpent
    return users.add(session, link.email, now=now), link.next_path


def _local(path: str) -> str:
    """Only paths of our own: a link must not send anybody elsewhere after sign-in."""
    local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and len(path) <= 2400
    return path if local else "/month"


# Web sessions ---------------------------------------------------------------------------------------------------------


def sign_in(session: Session, user: User, *, now: datetime) -> str:
    """A new web session's secret, for the cookie."""
    secret = secrets.token_urlsafe(32)
    session.add(WebSession(id_hash=_hash(secret), user_id=user.id, signed_in_at=now))
    session.flush()
    return secret


def signed_in(session: Session, secret: str | None, *, now: datetime) -> tuple[User, WebSession] | None:
    """Who a cookie belongs to, with their web session."""
    if not secret:
        return None
    return session.execute(
        sa.select(User, WebSession)
        .join(WebSession, WebSession.user_id == User.id)
        .where(WebSession.id_hash == _hash(secret), WebSession.signed_in_at > now - SESSION_LIFE)
    ).one_or_none()


def is_fresh(web_session: WebSession, *, now: datetime) -> bool:
    """Whether the sign-in is recent enough for bank data, mail address and deletion."""
    return web_session.signed_in_at > now - FRESH_LIFE


def sign_out(session: Session, secret: str) -> None:
    """End this web session."""
    session.execute(sa.delete(WebSession).where(WebSession.id_hash == _hash(secret)))


def sign_out_everywhere(session: Session, user: User) -> None:
    """End all web sessions of a user; connected devices stay."""
    session.execute(sa.delete(WebSession).where(WebSession.user_id == user.id))


# Pairing --------------------------------------------------------------------------------------------------------------


def start_pairing(session: Session, challenge: str, device_name: str, *, now: datetime) -> Pairing:
    """A code for a browser to show.

    Args:
        challenge: SHA-256 of the verifier that the browser keeps, as unpadded base64url (RFC 7636) or hex.

    Raises:
        InvalidRequest: The challenge is no SHA-256.
    """
    session.execute(sa.delete(Pairing).where(Pairing.created_at < now - timedelta(days=1)))
    pairing = Pairing(
        id=secrets.token_urlsafe(16),
        challenge=_digest(challenge),
        device_name=(clean_title(device_name) or "Browser")[:80],
        code=users.new_id(6),
        wrong_codes=0,
        user_id=None,
        created_at=now,
    )
    session.add(pairing)
    session.flush()
    return pairing


def open_pairing(session: Session, pairing_id: str, *, now: datetime) -> Pairing:
    """A pairing that still waits for its code or its browser, locked until the transaction ends.

    Raises:
        PairingOver: Spent, expired, or too many wrong codes.
    """
    pairing = None
    if pairing_id.isprintable():  # PostgreSQL cannot even be asked about a NUL
        pairing = session.get(Pairing, pairing_id, with_for_update=True, populate_existing=True)
    if pairing is None or pairing.created_at <= now - PAIRING_LIFE or pairing.wrong_codes >= WRONG_CODES:
        raise PairingOver
    return pairing


def try_code(session: Session, pairing_id: str, code: str, user: User, *, now: datetime) -> bool:
    """Type the code that the browser shows: connects it to *user*, or counts a wrong try.

    Raises:
        PairingOver: Spent, expired, or too many wrong codes.
    """
    pairing = open_pairing(session, pairing_id, now=now)
    if pairing.user_id is not None:
        raise PairingOver
    right = hmac.compare_digest(_hash(code.lower().translate(_READ_AS)), _hash(pairing.code))
    if right:
        pairing.user_id = user.id
    else:
        pairing.wrong_codes += 1
    session.flush()
    return right


def redeem(session: Session, pairing_id: str, verifier: str, *, now: datetime) -> tuple[str, Device]:
    """The device token, once, for the browser that started the pairing.

    Raises:
        PairingPending: Nobody typed the code yet.
        PairingOver: Spent, expired, or not this browser's.
    """
    pairing = open_pairing(session, pairing_id, now=now)
    if not hmac.compare_digest(_hash(verifier), pairing.challenge):
        raise PairingOver
    if pairing.user_id is None:
        raise PairingPending
    user = session.get_one(User, pairing.user_id)
    session.delete(pairing)
    return new_device(session, user, pairing.device_name, now=now)


# Devices --------------------------------------------------------------------------------------------------------------


def new_device(session: Session, user: User, name: str, *, now: datetime) -> tuple[str, Device]:
    """A device and its token, which is not stored and cannot be shown again."""
    token = "flt_" + secrets.token_urlsafe(32)
    device = Device(user_id=user.id, name=name, token_hash=_hash(token), created_at=now, used_at=now, revoked_at=None)
    session.add(device)
    session.flush()
    return token, device


def device_of(session: Session, token: str, *, now: datetime) -> tuple[Device, User]:
    """The device and user of a token.

    Raises:
        Unauthorized: Unknown, revoked, or unused for too long.
    """
    row = session.execute(
        sa.select(Device, User)
        .join(User, User.id == Device.user_id)
        .where(Device.token_hash == _hash(token), Device.revoked_at.is_(None), Device.used_at > now - DEVICE_LIFE)
    ).one_or_none()
    if row is None:
        raise Unauthorized
    return row


def readers_of(session: Session, tokens: Collection[str], *, now: datetime) -> dict[str, int]:
    """The ids of the users whose tokens these are; others are left out. Notes, once a day, that they were used."""
    hashes = {_hash(token): token for token in tokens}
    found = _LIVE.ask(session, values={"since": now - DEVICE_LIFE}, token_hash=hashes)
    if stale := [id_ for id_, _, _, used_at in found if used_at < now - NOTED_EVERY]:
        session.execute(sa.update(Device).where(Device.id.in_(stale)).values(used_at=now))
    return {hashes[bytes(token_hash)]: user_id for _, token_hash, user_id, _ in found}


_LIVE = bulk.Question(
    lambda given, _: (
        sa.select(Device.id, Device.token_hash, Device.user_id, Device.used_at)
        .join(given, given.c.token_hash == Device.token_hash)
        .where(Device.revoked_at.is_(None), Device.used_at > sa.bindparam("since", type_=UtcDateTime()))
    ),
    token_hash=sa.LargeBinary(),
)


def is_stale(device: Device, *, now: datetime) -> bool:
    """Whether the use of a device should be noted again: once a day is enough."""
    return device.used_at < now - NOTED_EVERY


def devices(session: Session, user: User) -> list[Device]:
    """The user's connected browsers, newest first."""
    query = sa.select(Device).where(Device.user_id == user.id, Device.revoked_at.is_(None)).order_by(Device.id.desc())
    return list(session.scalars(query))


def disconnect(session: Session, user: User, device_id: int, *, now: datetime) -> Device:
    """Revoke a device's token at once.

    Raises:
        NotFound: The user has no such device.
    """
    device = session.get(Device, device_id) if device_id < 2**63 else None
    if device is None or device.user_id != user.id:
        raise NotFound
    device.revoked_at = device.revoked_at or now
    session.flush()
    return device


def forget(session: Session, user: User) -> None:
    """Delete every way in that a user who leaves had."""
    for table in (WebSession, Device, Pairing):
        session.execute(sa.delete(table).where(table.user_id == user.id))
    session.execute(sa.delete(SignInLink).where(SignInLink.email == user.email))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def _digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text) if len(text) == 64 else base64.urlsafe_b64decode(text + "=")
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise InvalidRequest("The challenge must be a SHA-256, as unpadded base64url or hex.")
    return digest
