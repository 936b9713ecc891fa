"""Looks into the log itself: was a record beyond some offsets appended before an instant?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import TopicPartition

from services.kit.calendar import Micros
from services.kit.kafka import PARTITION_FETCH_BYTES, READ_COMMITTED, new_reader, stop_quietly
from services.kit.settings import Settings

LOOK_SECONDS: Final = 10.0
"""How long a look may take; brokers that take longer count as unavailable."""
_FETCH_MS: Final = 250


async def is_booked_until(settings: Settings, partition: int, offsets: Mapping[str, int], instant: Micros) -> bool:
    """Whether no record that was appended before an instant lies at one of these topics' offsets or beyond.

    Records of a partition are in the order of their append times, so the first one decides. Markers of transactions
    and aborted records are passed over, as the consumer does. Behind the last stable offset lies what a publisher has
    neither committed nor aborted: it counts, because it may still be committed. Raises KafkaError, OSError,
    TimeoutError.
    """
    starts = {TopicPartition(topic, partition): offset for topic, offset in offsets.items()}
    async with asyncio.timeout(LOOK_SECONDS):
        async with _client(settings, starts, READ_COMMITTED) as client:
            stable: dict[TopicPartition, int] = await client.end_offsets(list(starts))
            if not await _nothing_before(client, starts, stable, instant):
                return False
        unstable = {place: max(offset, stable[place]) for place, offset in starts.items()}
        async with _client(settings, unstable, "read_uncommitted") as client:
            return await _nothing_before(client, unstable, await client.end_offsets(list(starts)), instant)


@asynccontextmanager
async def _client(settings: Settings, starts: Mapping[TopicPartition, int], isolation: str) -> AsyncIterator[Any]:
    """A client that stands at these offsets."""
    client = new_reader(settings, "unread", isolation_level=isolation, max_partition_fetch_bytes=PARTITION_FETCH_BYTES)
    try:
        await client.start()
        client.assign(list(starts))
        for place, offset in starts.items():
            client.seek(place, offset)
        yield client
    finally:
        await stop_quietly(client)


async def _nothing_before(
    client: Any, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], instant: Micros
) -> bool:
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
