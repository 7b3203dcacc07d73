"""A screen with a window manager, a mouse and a keyboard: a browser without one has neither menus nor keys."""

import contextlib
import os
import subprocess

from tests.e2e.waiting import wait_for


@contextlib.contextmanager
def screen():
    """Browsers that start meanwhile show up on it."""
    before = os.environ.get("DISPLAY")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    with _running(command, pass_fds=(writing,)):
        os.close(writing)
        with os.fdopen(reading) as answer:
            os.environ["DISPLAY"] = f":{answer.readline().strip()}"
        try:
            with _running(["openbox"]):
                yield
        finally:
            os.environ.pop("DISPLAY")
            if before:
                os.environ["DISPLAY"] = before


@contextlib.contextmanager
def _running(command, **how):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def xdotool(*words):
    """Move the mouse, press buttons and keys."""
    return subprocess.run(["xdotool", *map(str, words)], check=True, capture_output=True, text=True).stdout.strip()


def window_in_front(name):
    """Wait until a window of this name has the keyboard."""
    wait_for(lambda: name in xdotool("getactivewindow", "getwindowname"), f"a window named {name}")
