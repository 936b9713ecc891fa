"""The consumer of the member-keyed topics: shards owned, batches fenced, offsets in PostgreSQL.

Who may book a shard is decided by the fence, never by the group: the group only spreads the work. A batch moves the
stored offsets by compare-and-set in its own transaction; an owner that lost the shard without knowing changes no row,
rolls back and reads the offsets again. So it is safe to be wrong about ownership for a moment, and nothing here waits
to be sure.

Three kinds of task run. The *reader* (one) holds the client: it takes what was fetched into the shards' buffers, and
only of partitions whose buffer is short, which is the back pressure. A *lane* (one a shard) takes batches from its
buffers, merged over the topics by append time, and books them; `concurrent_shards` lanes are in a transaction at a
time. The group's *callbacks* only note what changed and wait for batches in flight.

The client's own state is never trusted over the database: on assignment, after a fence, after an outage, the lane
loads the stored offsets and seeks. `auto_offset_reset="none"` makes a stored offset that the log no longer has an
error instead of a silent restart from elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, Protocol, TypeVar

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from services.kit import log, metrics
from services.kit.dead_letter import DeadLetterLimit, Refused, TooManyDeadLetters
from services.kit.executor import Executor
from services.kit.kafka import REBALANCE_MS, Record, new_consumer, stop_quietly
from services.kit.lag import Lag, Stall, lag_of
from services.kit.part import State
from services.kit.postgres import Pool, Queries, backoff, is_unavailable
from services.kit.settings import Settings
from services.kit.shard_worker import ShardWorker

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

_log = log.get(__name__)
_SQL: Final = Queries.load("services.kit", "sql/offsets.sql", require=("stored", "seed"))

READ_SLICE: Final = 1000
"""Records parsed between two yields to the event loop: some 10 ms."""
GATHER_BELOW: Final = 100
"""After a read of fewer records the next one waits a moment (`gather_seconds`)."""
REVOKE_SECONDS: Final = 20.0
"""How long a rebalance waits for batches in flight; below the group's rebalance timeout."""
SILENT_SECONDS: Final = 30.0
"""A client that got no answer from any broker for so long is dropped and built anew."""
COMMIT_EVERY_SECONDS: Final = 1.0
NO_ANSWER: Final = "no answer from the brokers"
WAY_OUT_DATABASE: Final = "Bring the database back; the consumer goes on by itself."
WAY_OUT_BROKERS: Final = "Bring the brokers back; the consumer goes on by itself."
WAY_OUT_LOG: Final = (
    "The stored offset is not in the log: the topic is another or its retention has passed. Then set consumer_offset."
)


