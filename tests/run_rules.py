"""How the suite runs: tests that drive a real browser take turns, what takes long comes first, a test that has a long
form is marked so, and with CI=true a skipped test fails the run.
"""

import os
from collections import Counter

import pytest
from xdist.scheduler import LoadFileScheduling

BROWSER_TESTS = "tests/e2e/"
# A minute each, or nearly. They come early, so that in the end no worker waits for another one's last file.
LONG_FILES = {f"tests/backend/test_{name}.py" for name in "settlement under_load card_payments claim_rules".split()}


class BrowsersTakeTurns(LoadFileScheduling):
    """One worker drives all browsers, while the others go on with the rest."""

    def _split_scope(self, nodeid):
        return BROWSER_TESTS if nodeid.startswith(BROWSER_TESTS) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False  # by number of tests, which says nothing: they come in the order below
    return BrowsersTakeTurns(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        in_file = Counter(_file(item) for item in items)
        items.sort(key=lambda item: _turn(_file(item), in_file))


def _file(item):
    return item.nodeid.partition("::")[0]


def _turn(file, in_file):
    """Browsers first, small files last."""
    return (not file.startswith(BROWSER_TESTS), file not in LONG_FILES, -in_file[file], file)


def pytest_itemcollected(item):
    if item.nodeid.startswith(BROWSER_TESTS):
        item.add_marker("browser")
    if "long" in getattr(item, "fixturenames", ()):
        item.add_marker("long")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if _skipped(session.config) and os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if skipped := _skipped(config):
        verdict = "with CI=true, that fails the run" if os.environ.get("CI") == "true" else "reasons below"
        terminalreporter.write_line(f"Skipped tests: {len(skipped)} ({verdict})", yellow=True, bold=True)


def _skipped(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return reporter.stats.get("skipped", []) if reporter else []
