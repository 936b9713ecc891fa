"""The consumer, the executor and the relay together, on the real broker and database."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from services.kit import metrics, shard_worker
from services.kit.buffers import MERGE_SECONDS
from services.kit.kafka import shard_of
from tests.greeter.routes import SHARDS
from tests.integration.kit_support import (
    eventually,
    eyes,
    greeter,
    hello,
    members_of,
    publish,
    read,
    settings_for,
)


async def test_records_are_booked_once_and_greeted_in_each_members_order(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka, max_batch=50)
    said = [(f"m{n % 37}", n) for n in range(1500)]
    await publish(kafka, [(settings.hellos, member, hello(member, n)) for member, n in said])
    await publish(kafka, [(settings.waves, member, hello(member, n)) for member, n in said[::3]])  # told again
    async with greeter(settings), eyes(database) as look:
        await eventually(lambda: look.has("hello", 1500))
        await eventually(lambda: look.has("outbox", 0))
        stored = await look.offsets()
        assert sum(at for (_, topic), at in stored.items() if topic == settings.hellos) == 1500
    sent = await read(kafka, settings.greetings)
    assert len(sent) == 1500
    for member in {member for member, _ in said}:
        mine = [int(record.value) for record in sent if record.key == member.encode()]
        assert mine == [n for who, n in said if who == member]
        assert {r.partition for r in sent if r.key == member.encode()} == {shard_of(member, SHARDS)}


async def test_a_restart_goes_on_at_the_stored_offsets(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    await publish(kafka, [(settings.hellos, f"m{n}", hello(f"m{n}", n)) for n in range(100)])
    async with eyes(database) as look:
        async with greeter(settings):
            await eventually(lambda: look.has("hello", 100))
        await publish(kafka, [(settings.hellos, f"m{n}", hello(f"m{n}", n)) for n in range(100, 200)])
        async with greeter(settings):
            await eventually(lambda: look.has("hello", 200))
            await eventually(lambda: look.has("outbox", 0))
    assert len(await read(kafka, settings.greetings)) == 200


async def test_what_is_refused_becomes_a_dead_letter_and_the_rest_is_booked(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    (a, b, c) = members_of(1, 3)
    records = [
        (settings.hellos, a, hello(a, 1)),
        (settings.hellos, a, b"{ no json"),
        (settings.hellos, b, hello(b, 2, late=True)),
        (settings.hellos, b, None),
        (settings.hellos, c, hello(c, 3, breaks=True)),
        (settings.hellos, c, b"bug"),
        (settings.hellos, c, hello(c, 4)),
    ]
    await publish(kafka, records)
    async with greeter(settings), eyes(database) as look:
        await eventually(lambda: look.stands((1, settings.hellos), 7))
        await eventually(lambda: look.has("outbox", 0))
        assert await look.hellos() == {(a, 1), (c, 4)}
    letters = [orjson.loads(record.value) for record in await read(kafka, "loyalty.dead_letters.v1", 1)]
    mine = {
        one["data"]["origin"]["offset"]: one for one in letters if one["data"]["origin"]["topic"] == settings.hellos
    }
    assert {offset: one["data"]["reason"] for offset, one in mine.items()} == {
        1: "not_parsable",
        2: "too_late",
        4: "failed",
        5: "failed",
    }
    assert mine[2]["data"]["field"] == "n"
    assert mine[4]["data"]["detail"] == "ZeroDivisionError"
    assert mine[1]["id"] == f"greeter:{settings.hellos}:1:1"


async def test_markers_of_a_publishers_transactions_are_neither_waited_for_nor_lag(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"shop-{settings.consumer_group}")
    await producer.start()
    (member,) = members_of(1, 1)
    async with eyes(database) as look, greeter(settings, ("consumer", "relay")) as running:
        consumer = running.parts[1]
        try:
            for n in range(5):
                async with producer.transaction():
                    await producer.send(settings.hellos, hello(member, n), key=member.encode())
                began = time.monotonic()
                await eventually(partial(look.has, "hello", n + 1))
                if n:  # the first waits for the group
                    assert time.monotonic() - began < MERGE_SECONDS
            assert await look.offsets() == (await look.offsets()) | {(1, settings.hellos): 9}
            await eventually(lambda: _has_no_lag(consumer))
        finally:
            await producer.stop()


async def test_mend_c01_what_one_publisher_gets_wrong_stops_nobody(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    bad = b'{"source": "/shop/broken", "n": '
    await publish(kafka, [(settings.hellos, f"m{n % 37}", bad) for n in range(3000)])
    said = {(f"m{n % 37}", n) for n in range(100)}
    await publish(kafka, [(settings.hellos, member, hello(member, n)) for member, n in said])
    async with greeter(settings, ("consumer", "relay")) as running, eyes(database) as look:
        consumer = running.parts[1]
        await eventually(lambda: look.has("hello", 100))
        await eventually(lambda: look.has("outbox", 0))
        state = consumer.state()
        assert state.ok
        assert state.detail.startswith("refused too often: /shop/broken (")
        assert await look.hellos() == said
    letters = [orjson.loads(record.value)["data"] for record in await read(kafka, "loyalty.dead_letters.v1", 1)]
    assert sum(letter["origin"]["topic"] == settings.hellos for letter in letters) == 3000


async def test_mend_c03_a_batch_that_takes_too_long_is_halved_until_it_does_not(
    database: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_worker, "BATCH_SECONDS", 1.0)
    settings = await settings_for(database, kafka)
    member = members_of(1, 1)[0]
    await publish(kafka, [(settings.hellos, member, hello(member, n, slow=0.1)) for n in range(40)])
    halved = metrics.counter("batches_halved_total")._value.get()
    async with greeter(settings, ("consumer", "relay")), eyes(database) as look:
        await eventually(lambda: look.has("hello", 40), seconds=30)  # 40 of them would take 4 s together
    assert metrics.counter("batches_halved_total")._value.get() - halved >= 2


class _Aborted(Exception):
    """Ends a publisher's transaction."""


