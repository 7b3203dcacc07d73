"""What happens when people, or their second thoughts, arrive at the same moment."""

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier
from time import sleep


def at_once(*acts):
    """Do everything at the same moment, each in a thread of its own: what each returned, or the error it raised."""
    start = Barrier(len(acts), timeout=60)

    def run(act):
        start.wait()
        try:
            return act()
        except Exception as error:  # noqa: BLE001 -- handed to the test, which says what it expected
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def must_wait(act, until, engine):
    """Start *act*, see that it waits for what only *until* brings about, and then what it returned."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(act)
        if engine.dialect.name == "sqlite":  # which cannot be asked who waits; whoever writes does, for all others
            wait([waiting], timeout=0.3)
        else:
            while not (waiting.done() or _somebody_waits(engine)):
                sleep(0.01)
        went_ahead = waiting.done()
        until()
        result = waiting.result(timeout=60)
    assert not went_ahead, f"it went ahead: {result}"
    return result


def _somebody_waits(engine):
    with engine.connect() as connection:
        here = "datname = current_database() AND wait_event_type = 'Lock'"
        return connection.exec_driver_sql(f"SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE {here})").scalar()
