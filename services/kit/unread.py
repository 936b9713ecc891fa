"""Looks into the log itself: was a record beyond some offsets appended before an instant?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.kit.calendar import Micros
from services.kit.kafka import PARTITION_FETCH_BYTES, stop_quietly
from services.kit.settings import Settings

LOOK_SECONDS: Final = 5.0
"""How long a look may take; brokers that take longer count as unavailable."""
_FETCH_MS: Final = 250


async def is_booked_until(settings: Settings, partition: int, offsets: Mapping[str, int], instant: Micros) -> bool:
    """Whether no record that was appended before an instant lies at one of these topics' offsets or beyond.

    Records of a partition are in the order of their append times, so the first one decides. Markers of transactions
    are passed over, as the consumer does. Raises KafkaError, OSError, TimeoutError.
    """
    starts = {TopicPartition(topic, partition): offset for topic, offset in offsets.items()}
    client = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        client_id=f"{settings.service}-unread",
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
    )
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await client.start()
            client.assign(list(starts))
            for place, offset in starts.items():
                client.seek(place, offset)
            return await _nothing_before(client, starts, instant)
    finally:
        await stop_quietly(client)


async def _nothing_before(client: Any, starts: Mapping[TopicPartition, int], instant: Micros) -> bool:
    ends: dict[TopicPartition, int] = await client.end_offsets(list(starts))
    open_places = {place for place, offset in starts.items() if offset < ends[place]}
    while open_places:
        fetched = await client.getmany(*open_places, timeout_ms=_FETCH_MS)
        for place, records in fetched.items():
            if records:
                if records[0].timestamp * 1000 < instant:
                    return False
                open_places.discard(place)
        for place in list(open_places):
            if await client.position(place) >= ends[place]:
                open_places.discard(place)
    return True
