"""The database's clock: what a host's wall clock, a broker's and a shift of time may move, on real servers (C1)."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from asyncpg import Pool

from deploy.local.tokens import Signer
from services.kit import clock
from services.kit.calendar import MICROS_PER_SECOND, Micros, later
from services.kit.database_clock import MAX_AHEAD, DatabaseClock, shift_clock
from services.kit.executor import ClockOff, DatabaseUnavailable
from services.kit.kafka import Record, Shard
from services.kit.postgres import new_pool
from tests.greeter.routes import SHARDS
from tests.greeter.service import GreeterSettings
from tests.integration.kit_support import eventually, eyes, greeter, hello, members_of, publish, settings_for

DAY = 86_400 * MICROS_PER_SECOND
YEAR = 365 * DAY


@asynccontextmanager
async def clocks(settings: GreeterSettings, off: int = 0) -> AsyncIterator[DatabaseClock]:
    """The clock of a worker on a host whose wall clock is off by so many microseconds; it has looked once."""
    pool: Pool[Any]
    async with new_pool(settings) as pool:
        here = DatabaseClock(settings, pool, wall=lambda: later(clock.now(), off))
        with pytest.raises(DatabaseUnavailable):
            here.now()
        await here.read()
        yield here


def is_near(instant: Micros, expected: int) -> bool:
    return abs(instant - expected) < MICROS_PER_SECOND


@pytest.mark.parametrize("off", [2 * YEAR, -2 * YEAR, 6 * MICROS_PER_SECOND, -6 * MICROS_PER_SECOND])
async def test_C1_a_wall_clock_that_is_off_moves_nothing(database: str, kafka: str, off: int) -> None:
    async with clocks(await settings_for(database, kafka), off) as here:
        assert is_near(here.now(), clock.now()), "the database's time"
        state = here.state()
        assert (state.ok, round(here.seconds_off)) == (False, off // MICROS_PER_SECOND)
        assert "this host's clock" in state.detail
        assert state.remedy
        with pytest.raises(ClockOff):
            here.check()


async def test_C1_a_wall_clock_may_be_off_by_seconds(database: str, kafka: str) -> None:
    async with clocks(await settings_for(database, kafka), 4 * MICROS_PER_SECOND) as here:
        here.check()
        assert here.state().ok


def appended(at: int, offset: int = 0) -> Record:
    return Record("commerce.orders.v1", Shard(3), offset, Micros(at), b"m1", b"{}")


async def test_C1_a_record_from_ahead_of_the_database_is_dated_back_or_waits(database: str, kafka: str) -> None:
    async with clocks(await settings_for(database, kafka)) as here:
        present = here.now()
        near = [appended(present - 10), appended(present + 3 * MICROS_PER_SECOND, 1)]
        assert here.take(near) == (near, "")
        taken, why = here.take([*near, appended(present + 30 * MICROS_PER_SECOND, 2)])
        assert (list(taken[:2]), why) == (near, "")
        assert is_near(taken[2].appended_at, present + MAX_AHEAD), "at most 5 s ahead"
        taken, why = here.take([*near, appended(present + 90 * MICROS_PER_SECOND, 2), appended(present, 3)])
        assert list(taken) == near, "what comes after it on its partition waits behind it"
        assert why.startswith("commerce.orders.v1/3@2 was appended")


async def test_C1_one_shift_moves_the_time_of_all_services_in_development_alone(
    database: str, kafka: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = await settings_for(database, kafka)
    development = plain.model_copy(update={"development": True})
    assert await shift_clock(plain, ["--days", "730"]) == 2
    assert "DEVELOPMENT=1" in capsys.readouterr().err
    async with clocks(development) as here, clocks(plain) as elsewhere:
        assert await shift_clock(development, ["--days", "730"]) == 0
        for each in (here, elsewhere):
            await each.read()
        here.check()
        assert is_near(here.now(), clock.now() + 730 * DAY)
        (record,), why = here.take([appended(clock.now())])
        assert (is_near(record.appended_at, clock.now() + 730 * DAY), why) == (True, "")
        with pytest.raises(ClockOff, match="shifted by 730"):
            elsewhere.check()
        assert elsewhere.take([appended(clock.now())])[0] == []
        assert await shift_clock(development, ["--days", "0"]) == 0
        await here.read()
        assert is_near(here.now(), clock.now())


async def test_C1_a_service_whose_clock_is_off_answers_commands_with_503_and_books_events(
    database: str, kafka: str, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = await settings_for(database, kafka, jwks_file=signer.jwks_file, development=True)
    real = time.time_ns
    async with greeter(settings) as worker, eyes(database) as look:
        await publish(kafka, [(settings.hellos, "m1", hello("m1", 1))])
        await eventually(lambda: look.has("hello", 1))
        api, sweeper = (next(part for part in worker.parts if part.name == name) for name in ("api", "sweeper"))
        transport = httpx.ASGITransport(app=api.app)
        authorised = {"Authorization": f"Bearer {signer.token()}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://greeter", headers=authorised) as client:
            monkeypatch.setattr("time.time_ns", lambda: real() + 2 * YEAR * 1000)
            answer = await client.post("/v1/members/m1/hellos", json={"n": 2})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
            assert "ahead of the database" in answer.json()["detail"]

            async def is_told() -> bool:
                return "ahead of the database" in sweeper.state().detail

            await eventually(is_told, what="the sweeper says why it sweeps nothing")
            await publish(kafka, [(settings.hellos, "m1", hello("m1", 3))])
            await eventually(lambda: look.has("hello", 2), what="events go on")
            monkeypatch.setattr("time.time_ns", real)
            assert (await client.post("/v1/members/m1/hellos", json={"n": 2})).status_code == 200


async def test_C1_a_record_far_ahead_waits_on_its_partition_and_others_go_on(database: str, kafka: str) -> None:
    mark = uuid.uuid4().hex[:8]
    hellos, waves = f"ahead-{mark}", f"ahead-waves-{mark}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        # Of such a topic the publisher's clock dates the records, as a broker's clock would that is ahead.
        dated = {"message.timestamp.type": "CreateTime"}
        await admin.create_topics([NewTopic(name, SHARDS, 1, topic_configs=dated) for name in (hellos, waves)])
    finally:
        await admin.close()
    settings = (await settings_for(database, kafka)).model_copy(update={"hellos": hellos, "waves": waves})
    (member,) = members_of(1, 1)

    async def send(topic: str, n: int, ahead_seconds: float = 0) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka)
        await producer.start()
        try:
            at = int((time.time() + ahead_seconds) * 1000)
            await producer.send_and_wait(topic, hello(member, n), key=member.encode(), timestamp_ms=at)
        finally:
            await producer.stop()

    async with greeter(settings) as worker, eyes(database) as look:
        await send(hellos, 1)
        await send(hellos, 2, ahead_seconds=66)
        await send(hellos, 3)
        await send(waves, 4)
        await eventually(lambda: look.has("hello", 2))
        consumer = next(part for part in worker.parts if part.name == "consumer")

        async def is_told() -> bool:
            return f"{hellos}/1@1 was appended" in consumer.state().detail

        await eventually(is_told, what="the consumer says which record waits")
        assert await look.hellos() == {(member, 1), (member, 4)}
        await eventually(lambda: look.has("hello", 4), seconds=30, what="its time comes")
