"""Rebalances, two owners, servers that go away, and the limit of failures."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from deploy.local import kafka as kafka_server
from services.kit.consumer import Consumer
from tests.conftest import as_role
from tests.greeter.routes import SHARDS
from tests.greeter.service import GreeterSettings
from tests.integration.kit_proxy import proxied
from tests.integration.kit_support import eventually, eyes, greeter, hello, members_of, publish, read, settings_for


def _consumer(running: Any) -> Consumer[Any, Any]:
    found: Consumer[Any, Any] = next(part for part in running.parts if part.name == "consumer")
    return found


def _said(number: int, start: int = 0) -> list[tuple[str, int]]:
    return [(f"m{n % 29}", start + n) for n in range(number)]


async def _publish(settings: GreeterSettings, said: list[tuple[str, int]], **more: Any) -> None:
    await publish(settings.kafka_bootstrap_servers, [(settings.hellos, m, hello(m, n, **more)) for m, n in said])


async def _in_order(settings: GreeterSettings, said: list[tuple[str, int]]) -> None:
    """Every greeting came, in its member's order, as a consumer sees it that drops what is not newer."""
    sent = await read(settings.kafka_bootstrap_servers, settings.greetings)
    for member in {member for member, _ in said}:
        newest = -1
        kept = [newest := n for n in (int(r.value) for r in sent if r.key == member.encode()) if n > newest]
        assert kept == [n for who, n in said if who == member]


async def test_a_second_member_takes_over_half_and_gives_it_back(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka, max_batch=30)
    said = _said(1500)
    publishing = asyncio.create_task(_publish(settings, said))
    parts = ("consumer", "relay")
    async with eyes(database) as look, greeter(settings, parts) as first:
        await eventually(lambda: _owns(first, SHARDS))
        async with greeter(settings, parts, number=1) as second:
            await eventually(lambda: _owns(second, SHARDS // 2))
            await eventually(lambda: _owns(first, SHARDS // 2))
            assert not _consumer(first).shards & _consumer(second).shards
        # Static membership: the shards of the one that left come back when its session is over.
        await eventually(lambda: _owns(first, SHARDS), seconds=25)
        await publishing
        await eventually(lambda: look.has("hello", 1500))
        await eventually(lambda: look.has("outbox", 0))
    await _in_order(settings, said)


async def test_two_consumers_that_both_own_everything_book_each_record_once(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka, max_batch=10)
    twin = settings.model_copy(update={"consumer_group": f"{settings.consumer_group}-twin"})
    said = _said(1200)
    async with eyes(database) as look, greeter(settings, ("consumer", "relay")), greeter(twin, ("consumer", "relay")):
        await _publish(settings, said)
        await eventually(lambda: look.has("hello", 1200), seconds=40)
        await eventually(lambda: look.has("outbox", 0))
    sent = await read(kafka, settings.greetings)
    assert len(sent) == 1200
    await _in_order(settings, said)


async def test_a_database_that_goes_away_makes_not_ready_and_is_caught_up_after(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka, max_batch=20)
    said = _said(400)
    async with proxied(database) as proxy, eyes(database) as look:
        through = settings.model_copy(update={"database_url": SecretStr(as_role(proxy.dsn, "greeter"))})
        async with greeter(through, ("consumer", "relay")) as running:
            await _publish(settings, said[:200])
            await eventually(lambda: look.has("hello", 200))
            await eventually(lambda: _ready(running, True))
            proxy.break_all()
            await _publish(settings, said[200:])
            await eventually(lambda: _is_detail_about(running, "database"))
            await eventually(lambda: _lacks(running, "database"))
            await asyncio.sleep(1)
            proxy.down = False
            await eventually(lambda: look.has("hello", 400))
            await eventually(lambda: look.has("outbox", 0))
            await eventually(lambda: _ready(running, True))
    await _in_order(settings, said)


async def test_more_failures_than_allowed_stop_the_consumer_before_it_drains_the_topic(
    database: str, kafka: str
) -> None:
    settings = await settings_for(database, kafka, failure_limit=0.01, max_batch=5)
    member = members_of(0, 1)[0]
    await publish(kafka, [(settings.hellos, member, b"bug" if n % 2 else hello(member, n)) for n in range(100)])
    async with eyes(database) as look:
        async with greeter(settings) as running:
            await eventually(lambda: _ready(running, False))
            await eventually(lambda: _stopped(running))
            state = _consumer(running).state()
            assert "11 of the last 1000" in state.detail or "12 of the last 1000" in state.detail
            assert "FAILURE_LIMIT" in state.remedy
            # Requests can be answered all the same.
            await eventually(lambda: _is_not_well(running, "consumer"))
            assert running.worker.health.ready() == (True, {"status": "ready", "lacking": []})
        stored = (await look.offsets())[0, settings.hellos]
        assert stored < 25  # the batch that passed the limit was not booked, nor anything after it
        assert await look.count("hello") == (stored + 1) // 2
        mended = settings.model_copy(update={"failure_limit": 1.0})
        async with greeter(mended):
            await eventually(lambda: look.has("hello", 50))


@pytest.fixture
async def own_data(server_dir: Path) -> AsyncIterator[Path]:
    """The data of a broker of this test, which it may stop and start."""
    data = server_dir / "kafka-outage"
    yield data
    await asyncio.to_thread(shutil.rmtree, data, ignore_errors=True)


def _start(data: Path, port: int) -> kafka_server.Kafka:
    log = data.with_suffix(".log")
    return kafka_server.start(data, log=log, port=port, heap_mb=256, die_with_parent=True)


async def test_a_broker_killed_under_load_loses_nothing_and_is_caught_up_after(
    database: str, own_data: Path, unused_port: int
) -> None:
    broker = await asyncio.to_thread(_start, own_data, unused_port)
    try:
        settings = await settings_for(database, broker.bootstrap, max_batch=20)
        said = _said(3000)
        async with eyes(database) as look, greeter(settings, ("consumer", "relay")) as running:
            await _publish(settings, said[:1500])
            await eventually(lambda: look.has_more("hello", 200))
            os.kill(broker.process.pid, signal.SIGKILL)
            await eventually(lambda: _is_not_well(running, "brokers"), seconds=40)
            assert running.worker.health.ready()[0], "reads need no broker"
            broker = await asyncio.to_thread(_start, own_data, unused_port)
            await _publish(settings, said[1500:])
            await eventually(lambda: look.has("hello", 3000), seconds=60)
            await eventually(lambda: look.has("outbox", 0), seconds=40)
            await eventually(lambda: _ready(running, True))
        await _in_order(settings, said)
    finally:
        await asyncio.to_thread(kafka_server.stop, broker)


async def _owns(running: Any, shards: int) -> bool:
    return len(_consumer(running).shards) == shards


async def _ready(running: Any, wanted: bool) -> bool:
    return all(part.state().ok for part in running.parts) == wanted


async def _is_not_well(running: Any, check: str) -> bool:
    well, document = running.worker.health.well(details=True)
    return not well and not document["workers"]["0"][check].ok


async def _lacks(running: Any, check: str) -> bool:
    return bool(running.worker.health.ready() == (False, {"status": "not ready", "lacking": [check]}))


async def _stopped(running: Any) -> bool:
    return _consumer(running).state().detail.startswith("stopped")


async def _is_detail_about(running: Any, word: str) -> bool:
    return word in _consumer(running).state().detail
