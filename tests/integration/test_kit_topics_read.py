"""What is read from topics as a whole: the program's versions, and dead letters to drive again."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from services.kit import dead_letter, redrive
from services.kit.program import ProgramFollower
from tests.integration.kit_support import (
    eventually,
    eyes,
    greeter,
    hello,
    make_topics,
    members_of,
    publish,
    read,
    settings_for,
)


def _published(version: str, effective_from: str, **document: Any) -> bytes:
    data = {
        "version": version,
        "content_hash": f"sha256:{version}",
        "effective_from": effective_from,
        "published_at": "2026-01-01T00:00:00Z",
        "document": {"version": version, **document},
    }
    return orjson.dumps({"type": "loyalty.program.published.v1", "data": data})


async def test_the_program_is_followed_from_the_beginning_and_as_it_is_published(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    topic = f"program-{settings.consumer_group}"
    await make_topics(kafka, {topic: 1})
    programs: ProgramFollower[dict[str, Any]] = ProgramFollower(settings, parse=_checked, topic=topic)
    await programs.start()
    try:
        waiting = asyncio.create_task(programs.first())
        await asyncio.sleep(0.5)
        assert not waiting.done()
        assert "no program" in programs.state().detail
        await publish(kafka, [(topic, "1", _published("1", "2026-01-01T00:00:00+08:00"))])
        assert (await asyncio.wait_for(waiting, 20)).version == "1"
        assert programs.state().ok
        await publish(kafka, [(topic, "2", _published("2", "2026-03-01T00:00:00+08:00", unknown=True))])
        await eventually(lambda: _broken(programs))
        await publish(kafka, [(topic, "2", _published("2", "2026-03-01T00:00:00+08:00"))])
        await eventually(lambda: _versions(programs, 2))
        assert programs.state().ok
    finally:
        await programs.stop()
    late: ProgramFollower[dict[str, Any]] = ProgramFollower(settings, parse=_checked, topic=topic)
    await late.start()
    try:
        await asyncio.wait_for(late.first(), 20)
        assert [version.version for version in late.versions] == ["1", "2"]  # all, before the first is given
    finally:
        await late.stop()


async def test_mend_d04_dead_letters_are_driven_again_each_once_keyed_as_before(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka, actor="night desk")
    member, other = members_of(1, 2)
    await publish(
        kafka,
        [
            (settings.hellos, member, hello(member, 1, late=True)),
            (settings.hellos, other, b"{ broken"),
            (settings.waves, other, hello(other, 2, breaks=True)),
        ],
    )
    mine = frozenset({settings.hellos, settings.waves})
    async with eyes(database) as look:
        async with greeter(settings):
            await eventually(lambda: look.stands((1, settings.hellos), 2))
            await eventually(lambda: look.stands((1, settings.waves), 1))
            await eventually(lambda: look.has("outbox", 0))
        only = redrive.Choice(reasons=frozenset({"too_late"}), topics=mine, because="the clock was mended")
        assert (await redrive.drive(settings, only))["redriven"] == 1
        everything = redrive.Choice(topics=mine)
        counts = await redrive.drive(settings, everything)
        assert (counts["redriven"], counts["known"]) == (2, 1)
        assert (await redrive.drive(settings, everything))["redriven"] == 0
        assert await look.count("redriven") == 3
        kept = await look.connection.fetch("SELECT actor, action, object, reason FROM greeter.audit ORDER BY id")
        assert tuple(kept[0]) == (
            "night desk",
            "dead_letter.redriven",
            f"{settings.hellos}:1:0",
            "the clock was mended",
        )
        assert {row["object"] for row in kept[1:]} == {f"{settings.hellos}:1:1", f"{settings.waves}:1:0"}
    hellos = await read(kafka, settings.hellos)
    assert [(record.partition, record.key, record.value) for record in hellos[2:]] == [
        (1, member.encode(), hello(member, 1, late=True)),
        (1, other.encode(), b"{ broken"),
    ]
    assert (await read(kafka, settings.waves))[1].value == hello(other, 2, breaks=True)


async def test_a_letter_without_a_body_is_read_again_from_its_topic(
    database: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = await settings_for(database, kafka)
    monkeypatch.setattr(dead_letter, "WITHOUT_BODY", frozenset({settings.hellos}))
    member = members_of(2, 1)[0]
    await publish(kafka, [(settings.hellos, member, hello(member, 1, late=True))])
    async with eyes(database) as look, greeter(settings):
        await eventually(lambda: look.stands((2, settings.hellos), 1))
        await eventually(lambda: look.has("outbox", 0))
    letters = [orjson.loads(r.value)["data"] for r in await read(kafka, "loyalty.dead_letters.v1", 1)]
    assert ["record" in one for one in letters if one["origin"]["topic"] == settings.hellos] == [False]
    choice = redrive.Choice(topics=frozenset({settings.hellos}))
    assert (await redrive.drive(settings, choice))["redriven"] == 1
    assert [record.value for record in await read(kafka, settings.hellos)] == [hello(member, 1, late=True)] * 2


def _checked(document: dict[str, Any]) -> dict[str, Any]:
    if "unknown" in document:
        raise ValueError("unknown: not built yet")
    return document


async def _broken(programs: ProgramFollower[Any]) -> bool:
    return not programs.state().ok and len(programs.versions) == 1


async def _versions(programs: ProgramFollower[Any], number: int) -> bool:
    return len(programs.versions) == number
