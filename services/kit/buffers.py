"""The records of one shard that were fetched and are not booked, a queue for each topic, and the next batch of them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from heapq import merge
from itertools import islice
from typing import Final

from services.kit.calendar import Micros
from services.kit.kafka import Record

BATCH_BYTES: Final = 2 * 1024 * 1024
"""Bytes of the records of a batch; an input takes some four times the bytes of its record."""
BUFFER_BYTES: Final = 2 * 1024 * 1024
"""Of a topic and shard with so many bytes buffered nothing more is fetched, however few records they are."""
MERGE_SECONDS: Final = 1.0
"""How long a batch waits for records of a topic that is behind, before it is booked without them."""


class Buffers:
    """The buffers of one shard, bounded in records and in bytes."""

    def __init__(self, topics: Iterable[str], max_batch: int, is_behind: Callable[[str], bool]) -> None:
        """`is_behind` answers whether a topic has records that were not fetched yet."""
        self._max_batch = max_batch
        self._is_behind = is_behind
        self._queues: dict[str, deque[Record]] = {topic: deque() for topic in topics}
        self._bytes = dict.fromkeys(self._queues, 0)
        self._size = 0
        self._blocked_since: float | None = None

    def __len__(self) -> int:
        return self._size

    def topics_to_fetch(self) -> list[str]:
        """The topics of which less than a batch is buffered."""
        return [topic for topic in self._queues if self.runs_short(topic)]

    def runs_short(self, topic: str) -> bool:
        """Whether less than a batch of a topic is buffered."""
        return len(self._queues[topic]) < self._max_batch and self._bytes[topic] < BUFFER_BYTES

    def oldest(self) -> Micros | None:
        """The append time of the oldest record."""
        return min((queue[0].appended_at for queue in self._queues.values() if queue), default=None)

    def add(self, topic: str, records: Sequence[Record]) -> None:
        """Puts records of a topic behind those that are there."""
        self._queues[topic].extend(records)
        self._bytes[topic] += sum(record.size for record in records)
        self._size += len(records)

    def drop(self, records: Sequence[Record]) -> None:
        """Takes booked records out: the first ones of their topics."""
        for topic, number in Counter(record.topic for record in records).items():
            queue = self._queues[topic]
            self._bytes[topic] -= sum(queue.popleft().size for _ in range(number))
        self._size -= len(records)

    def clear(self) -> None:
        """Forgets all records."""
        for topic, queue in self._queues.items():
            queue.clear()
            self._bytes[topic] = 0
        self._size = 0

    def next_batch(self, most: int) -> list[Record]:
        """The next batch, merged over the topics by append time; a topic's records keep their order.

        Empty while a topic has unread records and none of them is buffered: they may be older than those that are.
        (A member is registered on one topic and acts on another.) Booking is right in any order, so the wait is only
        a courtesy and lasts no longer than `MERGE_SECONDS`.
        """
        behind = [topic for topic in self._queues if self._is_behind(topic)]
        if any(not self._queues[topic] for topic in behind):
            now = time.monotonic()
            if self._blocked_since is None:
                self._blocked_since = now
            if now - self._blocked_since < MERGE_SECONDS:
                return []
            behind = []
        self._blocked_since = None
        filled = [queue for queue in self._queues.values() if queue]
        if len(filled) == 1:
            return _within(list(islice(filled[0], most)), BATCH_BYTES)
        batch = _within(list(islice(merge(*filled, key=_appended_at), most)), BATCH_BYTES)
        return batch[: min((self._end_of_buffered(batch, topic) for topic in behind), default=None)]

    def _end_of_buffered(self, batch: Sequence[Record], topic: str) -> int:
        """How many records of a batch may be booked before the next of a topic must be known. The batch is cut behind
        the last one that is buffered of the topic."""
        last = self._queues[topic][-1]
        for place in range(len(batch), 0, -1):
            if batch[place - 1] is last:
                return place
        return len(batch)


def _appended_at(record: Record) -> int:
    return record.appended_at


def _within(records: list[Record], max_bytes: int) -> list[Record]:
    """The first of these records that have so many bytes together; at least one."""
    total = 0
    for place, record in enumerate(records):
        total += record.size
        if total > max_bytes:
            return records[: max(1, place)]
    return records
