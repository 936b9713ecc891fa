"""Who books a shard is decided by the fence: whoever else believes to own it, and whatever became of a COMMIT."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from deploy.shop.events import KAFKA_HEADERS, Event
from services.kit.kafka import partition_of
from tests.deployment import Deployment, eventually
from tests.integration.kit_proxy import proxied
from tests.shops import of_shop

SHARDS = 16


async def test_two_ledgers_that_both_own_every_shard_book_each_record_once(deployment: Deployment) -> None:
    shop = of_shop("twice-owned", members=80)
    ledger = deployment.services["ledger"]
    await ledger.stop()
    ledger.start(max_batch=20)  # many small batches, so that the two meet often
    twin = deployment.service("ledger", CONSUMER_GROUP="ledger-twin", MAX_BATCH="20")
    twin.start()
    try:
        await ledger.ready()
        await twin.ready()
        await deployment.publish(shop.events)
        await deployment.ends_as_modelled(shop)
        assert await eventually(lambda: _fenced(ledger, twin), seconds=5, what="a batch that met the other's fence")
        assert await twin.stop() == 0
    finally:
        twin.destroy()


async def _fenced(*ledgers: object) -> float:
    return sum([await ledger.metric("fenced_total") for ledger in ledgers])  # type: ignore[attr-defined]


async def test_connections_cut_inside_commit_are_settled_by_what_stands(deployment: Deployment) -> None:
    shop = of_shop("cut", members=60)
    await deployment.services["ledger"].stop()
    async with proxied(deployment.dsn) as proxy:
        ledger = deployment.service("ledger", proxy.dsn, MAX_BATCH="20")
        ledger.start("--workers", "1")
        try:
            await ledger.ready()
            # The server never sees it; it commits and the answer is lost; it commits after the client has gone.
            proxy.cut_next = ["before", "after", "late"] * 4
            await deployment.publish(shop.events)
            await eventually(lambda: not proxy.cut_next, seconds=40, what="twelve cuts")
            await deployment.ends_as_modelled(shop)
            assert await ledger.stop() == 0
        finally:
            ledger.destroy()


def _crc32(key: bytes, partitions: Sequence[int], _available: Sequence[int]) -> int:
    """Where librdkafka puts a key unless it is told otherwise."""
    return partitions[zlib.crc32(key) % len(partitions)]


async def test_a_publisher_that_hashes_keys_by_crc32_is_booked_alike_and_counted(deployment: Deployment) -> None:
    shop = of_shop("crc32", members=60)
    before = await deployment.services["ledger"].metric("rekeyed_total")
    producer = AIOKafkaProducer(bootstrap_servers=deployment.broker.bootstrap, partitioner=_crc32, linger_ms=5)
    await producer.start()
    try:
        for event in shop.events:
            await producer.send(event.topic, event.body, key=event.member_id.encode(), headers=KAFKA_HEADERS)
        await producer.flush()
    finally:
        await producer.stop()
    await deployment.ends_as_modelled(shop)
    misplaced = sum(map(_is_misplaced, shop.events))
    assert misplaced > len(shop.events) // 2

    async def counted() -> bool:  # a worker's page may be a second old
        return await deployment.services["ledger"].metric("rekeyed_total") - before >= misplaced

    await eventually(counted, seconds=10, what="the count of re-keyed records")


def _is_misplaced(event: Event) -> bool:
    key = event.member_id.encode()
    return zlib.crc32(key) % SHARDS != partition_of(key, SHARDS)
