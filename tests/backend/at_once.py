"""What happens when people, or their second thoughts, arrive at the same moment."""

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier


def at_once(*acts):
    """Do everything at the same moment, each in a thread of its own: what each returned, or the error it raised."""
    start = Barrier(len(acts), timeout=20)

    def run(act):
        start.wait()
        try:
            return act()
        except Exception as error:  # noqa: BLE001 -- handed to the test, which says what it expected
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def must_wait(act, until):
    """Start *act*, see that it waits for what only *until* brings about, and then what it returned."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(act)
        went_ahead = wait([waiting], timeout=0.3).done
        until()
        result = waiting.result(timeout=20)
    assert not went_ahead, f"it went ahead: {result}"
    return result
