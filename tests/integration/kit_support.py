"""What the kit's tests share: topics and a database of one test, the greeter's settings, its records."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from schemas.topics import BY_NAME
from services.kit.kafka import partition_of
from services.kit.migrate import migrate
from services.kit.serve import PARTS, Service, running
from services.kit.topics import ensure_topics
from tests.conftest import as_role
from tests.greeter.routes import SHARDS
from tests.greeter.service import SERVICE, GreeterSettings
from tests.sharing import SLOWER


async def settings_for(database: str, kafka: str, **more: Any) -> GreeterSettings:
    """Settings of a greeter of its own: migrated database, topics, consumer group."""
    mark = uuid.uuid4().hex[:8]
    names = {"hellos": f"hellos-{mark}", "waves": f"waves-{mark}", "greetings": f"greetings-{mark}"}
    settings = GreeterSettings(
        database_url=SecretStr(as_role(database, "greeter")),
        migration_database_url=SecretStr(database),
        kafka_bootstrap_servers=kafka,
        consumer_group=f"greeter-{mark}",
        session_timeout_seconds=6.0,
        **(names | more),
    )
    await migrate(settings, "tests.greeter")
    await make_topics(kafka, dict.fromkeys(names.values(), SHARDS))
    await ensure_topics(kafka, topics=[BY_NAME["loyalty.dead_letters.v1"]])
    return settings


async def make_topics(kafka: str, partitions: dict[str, int]) -> None:
    """Makes topics that are not there, with the broker's append time as timestamps."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        configs = {"message.timestamp.type": "LogAppendTime"}
        await admin.create_topics([NewTopic(n, p, 1, topic_configs=configs) for n, p in partitions.items()])
    finally:
        await admin.close()


@asynccontextmanager
async def greeter(
    settings: GreeterSettings,
    parts: Sequence[str] = PARTS,
    service: Service[GreeterSettings] = SERVICE,
    number: int = 0,
) -> AsyncIterator[Any]:
    """A greeter's worker in this process."""
    async with running(service, settings, frozenset(parts), number=number, port=0) as worker:
        yield worker


def hello(member: str, n: int, **more: Any) -> bytes:
    """A record's value."""
    return json.dumps({"member": member, "n": n, **more}).encode()


async def publish(kafka: str, records: Sequence[tuple[str, str, bytes | None]]) -> None:
    """Sends (topic, key, value) in order, each to its key's partition."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=5, enable_idempotence=True)
    await producer.start()
    try:
        sent = [await producer.send(topic, value, key=key.encode()) for topic, key, value in records]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def read(kafka: str, topic: str, partitions: int = SHARDS) -> list[Any]:
    """All records that a topic has now, partition by partition."""
    client = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await client.start()
    try:
        places = [TopicPartition(topic, partition) for partition in range(partitions)]
        client.assign(places)
        ends = await client.end_offsets(places)
        found: list[Any] = []
        for place in places:
            client.seek(place, 0)
        while any([await client.position(place) < ends[place] for place in places]):
            for records in (await client.getmany(timeout_ms=200)).values():
                found.extend(records)
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        await client.stop()


async def eventually(check: Callable[[], Awaitable[Any]], *, seconds: float = 20.0, what: str = "") -> Any:
    """Waits until `check` answers something true, and returns it.

    It has `seconds` where nothing else runs, and `SLOWER` times as many before this gives up.
    """
    seconds *= SLOWER
    ends = time.monotonic() + seconds
    while True:
        if answer := await check():
            return answer
        assert time.monotonic() < ends, f"not within {seconds} s: {what or check}"
        await asyncio.sleep(0.05)


class Database:
    """Superuser's eyes on a greeter's schema."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.connection = connection

    async def count(self, table: str) -> int:
        """Rows of a table."""
        number: int = await self.connection.fetchval(f"SELECT count(*) FROM greeter.{table}")
        return number

    async def has(self, table: str, number: int) -> bool:
        """Whether a table has so many rows."""
        return await self.count(table) == number

    async def has_more(self, table: str, number: int) -> bool:
        """Whether a table has more rows than that."""
        return await self.count(table) > number

    async def stands(self, place: tuple[int, str], offset: int) -> bool:
        """Whether a shard's topic stands at an offset."""
        return (await self.offsets()).get(place) == offset

    async def offsets(self) -> dict[tuple[int, str], int]:
        """The stored offsets by shard and topic."""
        rows = await self.connection.fetch("SELECT shard, topic, next_offset FROM greeter.consumer_offset")
        return {(row["shard"], row["topic"]): row["next_offset"] for row in rows}

    async def hellos(self) -> set[tuple[str, int]]:
        """What was booked."""
        rows = await self.connection.fetch("SELECT member, n FROM greeter.hello")
        return {(row["member"], row["n"]) for row in rows}


@asynccontextmanager
async def eyes(dsn: str) -> AsyncIterator[Database]:
    """Looks into the database beside the service."""
    connection = await asyncpg.connect(dsn)
    try:
        yield Database(connection)
    finally:
        await connection.close()


def members_of(shard: int, number: int) -> list[str]:
    """So many member ids of one shard."""
    found: list[str] = []
    n = 0
    while len(found) < number:
        if partition_of(f"m{n}".encode(), SHARDS) == shard:
            found.append(f"m{n}")
        n += 1
    return found
