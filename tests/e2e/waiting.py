"""Browsers and servers take their time."""

import time

from selenium.common.exceptions import JavascriptException

NOT_YET = (LookupError, RuntimeError, JavascriptException)


def wait_for(check, what="", timeout=8.0, step=0.05):
    """The first true value of *check*; LookupError and RuntimeError count as not yet."""
    end = time.monotonic() + timeout
    while True:
        try:
            value = problem = check()
        except NOT_YET as error:
            value, problem = None, error
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout} s for {what or check}; last: {problem!r}")
        time.sleep(step)
