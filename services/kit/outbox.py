"""Facts out: written with the transaction that makes them true, sent in order afterwards.

One relay a shard reads the rows in id order, sends them, waits for the acknowledgements and deletes them. A cursor
would lose rows, because ids are taken before commit: a row may appear behind one that was sent. So the relay reads
from the beginning each time, and deletes exactly what it has read and the broker has.

Order. A member's rows get their ids while its lock is held, so id order is the member's order. A shard is relayed by
one session at a time (an advisory lock). Within a round one batch goes to each partition and the next round waits for
all: nothing is ever sent behind something unacknowledged, so an error cannot let a later fact overtake. After an
error the producer is dropped with all it holds, and the rows, still there, are sent again: consumers drop what is not
newer than what they have.

The rows of all shards of a worker go through one connection: one statement reads them, one deletes them.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import asyncpg
import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.kit import log, metrics
from services.kit.faults import fault
from services.kit.health import State
from services.kit.kafka import Headers, new_producer, partition_of, stop_quietly
from services.kit.postgres import Connection, Queries, backoff, connect, is_unavailable

if TYPE_CHECKING:
    from services.kit.consumer import Consumer
    from services.kit.settings import Settings

_log = log.get(__name__)
_SQL: Final = Queries.load("services.kit", "sql/outbox.sql", require=("append", "waiting", "delete", "lock", "unlock"))
_COLUMNS: Final = ("shard", "topic", "key", "value", "headers")
_HEADERS: Final = msgspec.msgpack.Decoder(list[tuple[str, bytes]])

FEW_ROWS: Final = 50
"""Rows up to which an INSERT is cheaper than COPY with its round trips."""
ROUND_ROWS: Final = 2000
"""Rows of one round over all shards: some 30 ms of parsing and packing."""
SEND_SLICE: Final = 200
"""Rows packed between two yields to the event loop, where commands wait for their turn."""
SEND_SECONDS: Final = 30.0
"""An acknowledgement that takes longer means that the brokers are gone (the client would wait for ever)."""
LEARN_SECONDS: Final = 5.0
"""How long a topic that is not known may hold up the others."""
BLOCKED_SECONDS: Final = 30.0
"""How long a shard rests whose next row the brokers refuse for good (too large, no such topic)."""
MIN_POLL_SECONDS: Final = 0.02
MAX_POLL_SECONDS: Final = 0.25
GATHER_BELOW: Final = 200
"""After a round of fewer rows the next one waits a moment (`gather_seconds`)."""
CLAIM_SECONDS: Final = 2.0
"""How often a relay tries for shards that another session holds."""
HAND_ON_SECONDS: Final = 1.0
FLUSH_SECONDS: Final = 3.0
"""How long a graceful stop goes on sending what waits."""


class OutboxRow(NamedTuple):
    """One record to send. `shard` is that of the transaction that writes it; the record's partition follows from
    its key, so a row may be addressed to another shard's member. A row without key goes to partition 0."""

    shard: int
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


OutboxRecord = tuple[int, str, bytes | None, bytes | None, bytes | None]
"""Shard, topic, key, value, headers."""


async def append(tx: Connection, rows: Sequence[OutboxRow]) -> None:
    """Writes rows, in order, in the caller's transaction (after the members' locks are held)."""
    if not rows:
        return
    records = records_of(rows)
    if len(records) <= FEW_ROWS:
        await tx.execute(_SQL.append, *(list(column) for column in zip(*records, strict=True)))
    else:
        await tx.copy_records_to_table("outbox", columns=_COLUMNS, records=records)


def records_of(rows: Iterable[OutboxRow]) -> list[OutboxRecord]:
    """Rows as the table has them, for who writes them together with others."""
    return [
        (shard, topic, key, value, msgspec.msgpack.encode(headers) if headers else None)
        for shard, topic, key, value, headers in rows
    ]


class _Unsent(Exception):
    """The brokers did not take something in time; the cause says why."""


@asynccontextmanager
async def _sending(seconds: float = SEND_SECONDS) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise _Unsent from error


