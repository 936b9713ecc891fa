"""Publishing to a real broker: everything arrives, on the member's partition, in the member's order."""

from __future__ import annotations

import secrets
from collections import defaultdict
from dataclasses import replace

import pytest
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError
from rich.console import Console

from deploy.shop import publisher
from deploy.shop.events import Event, cloud_event
from deploy.shop.topic import records
from schemas.events import read_event
from schemas.topics import BY_NAME
from services.kit.calendar import Micros
from services.kit.kafka import shard_of
from services.kit.topics import ensure_topics

SHARDS = 4
QUIET = Console(quiet=True)


@pytest.fixture
async def topic(kafka: str) -> str:
    """A topic of this test alone."""
    orders = replace(BY_NAME["commerce.orders.v1"], name=f"test-{secrets.token_hex(4)}.orders")
    await ensure_topics(kafka, SHARDS, [orders])
    return orders.name


def sign_ins(topic: str, count: int) -> list[Event]:
    return [
        cloud_event(
            source="/shop/test",
            event_id=str(number),
            event_type="commerce.member.signed_in.v1",
            member_id=f"m-{number % 37}",
            at=Micros(1_770_000_000_000_000 + number),
            data={},
        )._replace(topic=topic)
        for number in range(count)
    ]


async def test_everything_arrives_on_the_members_partition_in_order(kafka: str, topic: str) -> None:
    events = sign_ins(topic, 5_000)
    published = await publisher.publish(events, bootstrap_servers=kafka, console=QUIET)
    assert published.records == 5_000
    assert published.size_bytes == sum(len(event.body) for event in events)

    arrived = [record async for record in records(kafka, topic)]
    by_member: defaultdict[str, list[bytes]] = defaultdict(list)
    for record in arrived:
        read_event(record.value, record.headers, record.key)
        assert record.partition == shard_of(record.key.decode(), SHARDS)
        by_member[record.key.decode()].append(record.value)
    for member_id, bodies in by_member.items():
        assert bodies == [event.body for event in events if event.member_id == member_id]
    assert len(arrived) == 5_000


async def test_what_is_in_flight_is_bounded(kafka: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "MAX_IN_FLIGHT", 300)
    await publisher.publish(sign_ins(topic, 2_000), bootstrap_servers=kafka, console=QUIET)
    assert len([record async for record in records(kafka, topic)]) == 2_000


async def test_a_broker_that_is_not_there_is_said_so(unused_port: int) -> None:
    with pytest.raises(KafkaConnectionError):
        await publisher.publish(sign_ins("any", 1), bootstrap_servers=f"127.0.0.1:{unused_port}", console=QUIET)


async def test_a_topic_that_is_not_there_is_said_so(kafka: str) -> None:
    with pytest.raises(UnknownTopicOrPartitionError):
        _ = [record async for record in records(kafka, "no-such-topic")]
