"""The pages over a database of a settled month: how much they weigh, and how soon they begin to come."""

import time
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPConnection
from random import Random
from statistics import median

from backend import access, db
from backend.users import User
from tests.bench import months, serving, settling
from tests.bench.rows import row

PATHS = ("/month", "/history", "/money", "/sites", "/income", "/settings")
STYLE = ("/static/tokens.css", "/static/site.css", "/static/icon.svg")
DESK = ("/desk", *(f"/desk/{part}" for part in "deposits payouts claims months log jobs audit".split()))
PEOPLE = 50  # readers, and as many owners


@cache
def seen():
    """Bytes of the heaviest page with what it loads and of the start page; ms of each page's answers, and of none."""
    with settling.server().month(settling.READERS) as engine:
        settling.settle(engine)
        sessions, url = db.session_maker(engine), engine.url.render_as_string(hide_password=False)
        chance, last = Random(3), settling.READERS
        ids = chance.choices(range(1, last + 1), k=PEOPLE) + chance.choices(range(last + 1, last * 3 // 2), k=PEOPLE)
        with sessions.begin() as session:
            now = datetime.now(UTC)
            users = [session.get_one(User, id_) for id_ in ids]
            users[0].is_operator = True
            cookies = [access.sign_in(session, user, now=now) for user in users]
        with serving.serving(url, settling.server().folder) as address:
            fetch = _fetcher(address)
            style = sum(fetch(path)[1] for path in STYLE)
            pages = {path: [_better(fetch, path, cookie) for cookie in cookies] for path in PATHS}
            pages |= {path: [_better(fetch, path, cookies[0]) for _ in range(3)] for path in DESK}
            bare = [fetch("/healthz")[0] for _ in range(200)]
            home = fetch("/")[1] + style
    heaviest = max(size for answers in pages.values() for _, size in answers) + style
    return heaviest, home, {path: [ms for ms, _ in answers] for path, answers in pages.items()}, median(bare)


def _better(fetch, path, cookie):
    """A page, asked for twice: what else the machine does is not the page's."""
    return min(fetch(f"{path}{_of_month(path)}", cookie) for _ in range(2))


def _of_month(path):
    return f"?period={months.PERIOD}" if path in ("/month", "/income") else ""


def _fetcher(address):
    """Milliseconds to the first byte of an answer, and its size."""
    connection = HTTPConnection(address.removeprefix("http://"))

    def fetch(path, cookie=""):
        start = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": f"sid={cookie}"})
        answer = connection.getresponse()
        first = (time.perf_counter() - start) * 1000
        body = answer.read()
        assert answer.status == 200, (path, answer.status)
        return first, len(body)

    return fetch


def page_bytes_max():
    """The heaviest page of readers and owners of a settled month, with its style."""
    heaviest, home, *_ = seen()
    return row("page_bytes_max", heaviest, "bytes", "the start page", heaviest / home)


def page_first_byte_ms():
    """From asking for such a page to its first byte."""
    *_, pages, bare = seen()
    ours = median(ms for answers in pages.values() for ms in answers)
    return row("page_first_byte_ms", ours, "ms", "an answer that needs no database", ours / bare)


def page_slowest_ms():
    """The slowest answer of all: the page with the longest list, or the operator's view of everything."""
    *_, pages, bare = seen()
    ours, path = max((ms, path) for path, answers in pages.items() for ms in answers)
    return row("page_slowest_ms", ours, "ms", f"an answer that needs no database ({path})", ours / bare)


ROWS = (page_bytes_max, page_first_byte_ms, page_slowest_ms)
