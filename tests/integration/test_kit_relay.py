"""The relay: nothing lost, nothing out of order, whoever writes and whatever breaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.kit import relay as relay_module
from services.kit.kafka import Shard
from services.kit.outbox import OutboxRow, append
from services.kit.postgres import connect
from services.kit.relay import Relay
from tests.greeter.routes import SHARDS
from tests.greeter.service import GreeterSettings
from tests.integration.kit_proxy import proxied
from tests.integration.kit_support import Database, eventually, eyes, members_of, read, settings_for


@asynccontextmanager
async def _relaying(settings: GreeterSettings, **more: int) -> AsyncIterator[Relay]:
    relay = Relay(settings, **more)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()


async def _write(settings: GreeterSettings, writer: int, batches: int, numbers: dict[str, int]) -> None:
    """One of several writers that meet at the same members, under their locks, as a service does."""
    connection = await connect(settings, part=f"writer-{writer}")
    draw = random.Random(writer)
    try:
        for _ in range(batches):
            shard = draw.randrange(SHARDS)
            members = sorted(draw.sample(members_of(shard, 8), 3))
            async with connection.transaction():
                await connection.execute(
                    "INSERT INTO member SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING", shard, members
                )
                await connection.fetch(
                    "SELECT 1 FROM member WHERE shard = $1 AND member = ANY ($2::text[]) ORDER BY member FOR UPDATE",
                    shard,
                    members,
                )
                rows = []
                for member in members:
                    numbers[member] = numbers.get(member, 0) + 1
                    rows.append(
                        OutboxRow(Shard(shard), settings.greetings, member.encode(), str(numbers[member]).encode())
                    )
                await append(connection, rows)
                if draw.random() < 0.5:
                    await asyncio.sleep(draw.uniform(0, 0.005))  # ids are taken, the commit comes later
    finally:
        await connection.close()


async def _drained(look: Database) -> bool:
    return await look.count("outbox") == 0


async def test_concurrent_writers_lose_nothing_and_keep_each_members_order(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    numbers: dict[str, int] = {}
    async with eyes(database) as look, _relaying(settings):
        await asyncio.gather(*(_write(settings, writer, 60, numbers) for writer in range(12)))
        await eventually(lambda: _drained(look))
    sent = await read(kafka, settings.greetings)
    assert len(sent) == sum(numbers.values()) == 12 * 60 * 3
    for member, last in numbers.items():
        assert [int(r.value) for r in sent if r.key == member.encode()] == list(range(1, last + 1))


async def test_two_relays_share_the_shards_and_a_lost_session_only_repeats(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    numbers: dict[str, int] = {}
    async with proxied(database) as proxy, eyes(database) as look:
        through = settings.model_copy(update={"database_url": type(settings.database_url)(proxy.dsn)})
        async with _relaying(through, round_rows=50), _relaying(settings, round_rows=50):
            writing = asyncio.gather(*(_write(settings, writer, 100, numbers) for writer in range(6)))
            for _ in range(3):
                await asyncio.sleep(0.3)
                proxy.break_all()
                await asyncio.sleep(0.1)
                proxy.down = False
            await writing
            await eventually(lambda: _drained(look))
    sent = await read(kafka, settings.greetings)
    for member, last in numbers.items():
        mine = [int(r.value) for r in sent if r.key == member.encode()]
        newest = 0
        kept = [newest := n for n in mine if n > newest]  # a consumer drops what is not newer
        assert kept == list(range(1, last + 1))


async def test_a_stop_sends_what_waits(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    member = members_of(2, 1)[0]
    async with eyes(database) as look:
        async with _relaying(settings, round_rows=400):
            connection = await connect(settings, part="writer")
            rows = [OutboxRow(Shard(2), settings.greetings, member.encode(), str(n).encode()) for n in range(3000)]
            await append(connection, rows)
            await connection.close()
        assert await look.count("outbox") == 0
    assert [int(r.value) for r in await read(kafka, settings.greetings)] == list(range(3000))


async def test_rows_find_their_keys_partition_and_keep_headers_and_size(database: str, kafka: str) -> None:
    settings = await settings_for(database, kafka)
    stranger = members_of(3, 1)[0]
    async with eyes(database) as look, _relaying(settings):
        connection = await connect(settings, part="writer")
        big = [OutboxRow(Shard(0), settings.greetings, stranger.encode(), bytes([65 + n]) * 200_000) for n in range(5)]
        odd = [
            OutboxRow(Shard(0), settings.greetings, stranger.encode(), None, (("content-type", b"x/y"), ("n", b"\xff")))
        ]
        await append(connection, [*big, *odd])
        await connection.close()
        await eventually(lambda: _drained(look))
    sent = await read(kafka, settings.greetings)
    assert {record.partition for record in sent} == {3}
    assert [record.value and record.value[:1] for record in sent] == [b"A", b"B", b"C", b"D", b"E", None]
    assert sent[-1].headers == (("content-type", b"x/y"), ("n", b"\xff"))


async def test_a_row_the_brokers_refuse_blocks_its_shard_alone_and_is_told(
    database: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "METADATA_SECONDS", 0.5)
    settings = await settings_for(database, kafka)
    keys = {shard: members_of(shard, 1)[0].encode() for shard in range(SHARDS)}
    async with eyes(database) as look, _relaying(settings) as relay:
        connection = await connect(settings, part="writer")
        too_large = random.Random(1).randbytes(1_500_000)  # for a broker; it does not compress
        rows = [
            OutboxRow(Shard(0), settings.greetings, keys[0], b"before"),
            OutboxRow(Shard(0), settings.greetings, keys[0], too_large),
            OutboxRow(Shard(0), settings.greetings, keys[0], b"behind"),
            OutboxRow(Shard(1), "no-such-topic", keys[1], b"lost"),
            OutboxRow(Shard(1), settings.greetings, keys[1], b"behind"),
            *(OutboxRow(Shard(2), settings.greetings, keys[2], str(n).encode()) for n in range(500)),
        ]
        await append(connection, rows)
        await connection.close()
        await eventually(lambda: look.has("outbox", 4))
        await eventually(lambda: _detail(relay, "no-such-topic"))
        await eventually(lambda: _detail(relay, "MessageSizeTooLarge"))
        assert not relay.state().ok
    sent = await read(kafka, settings.greetings)
    assert [r.value for r in sent if r.partition == 0][:1] == [b"before"]
    assert b"behind" not in {r.value for r in sent}
    numbers = [int(r.value) for r in sent if r.partition == 2]
    assert sorted(set(numbers)) == list(range(500))


async def _detail(relay: Relay, word: str) -> bool:
    return word in relay.state().detail
