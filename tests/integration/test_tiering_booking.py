"""Batches of inputs against a real PostgreSQL: the same rows however they are cut, few statements, one lock."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import orjson
import pytest

from services.kit.calendar import Micros, from_micros, later
from services.kit.kafka import Shard, shard_of
from services.kit.migrate import migrate
from services.kit.postgres import Pool, new_pool
from services.kit.program import ProgramFollower, ProgramOutdated, Version
from services.tiering import store
from services.tiering.audit.verify import examine
from services.tiering.domain.member import (
    MAX_OPEN_ORDERS,
    Cause,
    Enrolment,
    Erasure,
    Input,
    Order,
    TimelineReceived,
    order_key,
)
from services.tiering.domain.program import Program, ProgramVersions, compile_program
from services.tiering.domain.timeline import Entry, canonical
from services.tiering.executor import Booking
from services.tiering.settings import TieringSettings
from services.tiering.versions import KnownVersions
from tests.conftest import MakeDatabase, as_role
from tests.unit.test_tiering_history import document, on

SHARDS = 4
DOCUMENT = document()
VERSIONS = ProgramVersions([compile_program(DOCUMENT)])
BOOK = Booking(lambda: VERSIONS, SHARDS)


def tiering_settings(dsn: str, **changes: Any) -> TieringSettings:
    fields: dict[str, Any] = {
        "database_url": as_role(dsn, "tiering"),
        "migration_database_url": dsn,
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "shards": SHARDS,
    }
    return TieringSettings(**{**fields, **changes})


@pytest.fixture
async def pool(make_database: MakeDatabase) -> AsyncIterator[Pool]:
    """A pool of tiering's runtime role on a migrated database of its own."""
    settings = tiering_settings(make_database())
    await migrate(settings, "services.tiering")
    async with new_pool(settings) as made:
        yield made


def members_of(shard: Shard, count: int) -> list[str]:
    """So many members of one shard."""
    ids = (f"m-{number}" for number in range(10_000))
    return [member_id for member_id in ids if shard_of(member_id, SHARDS) == shard][:count]


def ordered(member_id: str, version: int, order_id: str, *entries: Entry) -> TimelineReceived:
    key = order_key("", order_id)
    at = max((entry.at for entry in entries), default=on(0))
    cause = Cause("loyalty.order.qualified.v1", "/loyalty/ledger", f"{member_id}:{version}:0", at, key)
    return TimelineReceived(member_id, key, Order(version, 0, canonical(entries)), cause)


def joined(member_id: str, day: float) -> Enrolment:
    return Enrolment(member_id, Cause("commerce.member.registered.v1", "/shop", f"r-{member_id}", on(day)))


