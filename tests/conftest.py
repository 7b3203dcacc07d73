import os

import pytest
from hypothesis import settings

pytest_plugins = ["tests.run_rules"]

# The same examples on every machine where a failure stops others; new ones wherever somebody can look at them.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI") == "true":
    settings.load_profile("ci")


@pytest.fixture
def long():
    """Whether this is the long form of the tests: `make test-long`."""
    return os.environ.get("FLATTR_TESTS") == "long"
