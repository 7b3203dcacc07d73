"""What many requests ask for at the same moment, done in one transaction: the more come in, the less each costs."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError

LINGER = 0.002  # seconds that a busy server waits for more to come: those just answered are asking again
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass
class _Batch(Generic[Asked, Answer]):
    asked: list[Asked] = field(default_factory=list)
    answers: "Future[list[Answer | DBAPIError]]" = field(default_factory=Future)


class Together(Generic[Asked, Answer]):
    """Calls *work* with all that was asked while the last call was under way, in a thread of its own.

    *work* commits before it returns, so whoever has an answer has a durable one.
    """

    def __init__(self, work: Callable[[list[Asked]], list[Answer]]) -> None:
        self._work, self._lock = work, Lock()
        self._next: _Batch[Asked, Answer] = _Batch()
        self._thread, self._busy = ThreadPoolExecutor(1, "together"), False

    def __call__(self, asked: Asked) -> Answer:
        """The answer to one question; waits until it is committed."""
        with self._lock:
            batch, at = self._next, len(self._next.asked)
            batch.asked.append(asked)
            if at == 0:
                batch.answers = self._thread.submit(self._do, batch)
        answer = batch.answers.result()[at]
        if isinstance(answer, DBAPIError):
            raise answer
        return answer

    def _do(self, batch: _Batch[Asked, Answer]) -> list[Answer | DBAPIError]:
        if self._busy:
            time.sleep(LINGER)
        with self._lock:
            self._next = _Batch()  # who comes now waits for the next
        self._busy = len(batch.asked) > 1
        try:
            return list(self._work(batch.asked))
        except DBAPIError:
            # One that the database does not take, or two servers in each other's way: the others need not suffer.
            return [self._alone(asked) for asked in batch.asked]

    def _alone(self, asked: Asked) -> Answer | DBAPIError:
        try:
            return self._work([asked])[0]
        except DBAPIError as error:
            return error