async def book(pool: Pool, shard: Shard, inputs: Sequence[Input]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await BOOK(connection, shard, inputs)


async def rows(pool: Pool) -> dict[str, list[tuple[object, ...]]]:
    """All that was written, but for ids and times of writing."""
    statements = {
        "member": "SELECT * FROM member ORDER BY shard, member_id",
        "settled": "SELECT * FROM settled_order ORDER BY 1, 2, 3",
        "decision": "SELECT shard, member_id, version, facts, tier, effective_at, growth, orders, history::text,"
        " program_version, cause_id, cause_time FROM decision ORDER BY 1, 2, 3",
        "outbox": "SELECT shard, topic, key, value FROM outbox ORDER BY key, id",
    }
    return {name: [tuple(row) for row in await pool.fetch(sql)] for name, sql in statements.items()}


def a_stream(shard: Shard, seed: int) -> list[Input]:
    """A shop's weeks as one partition has them: steady buyers, one who buys daily, late refunds, repeats."""
    chance = random.Random(seed)
    inputs: list[Input] = []
    ids = members_of(shard, 25)
    version = dict.fromkeys(ids, 0)
    orders: dict[tuple[str, str], list[Entry]] = {}
    for number in range(700):
        member_id = ids[0] if number % 3 == 0 else chance.choice(ids)
        version[member_id] += 1
        day = number / 10
        theirs = [order_id for owner, order_id in orders if owner == member_id]
        if theirs and chance.random() < 0.15:
            order_id = chance.choice(theirs)
            first = orders[member_id, order_id][0]
            when = later(first.at, 1) if chance.random() < 0.3 else on(day)
            orders[member_id, order_id].append(Entry(when, -first.amount // 2, 0))
        else:
            order_id = str(number)
            orders[member_id, order_id] = [Entry(on(day), chance.randrange(100, 9_000), 1)]
        inputs.append(ordered(member_id, version[member_id], order_id, *orders[member_id, order_id]))
        if chance.random() < 0.1:
            inputs.append(chance.choice(inputs))
        if chance.random() < 0.05:
            inputs.append(joined(chance.choice(ids), chance.uniform(0, day)))
    return inputs


@pytest.mark.parametrize("seed", [2, 20_260_401])
async def test_O7_any_cut_into_batches_writes_the_same_rows(pool: Pool, make_database: MakeDatabase, seed: int) -> None:
    stream = a_stream(Shard(1), seed)
    for start in range(0, len(stream), 150):
        await book(pool, Shard(1), stream[start : start + 150])
    settings = tiering_settings(make_database())
    await migrate(settings, "services.tiering")
    async with new_pool(settings) as other:
        for alone in stream:
            await book(other, Shard(1), [alone])
        together, single = await rows(pool), await rows(other)
        reports = [await report(made) for made in (pool, other)]
    assert together == single
    assert together["settled"]
    assert reports[0] == reports[1]
    assert reports[0]["broken"] == 0
    assert reports[0]["members"] == 25


async def report(pool: Pool) -> dict[str, Any]:
    async with pool.acquire() as connection:
        return await examine(connection, [DOCUMENT], SHARDS)


async def test_a_usual_batch_is_a_handful_of_statements(pool: Pool) -> None:
    ids = members_of(Shard(2), 500)
    await book(pool, Shard(2), [ordered(member_id, 1, "a", Entry(on(1), 100, 1)) for member_id in ids])
    statements: list[str] = []
    async with pool.acquire() as connection, connection.transaction():
        with connection.query_logger(lambda logged: statements.append(logged.query)):
            await BOOK(connection, Shard(2), [ordered(m, 2, "b", Entry(on(2), 100, 1)) for m in ids] * 2)
    assert len(statements) == 4, statements


async def test_hot_statements_are_served_by_the_primary_keys(pool: Pool) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "lock": (1, ["m-1"]),
        "states": (1, ["m-1"]),
        "settled_orders": (1, ["m-1"], ["\x1f1"]),
        "all_settled_orders": (1, ["m-1"]),
        "standing": (1, "m-1"),
        "save": (1, ["m-1"], [1], ["vip"], [None], [0], [0], [b""]),
    }
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        for name, values in arguments.items():
            plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {store.SQL[name]}", *values)
            assert "_pkey" in plan, name
            assert name == "save" or "shard = " in plan, name  # an upsert looks its keys up itself


async def test_the_journal_is_append_only_for_the_runtime_role(pool: Pool) -> None:
    member_id = members_of(Shard(1), 1)[0]
    await book(pool, Shard(1), [joined(member_id, 0)])
    for statement in (
        "UPDATE decision SET tier = 'supreme'",
        "DELETE FROM decision",
        "TRUNCATE decision",
        "DELETE FROM member",
        "ALTER TABLE decision DROP COLUMN tier",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


async def test_a_member_on_another_shards_partition_has_one_row_all_the_same(pool: Pool) -> None:
    here, elsewhere = members_of(Shard(1), 1)[0], members_of(Shard(3), 1)[0]
    await book(pool, Shard(1), [joined(elsewhere, 1), joined(here, 1), ordered(here, 1, "a", Entry(on(2), 100, 1))])
    await book(pool, Shard(3), [ordered(elsewhere, 1, "a", Entry(on(2), 39_900, 1))])
    found = await pool.fetch("SELECT shard, member_id, tier, version FROM member ORDER BY shard")
    assert [tuple(row) for row in found] == [(1, here, "regular", 2), (3, elsewhere, "senior", 2)]
    assert [row[0] for row in await pool.fetch("SELECT shard FROM outbox ORDER BY id")] == [1, 1, 3, 3]


async def test_outcomes_come_in_the_order_of_the_inputs_whatever_their_shards(pool: Pool) -> None:
    here, elsewhere = members_of(Shard(1), 2), members_of(Shard(3), 2)
    inputs = [joined(here[0], 1), joined(elsewhere[0], 2), joined(here[1], 3), joined(elsewhere[1], 4)]
    async with pool.acquire() as connection, connection.transaction():
        outcomes = await BOOK(connection, Shard(1), inputs)
    assert [outcome.enrolled_at for outcome in outcomes] == [on(1), on(2), on(3), on(4)]


async def test_two_sessions_that_book_the_same_members_take_turns(pool: Pool) -> None:
    ids = members_of(Shard(1), 60)
    chance = random.Random(7)

    async def session(number: int) -> None:
        for turn in range(10):
            some = chance.sample(ids, 30)
            await book(pool, Shard(1), [ordered(m, turn + 1, f"{number}", Entry(on(turn), 100, 1)) for m in some])
            await asyncio.sleep(0)

    await asyncio.gather(*(session(number) for number in range(4)))
    assert (await report(pool))["broken"] == 0


async def test_T9_facts_out_follow_one_another_by_version(pool: Pool) -> None:
    member_id = members_of(Shard(1), 1)[0]
    await book(pool, Shard(1), [joined(member_id, 0)])
    await book(pool, Shard(1), [ordered(member_id, n, str(n), Entry(on(n), 20_000, 1)) for n in range(1, 6)])
    sent = [orjson.loads(value) for (value,) in await pool.fetch("SELECT value FROM outbox ORDER BY id")]
    assert [(event["type"], event["data"]["tier"]) for event in sent] == [
        ("loyalty.tier.enrolled.v1", "none"),
        ("loyalty.tier.upgraded.v1", "regular"),
        ("loyalty.tier.upgraded.v1", "senior"),
        ("loyalty.tier.upgraded.v1", "vip"),
        ("loyalty.tier.upgraded.v1", "supreme"),
    ]
    assert [event["data"]["member_version"] for event in sent] == [1, 2, 3, 4, 5]


async def test_T9_a_member_with_many_orders_is_corrected_from_the_settled_ones(pool: Pool) -> None:
    member_id = members_of(Shard(1), 1)[0]
    count = 3 * MAX_OPEN_ORDERS
    first = [ordered(member_id, n, str(n), Entry(on(n / 10), 1_000, 1)) for n in range(1, count + 1)]
    for start in range(0, count, 50):
        await book(pool, Shard(1), first[start : start + 50])
    assert await pool.fetchval("SELECT count(*) FROM settled_order") >= count - MAX_OPEN_ORDERS
    assert await pool.fetchval("SELECT tier FROM member") == "supreme"  # ¥10 × 89 at day 8.9
    # The first order was returned soon after, but that becomes known only now.
    late = ordered(member_id, count + 1, "1", Entry(on(0.1), 1_000, 1), Entry(on(0.15), -1_000, -1))
    await book(pool, Shard(1), [late])
    since = await pool.fetchval("SELECT since FROM member")
    assert since == from_micros(on(9.0))
    kept = await pool.fetchrow("SELECT facts, growth, orders FROM decision ORDER BY version DESC LIMIT 1")
    assert tuple(kept or ()) == (["kept"], (count - 1) * 1_000, count - 1)
    assert (await report(pool))["broken"] == 0


async def test_verify_names_what_does_not_agree(make_database: MakeDatabase) -> None:
    dsn = make_database()
    settings = tiering_settings(dsn)
    await migrate(settings, "services.tiering")
    member_id = members_of(Shard(1), 1)[0]
    async with new_pool(settings) as pool:
        await book(pool, Shard(1), [ordered(member_id, 1, "a", Entry(on(1), 39_900, 1))])
        assert (await report(pool))["broken"] == 0
        connection = await asyncpg.connect(dsn)
        await connection.execute("UPDATE tiering.member SET tier = 'supreme'")
        await connection.close()
        found = await report(pool)
    assert found["broken"] == 1
    assert found["examples"][0].startswith(f"{member_id}: the row says supreme")


async def test_mend_b06_an_erased_member_joins_by_registering_anew(pool: Pool) -> None:
    (member_id,) = members_of(Shard(1), 1)
    command = joined(member_id, 6)._replace(is_command=True)
    erasure = Erasure(member_id, Cause("commerce.member.erased.v1", "/shop", "e1", on(5)))
    async with pool.acquire() as tx, tx.transaction():
        booked = await BOOK(tx, Shard(1), [erasure, joined(member_id, 5), command, joined(member_id, 7), command])
    assert [outcome.is_refused for outcome in booked] == [False, True, True, False, False]
    # Once the member has registered, a call may say that they joined earlier than that, but after the erasure.
    assert [outcome.enrolled_at for outcome in booked] == [None, None, None, on(7), on(6)]
    async with pool.acquire() as tx, tx.transaction():
        (outcome,) = await BOOK(tx, Shard(1), [joined(member_id, 4)])
    assert (outcome.is_refused, outcome.enrolled_at) == (True, on(6))
    assert (await report(pool))["broken"] == 0


async def test_mend_c09_nothing_is_decided_by_a_program_that_may_be_outdated(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = ProgramFollower(tiering_settings(""), parse=compile_program)
    follower.add(Version("1", "sha256:1", Micros(0), Micros(0), compile_program(DOCUMENT)))
    booking = Booking(KnownVersions(follower).newest, SHARDS)

    def outdated(_: ProgramFollower[Program]) -> None:
        raise ProgramOutdated("the end of the topic was not seen for 301 s")

    (member,) = members_of(Shard(1), 1)
    async with pool.acquire() as connection, connection.transaction():
        with monkeypatch.context() as patched:
            patched.setattr(ProgramFollower, "check_newest", outdated)
            with pytest.raises(ProgramOutdated):
                await booking(connection, Shard(1), [joined(member, 1)])
        (outcome,) = await booking(connection, Shard(1), [joined(member, 1)])
    assert outcome.enrolled_at == on(1)
