"""How far a consumer is behind the log, and whether it makes progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import TopicPartition

from services.kit import clock
from services.kit.kafka import Shard

if TYPE_CHECKING:
    from services.kit.shard_worker import ShardWorker


class Lag(NamedTuple):
    """Records that are not booked, whether fetched or not; the age in seconds of the oldest one that was fetched."""

    records: int
    seconds: float


def lag_of(workers: Iterable[ShardWorker[Any, Any]], unread: Callable[[str, Shard], int | None]) -> Lag:
    """The lag of some shards; `unread(topic, shard)` is how many records were not fetched, None if not known."""
    records = 0
    oldest = now = clock.now()
    for worker in workers:
        records += worker.waiting + sum(unread(topic, worker.shard) or 0 for topic in worker.booked)
        oldest = min(oldest, worker.oldest() or now)
    return Lag(records, (now - oldest) / 1_000_000)


def unread_of(client: Any, topic: str, shard: Shard) -> int | None:
    """Offsets of a partition that can be fetched and were not, as the brokers last said; None between two assignments.
    They end where a publisher's transaction is open: nothing behind that can be read.

    The client's own position counts, not our last record: behind that there may be aborted records and markers of
    transactions, which the client reads and does not return.
    """
    with suppress(Exception):
        state = _partition_state(client, topic, shard)
        return max(0, int(state.lso - state.position))
    return None


def held_back_of(client: Any, topics: Iterable[str], shards: Iterable[Shard]) -> int:
    """Offsets of these partitions that are behind open transactions of publishers."""
    total = 0
    for topic, shard in product(topics, shards):
        with suppress(Exception):
            state = _partition_state(client, topic, shard)
            total += max(0, int(state.highwater - state.lso))
    return total


def _partition_state(client: Any, topic: str, shard: Shard) -> Any:
    """What the client knows of a partition. (It is not public; what is public may wait.)"""
    return client._subscription.subscription.assignment.state_value(TopicPartition(topic, shard))


class StallDetector:
    """Detects that records wait and none is booked. A client that hangs would otherwise look healthy."""

    def __init__(self, after_seconds: float) -> None:
        self._after_seconds = after_seconds
        self._booked = -1
        self._since = time.monotonic()

    def observe(self, lag: Lag, workers: Iterable[ShardWorker[Any, Any]]) -> bool:
        """Takes note of how far booking is. Answers whether it has not moved for too long while records waited. To be
        called regularly."""
        booked = sum(sum(worker.booked.values()) for worker in workers)
        if lag.records == 0 or booked != self._booked:
            self._booked = booked
            self._since = time.monotonic()
        return time.monotonic() - self._since > self._after_seconds