async def test_mend_b05_what_a_publisher_aborts_is_never_booked(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"shop-{settings.consumer_group}")
    await producer.start()
    (member,) = members_of(1, 1)
    key = member.encode()
    try:
        async with eyes(database) as look:
            async with greeter(settings, ("consumer", "relay")) as running:
                consumer = running.parts[1]
                for n in range(3):
                    with suppress(_Aborted):
                        async with producer.transaction():
                            await producer.send_and_wait(settings.hellos, hello(member, 100 + n), key=key)
                            raise _Aborted
                    async with producer.transaction():
                        await producer.send_and_wait(settings.hellos, hello(member, n), key=key)
                    await eventually(partial(look.has, "hello", n + 1))
                # Aborted and committed records and a marker of each transaction: the last record is at 10.
                assert await look.stands((1, settings.hellos), 11)
                with suppress(_Aborted):
                    async with producer.transaction():
                        await producer.send_and_wait(settings.hellos, hello(member, 200), key=key)
                        raise _Aborted
                await eventually(lambda: _has_no_lag(consumer))
            async with greeter(settings, ("consumer", "relay")):  # it goes on before the aborted tail
                await publish(kafka, [(settings.hellos, member, hello(member, 3))])
                await eventually(lambda: look.has("hello", 4))
                assert await look.hellos() == {(member, n) for n in range(4)}
    finally:
        await producer.stop()


async def test_mend_b05_an_open_transaction_holds_back_its_own_partition_alone(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"shop-{settings.consumer_group}")
    await producer.start()
    (member,) = members_of(1, 1)
    await publish(kafka, [(settings.hellos, member, hello(member, 0))])
    async with eyes(database) as look, greeter(settings, ("consumer", "relay")) as running:
        consumer = running.parts[1]
        try:
            await eventually(lambda: look.has("hello", 1))
            async with producer.transaction():
                await producer.send_and_wait(settings.hellos, hello(member, 1), key=member.encode())
                for n in range(2, 6):
                    began = time.monotonic()
                    await publish(kafka, [(settings.waves, member, hello(member, n))])
                    await eventually(partial(look.has, "hello", n))
                    assert time.monotonic() - began < MERGE_SECONDS, "the other topic waits for nothing"
                figures = consumer.state().figures
                assert (figures["lag_records"], figures["held_back_records"]) == (0, 1)
            await eventually(lambda: look.has("hello", 6))
        finally:
            await producer.stop()


async def _has_no_lag(consumer: Any) -> bool:
    return bool(consumer.lag().records == 0)
