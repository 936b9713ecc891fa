"""The consumer of the member-keyed topics: it owns shards, books their records, and keeps its offsets in PostgreSQL.

The fence decides who may book a shard, never the consumer group: the group only spreads the work. A batch moves the
stored offsets by compare-and-set in its own transaction. An owner that has lost the shard without knowing it changes
no row, rolls back and loads the offsets again. So it does no harm to be wrong about ownership for a moment, and
nothing here waits to be sure.

Three kinds of task run. The *reader* (one) holds the client. It fetches only from partitions whose buffer is short,
which is the back pressure, and hands the records to the shard workers. A *shard worker* (one a shard) takes batches
from its buffers, merged over the topics by append time, and books them; `concurrent_shards` of them are in a
transaction at a time. The group's *callbacks* only note what changed and wait for the batches in flight.

The stored offsets count, not what the client remembers: after an assignment, a fence or an outage the reader loads
them for the shard worker and seeks. With `auto_offset_reset="none"`, a stored offset that the log no longer has is an
error, not a silent restart from elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from services.kit import log, lost_places, metrics
from services.kit.database_clock import DatabaseClock
from services.kit.dead_letter import FailureLimit, Refused, TooManyFailures
from services.kit.executor import Executor
from services.kit.kafka import REBALANCE_MS, Record, Shard, new_consumer, stop_quietly
from services.kit.lag import Lag, StallDetector, held_back_of, lag_of, unread_of
from services.kit.lost_places import LostPlaces
from services.kit.membership import remove_absent
from services.kit.offset_report import OffsetReport
from services.kit.part import Source, State
from services.kit.postgres import Pool, Queries, backoff, is_unavailable
from services.kit.pulse import Pulse
from services.kit.settings import Settings
from services.kit.shard_worker import Booking, ShardWorker
from services.kit.silence import SILENT_SECONDS, Silence
from services.kit.source_watch import describe

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

_log = log.get(__name__)
_SQL: Final = Queries.load("services.kit", "sql/offsets.sql", require=("stored", "seed"))

READ_SLICE: Final = 250
"""Most records of one read: a few milliseconds of parsing, and of the largest ones 64 MiB."""
READ_BYTES: Final = 2 * 1024 * 1024
"""What a read should bring at most. The client limits what it fetches by its compressed size alone, so the next read
takes as few records as the size of the last one's asks for."""
GATHER_BELOW: Final = 100
"""After a read of fewer records the next one waits a moment (`gather_seconds`)."""
REVOKE_SECONDS: Final = 20.0
"""How long a rebalance waits for batches in flight; below the group's rebalance timeout."""
NO_ANSWER: Final = "no answer from the brokers"
REMEDY_TRYING: Final = "Look at the log for the cause; the consumer keeps trying."
REMEDY_DATABASE: Final = "Bring the database back; the consumer goes on by itself."
REMEDY_BROKERS: Final = "Bring the brokers back; the consumer goes on by itself."
REMEDY_SOURCE: Final = "Tell who publishes as this source; dead letters say what is wrong. Nobody else waits for it."


