"""What many requests ask for at the same moment, done in one transaction: the more come in, the less each costs."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError

LINGER = 0.006  # seconds at most to wait for those just answered, who on a busy server ask again: one at rest waits not
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Together(Generic[Asked, Answer]):
    """Calls *work* with all that was asked while the last call was under way, in a thread of its own.

    *work* commits before it returns, so whoever has an answer has a durable one.
    """

    def __init__(self, work: Callable[[list[Asked]], list[Answer]]) -> None:
        self._work, self._lock = work, Lock()
        self._next: list[tuple[Asked, Future[Answer | DBAPIError]]] = []
        self._thread, self._expected = ThreadPoolExecutor(1, "together"), 0

    def __call__(self, asked: Asked) -> Answer:
        """The answer to one question; waits until it is committed."""
        mine: Future[Answer | DBAPIError] = Future()
        with self._lock:
            self._next.append((asked, mine))
            is_first, batch = len(self._next) == 1, self._next
        if is_first:
            self._thread.submit(self._do).add_done_callback(lambda done: _hand_out(batch, done))
        answer = mine.result()
        if isinstance(answer, DBAPIError):
            raise answer
        return answer

    def _do(self) -> list[Answer | DBAPIError]:
        until = time.monotonic() + LINGER
        while len(self._next) < self._expected and time.monotonic() < until:
            time.sleep(LINGER / 8)
        with self._lock:
            batch, self._next = self._next, []  # who comes now waits for the next
        answers = self._answers(batch)
        self._expected = len(batch) + len(self._next)
        return answers

    def _answers(self, batch: list[tuple[Asked, Future[Answer | DBAPIError]]]) -> list[Answer | DBAPIError]:
        try:
            return list(self._work([asked for asked, _ in batch]))
        except DBAPIError:
            # One that the database does not take, or two servers in each other's way: the others need not suffer.
            return [self._alone(asked) for asked, _ in batch]

    def _alone(self, asked: Asked) -> Answer | DBAPIError:
        try:
            return self._work([asked])[0]
        except DBAPIError as error:
            return error


def _hand_out(
    batch: list[tuple[Asked, "Future[Answer | DBAPIError]"]], done: "Future[list[Answer | DBAPIError]]"
) -> None:
    """Wake everybody with their own answer, or with what went wrong for all."""
    if error := done.exception():
        for _, waiting in batch:
            waiting.set_exception(error)
    else:
        for (_, waiting), answer in zip(batch, done.result(), strict=True):
            waiting.set_result(answer)
