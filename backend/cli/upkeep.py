"""Backups, and whether all is as it should be in production."""

import sys
from functools import partial
from pathlib import Path

import click

from backend import backup, doctor
from backend.cli.desk import Desk, bar, desk, flattr, messages, table_of


@flattr.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@desk
def backup_command(desk: Desk, file: Path) -> None:
    """Write a consistent copy of the database to a new FILE, while it is served."""
    with bar("Copying") as tell:
        size = backup.make(desk.sessions, file.absolute(), now=desk.config.now(), progress=tell)
    messages.print(backup.WITHOUT, highlight=False, soft_wrap=True)
    desk.answer({"file": str(file), "bytes": size}, f"{file} has the database: {size:,} bytes.")


@flattr.command("doctor")
@partial(desk, upgraded=False)
def doctor_command(desk: Desk) -> None:
    """Whether all that production needs is there; exit 1 when something is missing."""
    with desk.reading() as session:
        found = doctor.examine(session, desk.config, now=desk.config.now())
    rows = [line._asdict() for line in found]
    ok = all(line.state != doctor.MISSING for line in found)
    desk.answer({"ok": ok, "checks": rows}, table_of(("state", "check", "says"), rows))
    sys.exit(0 if ok else 1)
