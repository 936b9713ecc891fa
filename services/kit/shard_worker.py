"""One owned shard: its buffers, and the batches that are booked from them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from heapq import merge
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import asyncpg

from services.kit import log, metrics
from services.kit.dead_letter import (
    DEAD_LETTERS,
    DeadLetterLimit,
    RefusalReason,
    Refused,
    TooManyDeadLetters,
    render,
)
from services.kit.executor import DatabaseUnavailable, Executor, Fence, Fenced
from services.kit.kafka import Record
from services.kit.outbox import OutboxRow, append
from services.kit.postgres import Connection, backoff

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

_log = log.get(__name__)

COURTEOUS_BATCH: Final = 50
"""Most records of a batch while commands come in: each has to wait for the turns that a batch takes."""
MERGE_SECONDS: Final = 1.0
"""How long a lane waits for a topic that is behind before it goes on without it."""


class ShardWorker(Generic[I, O]):
    """Books one shard's records, batch by batch, each behind the fence of its stored offsets."""

    def __init__(
        self,
        shard: int,
        topics: Sequence[str],
        *,
        service: str,
        executor: Executor[I, O],
        decode: Callable[[Record], I | Refused | None],
        limit: DeadLetterLimit,
        slots: asyncio.Semaphore,
        max_batch: int,
        unread: Callable[[str, int], int | None],
        hungry: Callable[[], object],
    ) -> None:
        """`slots` bounds how many lanes are in a transaction; `unread(topic, shard)` is how much of a partition was not
        read, if known; `hungry` is called when a buffer runs short."""
        self.shard: Final = shard
        self.booked: dict[str, int] = {}
        """The stored offset of each topic: what this owner last loaded or wrote, and expects at the next fence."""
        self.trouble = ""
        """Why nothing gets booked at the moment; empty when all is well."""
        self.failed: Exception | None = None
        """What ended this lane: the limit of dead letters."""
        self.lost_its_place = True
        """The stored offsets may have moved: `place` must be called with what they are."""
        self._service = service
        self._executor = executor
        self._decode = decode
        self._limit = limit
        self._slots = slots
        self._max_batch = max_batch
        self._unread = unread
        self._hungry = hungry
        self._buffers: dict[str, deque[Record]] = {topic: deque() for topic in topics}
        self._fetched: dict[str, int] = {}
        self._committed: dict[str, int] = {}
        self._size = 0
        self._blocked_since: float | None = None
        self._arrived = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    # ── the reader's side ────────────────────────────────────────────────────────────────────────────────────────

    def wanted(self) -> list[str]:
        """The topics of which less than a batch waits: more may be fetched."""
        if self.lost_its_place:
            return []
        return [topic for topic, buffer in self._buffers.items() if len(buffer) < self._max_batch]

    @property
    def waiting(self) -> int:
        """Records that were read and are not booked."""
        return self._size

    def place(self, stored: Mapping[str, int]) -> None:
        """Starts from these offsets; what was buffered before is forgotten."""
        self.booked = dict(stored)
        self._fetched = dict(stored)
        for buffer in self._buffers.values():
            buffer.clear()
        self._size = 0
        self.trouble = ""
        self.lost_its_place = False

    def feed(self, topic: str, fetched: Sequence[Any]) -> None:
        """Takes fetched records into the buffer; those that do not follow on what it has are from before a seek."""
        if self.lost_its_place or self._closing or not fetched or fetched[0].offset < self._fetched[topic]:
            return
        buffer = self._buffers[topic]
        for r in fetched:
            buffer.append(Record(topic, r.partition, r.offset, r.timestamp * 1000, r.key, r.value, r.headers))
        self._fetched[topic] = fetched[-1].offset + 1
        self._size += len(fetched)
        self._arrived.set()

    def oldest(self) -> int | None:
        """The append time of the oldest record that waits."""
        return min((buffer[0].appended_at for buffer in self._buffers.values() if buffer), default=None)

    def uncommitted(self) -> dict[str, int]:
        """The offsets that the broker has not been told since the last call."""
        moved = {topic: at for topic, at in self.booked.items() if self._committed.get(topic) != at}
        self._committed.update(moved)
        return moved

    def start(self) -> None:
        """Begins to book."""
        self._task = asyncio.create_task(self._run(), name=f"shard-{self.shard}")

    async def close(self, seconds: float) -> None:
        """Takes no more batches and returns when the one in flight has ended, after `seconds` by cancelling it."""
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
            if self._size == 0 or self.lost_its_place:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            try:
                async with self._slots:
                    await self._executor.give_way()
                    batch = [] if self._closing or self.lost_its_place else self._peek()
                    if batch:
                        await self._book(batch)
                if not batch:
                    await self._more()
                    continue
            except Fenced:
                metrics.count("fenced_total")
                _log.warning("fenced", shard=self.shard)
                self._lose_place()
            except TooManyDeadLetters as limit:
                self.failed = limit
                self._hungry()
                return
            except DatabaseUnavailable as away:
                # The batch may stand (a lost COMMIT): where to go on is read from the database.
                attempt += 1
                self.trouble = f"database: {away}"
                await self._pause(attempt)
                self._lose_place()
            except Exception as error:
                attempt += 1
                self.trouble = f"shard {self.shard}: {type(error).__name__}: {error}"
                _log.error("batch_failed", shard=self.shard, error=repr(error))
                await self._pause(attempt)
            else:
                attempt = 0
                self.trouble = ""

    def _lose_place(self) -> None:
        self.lost_its_place = True
        self._hungry()

    async def _pause(self, attempt: int) -> None:
        if not self._closing:
            await backoff(attempt + 3)

    def _peek(self) -> list[Record]:
        """The next batch, merged over the topics by append time; a topic's records keep their order.

        Empty while a topic that is behind has nothing here: what comes of it may be older than what waits. (A member
        is registered on one topic and acts on another.) That is a courtesy and no condition of being right, so it
        does not last longer than `MERGE_SECONDS`.
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
        waiting = [buffer for buffer in self._buffers.values() if buffer]
        most = min(self._max_batch, COURTEOUS_BATCH) if self._executor.is_asked else self._max_batch
        if len(waiting) == 1:
            return list(islice(waiting[0], most))
        batch = list(islice(merge(*waiting, key=_appended_at), most))
        return batch[: min((self._last_in(batch, topic) for topic in behind), default=None)]

    def _is_behind(self, topic: str) -> bool:
        return self._unread(topic, self.shard) != 0

    def _last_in(self, batch: Sequence[Record], topic: str) -> int:
        """Where a batch must be cut because it holds all that is here of a topic."""
        last = self._buffers[topic][-1]
        for place in range(len(batch), 0, -1):
            if batch[place - 1] is last:
                return place
        return len(batch)

    async def _more(self) -> None:
        """Waits a moment for what the merge lacks."""
        self._arrived.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await self._arrived.wait()

    def _drop(self, records: Sequence[Record]) -> None:
        """Takes booked records out of the buffers."""
        for topic, number in Counter(record.topic for record in records).items():
            buffer = self._buffers[topic]
            for _ in range(number):
                buffer.popleft()
            if len(buffer) < self._max_batch:
                self._hungry()
        self._size -= len(records)

    async def _book(self, records: list[Record], failed: Refused | None = None) -> None:
        """Books a batch. One that breaks `book` is halved until what breaks it stands alone and is refused as
        `failed`; the rest of it is booked."""
        inputs: list[I] = []
        sources: list[Record] = []
        letters: list[tuple[Record, Refused]] = []
        for record in records:
            made = failed or self._input_of(record)
            if made is None:
                continue
            if isinstance(made, Refused):
                letters.append((record, made))
            else:
                inputs.append(made)
                sources.append(record)

        async def also(tx: Connection, outcomes: Sequence[O | Refused]) -> None:
            late = [(r, o) for r, o in zip(sources, outcomes, strict=True) if isinstance(o, Refused)]
            all_letters = letters + late
            self._limit.check(_marked(records, all_letters))
            await append(tx, [self._letter(record, refused) for record, refused in all_letters])

        fence = self._fence(records)
        try:
            outcomes = await self._executor.run(self.shard, inputs, fence=fence, also=also)
        except (Fenced, DatabaseUnavailable, TooManyDeadLetters, asyncpg.SyntaxOrAccessError):
            raise  # no fault of any record (the last: the schema is not what the code expects)
        except Exception as error:
            if failed is not None:
                raise
            if len(records) == 1:
                _log.error("record_failed", **_place(records[0]), error=repr(error))
                await self._book(records, Refused(RefusalReason.FAILED, None, type(error).__name__))
                return
            middle = len(records) // 2
            await self._book(records[:middle])
            await self._book(records[middle:])
            return
        letters += [(r, o) for r, o in zip(sources, outcomes, strict=True) if isinstance(o, Refused)]
        self._count(records, letters)
        self.booked.update(zip(fence.topics, fence.next, strict=True))
        self._drop(records)

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

    def _letter(self, record: Record, refused: Refused) -> OutboxRow:
        return OutboxRow(self.shard, DEAD_LETTERS, record.key, render(self._service, record, refused))

    def _count(self, records: Sequence[Record], letters: Sequence[tuple[Record, Refused]]) -> None:
        self._limit.add(_marked(records, letters))
        for topic, number in Counter(record.topic for record in records).items():
            metrics.count("records_total", number, topic=topic)
        for record, refused in letters:
            metrics.count("dead_letters_total", topic=record.topic, reason=str(refused.reason))
            _log.warning("record_refused", **_place(record), reason=str(refused.reason), field=refused.field)


def _appended_at(record: Record) -> int:
    return record.appended_at


def _marked(records: Sequence[Record], letters: Sequence[tuple[Record, Refused]]) -> list[bool]:
    """For each record, whether it was refused."""
    if not letters:
        return [False] * len(records)
    refused = {id(record) for record, _ in letters}
    return [id(record) in refused for record in records]


def _place(record: Record) -> dict[str, Any]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
