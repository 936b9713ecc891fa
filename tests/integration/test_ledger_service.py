"""The ledger's worker as it runs, with real brokers and database: what its sweeper tells by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.events import parse_event
from services.kit import clock
from services.kit.calendar import add_months, calendar_of
from services.kit.serve import running
from services.kit.topics import ensure_topics
from services.ledger.__main__ import SERVICE
from services.ledger.events.outbound import TOPIC
from tests.conftest import MakeDatabase
from tests.integration.kit_support import eventually
from tests.integration.ledger_support import LedgerUnderTest, ledger_on
from tests.model import events as shop

SHARDS = 16
BOOKING = frozenset({"consumer", "relay"})
SWEEPING = frozenset({"consumer", "relay", "sweeper"})


class PointsTopic:
    """What comes on the ledger's topic from now on."""

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client
        self._events: list[tuple[int, Any]] = []

    async def find(self, kind: str) -> list[tuple[int, Any]]:
        """All events of a type that have come, with their partitions."""
        for place, records in (await self._client.getmany(timeout_ms=200)).items():
            self._events += [(place.partition, parse_event(record.value)) for record in records]
        return [(partition, event) for partition, event in self._events if event["type"] == kind]


@pytest.fixture
async def points(kafka: str) -> AsyncIterator[PointsTopic]:
    await ensure_topics(kafka)
    client = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await client.start()
    places = [TopicPartition(TOPIC, partition) for partition in range(SHARDS)]
    client.assign(places)
    await client.seek_to_end(*places)
    yield PointsTopic(client)
    await client.stop()


@asynccontextmanager
async def ledger_at(make_database: MakeDatabase, kafka: str) -> AsyncIterator[LedgerUnderTest]:
    """A ledger whose worker meets these brokers."""
    async with ledger_on(make_database(), kafka_bootstrap_servers=kafka, consumer_group="sweeping") as ledger:
        yield ledger


async def publish(kafka: str, event: dict[str, Any]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True)
    await producer.start()
    try:
        headers = [("content-type", b"application/cloudevents+json")]
        key = event["subject"].encode()
        await producer.send_and_wait("commerce.orders.v1", orjson.dumps(event), key=key, headers=headers)
    finally:
        await producer.stop()


def paid_for_a_notice_today() -> tuple[date, int]:
    """The date of an order whose points expire a year later, and with how many days left they do so from now."""
    today = calendar_of("Asia/Shanghai").day_of(clock.now())
    for days_left in (30, 7):
        paid_on = add_months(today + days_left - 1, -12)
        if add_months(paid_on, 12) == today + days_left - 1:  # not so for a 29 February
            return date.fromordinal(paid_on), days_left
    raise AssertionError("one of two days is no 29 February")


async def test_the_sweeper_closes_yesterday_and_tells_of_points_that_expire(
    make_database: MakeDatabase, kafka: str, points: PointsTopic
) -> None:
    member = "sweeping-1"
    paid_on, days_left = paid_for_a_notice_today()
    # So long ago that it counts as received, and earns at once.
    await publish(kafka, shop.paid("o1", f"{paid_on}T12:00:00+08:00", "900", member=member))

    async def booked() -> bool:
        return any(event["subject"] == member for _, event in await points.find("loyalty.points.earned.v1"))

    async def all_told() -> bool:
        closed = await points.find("loyalty.day.closed.v1")
        return len(closed) >= SHARDS and bool(await points.find("loyalty.points.expiring.v1"))

    async with ledger_at(make_database, kafka) as ledger:
        # The lots must be there before the sweeper walks the days: it does so at once, and again after midnight.
        async with running(SERVICE, ledger.settings, BOOKING, port=0):
            await eventually(booked, seconds=60, what="the order is booked")
        async with running(SERVICE, ledger.settings, SWEEPING, port=0):
            await eventually(all_told, seconds=60, what="each shard has closed a day, and the notice is told")
    closed = await points.find("loyalty.day.closed.v1")
    assert all(event["data"]["partition"] == partition for partition, event in closed)
    days = Counter((partition, event["subject"]) for partition, event in closed)
    assert set(days.values()) == {1}
    assert {partition for partition, _ in days} == set(range(SHARDS))
    [(_, notice)] = await points.find("loyalty.points.expiring.v1")
    assert (notice["subject"], notice["data"]["points"], notice["data"]["days_left"]) == (member, 1900, days_left)
