"""A real server, real sites beside it, and both browsers."""

import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import threading
import urllib.request

import pytest

from tests import processes
from tests.e2e.browsers import ROOT, Chromium, Firefox
from tests.e2e.waiting import wait_for

OCTOBER = "2026-10-20T12:00:00Z"
NOVEMBER = "2026-11-02T09:00:00Z"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`flattr serve` on SQLite in dev mode, and the operator's commands; it can be stopped, and moved in time."""

    def __init__(self, folder, now=OCTOBER):
        self.folder, self.now, self.port, self.process, self.worker = folder, now, free_port(), None, None
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def environment(self):
        ours = {"FLATTR_DEV": "1", "FLATTR_INSTANCE": str(self.folder), "FLATTR_BASE_URL": self.url}
        ours |= {"FLATTR_BANK_NAME": "Flattr e.V.", "FLATTR_BANK_IBAN": "DE89370400440532013000"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLATTR_")}
        return kept | ours | {"FLATTR_NOW": self.now}

    def start(self):
        log = self.folder / "server.log"
        self.process = processes.start(["serve", "--port", str(self.port)], self.environment, log, log)
        wait_for(self._answers, "the server")
        self.worker = processes.start(["worker"], self.environment, log, log)
        return self

    def _answers(self):
        assert self.process.is_alive(), (self.folder / "server.log").read_text()
        try:
            with urllib.request.urlopen(self.url + "/readyz", timeout=10) as answer:
                return answer.status == 200
        except OSError as error:
            raise LookupError(error) from error

    def stop(self, how=signal.SIGTERM):
        if self.worker:
            self.worker.kill()
            self.worker.join(40)
        if self.process and self.process.is_alive():
            os.kill(self.process.pid, how)
            self.process.join(40)
            assert not self.process.is_alive(), "the server does not end"

    def go_to(self, now):
        """The same server at another time."""
        self.stop()
        self.now = now
        self.start()

    def flattr(self, *words):
        """One of the operator's commands, answered with JSON."""
        return processes.answer(words, self.environment, self.folder)

    def ask(self, path, token):
        """A question to the API, as a device."""
        request = urllib.request.Request(f"{self.url}/api/v1{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def send(self, path, token, body):
        """A press of another browser."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def forget(self, path, token):
        """Something is taken back in another browser."""
        headers = {"Authorization": f"Bearer {token}"}
        urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/api/v1{path}", None, headers, method="DELETE")
        ).close()


class Wire:
    """The way to the server, with a meter: how many connections were made on it, and bytes sent."""

    def __init__(self, server):
        self.connections = self.sent = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._accept, args=(server.port,), daemon=True).start()

    def _accept(self, port):
        with contextlib.suppress(OSError):  # it was cut
            while True:
                near, _ = self.socket.accept()
                self.connections += 1
                far = socket.create_connection(("127.0.0.1", port))
                threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source, target, counts):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.sent += len(data) if counts else 0
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def cut(self):
        self.socket.close()


class Web:
    """Sites on loopback hosts of their own: pages that exist, and what their heads say."""

    def __init__(self):
        self.heads, self.asked = {}, []
        self.bodies = {}
        web = self

        class Pages(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                host = self.headers["Host"].partition(":")[0]
                web.asked.append(host + self.path)
                title = f"Post {self.path}"
                head = web.heads.get(host, "")
                head = f"<title>{title}</title>{head}"
                more = web.bodies.get(host, "")
                body = f"<!doctype html><html lang='en'><head>{head}</head><body><h1>{title}</h1>{more}</body>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Pages)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def site(self, host):
        return f"{host}:{self.port}"

    def page(self, host, path="/post"):
        return f"http://{self.site(host)}{path}"

    def tag(self, host, public_id):
        self.heads[host] = f'<meta name="flattr:id" content="{public_id}">'


@pytest.fixture
def server(tmp_path, upgraded_sqlite):
    shutil.copy(upgraded_sqlite, tmp_path / "flattr.db")
    server = Server(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _web():
    web = Web()
    yield web
    web.server.shutdown()


@pytest.fixture
def web(_web):
    _web.heads.clear()
    _web.bodies.clear()
    _web.asked.clear()
    return _web


BINARIES = {Chromium: ("chromium", "chromium-browser"), Firefox: ("firefox-esr", "firefox")}


def installed(kind):
    """The browser; a missing one is a loud skip, and a failure where CI is true."""
    if not any(map(shutil.which, BINARIES[kind])):
        pytest.skip(f"{kind.name} is not installed: make setup says how")
    return kind


@pytest.fixture(params=[Chromium, Firefox], ids=lambda kind: kind.name)
def kind(request):
    """Which browser."""
    return installed(request.param)


@pytest.fixture(scope="module", params=[Chromium, Firefox], ids=lambda kind: kind.name)
def kept_browser(request):
    """One browser for the tests of a file, each of which has it `start_over`."""
    with installed(request.param)() as browser:
        yield browser


@pytest.fixture
def browser(kept_browser):
    """A browser as if just installed."""
    kept_browser.start_over()
    return kept_browser


@pytest.fixture
def kind_of(kept_browser):
    """To start another browser of the same kind."""
    return type(kept_browser)


@pytest.fixture
def wire(server):
    wire = Wire(server)
    yield wire
    wire.cut()


@pytest.fixture
def axe():
    source = ROOT / "node_modules" / "axe-core" / "axe.min.js"
    if not source.exists():
        pytest.skip("axe-core is not installed: make setup")
    return source.read_text()


class Reader:
    """A reader at a browser that is connected to the server."""

    def __init__(self, browser, server, web, email="rita@example.org"):
        self.browser, self.server, self.web = browser, server, web
        self.public_id = server.flattr("users", "add", email, "--name", "Rita", "--budget", "5.00")["public_id"]
        self.token = server.flattr("users", "token", email)["token"]
        browser.use_server(server.url, self.token)

    def press(self, url):
        """Open a page and press the button on it."""
        self.browser.open(url)
        self.browser.press()

    def clicks(self):
        return self.server.ask("/clicks", self.token)["clicks"]


@pytest.fixture
def rita(browser, server, web):
    return Reader(browser, server, web)


@pytest.fixture
def wilma(server, web):
    """A writer with a site at 127.0.0.2 that carries her tag; nobody claimed it yet."""
    public_id = server.flattr("users", "add", "wilma@example.org", "--name", "Wilma")["public_id"]
    web.tag("127.0.0.2", public_id)
    return public_id


def link_in(text):
    """The first web address in a text."""
    return re.search(r"https?://\S+", text)[0]
