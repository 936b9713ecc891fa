"""Redrives dead letters: publishes the original records again to the topics they came from, keyed as before.

Each dead letter is redriven once: the table `redriven` remembers the record's place. A record that is refused again
gets another dead letter, at its new place. The originals of dead letters without a body (personal data, very large
records) are read from their topic, as long as it keeps them. Messages between our own accounts come first, out of the
database, which keeps them until they are driven again.
"""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import asyncpg
import orjson
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from services.kit import audit, failed_messages
from services.kit.dead_letter import DEAD_LETTERS
from services.kit.failed_messages import FailedMessage
from services.kit.kafka import Headers, new_producer, new_reader, stop_quietly
from services.kit.postgres import connect
from services.kit.settings import Settings

ANSWER_SECONDS: Final = 10.0
"""How long an acknowledgement or a read may take."""


class Choice(NamedTuple):
    """Which dead letters: of these reasons and topics (empty: of all), at most so many (None: all). `because` is what
    the audit keeps of why."""

    reasons: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    limit: int | None = None
    because: str = ""

    @staticmethod
    def of(arguments: Namespace) -> Choice:
        """What the options of the command say."""
        reasons, topics = frozenset(arguments.reason), frozenset(arguments.topic)
        return Choice(reasons, topics, arguments.limit, arguments.because)

    def includes(self, reason: str, topic: str) -> bool:
        """Whether it is one of these."""
        return (not self.reasons or reason in self.reasons) and (not self.topics or topic in self.topics)


class _Original(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: Headers


class _Clients(NamedTuple):
    """What a run works with, and for whom. Each reader is a consumer without a group."""

    database: asyncpg.Connection[asyncpg.Record]
    producer: AIOKafkaProducer
    dead_letters: Any
    originals: Any
    by: audit.By
    """Who runs it, and why."""


async def run(settings: Settings, choice: Choice) -> int:
    """Redrives the chosen dead letters of this service and prints the counts; 1 if the original of one is gone."""
    counts = await drive(settings, choice)
    for what, number in sorted(counts.items()):
        sys.stdout.write(f"{number} {what}\n")
    if not counts:
        sys.stdout.write("No dead letters.\n")
    return 1 if counts["gone"] else 0


async def drive(settings: Settings, choice: Choice) -> Counter[str]:
    """The work of `run`: counts of `redriven`, `known` (redriven before), `other` (not chosen), `gone`."""
    counts: Counter[str] = Counter()
    async with _connected(settings, audit.operator(settings, choice.because)) as clients:
        for message in await failed_messages.waiting(clients.database):
            if choice.limit is not None and counts["redriven"] >= choice.limit:
                return counts
            counts[await _redrive_message(clients, choice, message)] += 1
        reader = clients.dead_letters
        partition = TopicPartition(DEAD_LETTERS, 0)
        reader.assign([partition])
        end = (await reader.end_offsets([partition]))[partition]
        await reader.seek_to_beginning(partition)
        while await reader.position(partition) < end:
            for records in (await reader.getmany(partition, timeout_ms=1000)).values():
                for record in records:
                    if choice.limit is not None and counts["redriven"] >= choice.limit:
                        return counts
                    data = orjson.loads(record.value)["data"]
                    if data["service"] == settings.service:
                        counts[await _redrive(clients, choice, data)] += 1
    return counts


@asynccontextmanager
async def _connected(settings: Settings, by: audit.By) -> AsyncIterator[_Clients]:
    database = await connect(settings, part="redrive")
    dead_letters, originals = new_reader(settings, "redrive"), new_reader(settings, "redrive")
    clients = _Clients(database, new_producer(settings, client="redrive"), dead_letters, originals, by)
    try:
        await clients.producer.start()
        await clients.dead_letters.start()
        await clients.originals.start()
        yield clients
    finally:
        await stop_quietly(clients.producer)
        await stop_quietly(clients.dead_letters)
        await stop_quietly(clients.originals)
        await database.close()


async def _redrive_message(clients: _Clients, choice: Choice, message: FailedMessage) -> str:
    """Publishes a message between our own accounts again; its dead letter is then known."""
    place = message.topic, message.partition, message.offset
    if not choice.includes(message.reason, message.topic):
        return "other"
    if not await _is_redriven(clients, *place):
        await _publish(clients, place, _Original(message.key, message.value, message.headers))
    await failed_messages.forget(clients.database, *place)
    return "redriven"


async def _redrive(clients: _Clients, choice: Choice, data: Mapping[str, Any]) -> str:
    """Publishes the original of one dead letter; answers what became of it, as `drive` counts it."""
    origin = data["origin"]
    place = origin["topic"], origin["partition"], origin["offset"]
    if not choice.includes(data["reason"], origin["topic"]):
        return "other"
    if await _is_redriven(clients, *place):
        return "known"
    original = _in_dead_letter(data) or await _in_topic(clients.originals, *place)
    if original is None:
        return "gone"
    await _publish(clients, place, original)
    return "redriven"


async def _is_redriven(clients: _Clients, topic: str, partition: int, offset: int) -> bool:
    query = "SELECT 1 FROM redriven WHERE topic = $1 AND partition = $2 AND record_offset = $3"
    return await clients.database.fetchval(query, topic, partition, offset) is not None


async def _publish(clients: _Clients, place: tuple[str, int, int], original: _Original) -> None:
    async with asyncio.timeout(ANSWER_SECONDS):
        # Sent before it is remembered: a crash in between sends it twice, which consumers recognise as one event.
        await clients.producer.send_and_wait(place[0], original.value, key=original.key, headers=list(original.headers))
    async with clients.database.transaction():
        await clients.database.execute(
            "INSERT INTO redriven (topic, partition, record_offset) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", *place
        )
        await audit.record(clients.database, clients.by, "dead_letter.redriven", ":".join(map(str, place)))


def _in_dead_letter(data: Mapping[str, Any]) -> _Original | None:
    record = data.get("record")
    if record is None:
        return None
    return _Original(
        b64decode(record["key"]) if "key" in record else None,
        b64decode(record["value"]) if "value" in record else None,
        tuple((header["name"], b64decode(header["value"])) for header in record["headers"]),
    )


async def _in_topic(client: Any, topic: str, partition: int, offset: int) -> _Original | None:
    """The record at its place, if the topic still has it."""
    place = TopicPartition(topic, partition)
    client.assign([place])
    client.seek(place, offset)
    try:
        found = await client.getmany(place, timeout_ms=int(ANSWER_SECONDS * 1000), max_records=1)
    except OffsetOutOfRangeError:
        return None
    for record in found.get(place, ()):
        if record.offset == offset:
            return _Original(record.key, record.value, tuple(record.headers))
    return None
