"""What many requests ask for at the same moment, done in one transaction: the more come in, the less each costs."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError

LINGER = 0.006  # seconds at most to wait for those just answered, who on a busy server ask again: one at rest waits not
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Together(Generic[Asked, Answer]):
    """Calls *work*, in a thread of its own, with all that was asked while the last call was under way.

    *work* commits before it returns, so whoever has an answer has a durable one.
    """

    def __init__(self, work: Callable[[list[Asked]], list[Answer]]) -> None:
        self._work, self._thread = work, ThreadPoolExecutor(1, "together")
        self._next: list[tuple[Asked, asyncio.Future[Answer | DBAPIError]]] = []
        self._doing: asyncio.Task[None] | None = None
        self._expected, self._all_there = 0, asyncio.Event()

    async def __call__(self, asked: Asked) -> Answer:
        """The answer to one question; waits until it is committed."""
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[Answer | DBAPIError] = loop.create_future()
        self._next.append((asked, mine))
        if len(self._next) >= self._expected:
            self._all_there.set()
        if self._doing is None:
            self._doing = loop.create_task(self._do())
        answer = await mine
        if isinstance(answer, DBAPIError):
            raise answer
        return answer

    async def _do(self) -> None:
        """One batch after the other, until nobody asks."""
        while self._next:
            if len(self._next) < self._expected:
                self._all_there.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._all_there.wait(), LINGER)
            batch, self._next = self._next, []  # who comes now waits for the next
            work = asyncio.get_running_loop().run_in_executor(
                self._thread, self._answers, [asked for asked, _ in batch]
            )
            await asyncio.wait([work])
            _hand_out([mine for _, mine in batch], work)
            self._expected = len(batch) + len(self._next)
        self._doing = None

    def _answers(self, batch: list[Asked]) -> list[Answer | DBAPIError]:
        try:
            return list(self._work(batch))
        except DBAPIError:
            # One that the database does not take, or two servers in each other's way: the others need not suffer.
            return [self._alone(asked) for asked in batch]

    def _alone(self, asked: Asked) -> Answer | DBAPIError:
        try:
            return self._work([asked])[0]
        except DBAPIError as error:
            return error


def _hand_out(waiting: "list[asyncio.Future[Answer]]", work: "asyncio.Future[list[Answer]]") -> None:
    """Give everybody their own answer, or what went wrong for all."""
    for place, mine in enumerate(waiting):
        if mine.done():
            continue  # whoever asked has gone away
        if error := work.exception():
            mine.set_exception(error)
        else:
            mine.set_result(work.result()[place])
