"""What happens when people, or their second thoughts, arrive at the same moment."""

from concurrent.futures import ThreadPoolExecutor
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
