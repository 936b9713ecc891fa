"""Orders as large as the contract allows: they fit into memory, and the event loop is never kept for long."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import orjson
import psutil
from aiokafka import AIOKafkaProducer

from services.kit import clock
from services.kit.calendar import rfc3339
from services.kit.kafka import Shard, shard_of
from services.kit.serve import running
from services.kit.topics import ensure_topics
from services.ledger.__main__ import SERVICE
from tests.conftest import MakeDatabase
from tests.integration.kit_support import eventually
from tests.integration.ledger_support import ledger_on
from tests.model import events as shop

ORDERS = 200
SHARD = Shard(3)
HEADERS = [("content-type", b"application/cloudevents+json")]


def large_orders() -> list[tuple[str, bytes]]:
    """Orders of 213 KB of members of one shard."""
    lines = [{"line_id": f"l{n}", "sku": "tea", "quantity": "1", "amount": "1.00"} for n in range(3410)]
    found: list[tuple[str, bytes]] = []
    n = 0
    while len(found) < ORDERS:
        n += 1
        member = f"c03-{n}"
        if shard_of(member, 16) == SHARD:
            event = shop.paid(f"o{n}", rfc3339(clock.now()), "1", member=member)
            event["data"]["lines"] = lines
            found.append((member, orjson.dumps(event)))
    assert 213_000 < len(found[0][1]) < 218_000
    return found


class Watch:
    """How long the event loop was kept from other tasks at most, in seconds of our own work, and the most memory that
    was added, in MiB."""

    def __init__(self) -> None:
        self.longest = self.grown = 0.0
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss

    async def run(self) -> None:
        """Looks again and again, until it is cancelled."""
        while True:
            began = time.process_time()
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.process_time() - began)
            self.grown = max(self.grown, (self._process.memory_info().rss - self._before) / 2**20)


async def test_mend_c03_200_legal_orders_of_213_kb(make_database: MakeDatabase, kafka: str, jwks_file: Path) -> None:
    await ensure_topics(kafka)
    await publish(kafka, large_orders())
    async with ledger_on(
        make_database(), kafka_bootstrap_servers=kafka, consumer_group="c03", jwks_file=jwks_file
    ) as ledger:
        watch = Watch()
        watching = asyncio.create_task(watch.run())
        async with running(SERVICE, ledger.settings, frozenset({"consumer", "relay"}), port=0):

            async def booked() -> bool:
                query = "SELECT count(*) FROM identity WHERE member_id LIKE 'c03-%'"
                return bool(await ledger.pool.fetchval(query) == ORDERS)

            await eventually(booked, seconds=120)
        watching.cancel()
    assert watch.longest < 0.5, "4.2 s when the whole batch was decoded at once"
    assert watch.grown < 120, "174 MB of inputs when a batch had no bound in bytes"


async def publish(kafka: str, orders: list[tuple[str, bytes]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, compression_type="lz4", max_batch_size=2**19)
    await producer.start()
    try:
        for member, value in orders:
            await producer.send("commerce.orders.v1", value, key=member.encode(), headers=HEADERS)
    finally:
        await producer.stop()
