"""The server as it runs, in processes of its own, and what tests do to it."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "backend.cli"]


def until(true, seconds=90):
    """What *true* answers as soon as it answers something, within a deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < deadline, f"nothing happened for {seconds} seconds"
        time.sleep(0.05)
    return answer


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(folder, **settings):
    """An operator's environment, with nothing of this one's settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLATTR_")}
    return inherited | {"PYTHONPATH": str(ROOT), "FLATTR_INSTANCE": str(folder), "FLATTR_DEV": "1"} | settings


def flattr(env, *words):
    """Run a command beside the server."""
    done = subprocess.run([*PROGRAM, *words, "--json"], env=env, capture_output=True, text=True, check=True, timeout=99)
    return json.loads(done.stdout)


class Server:
    """A running `flattr serve`, or something like it."""

    def __init__(self, command, port, env, folder):
        self.url = f"http://127.0.0.1:{port}"
        self.log = open(folder / f"server-{port}.log", "w+")  # noqa: SIM115 (closed with the server)
        self.process = psutil.Popen(command, env=env, cwd=folder, stdout=self.log, stderr=self.log)

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def ask(self, method, path, body=None, token=None):
        """Status and body of an answer; None when there was none."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if answer.headers.get_content_subtype() == "json" else text
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except (OSError, http.client.HTTPException):
            return None

    def press(self, token, url, owner_id=None):
        return self.ask("POST", "/api/v1/clicks", {"url": url, "owner_id": owner_id}, token)

    def is_up(self):
        assert self.process.poll() is None, self.said()
        return self.ask("GET", "/healthz")

    def family(self):
        return [self.process, *self.process.children(recursive=True)]

    def workers(self):
        """The background workers beside the server."""
        return [child for child in self.process.children() if is_worker(child)]


def is_worker(process):
    try:
        return "worker" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


@contextmanager
def running(command, env, folder):
    """A server, until the test is over; its processes are ended whatever happens."""
    port = free_port()
    server = Server([*command, "--port", str(port)], port, env, folder)
    family = []
    try:
        until(server.is_up)
        family = server.family()
        yield server
    finally:
        with suppress(psutil.NoSuchProcess):
            family += server.family()
        for process in {process.pid: process for process in family}.values():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        server.process.wait(60)
        server.log.close()
