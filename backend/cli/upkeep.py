"""Backups, and whether all is as it should be in production."""

import sys
from functools import partial
from pathlib import Path

import click
from rich.progress import Progress

from backend import backup, doctor
from backend.cli.desk import Desk, desk, flattr, messages, table_of


@flattr.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@desk
def backup_command(desk: Desk, file: Path) -> None:
    """Write a consistent copy of the database to a new FILE, while it is served."""
    with Progress(console=messages, transient=True) as bar:
        task = bar.add_task("Copying", total=None)
        size = backup.make(
            desk.sessions,
            file.absolute(),
            now=desk.config.now(),
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    messages.print(backup.WITHOUT, highlight=False, soft_wrap=True)
    desk.answer({"file": str(file), "bytes": size}, f"{file} has the database: {size:,} bytes.")


@flattr.command("doctor")
@partial(desk, upgraded=False)
def doctor_command(desk: Desk) -> None:
    """Whether all that production needs is there; exit 1 when something is missing."""
    with desk.sessions() as session:
        found = doctor.examine(session, desk.config, now=desk.config.now())
    rows = [line._asdict() for line in found]
    ok = all(line.state != doctor.MISSING for line in found)
    desk.answer({"ok": ok, "checks": rows}, table_of(("state", "check", "says"), rows))
    sys.exit(0 if ok else 1)
