"""Reads that arrive together and share a query."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BatchLoader(Generic[K, V]):
    """Answers reads that arrive together by one query: while one is under way, the next ones gather.

    A round trip for each read is what a single process spends most of its time on.
    """

    def __init__(
        self, read_many: Callable[[Sequence[K]], Awaitable[Sequence[V]]], *, at_once: int = 2, most: int = 256
    ) -> None:
        self._read_many = read_many
        self._at_once = at_once
        self._most = most
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[K, asyncio.Future[V]]] = deque()

    async def read(self, key: K) -> V:
        """The answer for one key; raises what the query raised."""
        answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if len(self._running) < self._at_once:
            task = asyncio.create_task(self._serve())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await answer

    async def _serve(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
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
