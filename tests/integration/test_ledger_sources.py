"""What one credential gets wrong: everybody else's events are booked by the ledger and every read is answered."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import orjson
from aiokafka import AIOKafkaProducer

from deploy.local.tokens import Signer
from services.kit import clock
from services.kit.app import Api
from services.kit.calendar import rfc3339
from services.kit.serve import running
from services.kit.topics import ensure_topics
from services.ledger.__main__ import SERVICE
from tests.conftest import MakeDatabase
from tests.integration.kit_support import eventually
from tests.integration.ledger_support import client_of, ledger_on
from tests.model import events as shop

BAD, GOOD = 10_000, 400
HEADERS = [("content-type", b"application/cloudevents+json")]


async def publish(kafka: str, *records: tuple[str, bytes]) -> None:
    """Records of `commerce.orders.v1` by their members, in order."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, linger_ms=5)
    await producer.start()
    try:
        topic = "commerce.orders.v1"
        sent = [await producer.send(topic, value, key=key.encode(), headers=HEADERS) for key, value in records]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def paid(n: int, source: str, **more: Any) -> tuple[str, bytes]:
    """The order of a member of its own."""
    member = f"c01-{source[-3:]}-{n}"
    event = shop.paid(f"o{n}", rfc3339(clock.now()), "100", member=member, source=source) | more
    return member, orjson.dumps(event)


async def test_mend_c01_10000_bad_events_of_one_credential_hold_up_nothing(
    make_database: MakeDatabase, kafka: str, signer: Signer, jwks_file: Any
) -> None:
    await ensure_topics(kafka)
    bad = [paid(n, "/shop/bad", data={"order_id": f"o{n}"}) for n in range(BAD)]
    good = [paid(n, "/shop/good") for n in range(GOOD)]
    every = BAD // GOOD
    mixed = [record for n, one in enumerate(good) for record in (*bad[n * every : (n + 1) * every], one)]
    async with ledger_on(
        make_database(), kafka_bootstrap_servers=kafka, consumer_group="c01", jwks_file=jwks_file
    ) as ledger:
        await publish(kafka, *mixed)
        async with running(SERVICE, ledger.settings, port=0) as worker:
            api = next(part for part in worker.parts if isinstance(part, Api))
            consumer = next(part for part in worker.parts if part.name == "consumer")
            async with client_of(api.app, signer.token(scopes=["ledger:read"])) as client:
                await eventually(lambda: _is_ready(client))
                slowest = await _read_until_booked(client, ledger, good)
                assert (await client.get("/readyz")).json() == {"status": "ready", "lacking": []}

                async def told() -> bool:
                    return "/shop/bad" in consumer.state().detail

                await eventually(told, what="the source is named")
                assert consumer.state().ok
                assert (await client.get("/status")).json()["workers"]["0"]["consumer"]["ok"]
                await eventually(lambda: _all_booked(consumer), seconds=60)
                metrics = (await client.get("/metrics")).text
                refused = next(line for line in metrics.splitlines() if 'source="/shop/bad"' in line)
                assert float(refused.rpartition(" ")[2]) == BAD
    assert slowest < 2, "a read waited for records"


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def _read_until_booked(client: httpx.AsyncClient, ledger: Any, good: list[tuple[str, bytes]]) -> float:
    """Reads balances of members again and again until all good orders are booked; how long the slowest read took."""
    slowest = 0.0
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        for member, _ in good[::50]:
            began = time.monotonic()
            answer = await client.get(f"/v1/members/{member}/balance")
            slowest = max(slowest, time.monotonic() - began)
            assert answer.status_code in (200, 404)
        count = await ledger.pool.fetchval("SELECT count(*) FROM identity WHERE member_id LIKE 'c01-ood-%'")
        if count == len(good):
            return slowest
    raise AssertionError("not all good orders are booked in 120 s")


async def _all_booked(consumer: Any) -> bool:
    return bool(consumer.lag().records == 0)
