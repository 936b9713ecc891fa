"""What waits is seen also where no worker looks yet, on a real PostgreSQL and Kafka."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
from aiokafka import AIOKafkaProducer

from deploy.shop.settle import SERVICES, Watch
from schemas.topics import ALL
from services.kit.topics import ensure_topics


async def test_a_partition_that_no_worker_has_taken_yet_is_not_at_rest(kafka: str, migrated_database: str) -> None:
    orders = replace(next(topic for topic in ALL if topic.name == "commerce.orders.v1"), name="settle.orders")
    await ensure_topics(kafka, 2, [orders])
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for partition in (0, 1, 1):
            await producer.send_and_wait(orders.name, b"{}", partition=partition)
    database = await asyncpg.connect(migrated_database)
    try:
        for service in SERVICES:
            await database.execute(f"INSERT INTO {service}.consumer_offset VALUES (0, $1, 1)", orders.name)
        async with Watch(migrated_database, kafka) as watch:
            assert (await watch.look()).open == {f"{service} {orders.name}": 2 for service in SERVICES}
            for service in SERVICES:
                await database.execute(f"INSERT INTO {service}.consumer_offset VALUES (1, $1, 2)", orders.name)
            assert not (await watch.look()).total
    finally:
        await database.close()
