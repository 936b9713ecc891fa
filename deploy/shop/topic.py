"""Reading all of a topic that is at rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownTopicOrPartitionError

from services.kit.kafka import READ_COMMITTED

_KAFKA_SECONDS = 60.0


async def records(bootstrap_servers: str, topic: str) -> AsyncIterator[ConsumerRecord]:
    """The records that the topic holds now, each partition in its order.

    KafkaError when the broker is not there, TimeoutError when it stops answering.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        enable_auto_commit=False,
        isolation_level=READ_COMMITTED,
        max_partition_fetch_bytes=8 << 20,
    )
    try:
        async with asyncio.timeout(_KAFKA_SECONDS):
            await consumer.start()
            left = await _partitions(bootstrap_servers, topic)
            consumer.assign(left)
            await consumer.seek_to_beginning(*left)
            ends = await consumer.end_offsets(list(left))
        while left := {partition for partition in left if await consumer.position(partition) < ends[partition]}:
            async with asyncio.timeout(_KAFKA_SECONDS):
                batches = await consumer.getmany(*left, timeout_ms=500)
            for partition, batch in batches.items():
                for record in batch:
                    if record.offset < ends[partition]:
                        yield record
    finally:
        await asyncio.wait_for(consumer.stop(), _KAFKA_SECONDS)


async def _partitions(bootstrap_servers: str, topic: str) -> set[TopicPartition]:
    """What the broker says; a consumer learns only of topics that it has subscribed to."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await admin.start()
        (found,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    if found["error_code"]:
        raise UnknownTopicOrPartitionError(topic)
    return {TopicPartition(topic, partition["partition"]) for partition in found["partitions"]}
