"""What `make bench` prints: one JSON object a line, each ratio measured inside this run (docs/performance.md)."""

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from html.parser import HTMLParser
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

from backend.claims import ids_in_head
from backend.errors import NotFlattrable
from backend.sites import site_of
from backend.urls import canonical
from tests.bench import pages, popup, settling
from tests.bench.rows import row

DATA = Path(__file__).parents[1] / "data"
ROUNDS = 5
LINES = 10_000
COPY = "import json, sys\nfor line in sys.stdin: print(json.dumps(json.loads(line)))"


def rows(name):
    """The rows of one corpus."""
    file = DATA / name
    text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return [json.loads(line) for line in text.decode("utf-8").splitlines()]


def fastest(*acts):
    """The seconds of each act at its fastest; they take turns, so that a busy moment meets them all."""
    best = [float("inf")] * len(acts)
    for _ in range(ROUNDS):
        for at, act in enumerate(acts):
            start = time.perf_counter()
            act()
            best[at] = min(best[at], time.perf_counter() - start)
    return best


def each(function, items):
    """An act: the function on every item, refusals included."""

    def act():
        for item in items:
            with suppress(ValueError, NotFlattrable):
                function(item)

    return act


def rate(name, unit, items, ours, theirs, against):
    """A row of items per second, against another function on the same items."""
    seconds, baseline = fastest(each(ours, items), each(theirs, items))
    return row(name, len(items) / seconds, unit, against, baseline / seconds)


def canonical_per_second():
    """One form for each address of the corpus."""
    urls = [case["in"] for case in rows("url_corpus.jsonl.gz")]
    return rate("canonical_per_second", "addresses/s", urls, canonical, urlsplit, "urllib.parse.urlsplit")


def site_of_per_second():
    """The site of each page, labelled pages of many platforms among them."""
    pages = []
    for text in [case["in"] for case in rows("url_corpus.jsonl.gz")] + [p["url"] for p in rows("labelled_pages.jsonl")]:
        with suppress(NotFlattrable):
            pages.append(canonical(text))
    return rate("site_of_per_second", "pages/s", pages, site_of, canonical, "canonical")


def tags_per_second():
    """The tags in each head of the corpus."""
    heads = [case["html"] for case in rows("meta_head_corpus.jsonl.gz")]
    return rate("tags_per_second", "heads/s", heads, ids_in_head, lambda html: HTMLParser().feed(html), "html.parser")


def explain_10k_lines_s():
    """The whole command, from start to end, on a fresh database."""
    urls = islice(cycle(case["in"] for case in rows("url_corpus.jsonl.gz")), LINES)
    lines = "".join(json.dumps({"url": url}) + "\n" for url in urls)
    with tempfile.TemporaryDirectory() as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLATTR_")}

        def run(*arguments, lines=lines):
            command = [sys.executable, *arguments]
            environment = kept | {"FLATTR_INSTANCE": folder}
            subprocess.run(
                command,
                input=lines,
                env=environment,
                stdout=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                check=True,
            )

        run("-m", "backend.cli", "explain", "-", lines="")  # makes the database
        seconds, baseline = fastest(lambda: run("-m", "backend.cli", "explain", "-"), lambda: run("-c", COPY))
    return row("explain_10k_lines_s", seconds, "s", "a Python process that copies the lines", seconds / baseline)


ROWS = (
    canonical_per_second,
    site_of_per_second,
    tags_per_second,
    explain_10k_lines_s,
    *settling.ROWS,
    *pages.ROWS,
    popup.popup_first_paint_ms,
)

if __name__ == "__main__":
    for measure in ROWS:
        print(json.dumps(measure()), flush=True)
