"""Books the records of one owned shard, batch by batch, from the buffers that the consumer fills."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import asyncpg

from services.kit import failed_messages, log, metrics
from services.kit.buffers import Buffers
from services.kit.calendar import Micros
from services.kit.database_clock import DatabaseClock
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
from services.kit.executor import Executor, Fence, Fenced
from services.kit.kafka import Record, Shard
from services.kit.outbox import OutboxRow, append
from services.kit.postgres import Connection, backoff
from services.kit.settings import Settings
from services.kit.source_watch import SourceWatch, source_of
from services.kit.turn import Turn
from services.kit.unavailable import Unavailable

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

_log = log.get(__name__)

COURTEOUS_BATCH: Final = 50
"""Most records of a batch while commands come in: a command waits until the batch in flight is booked."""
BATCH_SECONDS: Final = 60.0
"""A batch of several records that takes longer is given up, and half of it is tried."""
SLOW_SECONDS: Final = 10.0
"""So is one that loses the database after so long: it may be the batch that was too slow for it."""


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
    clock: DatabaseClock | None = None
    """Says which records were appended too far ahead of the database's time, which therefore wait (C1)."""


class BatchTooSlow(Unavailable):
    """A batch has taken longer than `BATCH_SECONDS`. It may stand, if it was in COMMIT."""

    what = "database"


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
        self._tried_batch = self._max_batch
        """Most records of the next batch: fewer than `max_batch` after one that took too long."""
        self._last_batch = 0
        self._buffers = Buffers(booking.topics, self._max_batch, lambda topic: booking.unread(topic, shard) != 0)
        self._fetched: dict[str, int] = {}
        self._reported: dict[str, int] = {}
        self._arrived = asyncio.Event()
        self._closing = False
        self._load_again = False
        self._task: asyncio.Task[None] | None = None

    # ── the reader's side ────────────────────────────────────────────────────────────────────────────────────────

    def topics_to_fetch(self) -> list[str]:
        """The topics of which less than a batch is buffered; none while the offsets are unknown."""
        return [] if self.offsets_unknown else self._buffers.topics_to_fetch()

    @property
    def waiting(self) -> int:
        """Records that were fetched and are not booked."""
        return len(self._buffers)

    def resume_at(self, stored: Mapping[str, int]) -> None:
        """Goes on from these offsets; what was buffered before is forgotten."""
        self.booked = dict(stored)
        self._fetched = dict(stored)
        self._buffers.clear()
        self.trouble = ""
        self.offsets_unknown = False

    def enqueue(self, topic: str, fetched: Sequence[Any]) -> None:
        """Buffers fetched records. Those below the expected offset were fetched before a seek and are ignored."""
        if self.offsets_unknown or self._closing or not fetched or fetched[0].offset < self._fetched[topic]:
            return
        self._buffers.add(
            topic,
            [Record(topic, r.partition, r.offset, r.timestamp * 1000, r.key, r.value, r.headers) for r in fetched],
        )
        self._fetched[topic] = fetched[-1].offset + 1
        self._arrived.set()

    def load_offsets_again(self) -> None:
        """Forgets the offsets once the batch in flight has ended; the consumer then loads them."""
        self._load_again = True
        self._arrived.set()

    @property
    def has_ended(self) -> bool:
        """Whether its task is over, though nobody has closed it: nothing is booked here any more."""
        return self._task is not None and self._task.done() and not self._closing and self.failed is None

    def oldest(self) -> Micros | None:
        """The append time of the oldest record that waits."""
        return self._buffers.oldest()

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
            if not await self._has_records():
                continue
            began = time.monotonic()
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
            except Unavailable as error:
                # The batch may stand, if its COMMIT was lost: the database knows where to go on.
                attempt += 1
                self.trouble = f"{error.what}: {error}"
                if time.monotonic() - began > SLOW_SECONDS or isinstance(error, BatchTooSlow):
                    self._try_fewer()
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
                if time.monotonic() - began < BATCH_SECONDS / 4:
                    self._tried_batch = min(self._max_batch, self._tried_batch * 2)

    async def _has_records(self) -> bool:
        """Whether there are records to book; if there are none, it waits until something has changed."""
        if self._load_again:
            self._load_again = False
            self._forget_offsets()
        if self._buffers and not self.offsets_unknown:
            return True
        self._arrived.clear()
        await self._arrived.wait()
        return False

    def _try_fewer(self) -> None:
        """Halves the next batch: one that takes too long would otherwise be tried whole for ever."""
        self._tried_batch = max(1, min(self._tried_batch, self._last_batch) // 2)
        metrics.count("batches_halved_total")
        _log.warning("batch_halved", shard=self.shard, records=self._last_batch, next=self._tried_batch)

    async def _book_next(self) -> bool:
        """Books the next batch when a slot is free; False when there is none to book now."""
        async with self._booking.slots:
            await self._executor.yield_to_commands()
            most = min(self._tried_batch, COURTEOUS_BATCH) if self._executor.has_commands else self._tried_batch
            batch = [] if self._closing or self.offsets_unknown else self._in_time(self._buffers.next_batch(most))
            self._last_batch = len(batch)
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

    def _in_time(self, batch: list[Record]) -> list[Record]:
        """The records of a batch before the first that was appended too far ahead of the database's time (C1)."""
        if self._booking.clock is None or not batch:
            return batch
        taken, why = self._booking.clock.take(batch)
        if not taken:
            self.trouble = why
        return list(taken)

    # ── one batch ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _book(self, records: list[Record], failed: Refused | None = None) -> None:
        """Books a batch, all or nothing; with `failed`, its records become dead letters without being decoded."""
        inputs, sources, rejected = await self._decode_all(records, failed)

        async def write_dead_letters(tx: Connection, outcomes: Sequence[O | Refused]) -> None:
            all_rejected = rejected + _rejected_of(sources, outcomes)
            self._limit.check(_have_failed(records, all_rejected))
            await append(tx, [self._dead_letter(record, refused) for record, refused in all_rejected])
            await failed_messages.keep(tx, all_rejected)

        fence = self._fence(records)
        try:
            async with asyncio.timeout(BATCH_SECONDS if len(records) > 1 else None):
                outcomes = await self._executor.run(self.shard, inputs, fence=fence, also=write_dead_letters)
        except TimeoutError as error:
            raise BatchTooSlow(f"{len(records)} records took longer than {BATCH_SECONDS:g} s") from error
        except (Fenced, Unavailable, TooManyFailures, asyncpg.SyntaxOrAccessError):
            raise  # not the fault of any record (the last one: the schema is not what the code expects)
        except Exception as error:
            if failed is not None:
                raise
            await self._isolate(records, error)
            return
        self._count(records, rejected + _rejected_of(sources, outcomes))
        self.booked.update(zip(fence.topics, fence.next, strict=True))
        self._buffers.drop(records)
        if any(self._buffers.runs_short(topic) for topic in fence.topics):
            self._booking.wake_reader()

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

    async def _decode_all(
        self, records: Sequence[Record], failed: Refused | None
    ) -> tuple[list[I], list[Record], list[Rejected]]:
        """The inputs of a batch, the record of each, and the records that are refused."""
        turn = Turn()
        inputs: list[I] = []
        sources: list[Record] = []
        rejected: list[Rejected] = []
        for record in records:
            if turn.is_over():
                await turn.yield_to_others()
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


def _rejected_of(sources: Sequence[Record], outcomes: Sequence[object]) -> list[Rejected]:
    """The records that `book` refused, of those that it got."""
    return [(record, out) for record, out in zip(sources, outcomes, strict=True) if isinstance(out, Refused)]


def _have_failed(records: Sequence[Record], rejected: Sequence[Rejected]) -> list[bool]:
    """For each record of a batch, whether it failed through our fault."""
    places = {id(record) for record, refused in rejected if is_our_fault(record, refused)}
    return [id(record) in places for record in records] if places else [False] * len(records)


def _place(record: Record) -> dict[str, Any]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
