"""Books the records of one owned shard, batch by batch, from the buffers that the consumer fills."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import asyncpg

from services.kit import log, metrics
from services.kit.calendar import Micros
from services.kit.dead_letter import (
    DEAD_LETTERS,
    MAX_KEY,
    FailureLimit,
    RefusalReason,
    Refused,
    Rejected,
    TooManyFailures,
    is_our_fault,
    render,
)
from services.kit.executor import DatabaseUnavailable, Executor, Fence, Fenced
from services.kit.kafka import Record, Shard
from services.kit.outbox import OutboxRow, append
from services.kit.postgres import Connection, backoff
from services.kit.settings import Settings
from services.kit.sources import SourceWatch, source_of

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

_log = log.get(__name__)

COURTEOUS_BATCH: Final = 50
"""Most records of a batch while commands come in: a command waits until the batch in flight is booked."""
MERGE_SECONDS: Final = 1.0
"""How long a batch waits for records of a topic that is behind, before it is booked without them."""


@dataclass(frozen=True)
class Booking(Generic[I, O]):
    """What all shard workers of a consumer share: how they book, and what bounds them."""

    settings: Settings
    topics: Sequence[str]
    executor: Executor[I, O]
    decode: Callable[[Record], I | Refused | None]
    limit: FailureLimit
    slots: asyncio.Semaphore
    """One for each shard worker that may be in a transaction at the same time."""
    unread: Callable[[str, Shard], int | None]
    """How many records of a topic and shard were not fetched yet; None where that is not known."""
    wake_reader: Callable[[], object]
    """Called when the consumer has something to do for a shard worker: to fetch, to load offsets, or to end it."""
    sources: SourceWatch = field(default_factory=SourceWatch)


class ShardWorker(Generic[I, O]):
    """Books one shard's records, batch by batch, each behind the fence of its stored offsets."""

    def __init__(self, shard: Shard, booking: Booking[I, O]) -> None:
        self.shard: Final = shard
        self.booked: dict[str, int] = {}
        """The stored offset of each topic, as last loaded or written here; the next fence expects it."""
        self.trouble = ""
        """Why nothing is booked at the moment; empty when all is well."""
        self.failed: Exception | None = None
        """What ended this worker: the limit of failures."""
        self.offsets_unknown = True
        """The stored offsets may have moved: the consumer must load them and call `resume_at`."""
        self._booking = booking
        self._executor = booking.executor
        self._decode = booking.decode
        self._limit = booking.limit
        self._max_batch = booking.settings.max_batch
        self._buffers: dict[str, deque[Record]] = {topic: deque() for topic in booking.topics}
        self._fetched: dict[str, int] = {}
        self._reported: dict[str, int] = {}
        self._size = 0
        self._blocked_since: float | None = None
        self._arrived = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    # ── the reader's side ────────────────────────────────────────────────────────────────────────────────────────

    def topics_to_fetch(self) -> list[str]:
        """The topics of which less than a batch is buffered; none while the offsets are unknown."""
        if self.offsets_unknown:
            return []
        return [topic for topic, buffer in self._buffers.items() if len(buffer) < self._max_batch]

    @property
    def waiting(self) -> int:
        """Records that were fetched and are not booked."""
        return self._size

    def resume_at(self, stored: Mapping[str, int]) -> None:
        """Goes on from these offsets; what was buffered before is forgotten."""
        self.booked = dict(stored)
        self._fetched = dict(stored)
        for buffer in self._buffers.values():
            buffer.clear()
        self._size = 0
        self.trouble = ""
        self.offsets_unknown = False

    def enqueue(self, topic: str, fetched: Sequence[Any]) -> None:
        """Buffers fetched records. Those below the expected offset were fetched before a seek and are ignored."""
        if self.offsets_unknown or self._closing or not fetched or fetched[0].offset < self._fetched[topic]:
            return
        buffer = self._buffers[topic]
        for r in fetched:
            buffer.append(Record(topic, r.partition, r.offset, r.timestamp * 1000, r.key, r.value, r.headers))
        self._fetched[topic] = fetched[-1].offset + 1
        self._size += len(fetched)
        self._arrived.set()

    def oldest(self) -> Micros | None:
        """The append time of the oldest record that waits."""
        return min((buffer[0].appended_at for buffer in self._buffers.values() if buffer), default=None)

    def take_unreported(self) -> dict[str, int]:
        """The stored offsets that have moved since the last call, to be reported to the brokers."""
        moved = {topic: at for topic, at in self.booked.items() if self._reported.get(topic) != at}
        self._reported.update(moved)
        return moved

    def start(self) -> None:
        """Begins to book."""
        self._task = asyncio.create_task(self._run(), name=f"shard-{self.shard}")

    async def close(self, seconds: float) -> None:
        """Takes no more batches and returns when the one in flight has ended; after `seconds` it is cancelled."""
        self._closing = True
        self._arrived.set()
        if self._task is None:
            return
        _, running = await asyncio.wait([self._task], timeout=seconds)
        for task in running:
            _log.warning("batch_cancelled", shard=self.shard)
            task.cancel()
            await asyncio.wait([task], timeout=5.0)

    # ── the booking side ─────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        attempt = 0
        while not self._closing:
            if self._size == 0 or self.offsets_unknown:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            try:
                if not await self._book_next():
                    await self._wait_for_records()
                    continue
            except Fenced:
                metrics.count("fenced_total")
                _log.warning("fenced", shard=self.shard)
                self._forget_offsets()
            except TooManyFailures as limit:
                self.failed = limit
                self._booking.wake_reader()
                return
            except DatabaseUnavailable as error:
                # The batch may stand, if its COMMIT was lost: the database knows where to go on.
                attempt += 1
                self.trouble = f"database: {error}"
                await self._pause(attempt)
                self._forget_offsets()
            except Exception as error:
                attempt += 1
                self.trouble = f"shard {self.shard}: {type(error).__name__}: {error}"
                _log.error("batch_failed", shard=self.shard, error=repr(error))
                await self._pause(attempt)
            else:
                attempt = 0
                self.trouble = ""

    async def _book_next(self) -> bool:
        """Books the next batch when a slot is free; False when there is none to book now."""
        async with self._booking.slots:
            await self._executor.yield_to_commands()
            batch = [] if self._closing or self.offsets_unknown else self._peek()
            if batch:
                await self._book(batch)
        return bool(batch)

    def _forget_offsets(self) -> None:
        self.offsets_unknown = True
        self._booking.wake_reader()

    async def _pause(self, attempt: int) -> None:
        if not self._closing:
            await backoff(attempt + 3)

    async def _wait_for_records(self) -> None:
        """Waits a moment for the records that the next batch lacks."""
        self._arrived.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await self._arrived.wait()

    # ── what a batch takes ───────────────────────────────────────────────────────────────────────────────────────

    def _peek(self) -> list[Record]:
        """The next batch, merged over the topics by append time; a topic's records keep their order.

        Empty while a topic has unread records and none of them is buffered: they may be older than those that are.
        (A member is registered on one topic and acts on another.) Booking is right in any order, so the wait is only
        a courtesy and lasts no longer than `MERGE_SECONDS`.
        """
        behind = [topic for topic in self._buffers if self._is_behind(topic)]
        if any(not self._buffers[topic] for topic in behind):
            now = time.monotonic()
            if self._blocked_since is None:
                self._blocked_since = now
            if now - self._blocked_since < MERGE_SECONDS:
                return []
            behind = []
        self._blocked_since = None
        filled = [buffer for buffer in self._buffers.values() if buffer]
        most = min(self._max_batch, COURTEOUS_BATCH) if self._executor.has_commands else self._max_batch
        if len(filled) == 1:
            return list(islice(filled[0], most))
        batch = list(islice(merge(*filled, key=_appended_at), most))
        return batch[: min((self._end_of_buffered(batch, topic) for topic in behind), default=None)]

    def _is_behind(self, topic: str) -> bool:
        return self._booking.unread(topic, self.shard) != 0

    def _end_of_buffered(self, batch: Sequence[Record], topic: str) -> int:
        """How many records of a batch may be booked before the next of a topic must be known. The batch is cut behind
        the last one that is buffered of the topic."""
        last = self._buffers[topic][-1]
        for place in range(len(batch), 0, -1):
            if batch[place - 1] is last:
                return place
        return len(batch)

    def _drop(self, records: Sequence[Record]) -> None:
        """Takes booked records out of the buffers."""
        for topic, number in Counter(record.topic for record in records).items():
            buffer = self._buffers[topic]
            for _ in range(number):
                buffer.popleft()
            if len(buffer) < self._max_batch:
                self._booking.wake_reader()
        self._size -= len(records)

    # ── one batch ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _book(self, records: list[Record], failed: Refused | None = None) -> None:
        """Books a batch, all or nothing; with `failed`, its records become dead letters without being decoded."""
        inputs, sources, rejected = self._decode_all(records, failed)

        async def write_dead_letters(tx: Connection, outcomes: Sequence[O | Refused]) -> None:
            all_rejected = rejected + _rejected_of(sources, outcomes)
            self._limit.check(_have_failed(records, all_rejected))
            await append(tx, [self._dead_letter(record, refused) for record, refused in all_rejected])

        fence = self._fence(records)
        try:
            outcomes = await self._executor.run(self.shard, inputs, fence=fence, also=write_dead_letters)
        except (Fenced, DatabaseUnavailable, TooManyFailures, asyncpg.SyntaxOrAccessError):
            raise  # not the fault of any record (the last one: the schema is not what the code expects)
        except Exception as error:
            if failed is not None:
                raise
            await self._isolate(records, error)
            return
        self._count(records, rejected + _rejected_of(sources, outcomes))
        self.booked.update(zip(fence.topics, fence.next, strict=True))
        self._drop(records)

    async def _isolate(self, records: list[Record], error: Exception) -> None:
        """Halves a batch that raised, until the record that raises stands alone; that one is refused as failed and
        the others are booked."""
        if len(records) == 1:
            _log.error("record_failed", **_place(records[0]), error=repr(error))
            await self._book(records, Refused(RefusalReason.FAILED, None, type(error).__name__))
            return
        middle = len(records) // 2
        await self._book(records[:middle])
        await self._book(records[middle:])

    def _decode_all(
        self, records: Sequence[Record], failed: Refused | None
    ) -> tuple[list[I], list[Record], list[Rejected]]:
        """The inputs of a batch, the record of each, and the records that are refused."""
        inputs: list[I] = []
        sources: list[Record] = []
        rejected: list[Rejected] = []
        for record in records:
            input_ = failed or self._input_of(record)
            if input_ is None:
                continue
            if isinstance(input_, Refused):
                rejected.append((record, input_))
            else:
                inputs.append(input_)
                sources.append(record)
        return inputs, sources, rejected

    def _input_of(self, record: Record) -> I | Refused | None:
        try:
            return self._decode(record)
        except Refused as refused:
            return refused
        except Exception as error:
            _log.error("record_failed", **_place(record), error=type(error).__name__)
            return Refused(RefusalReason.FAILED, None, type(error).__name__)

    def _fence(self, records: Sequence[Record]) -> Fence:
        ends: dict[str, int] = {}
        for record in records:
            ends[record.topic] = record.offset + 1
        topics = sorted(ends)
        return Fence(topics, [self.booked[topic] for topic in topics], [ends[topic] for topic in topics])

    def _dead_letter(self, record: Record, refused: Refused) -> OutboxRow:
        key = record.key if len(record.key or b"") <= MAX_KEY else None
        return OutboxRow(self.shard, DEAD_LETTERS, key, render(self._booking.settings.service, record, refused))

    def _count(self, records: Sequence[Record], rejected: Sequence[Rejected]) -> None:
        self._limit.add(_have_failed(records, rejected))
        self._booking.sources.add(records, rejected)
        for topic, number in Counter(record.topic for record in records).items():
            metrics.count("records_total", number, topic=topic)
        alike: dict[tuple[str, str, str | None, str], list[Record]] = {}
        for record, refused in rejected:
            metrics.count("dead_letters_total", topic=record.topic, reason=str(refused.reason))
            alike.setdefault((record.topic, str(refused.reason), refused.field, source_of(record)), []).append(record)
        for (_, reason, field_name, source), same in alike.items():
            # One line for all that are alike, with the place of the first: one publisher must not fill the log.
            _log.warning(
                "record_refused", **_place(same[0]), number=len(same), reason=reason, field=field_name, source=source
            )


def _appended_at(record: Record) -> int:
    return record.appended_at


def _rejected_of(sources: Sequence[Record], outcomes: Sequence[object]) -> list[Rejected]:
    """The records that `book` refused, of those that it got."""
    return [(record, out) for record, out in zip(sources, outcomes, strict=True) if isinstance(out, Refused)]


def _have_failed(records: Sequence[Record], rejected: Sequence[Rejected]) -> list[bool]:
    """For each record of a batch, whether it failed through our fault."""
    places = {id(record) for record, refused in rejected if is_our_fault(record, refused)}
    return [id(record) in places for record in records] if places else [False] * len(records)


def _place(record: Record) -> dict[str, Any]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
