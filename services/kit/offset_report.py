"""Reports the offsets to the brokers, for tools that show the lag. Booking never reads them from there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.kit.shard_worker import ShardWorker

REPORT_SECONDS: Final = 1.0
"""How long the next report waits after one."""

_Workers = Iterable[ShardWorker[Any, Any]]


class OffsetReport:
    """Commits the offsets of shard workers now and then, at best effort: a report that fails is not repeated."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._sent_at = 0.0

    def send(self, client: Any, workers: _Workers) -> None:
        """Begins to report what has moved, unless a report is under way or was sent a moment ago."""
        if self._task is not None and not self._task.done():
            return
        if time.monotonic() - self._sent_at < REPORT_SECONDS:
            return
        if moved := _take_unreported(workers):
            self._sent_at = time.monotonic()
            self._task = asyncio.create_task(_commit(client, moved))

    async def finish(self, client: Any, workers: _Workers) -> None:
        """Reports what is left before the client is stopped."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=1.0)
        if moved := _take_unreported(workers):
            await _commit(client, moved)


def _take_unreported(workers: _Workers) -> dict[TopicPartition, int]:
    return {TopicPartition(t, each.shard): offset for each in workers for t, offset in each.take_unreported().items()}


async def _commit(client: Any, offsets: dict[TopicPartition, int]) -> None:
    with suppress(KafkaError, TimeoutError, OSError):
        async with asyncio.timeout(2.0):
            await client.commit(offsets)
