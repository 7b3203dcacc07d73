"""Importing bank statements: each movement is booked once, whichever statements tell of it, in whatever order.

What names a reader becomes a deposit (BANK -> wallet). What came and names nobody waits on SUSPENSE until an operator
says whose it is, or sends it back. What left is noted and moves nothing: whatever sends money books that itself.
"""

import hashlib
import json
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from backend import auditlog, deposits, ledger
from backend.bank import camt
from backend.bank.camt import Movement, Statement
from backend.db import exclusive, insert
from backend.deposits import Deposit
from backend.deposits.entries import BankEntry, BankStatement, book_later
from backend.deposits.reference import public_ids
from backend.ledger import BANK, SUSPENSE, Posting
from backend.money import decimal_text
from backend.urls import clean_title
from backend.users import User

SOME = 1000  # public ids to look up at once


@dataclass
class Imported:
    """What became of the movements of a file.

    Attributes:
        imported: Became deposits.
        already: Were known from an earlier statement.
        entries: Those that are new and no deposit, the unmatched first.
        warnings: What an operator should look into; sentences.
    """

    imported: int = 0
    already: int = 0
    unmatched: int = 0
    ignored: int = 0
    entries: list[BankEntry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """As commands print it."""
        counts = {"imported": self.imported, "already": self.already}
        counts |= {"unmatched": self.unmatched, "ignored": self.ignored}
        return counts | {"entries": [entry.as_json() for entry in self.entries], "warnings": self.warnings}


def import_file(
    sessions: sessionmaker[Session],
    path: Path,
    *,
    iban: str,
    currency: str,
    now: datetime,
    actor_id: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Imported:
    """Book what a camt.053 file tells, all of it or nothing. A file that is imported again changes nothing.

    Args:
        iban: Of our account; empty: whatever the file says.
        progress: Is told how many bytes are read.

    Raises:
        camt.BadStatement: Nothing was booked; says why.
    """
    with path.open("rb") as file:
        statements = camt.read(file, iban=iban, currency=currency, progress=progress)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").digest()
    told = Imported()
    with exclusive(sessions.kw["bind"], "bank", wait=True), sessions.begin() as session:
        for number, statement in enumerate(statements):
            _import(session, statement, told, now=now)
            _remember(session, statement, digest, number, now=now)
        for account in sorted({statement.account for statement in statements}):
            told.warnings += _doubts(session, account)
        counts = {"imported": told.imported, "unmatched": told.unmatched, "ignored": told.ignored}
        if any(counts.values()):
            auditlog.record(session, "bank_statement.imported", digest.hex(), now=now, actor_id=actor_id, **counts)
    told.entries.sort(key=lambda entry: (entry.state != "unmatched", entry.id))
    return told


def _import(session: Session, statement: Statement, told: Imported, *, now: datetime) -> None:
    entries = [_entry(statement.account, movement, now) for movement in statement.movements]
    found = [
        public_ids(m.texts) if m.amount_micros > 0 and not m.oddity else (set(), False) for m in statement.movements
    ]
    readers = _readers(session, {public_id for ids, _ in found for public_id in ids})
    meant: dict[BankEntry, User] = {}
    for entry, movement, (ids, mistyped) in zip(entries, statement.movements, found, strict=True):
        user = readers.get(next(iter(ids))) if len(ids) == 1 else None
        entry.state, entry.reason = _judge(movement, ids, mistyped, user)
        if user and entry.state == "matched":
            meant[entry] = user
    known = same(entries, _known(session, statement))
    new = [entry for entry in entries if entry not in known]
    for entry, before in known.items():
        told.already += not _learn(session, before, entry, meant.get(entry), told, now=now)
    _book(session, new, meant, now=now)
    counts = Counter(entry.state for entry in new)
    told.imported += counts["matched"]
    told.unmatched += counts["unmatched"]
    told.ignored += counts["ignored"]
    told.entries += [entry for entry in new if entry.state != "matched"]


def _entry(account: str, movement: Movement, now: datetime) -> BankEntry:
    said = [movement.amount_micros, movement.name, movement.iban, *map(camt.squeezed, movement.texts)]
    content = json.dumps([movement.booked_on.isoformat(), *said])
    came = movement.amount_micros > 0
    return BankEntry(
        account=account,
        booked_on=movement.booked_on,
        amount_micros=movement.amount_micros,
        content=hashlib.sha256(content.encode()).digest(),
        bank_reference=movement.bank_reference,
        end_to_end_id=movement.end_to_end_id if came else None,
        payer_name=movement.name,
        payer_iban=movement.iban,
        text=clean_title(" ".join(movement.texts)) if came else None,
        at=now,
    )


def _judge(movement: Movement, ids: set[str], mistyped: bool, user: User | None) -> tuple[str, str | None]:
    """What becomes of a movement, and why it is no deposit."""
    if movement.amount_micros <= 0:
        return "ignored", movement.oddity or ("debit" if movement.amount_micros else "no_money")
    if movement.oddity:
        return "unmatched", movement.oddity
    if len(ids) > 1:
        return "unmatched", "several_references"
    if user is not None:
        return ("unmatched", "user_left") if user.left_at else ("matched", None)
    return "unmatched", "unknown_reference" if ids else "mistyped_reference" if mistyped else "no_reference"


def _readers(session: Session, ids: set[str]) -> dict[str, User]:
    wanted = sorted(ids)
    found: dict[str, User] = {}
    for start in range(0, len(wanted), SOME):
        query = sa.select(User).where(User.public_id.in_(wanted[start : start + SOME]))
        found |= {user.public_id: user for user in session.scalars(query)}
    return found


def _known(session: Session, statement: Statement) -> list[BankEntry]:
    days = [movement.booked_on for movement in statement.movements] or [statement.closed_on]
    query = sa.select(BankEntry).where(
        BankEntry.account == statement.account, BankEntry.booked_on.between(min(days), max(days))
    )
    return list(session.scalars(query.order_by(BankEntry.id)))


def same(told: Sequence[BankEntry], known: Iterable[BankEntry]) -> dict[BankEntry, BankEntry]:
    """Which of the movements of one statement are known from others; each known one is meant once at most.

    Two are the same when the bank calls them the same (day, amount and the bank's reference), or, where it does not say
    what it calls one of them, when all that it says of both is the same (decision 12).
    """
    found: dict[BankEntry, BankEntry] = {}
    free = dict.fromkeys(known)

    def pair(ours: Callable[[BankEntry], object], theirs: Callable[[BankEntry], object]) -> None:
        waiting: defaultdict[object, deque[BankEntry]] = defaultdict(deque)
        for entry in free:
            waiting[theirs(entry)].append(entry)
        for entry in told:
            if entry not in found and (key := ours(entry)) and waiting[key]:
                found[entry] = waiting[key].popleft()
                del free[found[entry]]

    def name(entry: BankEntry) -> object:
        return (entry.booked_on, entry.amount_micros, entry.bank_reference) if entry.bank_reference else None

    def content_of_nameless(entry: BankEntry) -> object:
        return None if entry.bank_reference else entry.content

    pair(attrgetter("bank_reference", "content"), attrgetter("bank_reference", "content"))
    pair(name, name)
    pair(content_of_nameless, attrgetter("content"))
    pair(attrgetter("content"), content_of_nameless)
    return found


def _learn(
    session: Session, before: BankEntry, entry: BankEntry, user: User | None, told: Imported, *, now: datetime
) -> bool:
    """Take from a later statement what an earlier one did not say; whether that made it a deposit."""
    before.bank_reference = before.bank_reference or entry.bank_reference
    if before.state != "unmatched" or before.reason == "returned_payout" or user is None:
        return False
    before.payer_name, before.payer_iban = entry.payer_name, entry.payer_iban
    book_later(session, before, user, "assigned", now=now)
    told.imported += 1
    return True


def _book(session: Session, new: list[BankEntry], meant: dict[BankEntry, User], *, now: datetime) -> None:
    """Write new entries, make those that name their reader deposits, and put the other credits on SUSPENSE."""
    made: dict[BankEntry, Deposit] = {}
    for entry, user in meant.items():
        made[entry] = Deposit(user_id=user.id, amount_micros=entry.amount_micros, at=now, source="bank")
        made[entry].payer_name, made[entry].payer_iban = entry.payer_name, entry.payer_iban
        entry.forget_payer()
    session.add_all(new)
    session.flush()
    matched = [entry for entry in new if entry.state == "matched"]
    for entry in matched:
        made[entry].reference = entry.deposit_reference
    deposits.add_new(session, [made[entry] for entry in matched], now=now)
    waiting = [
        Posting("suspense", str(entry.id), BANK, SUSPENSE, entry.amount_micros, concerns=SUSPENSE)
        for entry in new
        if entry.state == "unmatched"
    ]
    ledger.post(session, waiting, now=now)


def _remember(session: Session, statement: Statement, digest: bytes, number: int, *, now: datetime) -> None:
    days = [movement.booked_on for movement in statement.movements]
    names = ("account", "identifier", "opening_micros", "closing_micros", "closed_on")
    row = {name: getattr(statement, name) for name in names} | {"opened_on": min([*days, statement.closed_on])}
    row |= {"file_sha256": digest, "number": number, "at": now}
    session.execute(insert(session, BankStatement).values(row).on_conflict_do_nothing())


def _doubts(session: Session, account: str) -> list[str]:
    """Whether statements are missing, or entries were taken for each other: against the bank's own balances."""
    query = sa.select(BankStatement).where(BankStatement.account == account)
    found = session.scalars(query.order_by(BankStatement.opened_on, BankStatement.closed_on.desc())).all()
    closings = {statement.closing_micros for statement in found} | {found[0].opening_micros}
    missing = [
        statement
        for n, statement in enumerate(found)
        if statement.opening_micros not in closings
        and not any(before.closed_on >= statement.closed_on for before in found[:n])
    ]
    if missing:
        return [
            f"The statement of {statement.closed_on} opens with {decimal_text(statement.opening_micros)}, "
            "and no known one closes with that: one before it is missing. Import it when you have it."
            for statement in missing
        ]
    moved = session.scalar(sa.select(sa.func.sum(BankEntry.amount_micros)).where(BankEntry.account == account)) or 0
    last = max(statement.closed_on for statement in found)
    latest = [statement for statement in found if statement.closed_on == last]
    ends = {statement.closing_micros for statement in latest}
    ends = ends - {statement.opening_micros for statement in latest} or ends  # what another goes on from is no end
    stands = found[0].opening_micros + int(moved)
    if stands in ends:
        return []
    said = f"All entries come to {decimal_text(stands)}, but the bank says {decimal_text(max(ends))}: two of them were "
    return [said + "taken for one, or one for two. Compare the entries with the bank's."]
