"""Sends the rows of the outbox: each shard's in id order, each deleted once the broker has it.

A cursor would lose rows: ids are taken before COMMIT, so a row may appear behind one that was already sent. The relay
therefore reads from the beginning each time, and deletes exactly the rows that it has read and the broker has.

Order. A member's rows get their ids while its lock is held, so id order is the member's order. One session at a time
relays a shard (`ShardLocks`). A round sends one batch to each partition, and the next round begins when all are
answered: nothing is ever sent behind something unacknowledged, so an error cannot let a later fact overtake. After an
error the producer is dropped with all it holds, and the rows, which are still in the table, are sent again. Consumers
drop what is not newer than what they have.

The rows of all shards of a worker go through one connection: one statement reads them, one deletes them.
"""

from __future__ import annotations

import asyncio
import time
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
from services.kit.kafka import Shard, new_producer, partition_of, stop_quietly
from services.kit.part import Shards, State
from services.kit.postgres import Queries, backoff, connect, is_unavailable
from services.kit.pulse import Pulse
from services.kit.shard_locks import ShardLocks

if TYPE_CHECKING:
    from services.kit.settings import Settings

_log = log.get(__name__)
_SQL: Final = Queries.load("services.kit", "sql/outbox.sql", require=("waiting", "delete"))
_HEADERS: Final = msgspec.msgpack.Decoder(list[tuple[str, bytes]])

ROUND_ROWS: Final = 2000
"""Rows of one round over all shards: some 30 ms of parsing and packing."""
PACK_SLICE: Final = 200
"""Rows packed between two yields to the event loop, where commands wait for their turn."""
SEND_SECONDS: Final = 30.0
"""An acknowledgement that takes longer means that the brokers are gone (the client would wait for ever)."""
METADATA_SECONDS: Final = 5.0
"""How long a topic that the brokers do not know may hold up the others."""
BLOCKED_SECONDS: Final = 30.0
"""How long a shard is left out when the brokers will not take its next row (too large, no such topic)."""
MIN_POLL_SECONDS: Final = 0.02
MAX_POLL_SECONDS: Final = 0.25
GATHER_BELOW: Final = 200
"""After a round of fewer rows the next one waits a moment (`gather_seconds`)."""
FLUSH_SECONDS: Final = 3.0
"""How long a graceful stop goes on sending the rows that wait."""

_Place = tuple[str, int]
"""A topic and a partition of it."""


class _Unsent(Exception):
    """The brokers did not take something in time; the cause says why."""


class _Packed(NamedTuple):
    """The rows of a round as one batch a partition. `rows` are those in the batches, each with its place; `unsent`
    says why the rows of a shard were left out, if the topic of one of them is not known."""

    batches: dict[_Place, Any]
    rows: list[tuple[asyncpg.Record, _Place]]
    unsent: _Unsent | None


