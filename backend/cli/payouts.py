"""Money out: batches of payouts, what came back, and refunds."""

import sys
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from backend import users
from backend.backup import written_whole
from backend.cli.desk import Desk, desk, flattr, messages, table_of
from backend.money import format_money
from backend.payouts import batches, refunds, returned
from backend.payouts.details import masked
from backend.payouts.tables import Batch, Payout


@flattr.group("payouts")
def payouts_group() -> None:
    """Money out: prepare, have another operator approve, export, upload at the bank, confirm."""


@payouts_group.command("prepare")
@click.option("--by", metavar="EMAIL", help="The operator who prepares; another one has to approve.")
@desk
def prepare(desk: Desk, by: str | None) -> None:
    """Freeze a batch of all that can be paid; one that waits for approval is shown again."""
    with desk.reading() as session:
        operator = users.by_email(session, by) if by else None
    prepared = batches.prepare(desk.sessions, batches.Terms.of(desk.config), now=desk.config.now(), by=operator)
    for sentence in prepared.left_out:
        messages.print(sentence, highlight=False)
    batch, skipped = prepared.batch, {"skipped": prepared.skipped}
    if batch is None:
        desk.answer({"state": "nothing_to_pay", "batch": None} | skipped, "Nothing to pay.")
    else:
        desk.answer(_shown(batch) | {"new": prepared.is_new} | skipped, _title(batch))


@payouts_group.command("list")
@desk
def list_batches(desk: Desk) -> None:
    """All batches, the newest first."""
    with desk.reading() as session:
        rows = [_shown(batch) for batch in batches.listing(session)]
    table = Table("batch", "state", "payouts", "total", "created")
    for row in rows:
        total = format_money(row["total_micros"], row["currency"])
        table.add_row(str(row["batch"]), row["state"], str(row["payouts"]), total, row["created_at"])
    desk.answer({"batches": rows}, table)


@payouts_group.command("show")
@click.argument("batch", type=click.IntRange(1))
@desk
def show(desk: Desk, batch: int) -> None:
    """A batch, its digest, and every payout in it."""
    with desk.reading() as session:
        found, rows = batches.of_batch(session, batch)
    table = Table("payout", "for", "state", "amount", "to", "account", title=_title(found))
    for payout in rows:
        account = masked(payout.iban) if payout.iban else ""
        amount = format_money(payout.amount_micros, found.currency)
        table.add_row(str(payout.id), payout.purpose, payout.state, amount, payout.holder or "", account)
    desk.answer(_shown(found) | {"lines": [_line(payout) for payout in rows]}, table)


def _title(batch: Batch) -> str:
    total = format_money(batch.total_micros, batch.currency)
    return f"Batch {batch.id}, {batch.state}: {batch.payouts} payouts, {total}\n{batch.digest.hex()}"


def _shown(batch: Batch) -> dict[str, Any]:
    names = ("state", "payouts", "total_micros", "currency", "message_id")
    told = {"batch": batch.id} | {name: getattr(batch, name) for name in names}
    return told | {"digest": batch.digest.hex(), "created_at": batch.created_at.isoformat()}


def _line(payout: Payout) -> dict[str, Any]:
    told = {name: getattr(payout, name) for name in ("purpose", "state", "amount_micros", "holder")}
    return {"payout": payout.id} | told | {"iban": masked(payout.iban) if payout.iban else None}


@payouts_group.command("approve")
@click.argument("batch", type=click.IntRange(1))
@click.option("--by", required=True, metavar="EMAIL", help="The operator who approves.")
@click.option("--digest", required=True, metavar="SHA256", help="As `prepare` and `show` print it.")
@desk
def approve(desk: Desk, batch: int, by: str, digest: str) -> None:
    """Vouch for a batch that another operator prepared."""
    with desk.sessions.begin() as session:
        operator = users.by_email(session, by)
        debtor = batches.debtor_of(desk.config)
        is_new = batches.approve(session, batch, operator, digest, debtor, now=desk.config.now())
    _done(desk, batch, "approved", is_new)


