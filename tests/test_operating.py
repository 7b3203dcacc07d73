"""The files that docs/operating.md has an operator install."""

import configparser
import re
import shlex
import subprocess
from pathlib import Path

FILES = Path(__file__).parent.parent / "docs" / "operating"


def test_units_run_commands_that_there_are_as_a_user_of_their_own():
    from backend import cli

    units = sorted(FILES.glob("*.service"))
    assert len(units) == 3
    for unit in units:
        parsed = configparser.ConfigParser(strict=False, interpolation=None)
        parsed.optionxform = str
        parsed.read(unit)
        service = parsed["Service"]
        command = re.search(r"venv/bin/flattr ([a-z]+)", service["ExecStart"])[1]
        assert command in cli.flattr.commands
        assert (service["User"], service["UMask"], service["ProtectSystem"]) == ("flattr", "0077", "strict")


def test_every_setting_of_the_example_is_one_that_is_explained():
    names = re.findall(r"^(FLATTR_[A-Z_]+)=", (FILES / "flattr.env").read_text("utf-8"), re.MULTILINE)
    text = (FILES.parent / "operating.md").read_text("utf-8")
    assert names
    assert [name for name in names if f"`{name}`" not in text] == []


def test_a_shell_reads_the_example_as_systemd_does():
    file = FILES / "flattr.env"
    told = subprocess.run(["sh", "-euc", f"set -a; . {file}; env"], env={}, capture_output=True, text=True, check=True)
    given = dict(line.split("=", 1) for line in told.stdout.splitlines())
    assert told.stderr == ""
    assert given["FLATTR_BANK_NAME"] == "Flattr Example"


def test_a_backup_is_named_after_its_second():
    text = (FILES / "flattr-backup.service").read_text("utf-8")
    command = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)[1].replace("%%", "%").replace("$$", "$")
    command = command.replace("exec /opt/flattr/venv/bin/flattr backup", "echo")
    told = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"/var/backups/flattr/\d{4}-\d\d-\d\dT\d{6}\.backup\n", told)
