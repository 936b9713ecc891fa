"""The ledger's worker as it runs, with real brokers and database: what its sweeper tells by itself."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.events import parse_event
from services.kit.serve import running
from services.kit.topics import ensure_topics
from services.ledger.__main__ import SERVICE
from services.ledger.announcement import TOPIC
from tests.conftest import MakeDatabase
from tests.integration.kit_support import eventually
from tests.integration.ledger_support import ledger_on

SHARDS = 16
PARTS = frozenset({"consumer", "relay", "sweeper"})


class PointsTopic:
    """What comes on the ledger's topic from now on."""

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client
        self.events: list[tuple[int, Any]] = []

    async def find(self, kind: str) -> list[tuple[int, Any]]:
        """All events of a type that have come, with their partitions."""
        for place, records in (await self._client.getmany(timeout_ms=200)).items():
            self.events += [(place.partition, parse_event(record.value)) for record in records]
        return [(partition, event) for partition, event in self.events if event["type"] == kind]


async def test_T8_the_ledger_closes_yesterday_on_each_partition(make_database: MakeDatabase, kafka: str) -> None:
    await ensure_topics(kafka)
    client = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await client.start()
    try:
        places = [TopicPartition(TOPIC, partition) for partition in range(SHARDS)]
        client.assign(places)
        await client.seek_to_end(*places)
        points = PointsTopic(client)

        async def all_closed() -> bool:
            return len(await points.find("loyalty.day.closed.v1")) >= SHARDS

        async with (
            ledger_on(make_database(), kafka_bootstrap_servers=kafka, consumer_group="closing") as ledger,
            running(SERVICE, ledger.settings, PARTS, port=0),
        ):
            await eventually(all_closed, seconds=60, what="each shard has closed a day")
        closed = await points.find("loyalty.day.closed.v1")
    finally:
        await client.stop()
    assert all(event["data"]["partition"] == partition for partition, event in closed)
    days = Counter((partition, event["subject"]) for partition, event in closed)
    assert set(days.values()) == {1}
    assert {partition for partition, _ in days} == set(range(SHARDS))