@payouts_group.command("export")
@click.argument("batch", type=click.IntRange(1))
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True, dir_okay=False))
@desk
def export(desk: Desk, batch: int, file: Path) -> None:
    """Write an approved batch's pain.001 file for the bank, the same bytes each time; `-` is standard output."""
    with desk.sessions.begin() as session:
        written = batches.export(session, batch, now=desk.config.now())
    if str(file) == "-":
        sys.stdout.buffer.write(written)
        return
    if file.exists() and file.read_bytes() != written:
        raise FileExistsError(f"{file} is another file already. Give a new name.")
    with written_whole(file) as draft:
        draft.write_bytes(written)
    desk.answer({"batch": batch, "file": str(file), "bytes": len(written)}, f"{file}: {len(written)} bytes.")


@payouts_group.command("confirm")
@click.argument("batch", type=click.IntRange(1))
@desk
def confirm(desk: Desk, batch: int) -> None:
    """The bank has paid: all of a batch but what failed."""
    with desk.sessions.begin() as session:
        is_new = batches.confirm(session, batch, now=desk.config.now())
    _done(desk, batch, "confirmed", is_new)


@payouts_group.command("cancel")
@click.argument("batch", type=click.IntRange(1))
@desk
def cancel(desk: Desk, batch: int) -> None:
    """Drop a batch whose file is not out yet; the money goes back."""
    with desk.sessions.begin() as session:
        is_new = batches.cancel(session, batch, now=desk.config.now())
    _done(desk, batch, "cancelled", is_new)


def _done(desk: Desk, batch: int, state: str, is_new: bool) -> None:
    said = f"Batch {batch} is {state}." if is_new else f"Batch {batch} was {state} already."
    desk.answer({"batch": batch, "state": state if is_new else "already"}, said)


@payouts_group.command("fail")
@click.argument("payout", type=click.IntRange(1))
@click.option("--reason", default="", help="What the bank said.")
@desk
def fail(desk: Desk, payout: int, reason: str) -> None:
    """The bank did not pay a payout, or sent it back: the money is the payee's again, who is told."""
    with desk.sessions.begin() as session:
        is_new = returned.fail(session, payout, desk.config.currency, now=desk.config.now(), reason=reason)
    said = f"Payout {payout} {'failed' if is_new else 'had failed already'}."
    desk.answer({"payout": payout, "state": "failed" if is_new else "already"}, said)


@payouts_group.command("stranded")
@desk
def stranded(desk: Desk) -> None:
    """What came back although its payee has left: `again` pays it."""
    with desk.reading() as session:
        rows = [{"public_id": user.public_id} | _line(payout) for user, payout in returned.stranded(session)]
    names = ("payout", "public_id", "purpose", "amount_micros")
    desk.answer({"payouts": rows}, table_of(names, rows) if rows else "Nothing rests with somebody who has left.")


@payouts_group.command("again")
@click.argument("payout", type=click.IntRange(1))
@click.option("--iban", required=True, help="Where its payee, who has left, proved to be paid.")
@click.option("--holder", required=True, help="Whose account that is.")
@desk
def again(desk: Desk, payout: int, iban: str, holder: str) -> None:
    """Put what came back from somebody who has left into the next batch, to an account they proved to be theirs."""
    with desk.sessions.begin() as session:
        made, is_new = returned.again(session, payout, iban, holder, desk.config.currency, now=desk.config.now())
    amount = desk.money(made.amount_micros)
    said = f"Payout {made.id}, {amount}, {'waits for the next batch' if is_new else f'was made already: {made.state}'}."
    desk.answer(_line(made) | {"new": is_new}, said)


@flattr.group("refunds")
def refunds_group() -> None:
    """Unspent money back to readers."""


@refunds_group.command("request")
@click.argument("email")
@desk
def request(desk: Desk, email: str) -> None:
    """Put a reader's unspent money, as far as it came through the bank, into the next batch."""
    with desk.sessions.begin() as session:
        user = users.by_email(session, email)
        payout = refunds.request(session, user, desk.config.currency, now=desk.config.now())
    result = _line(payout) | {"currency": desk.config.currency, "due_at": payout.due_at.isoformat()}
    desk.answer(result, f"{desk.money(payout.amount_micros)} for {user.email} is in the next batch.")
