import os

import pytest
from hypothesis import settings
from werkzeug.routing import Rule

from backend import db

pytest_plugins = ["tests.run_rules"]

# The same examples on every machine where a failure stops others; new ones wherever somebody can look at them.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI") == "true":
    settings.load_profile("ci")


# Each app has two functions compiled for each of its routes, which takes half of the time that it takes to make one:
# tests make thousands of apps, whose routes are the same.
_compile, _compiled = Rule._compile_builder, {}


def _compile_once(rule, append_unknown=True):
    key = (rule.rule, tuple(rule._trace), repr(rule.defaults), append_unknown)
    if key not in _compiled:
        _compiled[key] = _compile(rule, append_unknown)
    return _compiled[key]


Rule._compile_builder = _compile_once


@pytest.fixture
def long():
    """Whether this is the long form of the tests: `make test-long`."""
    return os.environ.get("FLATTR_TESTS") == "long"


@pytest.fixture(scope="session")
def upgraded_sqlite(tmp_path_factory):
    """An upgraded SQLite file to copy from."""
    file = tmp_path_factory.mktemp("sqlite") / "upgraded.db"
    engine = db.make_engine(f"sqlite:///{file}")
    db.upgrade(engine)
    engine.dispose()
    return file
