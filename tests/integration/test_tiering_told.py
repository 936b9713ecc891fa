"""Tiering is held to what the ledger told it: two real databases, and between them only the ledger's own events."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from services.kit.cloudevent import HEADERS
from services.kit.kafka import Record, Shard, shard_of
from services.kit.migrate import migrate
from services.kit.postgres import Pool, new_pool
from services.ledger.audit.timelines import all_timelines
from services.ledger.codecs import register_codecs
from services.ledger.events.outbound import TOPIC
from services.tiering.audit.told import Comparison, compare_timelines
from services.tiering.domain.member import MAX_OPEN_ORDERS, Input
from services.tiering.domain.program import ProgramVersions, compile_program
from services.tiering.events.inbound import Decoder
from services.tiering.executor import Booking
from tests.conftest import REPOSITORY, MakeDatabase
from tests.integration.ledger_support import DOCUMENT, LedgerUnderTest, ledger_on
from tests.integration.test_tiering_booking import tiering_settings
from tests.model import events as shop

SHARDS = 16
VERSIONS = ProgramVersions([compile_program(DOCUMENT)])
DECODE = Decoder(lambda: VERSIONS, shards=SHARDS, max_event_age_days=400)
BOOK = Booking(lambda: VERSIONS, SHARDS)
MEMBERS = [f"told.{number}" for number in range(6)]
BUYER = "told.buyer"
"""A member with so many orders that some are settled."""


@pytest.fixture
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    async with ledger_on(make_database(), jwks_file=jwks_file) as under_test:
        yield under_test


@pytest.fixture
async def pool(make_database: MakeDatabase) -> AsyncIterator[Pool]:
    settings = tiering_settings(make_database(), shards=SHARDS)
    await migrate(settings, "services.tiering")
    async with new_pool(settings) as made:
        yield made


def a_shop(seed: int) -> list[tuple[int, dict[str, Any]]]:
    """(day of arrival, event) of a few members' orders, told late, twice, in parts and in disorder."""
    chance, events = random.Random(seed), []
    for number in range(150):
        member = chance.choice(MEMBERS) if number % 2 else BUYER
        order, day = f"o{number}", chance.randint(1, 20)
        lines = [shop.line("l1", f"{chance.randint(1, 900)}.50"), shop.gift_card("l2", "20")]
        told: list[dict[str, Any]] = [shop.paid(order, shop.d(day), lines, member=member, id=f"{order}:paid")]
        if chance.random() < 0.3:
            lower = [shop.line("l1", "0.50"), shop.line("l3", "7")]
            told.append(shop.paid(order, shop.d(day), lower, member=member, revision=1, id=f"{order}:again"))
        if chance.random() < 0.4:
            told.append(shop.shipped(order, shop.d(day + 1), member=member))
        if chance.random() < 0.6:
            parts = [shop.part("l1")] if chance.random() < 0.4 else None
            told.append(shop.completed(order, shop.d(day + 2), parts, member=member))
        if chance.random() < 0.4:
            told.append(shop.refunded(order, shop.d(day + chance.randint(0, 9)), "0.50", member=member))
        if chance.random() < 0.15:
            told.append(shop.cancelled(order, shop.d(day + chance.randint(0, 9)), member=member))
        events += [(chance.randint(day + 9, 34), event) for event in told]
    return sorted(events, key=lambda each: each[0])


async def follow(ledger: LedgerUnderTest, pool: Pool) -> None:
    """Let tiering book what the ledger has published."""
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch("DELETE FROM outbox WHERE topic = $1 RETURNING id, key, value", TOPIC)
    by_shard: dict[Shard, list[Input]] = {}
    for row in sorted(rows, key=lambda row: int(row["id"])):
        shard = shard_of(row["key"].decode(), SHARDS)
        record = Record(TOPIC, shard, row["id"], ledger.now, row["key"], row["value"], HEADERS)
        if (input_ := DECODE(record)) is not None:
            by_shard.setdefault(shard, []).append(input_)
    for shard, inputs in by_shard.items():
        async with pool.acquire() as connection, connection.transaction():
            await BOOK(connection, shard, inputs)


async def told_by(ledger: LedgerUnderTest) -> list[bytes]:
    """The lines of the ledger's `timelines`."""
    connection = await asyncpg.connect(ledger.dsn, server_settings={"search_path": "ledger"})
    try:
        await register_codecs(connection)
        return [orjson.dumps(line) async for line in all_timelines(connection, SHARDS)]
    finally:
        await connection.close()


