"""Reads of single keys, of which those that arrive together share a query."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BatchLoader(Generic[K, V]):
    """Answers reads that arrive together with one query. While queries run, further reads wait for the next one.

    Otherwise a process would spend most of its time on a round trip for each read. At most `max_queries` run at a time,
    each for at most `max_keys` keys.
    """

    def __init__(
        self, read_many: Callable[[Sequence[K]], Awaitable[Sequence[V]]], *, max_queries: int = 2, max_keys: int = 256
    ) -> None:
        self._read_many = read_many
        self._max_queries = max_queries
        self._max_keys = max_keys
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[K, asyncio.Future[V]]] = deque()

    async def read(self, key: K) -> V:
        """The answer for one key; raises what the query raised."""
        answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if len(self._running) < self._max_queries:
            task = asyncio.create_task(self._serve())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await answer

    async def _serve(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_keys))]
            try:
                values = await self._read_many([key for key, _ in batch])
            except Exception as error:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), value in zip(batch, values, strict=True):
                if not answer.done():
                    answer.set_result(value)
