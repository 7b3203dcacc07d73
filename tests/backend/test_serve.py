"""The server as it runs: real processes, real HTTP, and what is left when they are killed."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from tests.backend.serving import PROGRAM, environment, flattr, is_worker, running, until


@pytest.fixture
def env(tmp_path):
    return environment(tmp_path)


@pytest.fixture
def blog():
    """A site on this machine whose front page can be written."""

    class Blog(BaseHTTPRequestHandler):
        front_page = "<head></head>"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(self.front_page.encode())

        def log_message(self, *_):
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.2", 0), Blog) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Blog.site = f"127.0.0.2:{server.server_port}"
        yield Blog
        server.shutdown()


def test_a_press_claims_the_site_whose_tag_it_names(env, tmp_path, blog):
    bea = flattr(env, "users", "add", "bea@example.org", "--name", "Bea")["public_id"]
    flattr(env, "users", "add", "ann@example.org")
    token = flattr(env, "users", "token", "ann@example.org")["token"]
    blog.front_page = f'<!doctype html><head><meta name="flattr:id" content="{bea}"></head>'

    with running([*PROGRAM, "serve"], env, tmp_path) as server:
        assert server.ask("GET", "/healthz") == (200, "ok\n")
        assert server.ask("GET", "/readyz") == (200, "ready\n")
        status, click = server.press(token, f"http://{blog.site}/post", bea)
        assert (status, click["state"]) == (201, "promise")

        def claimed():
            _, page = server.ask("GET", f"/api/v1/pages?url=http://{blog.site}/post", token=token)
            return page["rule"] == "claimed" and page

        page = until(claimed)
        assert (page["owner"], page["state"], page["clicked"]) == ({"public_id": bea, "name": "Bea"}, "counts", True)
        assert server.ask("GET", "/api/v1/me", token=token)[1]["owners"] == 1
        assert until(lambda: f"{blog.site} is yours on Flattr" in server.said())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_server_that_is_asked_to_end_takes_its_worker_along(env, tmp_path, how):
    with running([*PROGRAM, "serve"], env, tmp_path) as server:
        until(server.workers)
        family = server.family()

        server.process.send_signal(how)
        gone, left = psutil.wait_procs(family, 15)
        assert (left, server.process.returncode) == ([], 0)
        assert len(gone) == 3
        assert "Traceback" not in server.said()


def test_what_a_killed_server_acknowledged_is_there_when_it_is_back(env, tmp_path):
    flattr(env, "users", "add", "ann@example.org")
    token = flattr(env, "users", "token", "ann@example.org")["token"]
    with running([*PROGRAM, "serve"], env, tmp_path) as server:
        until(server.workers)
        family = server.family()
        with ThreadPoolExecutor(8) as browsers:
            presses = [
                browsers.submit(server.press, token, f"https://site{number}.example.org/") for number in range(200)
            ]
            until(lambda: sum(press.done() for press in presses) >= 40)
            for process in [process for process in family if not is_worker(process)]:
                process.kill()
        acknowledged = [answer[1]["url"] for press in presses if (answer := press.result())]
        assert psutil.wait_procs(family, 15)[1] == []
    assert 40 <= len(acknowledged) < 200

    with running([*PROGRAM, "serve"], env, tmp_path) as server:
        _, month = server.ask("GET", "/api/v1/clicks", token=token)
    assert set(acknowledged) <= {click["url"] for click in month["clicks"]}


def test_a_killed_server_takes_its_processes_along(env, tmp_path):
    with running([*PROGRAM, "serve"], env, tmp_path) as server:
        until(server.workers)
        family = server.family()

        server.process.kill()
        assert psutil.wait_procs(family, 15)[1] == []


def test_a_worker_that_dies_is_replaced(env, tmp_path):
    with running([*PROGRAM, "serve"], env, tmp_path) as server:
        [worker] = until(server.workers)

        worker.kill()
        [replacement] = until(lambda: [other for other in server.workers() if other.pid != worker.pid])
        assert replacement.is_running()


def test_postgresql_is_served_by_several_processes(postgres, tmp_path):
    admin, url = postgres
    with admin.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS served WITH (FORCE)")
        connection.exec_driver_sql("CREATE DATABASE served TEMPLATE upgraded")
    env = environment(tmp_path, FLATTR_DATABASE_URL=url.format("served"))
    flattr(env, "users", "add", "ann@example.org")
    token = flattr(env, "users", "token", "ann@example.org")["token"]

    with running([*PROGRAM, "serve", "--workers", "2"], env, tmp_path) as server:
        with ThreadPoolExecutor(8) as browsers:
            sent = [f"https://site{number % 20}.example.org/" for number in range(40)]
            statuses = sorted(answer[0] for answer in browsers.map(lambda page: server.press(token, page), sent))
        assert statuses == [200] * 20 + [201] * 20
        assert len(server.ask("GET", "/api/v1/clicks", token=token)[1]["clicks"]) == 20
        assert (len(server.family()), server.workers()) == (3, [])  # the operator runs `flattr worker`
        family = server.family()
        server.process.send_signal(signal.SIGTERM)
        assert psutil.wait_procs(family, 15)[1] == []


def test_sqlite_is_served_by_one_process(env, tmp_path):
    done = subprocess.run([*PROGRAM, "serve", "--workers", "2"], env=env, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "SQLite is served by one process" in done.stderr


def test_flask_starts_it_too(env, tmp_path):
    with running([sys.executable, "-m", "flask", "--app", "backend.app", "run"], env, tmp_path) as server:
        assert server.ask("GET", "/readyz") == (200, "ready\n")
        assert server.ask("GET", "/api/v1/me")[0] == 401
