"""Records of the log, the placement of members on shards, and the producer.

The shard of a member is the partition that Kafka's Java partitioner picks for the member id as key (murmur2, as
aiokafka does by default), so a partition's records are one shard's members.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Coroutine
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NewType

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from services.kit.brokers import connection_of
from services.kit.calendar import Micros
from services.kit.membership import group_of, instance_of

if TYPE_CHECKING:
    from services.kit.settings import Settings

BATCH_BYTES: Final = 256 * 1024
LINGER_MS: Final = 5
PARTITION_FETCH_BYTES: Final = 64 * 1024
"""Fetched of a partition at a time, compressed. The broker sends at least one batch, so no record is too large."""
FETCH_BYTES: Final = 4 * 1024 * 1024
REBALANCE_MS: Final = 60_000
STOP_SECONDS: Final = 3.0
READ_COMMITTED: Final = "read_committed"
"""Every consumer of ours reads so. What a publisher aborts was never told; what it has not committed yet is not told
yet, and nor is what lies behind it. Aborted records and the markers of transactions leave gaps in the offsets."""

Shard = NewType("Shard", int)
"""A number of a partition: the same on every topic that is keyed by member, and on every table."""

Headers = tuple[tuple[str, bytes], ...]


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record as the broker gave it. `appended_at` is the broker's append time (its clock is the arrival clock)."""

    topic: str
    partition: Shard
    offset: int
    appended_at: Micros
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def size(self) -> int:
        """Bytes of value, key and headers."""
        size = len(self.value or b"") + len(self.key or b"")
        return size + sum(len(name) + len(value) for name, value in self.headers) if self.headers else size

    @property
    def place(self) -> str:
        """Where it stands in the log: `topic:partition:offset`."""
        return f"{self.topic}:{self.partition}:{self.offset}"


_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 of some bytes, as an unsigned 32-bit integer."""
    length = len(data)
    words = length >> 2
    h = _SEED ^ length
    for k in struct.unpack_from(f"<{words}I", data):
        k = (k * _M) & _MASK
        h = ((h * _M) & _MASK) ^ (((k ^ (k >> 24)) * _M) & _MASK)
    if rest := length & 3:
        h = ((h ^ int.from_bytes(data[-rest:], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> Shard:
    """The partition of a key on a topic with so many partitions."""
    return Shard((murmur2(key) & 0x7FFFFFFF) % partitions)


@lru_cache(maxsize=65_536)
def shard_of(member_id: str, shards: int) -> Shard:
    """The shard of a member: the partition of the member id as a key."""
    return Shard((murmur2(member_id.encode()) & 0x7FFFFFFF) % shards)


def new_producer(settings: Settings, *, client: str) -> AIOKafkaProducer:
    """An idempotent producer (acks of all replicas, lz4); the caller starts it. `client` names it in broker logs."""
    return AIOKafkaProducer(
        **connection_of(settings),
        client_id=f"{settings.service}-{client}",
        enable_idempotence=True,
        acks="all",
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_BYTES,
        compression_type="lz4",
        request_timeout_ms=20_000,
    )


def new_consumer(settings: Settings, worker: int) -> Any:
    """A member of the service's consumer group, static by installation and worker; the caller starts it."""
    return AIOKafkaConsumer(
        **connection_of(settings),
        client_id=f"{settings.service}-consumer",
        group_id=group_of(settings),
        group_instance_id=instance_of(settings, worker),
        partition_assignment_strategy=(RangePartitionAssignor,),
        auto_offset_reset="none",
        enable_auto_commit=False,
        isolation_level=READ_COMMITTED,
        session_timeout_ms=int(settings.session_timeout_seconds * 1000),
        heartbeat_interval_ms=min(3000, int(settings.session_timeout_seconds * 300)),
        rebalance_timeout_ms=REBALANCE_MS,
        max_poll_interval_ms=600_000,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        fetch_max_bytes=FETCH_BYTES,
    )


def new_reader(settings: Settings, client: str, **more: Any) -> AIOKafkaConsumer:
    """A consumer without a group, which is assigned its partitions; the caller starts it. `client` names it in broker
    logs, `more` are further options of the client."""
    return AIOKafkaConsumer(
        **connection_of(settings),
        client_id=f"{settings.service}-{client}",
        enable_auto_commit=False,
        **({"auto_offset_reset": "none", "isolation_level": READ_COMMITTED} | more),
    )


async def stop_quietly(client: Any, seconds: float = STOP_SECONDS) -> None:
    """Stops a producer, consumer or admin client.

    One that does not end in time (it hangs when the brokers are gone) is taken apart: its background tasks must not go
    on sending or fetching while its successor works.
    """
    try:
        async with asyncio.timeout(seconds):
            await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
    except (TimeoutError, KafkaError, OSError):
        for inner in ("_sender", "_fetcher", "_coordinator"):
            if (part := getattr(client, inner, None)) is not None:
                await _abandon(part.close())
        network = getattr(client, "client", None) or getattr(client, "_client", None)
        if network is not None:
            await _abandon(network.close())


async def _abandon(closing: Coroutine[Any, Any, Any]) -> None:
    with suppress(Exception):
        async with asyncio.timeout(0.5):
            await closing
