"""What the page about speed promises: each row is explained, and no number is on it that a run does not print."""

import re
from pathlib import Path

from tests.bench import bench

DOC = (Path(__file__).parents[2] / "docs/performance.md").read_text(encoding="utf-8")


def test_every_row_is_explained():
    assert re.findall(r"^\| `(\w+)` \|", DOC, re.MULTILINE) == [measure.__name__ for measure in bench.ROWS]


def test_the_page_holds_no_number_but_those_in_names():
    assert not re.search(r"\d", re.sub(r"`\w+`", "", DOC))


def test_a_row_has_a_ratio_measured_in_the_same_run(monkeypatch):
    monkeypatch.setattr(bench, "ROUNDS", 1)
    row = bench.rate("sorts_per_second", "lists/s", [[2, 1]] * 100, sorted, list, "list")
    assert row.keys() == {"name", "value", "unit", "against", "ratio"}
    assert row["value"] > 0
    assert row["ratio"] > 0