class Consumer(ConsumerRebalanceListener, Generic[I, O]):  # type: ignore[misc]
    """The part `consumer`: owns a share of the shards and books what arrives on them."""

    name = "consumer"

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        executor: Executor[I, O],
        *,
        topics: Sequence[str],
        decode: Callable[[Record], I | Refused | None],
        needs: Sequence[Source] = (),
        worker: int = 0,
        clock: DatabaseClock | None = None,
    ) -> None:
        """`decode` makes an input of a record: a `Refused`, returned or raised, becomes a dead letter; None is
        passed over. `worker` numbers this process among the service's workers (its static membership). By `clock` a
        record waits that was appended too far ahead of the database's time (C1)."""
        self._settings = settings
        self._pool = pool
        self._topics = sorted(topics)
        self._needs = needs
        self._number = worker
        self._wake = asyncio.Event()
        self._booking = Booking(
            settings=settings,
            topics=self._topics,
            executor=executor,
            decode=decode,
            limit=FailureLimit(settings.failure_limit),
            slots=asyncio.Semaphore(settings.concurrent_shards),
            unread=self._unread,
            wake_reader=self._wake.set,
            clock=clock,
        )
        self._workers: dict[Shard, ShardWorker[I, O]] = {}
        self._listeners: list[Callable[[frozenset[Shard]], None]] = []
        self._assigned: set[TopicPartition] | None = None
        self._client: Any = None
        self._reader: asyncio.Task[None] | None = None
        self.pulse, self._lost, self._silence = Pulse(), LostPlaces(), Silence()
        self._report = OffsetReport()
        self._failed_loads, self._load_again_at = 0, 0.0
        self._offers_all = False
        self._stall = StallDetector(settings.stalled_after_seconds)
        self._trouble, self._remedy = "starting", ""

    @property
    def shards(self) -> frozenset[Shard]:
        """The shards that this process owns now; all of them after `offer_all_shards`."""
        return frozenset(map(Shard, range(self._settings.shards))) if self._offers_all else frozenset(self._workers)

    def offer_all_shards(self) -> None:
        """Says that this process consumes no shard: the parts that follow the consumer may work on any of them."""
        self._offers_all = True
        self._notify_listeners()

    def on_shards_changed(self, listener: Callable[[frozenset[Shard]], None]) -> None:
        """Calls `listener` whenever the owned shards change."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Begins to join the group; returns at once, also when the broker or the database cannot be reached."""
        self._reader = self.pulse.follow(asyncio.create_task(self._run(), name="consumer"))

    async def stop(self) -> None:
        """Finishes the batches in flight, reports the offsets to the broker, and leaves."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        self._trouble = "stopped"

    def state(self) -> State:
        """Whether the consumer works, how far it is behind, and why it stopped."""
        lag = self.lag()
        held_back = held_back_of(self._client, self._topics, self._workers)
        figures: dict[str, float | int | str | None] = {
            "shards": ",".join(map(str, sorted(self._workers))),
            "lag_records": lag.records,
            "lag_seconds": round(lag.seconds, 1),
            "held_back_records": held_back,
            "failed_of_last_1000": self._booking.limit.failed,
        }
        trouble, remedy = self._trouble, self._remedy
        if not trouble:
            trouble = next((worker.trouble for worker in self._workers.values() if worker.trouble), "")
            remedy = REMEDY_TRYING if trouble else ""
        if not trouble and (trouble := self._lost.trouble()):
            remedy = lost_places.REMEDY
        if self._stall.observe(lag, self._workers.values()) and not trouble:
            trouble = f"{lag.records} records wait and none was booked for {self._settings.stalled_after_seconds:g} s"
            remedy = "Look for a long lock in the database, or restart the worker."
        metrics.gauge("lag_records", lag.records)
        metrics.gauge("lag_seconds", lag.seconds)
        metrics.gauge("held_back_records", held_back)
        metrics.gauge("shards_owned", len(self._workers))
        if not trouble and (offenders := self._booking.sources.offenders()):
            # Not our trouble, so all is well here; but somebody has to tell the publisher.
            return State(True, f"refused too often: {describe(offenders)}", REMEDY_SOURCE, figures)
        return State(not trouble, trouble, remedy, figures)

    def lag(self) -> Lag:
        """How far booking is behind the log."""
        return lag_of(self._workers.values(), self._unread)

    def _unread(self, topic: str, shard: Shard) -> int | None:
        return 0 if TopicPartition(topic, shard) in self._lost else unread_of(self._client, topic, shard)

    # The group's callbacks only note what changed: an exception in them would be swallowed by the client.

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Every rebalance revokes everything. Lets the batches in flight finish, up to a limit below the group's."""
        await self._close_workers()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pauses the partitions: nothing is to be fetched before the reader has sought the stored offsets."""
        partitions = set(assigned)
        if partitions:
            self._client.pause(*partitions)  # before any await
        self._assigned = partitions
        self._wake.set()

    async def _run(self) -> None:
        attempt = 0
        try:
            for source in self._needs:
                self._trouble = f"waiting for the first {source.name}"
                await source.first()
            while True:
                began = time.monotonic()
                try:
                    await self._session()
                except TooManyFailures as limit:
                    self._trouble = f"stopped: {limit}"
                    self._remedy = (
                        "Look at the log for the cause, deploy the fix (or raise FAILURE_LIMIT) and restart: "
                        "it goes on at the batch that passed the limit."
                    )
                    _log.error("failure_limit", detail=str(limit))
                    await self._drop_client()
                    self.offer_all_shards()  # commands are still booked here: the relay must send their facts
                    return
                except Exception as error:
                    self._explain(error)
                finally:
                    await self._drop_client()
                attempt = 1 if time.monotonic() - began > 60 else attempt + 1
                metrics.count("kafka_clients_rebuilt_total", client="consumer")
                await backoff(attempt + 4, max_seconds=5.0)
        finally:
            await self._drop_client()

    def _explain(self, error: Exception) -> None:
        if is_unavailable(error) and not isinstance(error, KafkaError | TimeoutError):
            self._trouble, self._remedy = f"database: {error!r}", REMEDY_DATABASE
        elif isinstance(error, KafkaError | OSError):
            self._trouble, self._remedy = f"brokers: {error!r}", REMEDY_BROKERS
        else:
            self._trouble, self._remedy = f"consumer: {error!r}", REMEDY_TRYING
        _log.warning("consumer_interrupted", error=repr(error))

    async def _session(self) -> None:
        """The life of one client: joins the group and reads, until an error ends it."""
        self._assigned = None
        self._lost.forget()
        self._client = client = new_consumer(self._settings, self._number)
        async with asyncio.timeout(SILENT_SECONDS):
            await client.start()
            if self._number == 0:
                await remove_absent(client, self._settings)
        client.subscribe(self._topics, listener=self)
        self._silence.end()
        self._trouble = "joining the group"
        most = READ_SLICE
        while True:
            self.pulse.beat()
            self._wake.clear()
            if self._assigned is not None:
                await self._open_workers()
            await self._position_workers(client)
            self._report.send(client, self._workers.values())
            wanted = self._wanted()
            if not wanted and self._workers:  # an empty list would mean all partitions
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await self._wake.wait()
                self._silence.end()  # no broker was asked
                continue
            # A shard worker whose buffer runs short meanwhile has to wait until this call returns: so the call is
            # short while some partitions are not asked.
            timeout_ms = 250 if len(wanted) == len(self._workers) * len(self._topics) else 20
            async with asyncio.timeout(REBALANCE_MS / 1000 + SILENT_SECONDS):  # it waits through a rebalance
                fetched = await self._fetch(client, wanted, timeout_ms, most)
            for partition, records in fetched.items():
                worker = self._workers.get(partition.partition)
                if worker is not None:
                    worker.enqueue(partition.topic, records)
            self._note_silence(client, wanted)
            if sum(map(len, fetched.values())) < min(GATHER_BELOW, most):
                await asyncio.sleep(self._settings.gather_seconds)
            most = _next_slice(fetched.values())

    def _note_silence(self, client: Any, wanted: list[TopicPartition]) -> None:
        """Says when no broker answers; raises TimeoutError when that lasts too long."""
        if self._silence.lasts(client, wanted):
            self._trouble = self._trouble or NO_ANSWER
        elif self._trouble == NO_ANSWER:
            self._trouble = ""

    def _wanted(self) -> list[TopicPartition]:
        """The partitions whose buffers are short, but for those whose stored offset is not in the log."""
        for shard in self._lost.take_due() & self._workers.keys():
            self._workers[shard].load_offsets_again()
        places = (
            TopicPartition(topic, each.shard) for each in self._workers.values() for topic in each.topics_to_fetch()
        )
        return [place for place in places if place not in self._lost]

    async def _fetch(
        self, client: Any, wanted: list[TopicPartition], timeout_ms: int, most: int
    ) -> dict[TopicPartition, list[Any]]:
        try:
            found: dict[TopicPartition, list[Any]] = await client.getmany(
                *wanted, timeout_ms=timeout_ms, max_records=most
            )
        except NoOffsetForPartitionError:
            # The client looked for a committed offset before we could seek; the seek is what counts.
            return {}
        except OffsetOutOfRangeError as error:
            client.pause(*self._lost.add(error))
            return {}
        return found

    async def _open_workers(self) -> None:
        """Makes a shard worker of each assigned shard. Its offsets are unknown and its partitions stay paused."""
        assigned, self._assigned = self._assigned, None
        assert assigned is not None
        shards = sorted({partition.partition for partition in assigned})
        whole = {TopicPartition(topic, shard) for topic in self._topics for shard in shards}
        if assigned != whole or shards[-1:] > [self._settings.shards - 1]:
            lacking = sorted({partition.topic for partition in whole ^ assigned}) or self._topics
            raise KafkaError(f"topics without {self._settings.shards} partitions: {', '.join(lacking)}")
        await self._close_workers()
        for shard in shards:
            self._workers[shard] = ShardWorker(shard, self._booking)
        for worker in self._workers.values():
            worker.start()
        self._trouble = self._remedy = ""
        _log.info("shards_owned", shards=shards)
        self._notify_listeners()

    async def _position_workers(self, client: Any) -> None:
        """Loads the stored offsets of the shard workers that do not know them. Raises what ended one of them.

        While the database cannot be reached they wait; the client stays in the group.
        """
        for worker in list(self._workers.values()):
            if worker.failed is not None:
                raise worker.failed
            if worker.has_ended:
                raise RuntimeError(f"the worker of shard {worker.shard} has ended")
            if not worker.offsets_unknown or time.monotonic() < self._load_again_at:
                continue
            try:
                await self._position(client, worker)
            except Exception as error:
                if isinstance(error, KafkaError) or not is_unavailable(error):
                    raise
                self._failed_loads += 1
                self._load_again_at = time.monotonic() + min(2.0, 0.05 * 2**self._failed_loads)
                self._trouble, self._remedy = f"database: {error!r}", REMEDY_DATABASE
                return
            if self._failed_loads:
                self._failed_loads = 0
                self._trouble = self._remedy = ""

    async def _position(self, client: Any, worker: ShardWorker[I, O]) -> None:
        """Loads the stored offsets of a shard and seeks them. A topic without one starts at the log's beginning."""
        stored = await self._stored(worker.shard)
        missing = [topic for topic in self._topics if topic not in stored]
        if missing:
            partitions = [TopicPartition(topic, worker.shard) for topic in missing]
            beginnings = await client.beginning_offsets(partitions)
            offsets = [beginnings[partition] for partition in partitions]
            await self._pool.execute(_SQL.seed, worker.shard, missing, offsets)
            stored = await self._stored(worker.shard)
        if self._workers.get(worker.shard) is not worker:
            return  # revoked meanwhile
        for topic, offset in stored.items():
            client.seek(TopicPartition(topic, worker.shard), offset)
        client.resume(*(TopicPartition(topic, worker.shard) for topic in self._topics))
        worker.resume_at(stored)

    async def _stored(self, shard: Shard) -> dict[str, int]:
        return {row[0]: row[1] for row in await self._pool.fetch(_SQL.stored, shard, self._topics)}

    async def _close_workers(self) -> None:
        workers = list(self._workers.values())
        self._workers.clear()
        if workers:
            await asyncio.gather(*(worker.close(REVOKE_SECONDS) for worker in workers))
            self._notify_listeners()

    def _notify_listeners(self) -> None:
        for listener in self._listeners:
            listener(self.shards)

    async def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        workers = list(self._workers.values())
        await self._close_workers()
        await self._report.finish(client, workers)
        await stop_quietly(client)


def _next_slice(fetched: Iterable[Sequence[Any]]) -> int:
    """How many records the next read may bring, by the size of those of the last one."""
    records = [record for each in fetched for record in each]
    size = sum(len(record.value or b"") for record in records)
    return min(READ_SLICE, max(1, READ_BYTES * len(records) // size)) if size else READ_SLICE