@asynccontextmanager
async def _sending(seconds: float = SEND_SECONDS) -> AsyncIterator[None]:
    """Turns what the brokers may answer, or leave unanswered, into `_Unsent`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise _Unsent from error


class Relay:
    """The part `relay`: sends each shard's rows in id order and deletes them once the broker has them."""

    name = "relay"

    def __init__(self, settings: Settings, *, round_rows: int = ROUND_ROWS) -> None:
        """Relays every shard that no other relay holds, unless `follow` says which."""
        self._settings = settings
        self._round_rows = round_rows
        self._locks = ShardLocks(settings.service, frozenset(map(Shard, range(settings.shards))))
        self._attempt = 0
        self._blocked: dict[Shard, str] = {}
        self._blocked_until = 0.0
        self._rows_committed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.pulse = Pulse()
        self._flush_until: float | None = None
        self._session: asyncpg.Connection[asyncpg.Record] | None = None
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        self._trouble = "starting"
        self._remedy = ""

    def follow(self, shards: Shards) -> None:
        """Relays the shards that this process owns, and releases those it owns no longer."""
        self._locks.want(shards.shards)
        shards.on_shards_changed(self._want)

    def wake(self, shard: Shard) -> None:
        """Says that rows of a shard were committed (without this the relay looks every 20 to 250 ms)."""
        self._rows_committed.set()

    async def start(self) -> None:
        """Begins to relay; returns at once, also when broker or database cannot be reached."""
        self._task = self.pulse.follow(asyncio.create_task(self._run(), name="relay"))

    async def stop(self) -> None:
        """Sends the rows that wait, as far as time allows, and releases its shards."""
        self._flush_until = time.monotonic() + FLUSH_SECONDS
        self._rows_committed.set()
        if self._task is not None:
            _, running = await asyncio.wait([self._task], timeout=FLUSH_SECONDS + 1)
            for task in running:
                task.cancel()
                await asyncio.wait([task])

    def state(self) -> State:
        """Whether rows get through."""
        figures = {"shards": ",".join(map(str, sorted(self._locks.held)))}
        if self._trouble:
            return State(False, self._trouble, self._remedy, figures)
        if self._locks.trouble:
            return State(False, self._locks.trouble, "Its shards are taken over when its lease is over.", figures)
        if not self._blocked:
            return State(True, figures=figures)
        detail = "; ".join(f"shard {shard}, {why}" for shard, why in self._blocked.items())
        return State(False, detail, "Make the topic, or raise its max.message.bytes; the row is kept.", figures)

    def _want(self, shards: frozenset[Shard]) -> None:
        self._locks.want(shards)
        self._rows_committed.set()

    # ── the loop ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        """Relays until it is stopped; after each error with a new session and a new producer."""
        try:
            while True:
                try:
                    await self._relay()
                    return
                except Exception as error:
                    self._explain(error)
                    await self._drop()
                    if self._is_flush_over():
                        return
                    self._attempt += 1
                    self.pulse.beat()
                    await backoff(self._attempt + 3)
        finally:
            await self._drop()
            self._trouble = "stopped"

    def _is_flush_over(self) -> bool:
        return self._flush_until is not None and time.monotonic() > self._flush_until

    def _explain(self, error: Exception) -> None:
        if isinstance(error, _Unsent):
            self._trouble = f"brokers: {error.__cause__!r}"
            metrics.count("kafka_clients_rebuilt_total", client="relay")
        else:
            self._trouble = f"{'database' if is_unavailable(error) else 'relay'}: {error!r}"
        self._remedy = "Rows wait in the outbox and nothing is lost; once the cause is gone they are sent."
        _log.warning("relay_interrupted", error=self._trouble)

    async def _relay(self) -> None:
        """Rounds over one session and one producer, until it is stopped or something breaks."""
        session, producer = await self._connect()
        poll = MIN_POLL_SECONDS
        sent = 0
        while True:
            self.pulse.beat()
            await self._locks.follow(session, idle=not sent)
            if self._blocked and time.monotonic() > self._blocked_until:
                self._blocked.clear()
            self._rows_committed.clear()
            sent = await self._round(session, producer) if self._locks.held else 0
            self._attempt = 0
            self._trouble = self._remedy = ""
            if sent:
                poll = MIN_POLL_SECONDS
                if sent < GATHER_BELOW and self._flush_until is None:
                    await asyncio.sleep(self._settings.gather_seconds)
            elif self._flush_until is not None:
                return
            else:
                await self._wait_for_rows(poll)
                poll = min(MAX_POLL_SECONDS, poll * 1.5)
            if self._is_flush_over():
                return

    async def _connect(self) -> tuple[asyncpg.Connection[asyncpg.Record], AIOKafkaProducer]:
        """A new session, which holds no lock yet, and a new producer."""
        self._session = session = await connect(self._settings, part="relay")
        # Rows are found by key however many wait: a plan made while the table is empty would read all of them each
        # round.
        await session.execute(
            "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; "
            "SET enable_bitmapscan = off; SET enable_material = off"
        )
        self._producer = producer = new_producer(self._settings, client="relay")
        async with _sending():
            await producer.start()
        return session, producer

    async def _wait_for_rows(self, seconds: float) -> None:
        """Returns when woken, or after `seconds`: another worker may have written to our shards."""
        try:
            async with asyncio.timeout(seconds):
                await self._rows_committed.wait()
        except TimeoutError:
            return

    async def _drop(self) -> None:
        """Ends the session, and with it all locks, and the producer with what it has not sent."""
        session, producer, self._session, self._producer = self._session, self._producer, None, None
        self._locks.forget()
        self._partitions.clear()
        if producer is not None:
            await stop_quietly(producer)
        if session is not None:
            session.terminate()

    # ── one round ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _round(self, session: asyncpg.Connection[asyncpg.Record], producer: AIOKafkaProducer) -> int:
        """Reads, sends, awaits the acknowledgements, deletes. Answers how many rows went out."""
        began = time.perf_counter()
        shards = sorted(self._locks.held - self._blocked.keys())
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

        They are the first rows of each shard, without a gap: behind a row that was not acknowledged, no later row of
        its shard is deleted.
        """
        packed = await self._pack(producer, rows)
        failed = await self._deliver(producer, packed.batches)
        if not failed:
            return [row for row, _ in packed.rows], packed.unsent
        unsent = packed.unsent
        sent: list[asyncpg.Record] = []
        closed_shard: int | None = None
        for row, place in packed.rows:
            if row[0] == closed_shard:
                continue
            if place not in failed:
                sent.append(row)
                continue
            closed_shard, unsent = row[0], failed[place]
            if not getattr(unsent.__cause__, "retriable", True):
                self._block(row[0], f"row {row[1]} to {place[0]}", unsent)
        return sent, unsent

    async def _pack(self, producer: AIOKafkaProducer, rows: Sequence[asyncpg.Record]) -> _Packed:
        """Puts rows into one batch a partition. A shard is closed at the first of its rows whose batch is full or
        whose topic is not known: its later rows wait for another round."""
        batches: dict[_Place, Any] = {}
        packed: list[tuple[asyncpg.Record, _Place]] = []
        unsent: _Unsent | None = None
        closed_shard = previous_shard = previous_id = None
        now_ms = int(time.time() * 1000)
        for number, row in enumerate(rows, 1):
            if number % PACK_SLICE == 0:
                await asyncio.sleep(0)
            shard, row_id, topic, key, value, headers = row
            if shard == closed_shard:
                continue
            assert shard != previous_shard or row_id > previous_id, "rows of a shard in id order"
            previous_shard, previous_id = shard, row_id
            try:
                partitions = self._partitions.get(topic) or await self._count_partitions(producer, topic)
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
            packed.append((row, place))
        return _Packed(batches, packed, unsent)

    async def _deliver(self, producer: AIOKafkaProducer, batches: dict[_Place, Any]) -> dict[_Place, _Unsent]:
        """Sends the batches side by side; answers those that were not acknowledged, and why."""

        async def deliver(place: _Place, batch: Any) -> None:
            topic, partition = place
            batch.close()
            async with _sending():
                await (await producer.send_batch(batch, topic, partition=partition))

        answers = await asyncio.gather(
            *(deliver(place, batch) for place, batch in batches.items()), return_exceptions=True
        )
        failed: dict[_Place, _Unsent] = {}
        for place, answer in zip(batches, answers, strict=True):
            if isinstance(answer, _Unsent):
                failed[place] = answer
            elif isinstance(answer, BaseException):
                raise answer
        return failed

    def _block(self, shard: Shard, what: str, error: _Unsent) -> None:
        """Leaves out a shard for a while, because the brokers will not take its next row; the others go on."""
        self._blocked[shard] = f"{what}: {error.__cause__!r}"
        self._blocked_until = time.monotonic() + BLOCKED_SECONDS
        metrics.count("alarms_total", kind="outbox_row_refused")
        _log.error("outbox_blocked", shard=shard, what=what, error=repr(error.__cause__))

    async def _count_partitions(self, producer: AIOKafkaProducer, topic: str) -> int:
        async with _sending(METADATA_SECONDS):
            partitions = self._partitions[topic] = len(await producer.partitions_for(topic))
        return partitions


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