async def compared(ledger: LedgerUnderTest, pool: Pool, *, seconds: float = 0.0) -> Comparison:
    async with pool.acquire() as connection:
        return await compare_timelines(connection, await told_by(ledger), SHARDS, 2, seconds=seconds)


@pytest.mark.parametrize("seed", [1, 2])
async def test_mend_a01_tiering_holds_the_timelines_that_the_ledger_told(
    ledger: LedgerUnderTest, pool: Pool, seed: int
) -> None:
    events = a_shop(seed)
    for day in range(1, 50, 3):
        arrived = [event for at, event in events if day <= at < day + 3]
        await ledger.receive(*arrived, at=shop.d(day, "23:00"))
        await ledger.sweep(*MEMBERS, BUYER)
        await follow(ledger, pool)
        result = await compared(ledger, pool)
        assert (result.faults, result.newer) == ([], 0)
    assert result.told == len({event["data"]["order_id"] for _, event in events}) > 2 * MAX_OPEN_ORDERS
    assert await pool.fetchval("SELECT count(*) FROM settled_order") > 0


async def test_mend_a01_what_tiering_lacks_changed_or_made_up_is_named(ledger: LedgerUnderTest, pool: Pool) -> None:
    await ledger.receive(*(event for _, event in a_shop(3)), at=shop.d(40))
    await follow(ledger, pool)
    await ledger.receive(shop.paid("late", shop.d(39), "10", member=BUYER), at=shop.d(40, "12:00"))
    lacking = await compared(ledger, pool)
    assert lacking.faults == [f"{BUYER}: order /late was told, and is not known here"]
    before = await told_by(ledger)
    await follow(ledger, pool)
    assert (await compared(ledger, pool)).faults == []
    await ledger.receive(shop.cancelled("late", shop.d(40), member=BUYER), at=shop.d(40, "13:00"))
    await follow(ledger, pool)
    async with pool.acquire() as connection:
        newer = await compare_timelines(connection, before, SHARDS, 2, seconds=0)
        assert (newer.faults, newer.newer) == ([], 1), "told again since"
        lines = [orjson.loads(line) for line in await told_by(ledger)]
        (changed,) = [line for line in lines if line["order_id"] == "late"]
        changed["timeline"] = [{"at": "2026-04-09T00:00:00Z", "amount": "0.01", "orders": 0, "cause": "completed"}]
        other = next(line for line in lines if line["member_id"] == BUYER and line is not changed)
        lines.remove(other)
        wrong = await compare_timelines(connection, map(orjson.dumps, lines), SHARDS, 2, seconds=0)
    assert sorted(wrong.faults) == sorted([
        f"{BUYER}: order /late was told as +1 and +0 at 1775692800000000, and is held as nothing",
        f"{BUYER}: order /{other['order_id']} is held, and was never told",
    ])  # fmt: skip


async def test_mend_a01_what_is_on_its_way_is_waited_for(ledger: LedgerUnderTest, pool: Pool) -> None:
    await ledger.receive(shop.paid("o1", shop.d(1), "10", member=BUYER), at=shop.d(1, "10:01"))
    lines = await told_by(ledger)
    seen: list[Any] = []

    class Arriving:
        """A connection on which the order is missing at first."""

        def __init__(self, connection: Any) -> None:
            self._connection = connection

        async def fetch(self, statement: str, *arguments: Any) -> Any:
            seen.append(statement)
            if len(seen) == 3:
                await follow(ledger, pool)
            return await self._connection.fetch(statement, *arguments)

    async with pool.acquire() as connection:
        waiting: Any = Arriving(connection)
        result = await compare_timelines(waiting, lines, SHARDS, 2, seconds=10)
    assert (result.told, result.faults) == (1, [])
    assert len(seen) > 3


async def test_mend_a01_timelines_is_a_command_that_prints_a_line_of_each_order(ledger: LedgerUnderTest) -> None:
    await ledger.receive(*(event for _, event in a_shop(4)), at=shop.d(40))
    environment = {"DATABASE_URL": str(ledger.settings.database_url.get_secret_value())}
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.ledger", "timelines",
        env={"PATH": os.environ["PATH"], "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", **environment},
        cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await done.communicate()
    assert done.returncode == 0
    assert output.splitlines() == await told_by(ledger)
