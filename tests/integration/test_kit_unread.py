"""Whether the log has anything of before an instant beyond some offsets, on a real broker."""

from __future__ import annotations

import uuid

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.kit.calendar import Micros, later
from services.kit.clock import now
from services.kit.unread import is_booked_until
from tests.greeter.service import GreeterSettings
from tests.integration.kit_support import make_topics, settings_for


async def test_what_was_appended_before_an_instant_counts_and_what_comes_later_does_not(
    database: str, kafka: str
) -> None:
    settings = await settings_for(database, kafka)
    one, two = topics = [f"unread-{name}-{uuid.uuid4().hex[:8]}" for name in ("one", "two")]
    await make_topics(kafka, dict.fromkeys(topics, 2))
    times = [await append(kafka, topic, number) for topic, number in ((one, 0), (two, 0), (one, 1))]

    async def is_booked(first: int, second: int, instant: Micros) -> bool:
        return await is_booked_until(settings, 1, {one: first, two: second}, instant)

    assert not await is_booked(0, 0, times[2])
    assert not await is_booked(1, 0, times[2])
    assert await is_booked(1, 1, times[2]), "the next record was appended at the instant itself"
    assert not await is_booked(1, 1, later(times[2], 1))
    assert await is_booked(2, 1, later(times[2], 1)), "nothing is left"


async def test_the_marker_of_a_transaction_is_nothing_to_book(database: str, kafka: str) -> None:
    settings: GreeterSettings = await settings_for(database, kafka)
    topic = f"unread-{uuid.uuid4().hex[:8]}"
    await make_topics(kafka, {topic: 2})
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=topic)
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"x", partition=1)
    finally:
        await producer.stop()
    place = TopicPartition(topic, 1)
    reader = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await reader.start()
    try:
        assert (await reader.end_offsets([place]))[place] == 2
    finally:
        await reader.stop()
    in_a_minute = later(now(), 60_000_000)
    assert not await is_booked_until(settings, 1, {topic: 0}, in_a_minute)
    assert await is_booked_until(settings, 1, {topic: 1}, in_a_minute)


async def test_mend_b05_what_was_aborted_is_nothing_to_book_and_what_is_open_may_be(database: str, kafka: str) -> None:
    settings: GreeterSettings = await settings_for(database, kafka)
    topic = f"unread-{uuid.uuid4().hex[:8]}"
    await make_topics(kafka, {topic: 2})
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=topic)
    await producer.start()
    try:
        await producer.begin_transaction()
        sent = await producer.send_and_wait(topic, b"x", partition=1)
        appended = Micros(int(sent.timestamp) * 1000)
        assert await is_booked_until(settings, 1, {topic: 0}, appended), "it was appended at the instant itself"
        assert not await is_booked_until(settings, 1, {topic: 0}, later(appended, 1)), "it may still be committed"
        await producer.abort_transaction()
        in_a_minute = later(now(), 60_000_000)
        assert await is_booked_until(settings, 1, {topic: 0}, in_a_minute)
    finally:
        await producer.stop()


async def append(kafka: str, topic: str, number: int) -> Micros:
    """Append a record to partition 1; its append time."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        sent = await producer.send_and_wait(topic, str(number).encode(), partition=1)
    finally:
        await producer.stop()
    return Micros(int(sent.timestamp) * 1000)
