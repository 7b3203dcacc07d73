"""Processes that have the program loaded when they begin: starting one takes no second, and it dies like any other."""

import json
import os
import sys
import threading
from multiprocessing import get_context
from pathlib import Path

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.backend.gallows", "backend.app", "backend.cli", "backend.cli.serving"])


def _run(words, environment, out, log):
    from backend import cli
    from backend.cli import serving

    serving._start_worker = Nobody  # whoever wants a worker starts one
    os.environ.clear()
    os.environ.update(environment)
    for file, number in ((out, 1), (log, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.argv = ["flattr", *words]
    cli.main()


class Nobody:
    """A process that never ends."""

    def wait(self):
        threading.Event().wait()


def start(words, environment, out, log):
    """`flattr` with these words, on its way; what it says goes to two files, which may be one."""
    process = PROCESSES.Process(target=_run, args=(words, environment, str(out), str(log)))
    process.start()
    return process


def answer(words, environment, folder):
    """What a command answers with `--json`, once it has ended well."""
    number = len(list(Path(folder).glob("command-*")))
    out, log = Path(folder) / f"command-{number}.out", Path(folder) / f"command-{number}.log"
    process = start([*words, "--json"], environment, out, log)
    process.join(60)
    assert process.exitcode == 0, log.read_text() if log.exists() else "it did not begin"
    return json.loads(out.read_text())
