"""One thing that stands still stops nothing else, and is told: a partition, a task, the program."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from services.kit import lost_places
from services.kit import program as program_module
from services.kit.consumer import Consumer
from services.kit.dead_letter import Refused
from services.kit.executor import Executor
from services.kit.kafka import Shard
from services.kit.part import Part
from services.kit.postgres import Connection
from services.kit.program import ProgramFollower, ProgramOutdated, Version
from services.kit.pulse import Pulse
from services.kit.serve import _state_of
from services.kit.sweeper import Sweeper
from services.kit.worker import Worker
from tests.greeter.hello import Hello
from tests.greeter.routes import SHARDS
from tests.greeter.service import SERVICE, GreeterSettings, decode
from tests.integration.kit_support import (
    eventually,
    eyes,
    greeter,
    hello,
    make_topics,
    members_of,
    publish,
    settings_for,
)


def _consumer(running: Any) -> Consumer[Any, Any]:
    found: Consumer[Any, Any] = next(part for part in running.parts if part.name == "consumer")
    return found


async def _tells(part: Any, word: str) -> bool:
    state = part.state()
    return not state.ok and word in state.detail


async def _is_well(part: Any) -> bool:
    return bool(part.state().ok)


async def test_mend_c09_one_partition_out_of_range_leaves_all_others_at_work(
    database: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_places, "RETRY_SECONDS", 1.0)
    settings = await settings_for(database, kafka)
    members = [members_of(shard, 1)[0] for shard in range(SHARDS)]
    await publish(kafka, [(settings.hellos, member, hello(member, 1)) for member in members])
    async with eyes(database) as look:
        async with greeter(settings, ("consumer", "relay")):
            await eventually(lambda: look.has("hello", SHARDS))
        place = "WHERE shard = 1 AND topic = $1"
        await look.connection.execute(
            f"UPDATE greeter.consumer_offset SET next_offset = 10000 {place}", settings.hellos
        )
        async with greeter(settings, ("consumer", "relay")) as running:
            consumer = _consumer(running)
            await eventually(lambda: _tells(consumer, "offset out of range"))
            assert consumer.state().detail == f"offset out of range: {settings.hellos} partition 1 at 10000"
            assert "consumer_offset" in consumer.state().remedy
            await publish(kafka, [(settings.hellos, member, hello(member, 2)) for member in members])
            await publish(kafka, [(settings.waves, members[1], hello(members[1], 3))])
            await eventually(lambda: look.has("hello", 2 * SHARDS))  # all but one, and that shard's other topic
            assert (members[1], 2) not in await look.hellos()
            assert (members[1], 3) in await look.hellos()
            await eventually(lambda: look.has("outbox", 0))
            assert consumer.shards == frozenset(range(SHARDS))
            assert not consumer.state().ok
            await look.connection.execute(
                f"UPDATE greeter.consumer_offset SET next_offset = 1 {place}", settings.hellos
            )
            await eventually(lambda: look.has("hello", 2 * SHARDS + 1))  # without a restart
            assert (members[1], 2) in await look.hellos()
            await eventually(lambda: _is_well(consumer))


def _published(version: str) -> bytes:
    data = {
        "version": version,
        "content_hash": f"sha256:{version}",
        "effective_from": "2026-01-01T00:00:00Z",
        "published_at": "2026-01-01T00:00:00Z",
        "document": {"version": version},
    }
    return orjson.dumps({"type": "loyalty.program.published.v1", "data": data})


async def test_mend_c09_an_unexpected_error_is_told_and_does_not_end_the_follower(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    topic = f"program-{settings.consumer_group}"
    await make_topics(kafka, {topic: 1})
    programs: ProgramFollower[dict[str, Any]] = ProgramFollower(settings, parse=dict, topic=topic)
    failing = [True]

    def listener(version: Version[dict[str, Any]]) -> None:
        if failing[0] and version.version == "2":
            raise ZeroDivisionError("a defect of a listener")

    programs.on_version(listener)
    await programs.start()
    try:
        await publish(kafka, [(topic, "1", _published("1"))])
        await asyncio.wait_for(programs.first(), 20)
        await publish(kafka, [(topic, "2", _published("2"))])
        await eventually(lambda: _tells(programs, "ZeroDivisionError: a defect of a listener"))
        assert programs.state().can_serve  # what is known goes on
        failing[0] = False
        await eventually(lambda: _is_well(programs))
        await publish(kafka, [(topic, "3", _published("3"))])
        await eventually(lambda: _knows(programs, "1", "2", "3"))
    finally:
        await programs.stop()


async def _knows(programs: ProgramFollower[Any], *versions: str) -> bool:
    return [version.version for version in programs.versions] == list(versions)


async def test_mend_c09_the_newest_program_is_asked_for(
    database: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_module, "OUTDATED_SECONDS", 3.0)
    settings = await settings_for(database, kafka)
    topic = f"program-{settings.consumer_group}"
    await make_topics(kafka, {topic: 1})
    await publish(kafka, [(topic, "1", _published("1"))])
    programs: ProgramFollower[dict[str, Any]] = ProgramFollower(settings, parse=dict, topic=topic)
    programs.check_newest()  # it does not run, so it has what it was given
    await programs.start()
    await asyncio.wait_for(programs.first(), 20)
    for _ in range(10):
        programs.check_newest()
        await asyncio.sleep(0.4)
    await programs.stop()
    await asyncio.sleep(3.2)
    with pytest.raises(ProgramOutdated, match=rf"the end of {topic} was not seen for \d+ s"):
        programs.check_newest()


async def test_mend_c09_a_batch_waits_while_the_program_may_be_outdated(database: str, kafka: str) -> None:
    """It becomes no dead letter, and is booked once the newest is known."""
    settings = await settings_for(database, kafka)
    outdated = [True]

    async def book(tx: Connection, shard: Shard, inputs: Sequence[Hello]) -> Sequence[str | Refused]:
        if outdated[0]:
            raise ProgramOutdated("the end of the topic was not seen for 301 s")
        await tx.executemany(
            "INSERT INTO hello (shard, member, n) VALUES ($1, $2, $3)",
            [(shard, each.member, each.n) for each in inputs],
        )
        return ["booked"] * len(inputs)

    def wire(worker: Worker[GreeterSettings]) -> Sequence[Part]:
        executor: Executor[Hello, str] = Executor(worker.pool, book)
        topics = [settings.hellos, settings.waves]
        return [Consumer(worker.settings, worker.pool, executor, topics=topics, decode=decode)]

    await publish(kafka, [(settings.hellos, f"m{n}", hello(f"m{n}", n)) for n in range(40)])
    async with eyes(database) as look, greeter(settings, service=replace(SERVICE, wire=wire)) as running:
        await eventually(lambda: _tells(_consumer(running), "program: the end of the topic was not seen"))
        assert await look.count("hello") == 0
        assert await look.count("outbox") == 0
        outdated[0] = False
        await eventually(lambda: look.has("hello", 40))
        assert await look.count("outbox") == 0
        await eventually(lambda: _is_well(_consumer(running)))


async def test_mend_c09_a_part_whose_task_hangs_or_has_ended_is_not_well() -> None:
    settings = GreeterSettings.model_validate({"database_url": "", "kafka_bootstrap_servers": "127.0.0.1:1"})
    free = asyncio.Event()

    async def sweep(shard: Shard) -> int:
        await free.wait()
        return 0

    sweeper = Sweeper(settings, sweep)
    sweeper.pulse = Pulse(still_seconds=0.2)
    told = _state_of(sweeper)
    await sweeper.start()
    assert (await told()).ok
    await asyncio.sleep(0.4)
    hanging = await told()
    assert sweeper.state().ok  # it knows nothing of it
    assert not hanging.ok
    assert hanging.detail.startswith("its task has not moved for ")
    assert "restart" in hanging.remedy
    free.set()
    began = time.monotonic()
    while not (await told()).ok:
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.05)
    assert sweeper._task is not None
    sweeper._task.cancel()
    await asyncio.wait([sweeper._task])
    assert (await told()).detail == "its task has ended"


async def test_mend_c09_what_ended_a_task_is_told() -> None:
    async def fail() -> None:
        raise ZeroDivisionError("a defect")

    pulse = Pulse()
    assert pulse.trouble() == ""
    task = pulse.follow(asyncio.create_task(fail()))
    await asyncio.wait([task])
    assert pulse.trouble() == "its task has ended: ZeroDivisionError('a defect')"
