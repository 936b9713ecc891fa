"""The greeter's decode, book and wiring."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import msgspec

from services.kit.app import Api
from services.kit.auth import Guard
from services.kit.consumer import Consumer
from services.kit.dead_letter import RefusalReason, Refused
from services.kit.executor import Executor
from services.kit.kafka import Record, Shard
from services.kit.outbox import OutboxRow, append
from services.kit.part import Part
from services.kit.postgres import Connection
from services.kit.relay import Relay
from services.kit.serve import Service
from services.kit.settings import Settings
from services.kit.sweeper import Sweeper
from services.kit.worker import Worker
from tests.greeter.hello import Hello
from tests.greeter.routes import SHARDS, routes


class GreeterSettings(Settings):
    """The greeter reads two topics on four shards."""

    service: ClassVar[str] = "greeter"
    shards: int = SHARDS
    hellos: str = "test.hellos.v1"
    waves: str = "test.waves.v1"
    greetings: str = "test.greetings.v1"


_parse = msgspec.json.Decoder(Hello).decode


def decode(record: Record) -> Hello | Refused | None:
    """A record as a hello; an empty one is passed over."""
    if record.value is None:
        return None
    if record.value == b"bug":
        raise KeyError("a defect of decode")
    try:
        return _parse(record.value)
    except msgspec.DecodeError:
        return Refused(RefusalReason.NOT_PARSABLE, None, "no hello")


async def book(greetings: str, tx: Connection, shard: Shard, inputs: Sequence[Hello]) -> Sequence[str | Refused]:
    """Keeps each hello once and greets for it, under the lock of its member."""
    for hello in inputs:
        if hello.slow:
            await asyncio.sleep(hello.slow)
        if hello.breaks:
            raise ZeroDivisionError("a defect of book")
    members = sorted({hello.member for hello in inputs})
    await tx.execute("INSERT INTO member SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING", shard, members)
    await tx.fetch(
        "SELECT 1 FROM member WHERE shard = $1 AND member = ANY ($2::text[]) ORDER BY member FOR UPDATE", shard, members
    )
    outcomes: list[str | Refused] = []
    rows = []
    for hello in inputs:
        if hello.late:
            outcomes.append(Refused(RefusalReason.TOO_LATE, "n", "too late"))
            continue
        status = await tx.execute(
            "INSERT INTO hello (shard, member, n) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            shard,
            hello.member,
            hello.n,
        )
        fresh = status == "INSERT 0 1"
        outcomes.append("booked" if fresh else "known")
        if fresh:
            rows.append(OutboxRow(shard, greetings, hello.member.encode(), str(hello.n).encode()))
    await append(tx, rows)
    return outcomes


def new_executor(worker: Worker[GreeterSettings], relay: Relay) -> Executor[Hello, str]:
    """The greeter's executor."""
    return Executor(
        worker.pool,
        partial(book, worker.settings.greetings),
        committed=relay.wake,
        clock=worker.clock,
        max_batch=worker.settings.max_batch,
    )


def wire(worker: Worker[GreeterSettings]) -> Sequence[Part]:
    """All four parts."""
    settings = worker.settings
    relay = Relay(settings)
    executor = new_executor(worker, relay)
    consumer = Consumer(
        settings,
        worker.pool,
        executor,
        topics=[settings.hellos, settings.waves],
        decode=decode,
        worker=worker.number,
        clock=worker.clock,
    )
    relay.follow(consumer)

    async def sweep(shard: Shard) -> int:
        await worker.pool.fetchval("SELECT count(*) FROM hello WHERE shard = $1", shard)
        return 0

    sweeper = Sweeper(settings, sweep, every_seconds=0.2, shards=consumer, clock=worker.clock)
    api = Api(worker, routers=[routes(executor, Guard(settings))], drain=executor.drain)
    return [relay, consumer, sweeper, api]


SERVICE = Service("greeter", "tests.greeter", GreeterSettings, wire, topics=())