class Relay:
    """The part `relay`: sends each shard's rows in id order and deletes them once the broker has them."""

    name = "relay"

    def __init__(self, settings: Settings, *, round_rows: int = ROUND_ROWS) -> None:
        """Relays all shards that no other relay holds, unless `follow` says which."""
        self._settings = settings
        self._round_rows = round_rows
        self._lock_space = zlib.crc32(f"outbox:{settings.service}".encode()) - 2**31
        self._target = frozenset(range(settings.shards))
        self._held: set[int] = set()
        self._claimed_at = 0.0
        self._retargeted_at = 0.0
        self._attempt = 0
        self._blocked: dict[int, str] = {}
        self._blocked_until = 0.0
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping: float | None = None
        self._session: asyncpg.Connection[asyncpg.Record] | None = None
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        self._trouble = "starting"
        self._remedy = ""

    def follow(self, consumer: Consumer[Any, Any]) -> None:
        """Relays the shards that this consumer owns, and hands them on when it does."""
        self._target = consumer.shards
        consumer.on_shards(self._retarget)

    def wake(self, shard: int) -> None:
        """Tells the relay that rows of a shard were committed (else it looks every 20 to 250 ms)."""
        self._work.set()

    async def start(self) -> None:
        """Begins to relay; returns at once, also when broker or database is away."""
        self._task = asyncio.create_task(self._run(), name="relay")

    async def stop(self) -> None:
        """Sends what is there as far as time allows, and releases its shards."""
        self._stopping = time.monotonic() + FLUSH_SECONDS
        self._work.set()
        if self._task is not None:
            _, running = await asyncio.wait([self._task], timeout=FLUSH_SECONDS + 1)
            for task in running:
                task.cancel()
                await asyncio.wait([task])

    def state(self) -> State:
        """Whether rows get through."""
        figures = {"shards": ",".join(map(str, sorted(self._held)))}
        if self._trouble or not self._blocked:
            return State(not self._trouble, self._trouble, self._remedy, figures)
        detail = "; ".join(f"shard {shard}, {why}" for shard, why in self._blocked.items())
        return State(False, detail, "Make the topic, or raise its max.message.bytes; the row is kept.", figures)

    def _retarget(self, shards: frozenset[int]) -> None:
        self._target = shards
        self._claimed_at = 0.0
        self._retargeted_at = time.monotonic()
        self._work.set()

    # ── the loop ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._relay()
                    return
                except Exception as error:
                    self._explain(error)
                    await self._drop()
                    if self._stopping is not None and time.monotonic() > self._stopping:
                        return
                    self._attempt += 1
                    await backoff(self._attempt + 3)
        finally:
            await self._drop()
            self._trouble = "stopped"

    def _explain(self, error: Exception) -> None:
        if isinstance(error, _Unsent):
            self._trouble = f"brokers: {error.__cause__!r}"
            metrics.count("kafka_clients_rebuilt_total", client="relay")
        else:
            self._trouble = f"{'database' if is_unavailable(error) else 'relay'}: {error!r}"
        self._remedy = "Rows wait in the outbox and nothing is lost; once the cause is gone they are sent."
        _log.warning("relay_interrupted", error=self._trouble)

    async def _relay(self) -> None:
        """Rounds over one session and one producer, until told to stop or something breaks."""
        self._session = session = await connect(self._settings, part="relay")
        # Rows are found by key however many wait: a plan made while none did would read them all each round.
        await session.execute(
            "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; "
            "SET enable_bitmapscan = off; SET enable_material = off"
        )
        self._producer = producer = new_producer(self._settings, client="relay")
        async with _sending():
            await producer.start()
        self._claimed_at = 0.0
        poll = MIN_POLL_SECONDS
        sent = 0
        while True:
            await self._claim(session, idle=not sent)
            if self._blocked and time.monotonic() > self._blocked_until:
                self._blocked.clear()
            self._work.clear()
            sent = await self._round(session, producer) if self._held else 0
            self._attempt = 0
            if self._trouble:
                self._trouble = self._remedy = ""
            if sent:
                poll = MIN_POLL_SECONDS
                if sent < GATHER_BELOW and self._stopping is None:
                    await asyncio.sleep(self._settings.gather_seconds)
            elif self._stopping is not None:
                return
            else:
                await self._rest(poll)
                poll = min(MAX_POLL_SECONDS, poll * 1.5)
            if self._stopping is not None and time.monotonic() > self._stopping:
                return

    async def _rest(self, seconds: float) -> None:
        """Waits for rows: until woken, or for the poll (another worker may have written to our shards)."""
        try:
            async with asyncio.timeout(seconds):
                await self._work.wait()
        except TimeoutError:
            return

    async def _claim(self, session: asyncpg.Connection[asyncpg.Record], *, idle: bool) -> None:
        """Takes the locks of the shards it should relay and hands on the others, between rounds: nothing of them is
        in flight then. What it hands on it sends first, as far as `HAND_ON_SECONDS` allow."""
        surplus = self._held - self._target
        if surplus and (idle or time.monotonic() - self._retargeted_at > HAND_ON_SECONDS):
            await session.execute(_SQL.unlock, self._lock_space, list(surplus))
            self._held -= surplus
        missing = self._target - self._held
        if missing and time.monotonic() - self._claimed_at > CLAIM_SECONDS:
            self._claimed_at = time.monotonic()
            rows = await session.fetch(_SQL.lock, self._lock_space, sorted(missing))
            self._held.update(row["s"] for row in rows)

    async def _round(self, session: asyncpg.Connection[asyncpg.Record], producer: AIOKafkaProducer) -> int:
        """Reads, sends, awaits the acknowledgements, deletes. Answers how many rows went out."""
        began = time.perf_counter()
        shards = sorted(self._held - self._blocked.keys()) if self._blocked else sorted(self._held)
        if not shards:
            return 0
        rows = await session.fetch(_SQL.waiting, shards, max(100, self._round_rows // len(shards)))
        if not rows:
            return 0
        fault("relay_before_send")
        sent, unsent = await self._send(producer, rows)
        fault("relay_after_send")
        if sent:
            await session.execute(_SQL.delete, *_runs(sent))
            fault("relay_after_delete")
            for topic, number in Counter(row[2] for row in sent).items():
                metrics.count("relayed_total", number, topic=topic)
        metrics.observe("relay_round_seconds", time.perf_counter() - began)
        if unsent is not None:
            raise unsent  # the producer may hold a gap in its sequence: a new one has none
        return len(sent)

    async def _send(
        self, producer: AIOKafkaProducer, rows: Sequence[asyncpg.Record]
    ) -> tuple[list[asyncpg.Record], _Unsent | None]:
        """Sends one batch to each partition and waits for the answers; returns the rows that may be deleted.

        They are a beginning of each shard's rows: a row whose partition has a full batch waits for the next round, one
        that was not acknowledged for a new producer, and so do all later rows of its shard.
        """
        batches: dict[tuple[str, int], Any] = {}
        taken: list[tuple[asyncpg.Record, tuple[str, int]]] = []
        closed_shard = previous_shard = previous_id = -1
        now_ms = int(time.time() * 1000)
        unsent: _Unsent | None = None
        for number, row in enumerate(rows, 1):
            if number % SEND_SLICE == 0:
                await asyncio.sleep(0)
            shard, row_id, topic, key, value, headers = row
            if shard == closed_shard:
                continue
            assert shard != previous_shard or row_id > previous_id, "rows of a shard in id order"
            previous_shard, previous_id = shard, row_id
            try:
                partitions = self._partitions.get(topic) or await self._learn(producer, topic)
            except _Unsent as error:
                closed_shard, unsent = shard, error
                self._block(shard, f"topic {topic}", error)
                continue
            place = (topic, partition_of(key, partitions) if key is not None and partitions > 1 else 0)
            batch = batches.get(place)
            if batch is None:
                batch = batches[place] = producer.create_batch()
            decoded = _HEADERS.decode(headers) if headers is not None else []
            if batch.append(key=key, value=value, timestamp=now_ms, headers=decoded) is None:
                closed_shard = shard
                continue
            taken.append((row, place))
        failed = await self._deliver(producer, batches)
        if not failed:
            return [row for row, _ in taken], unsent
        sent: list[asyncpg.Record] = []
        closed_shard = -1
        for row, place in taken:
            if row[0] == closed_shard:
                continue
            if place in failed:
                closed_shard, unsent = row[0], failed[place]
                if not getattr(unsent.__cause__, "retriable", True):
                    self._block(closed_shard, f"row {row[1]} to {place[0]}", unsent)
                continue
            sent.append(row)
        return sent, unsent

    async def _deliver(
        self, producer: AIOKafkaProducer, batches: dict[tuple[str, int], Any]
    ) -> dict[tuple[str, int], _Unsent]:
        """Sends the batches side by side; answers those that were not acknowledged, and why."""

        async def deliver(place: tuple[str, int], batch: Any) -> None:
            topic, partition = place
            batch.close()
            async with _sending():
                await (await producer.send_batch(batch, topic, partition=partition))

        answers = await asyncio.gather(
            *(deliver(place, batch) for place, batch in batches.items()), return_exceptions=True
        )
        failed: dict[tuple[str, int], _Unsent] = {}
        for place, answer in zip(batches, answers, strict=True):
            if isinstance(answer, _Unsent):
                failed[place] = answer
            elif isinstance(answer, BaseException):
                raise answer
        return failed

    def _block(self, shard: int, what: str, error: _Unsent) -> None:
        """Leaves a shard out for a while whose next row the brokers will not take: the others go on."""
        self._blocked[shard] = f"{what}: {error.__cause__!r}"
        self._blocked_until = time.monotonic() + BLOCKED_SECONDS
        metrics.count("alarms_total", kind="outbox_row_refused")
        _log.error("outbox_blocked", shard=shard, what=what, error=repr(error.__cause__))

    async def _learn(self, producer: AIOKafkaProducer, topic: str) -> int:
        async with _sending(LEARN_SECONDS):
            partitions = self._partitions[topic] = len(await producer.partitions_for(topic))
        return partitions

    async def _drop(self) -> None:
        """Lets go of session (and with it of all locks) and producer, with what it has not yet sent."""
        session, producer, self._session, self._producer = self._session, self._producer, None, None
        self._held.clear()
        self._partitions.clear()
        if producer is not None:
            await stop_quietly(producer)
        if session is not None:
            session.terminate()


def _runs(rows: Iterable[asyncpg.Record]) -> tuple[list[int], list[int], list[int]]:
    """Rows in (shard, id) order as runs of consecutive ids: shards, first ids, last ids."""
    shards: list[int] = []
    firsts: list[int] = []
    lasts: list[int] = []
    for row in rows:
        shard, row_id = row[0], row[1]
        if shards and shards[-1] == shard and lasts[-1] == row_id - 1:
            lasts[-1] = row_id
        else:
            shards.append(shard)
            firsts.append(row_id)
            lasts.append(row_id)
    return shards, firsts, lasts