class Source(Protocol):
    """Something that must be known before the first record is decoded (the program follower)."""

    async def first(self) -> object:
        """Returns when it is known."""


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
    ) -> None:
        """`decode` makes an input of a record: a `Refused`, returned or raised, becomes a dead letter; None is
        passed over. `worker` numbers this process among the service's workers (its static membership)."""
        self._settings = settings
        self._pool = pool
        self._executor = executor
        self._topics = sorted(topics)
        self._decode = decode
        self._needs = needs
        self._worker = worker
        self._limit = DeadLetterLimit(settings.dead_letter_limit)
        self._slots = asyncio.Semaphore(settings.concurrent_shards)
        self._lanes: dict[int, ShardWorker[I, O]] = {}
        self._listeners: list[Callable[[frozenset[int]], None]] = []
        self._assigned: set[TopicPartition] | None = None
        self._wake = asyncio.Event()
        self._client: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._committing: asyncio.Task[None] | None = None
        self._away = 0
        self._absent = False
        self._retry_at = 0.0
        self._committed_at = 0.0
        self._heard_at = 0.0
        self._stall = Stall(settings.stalled_after_seconds)
        self._trouble = "starting"
        self._remedy = ""

    @property
    def shards(self) -> frozenset[int]:
        """The shards that this process owns now; all of them where no consumer runs (`absent`)."""
        return frozenset(range(self._settings.shards)) if self._absent else frozenset(self._lanes)

    def absent(self) -> None:
        """Says that no consumer works in this process: who follows it may work on any shard."""
        self._absent = True
        self._tell()

    def on_shards_changed(self, listener: Callable[[frozenset[int]], None]) -> None:
        """Calls `listener` whenever the owned shards change."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Begins to join the group; returns at once, also when the broker or the database is away."""
        self._reader = asyncio.create_task(self._run(), name="consumer")

    async def stop(self) -> None:
        """Finishes the batches in flight, tells the broker how far it came, and leaves."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        self._trouble = "stopped"

    def state(self) -> State:
        """Whether the consumer does its work, how far it is behind, and why it stopped."""
        lag = self.lag()
        figures: dict[str, float | int | str | None] = {
            "shards": ",".join(map(str, sorted(self._lanes))),
            "lag_records": lag.records,
            "lag_seconds": round(lag.seconds, 1),
            "refused_of_last_1000": self._limit.refused,
        }
        trouble, remedy = self._trouble, self._remedy
        if not trouble:
            trouble = next((lane.trouble for lane in self._lanes.values() if lane.trouble), "")
            remedy = "Look at the log for the cause; the consumer keeps trying." if trouble else ""
        if self._stall.noticed(lag, self._lanes.values()) and not trouble:
            trouble = f"{lag.records} records wait and none was booked for {self._settings.stalled_after_seconds:g} s"
            remedy = "Look for a long lock in the database, or restart the worker."
        metrics.gauge("lag_records", lag.records)
        metrics.gauge("lag_seconds", lag.seconds)
        metrics.gauge("shards_owned", len(self._lanes))
        return State(not trouble, trouble, remedy, figures)

    def lag(self) -> Lag:
        """How far booking is behind the log."""
        return lag_of(self._lanes.values(), self._unread)

    def _unread(self, topic: str, shard: int) -> int | None:
        """Offsets of a partition that were not read yet, as the brokers last said; None between two assignments.

        The client's own position counts, not our last record: behind that there may be markers of transactions,
        which are read and never shown. (It is not public; `position()` is, but may wait.)
        """
        with suppress(Exception):
            state = self._client._subscription.subscription.assignment.state_value(TopicPartition(topic, shard))
            return max(0, int(state.highwater - state.position))
        return None

    # The group's callbacks only note what changed: an exception in them would be swallowed by the client.

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Every rebalance revokes everything: lets the batches in flight finish, up to a limit below the group's."""
        await self._close_lanes()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Nothing is fetched from where the client thinks it stands: the reader seeks first."""
        partitions = set(assigned)
        if partitions:
            self._client.pause(*partitions)  # before any await
        self._assigned = partitions
        self._wake.set()

    async def _run(self) -> None:
        attempt = 0
        try:
            for source in self._needs:
                self._trouble = "waiting for what it needs before the first record"
                await source.first()
            while True:
                began = time.monotonic()
                try:
                    await self._session()
                except TooManyDeadLetters as limit:
                    self._trouble = f"stopped: {limit}"
                    self._remedy = (
                        "Look at the dead letters' reasons, deploy the fix (or raise DEAD_LETTER_LIMIT) and restart: "
                        "it goes on at the batch that passed the limit."
                    )
                    _log.error("dead_letter_limit", detail=str(limit))
                    await self._drop_client()
                    self.absent()  # commands are still booked here: their facts must leave
                    return
                except Exception as error:
                    self._explain(error)
                finally:
                    await self._drop_client()
                attempt = 1 if time.monotonic() - began > 60 else attempt + 1
                metrics.count("kafka_clients_rebuilt_total", client="consumer")
                await backoff(attempt + 4, most_seconds=5.0)
        finally:
            await self._drop_client()

    def _explain(self, error: Exception) -> None:
        if isinstance(error, OffsetOutOfRangeError):
            self._trouble, self._remedy = f"offset out of range: {error}", WAY_OUT_LOG
        elif is_unavailable(error) and not isinstance(error, KafkaError | TimeoutError):
            self._trouble, self._remedy = f"database: {error!r}", WAY_OUT_DATABASE
        else:
            self._trouble, self._remedy = f"brokers: {error!r}", WAY_OUT_BROKERS
        _log.warning("consumer_interrupted", error=repr(error))

    async def _session(self) -> None:
        """The life of one client: joins, reads, until something is wrong with it."""
        self._assigned = None
        self._client = client = new_consumer(self._settings, self._worker)
        async with asyncio.timeout(SILENT_SECONDS):
            await client.start()
        client.subscribe(self._topics, listener=self)
        self._heard_at = time.monotonic()
        self._trouble = "joining the group"
        while True:
            self._wake.clear()
            if self._assigned is not None:
                await self._open_lanes()
            await self._place_lanes(client)
            self._commit_to_broker(client)
            wanted = [TopicPartition(t, lane.shard) for lane in self._lanes.values() for t in lane.wanted()]
            if not wanted and self._lanes:  # an empty list would mean all partitions
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await self._wake.wait()
                self._heard_at = time.monotonic()  # nobody was asked
                continue
            # A lane that gets hungry meanwhile has to wait for this call: a short one while some are fed.
            patience_ms = 250 if len(wanted) == len(self._lanes) * len(self._topics) else 20
            async with asyncio.timeout(REBALANCE_MS / 1000 + SILENT_SECONDS):  # it waits through a rebalance
                fetched = await self._fetch(client, wanted, patience_ms)
            for partition, records in fetched.items():
                lane = self._lanes.get(partition.partition)
                if lane is not None:
                    lane.feed(partition.topic, records)
            self._check_silence(client, wanted)
            if sum(map(len, fetched.values())) < GATHER_BELOW:
                await asyncio.sleep(self._settings.gather_seconds)

    async def _fetch(
        self, client: Any, wanted: list[TopicPartition], patience_ms: int
    ) -> dict[TopicPartition, list[Any]]:
        try:
            found: dict[TopicPartition, list[Any]] = await client.getmany(
                *wanted, timeout_ms=patience_ms, max_records=READ_SLICE
            )
        except NoOffsetForPartitionError:
            # The client looked for a committed offset before we could seek; the seek is what counts.
            return {}
        return found

    def _check_silence(self, client: Any, wanted: list[TopicPartition]) -> None:
        """Raises when no broker has answered for too long (a client may hang without saying so)."""
        heard = 0
        for partition in wanted:
            with suppress(Exception):
                heard = max(heard, client.last_poll_timestamp(partition) or 0)
        now = time.monotonic()
        if not wanted or time.time() - heard / 1000 < 5.0:
            self._heard_at = now
            if self._trouble == NO_ANSWER:
                self._trouble = ""
        silent = now - self._heard_at
        if silent > SILENT_SECONDS:
            raise TimeoutError(f"no answer from any broker for {silent:.0f} s")
        if silent > 5.0 and not self._trouble:
            self._trouble = NO_ANSWER

    async def _open_lanes(self) -> None:
        """Makes a lane of each assigned shard. It has no place yet, and its partitions stay paused."""
        assigned, self._assigned = self._assigned, None
        assert assigned is not None
        shards = sorted({partition.partition for partition in assigned})
        whole = {TopicPartition(topic, shard) for topic in self._topics for shard in shards}
        if assigned != whole or shards[-1:] > [self._settings.shards - 1]:
            lacking = sorted({partition.topic for partition in whole ^ assigned}) or self._topics
            raise KafkaError(f"topics without {self._settings.shards} partitions: {', '.join(lacking)}")
        await self._close_lanes()
        for shard in shards:
            self._lanes[shard] = ShardWorker(
                shard,
                self._topics,
                service=self._settings.service,
                executor=self._executor,
                decode=self._decode,
                limit=self._limit,
                slots=self._slots,
                max_batch=self._settings.max_batch,
                unread=self._unread,
                hungry=self._wake.set,
            )
        for lane in self._lanes.values():
            lane.start()
        self._trouble = self._remedy = ""
        _log.info("shards_owned", shards=shards)
        self._tell()

    async def _place_lanes(self, client: Any) -> None:
        """Puts the lanes that are new, or lost their place, on the stored offsets; ends with what one cannot solve.

        While the database is away they wait; the client stays in the group.
        """
        for lane in list(self._lanes.values()):
            if lane.failed is not None:
                raise lane.failed
            if not lane.lost_its_place or time.monotonic() < self._retry_at:
                continue
            try:
                await self._place(client, lane)
            except Exception as error:
                if isinstance(error, KafkaError) or not is_unavailable(error):
                    raise
                self._away += 1
                self._retry_at = time.monotonic() + min(2.0, 0.05 * 2**self._away)
                self._trouble, self._remedy = f"database: {error!r}", WAY_OUT_DATABASE
                return
            if self._away:
                self._away = 0
                self._trouble = self._remedy = ""

    async def _place(self, client: Any, lane: ShardWorker[I, O]) -> None:
        """Loads the stored offsets of a lane, seeding those of a first start from the log's beginning, and seeks."""
        stored = await self._stored(lane.shard)
        missing = [topic for topic in self._topics if topic not in stored]
        if missing:
            partitions = [TopicPartition(topic, lane.shard) for topic in missing]
            beginnings = await client.beginning_offsets(partitions)
            offsets = [beginnings[partition] for partition in partitions]
            await self._pool.execute(_SQL.seed, lane.shard, missing, offsets)
            stored = await self._stored(lane.shard)
        if self._lanes.get(lane.shard) is not lane:
            return  # revoked meanwhile
        for topic, offset in stored.items():
            client.seek(TopicPartition(topic, lane.shard), offset)
        client.resume(*(TopicPartition(topic, lane.shard) for topic in self._topics))
        lane.place(stored)

    async def _stored(self, shard: int) -> dict[str, int]:
        return {row[0]: row[1] for row in await self._pool.fetch(_SQL.stored, shard, self._topics)}

    async def _close_lanes(self) -> None:
        lanes = list(self._lanes.values())
        self._lanes.clear()
        if lanes:
            await asyncio.gather(*(lane.close(REVOKE_SECONDS) for lane in lanes))
            self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener(self.shards)

    def _commit_to_broker(self, client: Any) -> None:
        """Tells the broker how far we are, now and then and at best effort: for lag tools, not for us."""
        if self._committing is not None and not self._committing.done():
            return
        if time.monotonic() - self._committed_at < COMMIT_EVERY_SECONDS:
            return
        if moved := _moved(self._lanes.values()):
            self._committed_at = time.monotonic()
            self._committing = asyncio.create_task(_commit(client, moved))

    async def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        lanes = list(self._lanes.values())
        await self._close_lanes()
        if self._committing is not None:
            await asyncio.wait([self._committing], timeout=1.0)
        if moved := _moved(lanes):
            await _commit(client, moved)
        await stop_quietly(client)


def _moved(lanes: Iterable[ShardWorker[Any, Any]]) -> dict[TopicPartition, int]:
    return {TopicPartition(t, lane.shard): offset for lane in lanes for t, offset in lane.uncommitted().items()}


async def _commit(client: Any, offsets: dict[TopicPartition, int]) -> None:
    with suppress(KafkaError, TimeoutError, OSError):
        async with asyncio.timeout(2.0):
            await client.commit(offsets)
