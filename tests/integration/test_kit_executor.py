"""One transaction a batch: the fence, what a lost COMMIT means, races, commands that share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest
from pydantic import SecretStr

from schemas.events import Refused
from services.kit import executor as executor_module
from services.kit.executor import DatabaseUnavailable, Executor, Fence, Fenced, Overloaded
from services.kit.kafka import Shard
from services.kit.migrate import migrate
from services.kit.postgres import Connection, Pool, new_pool
from tests.conftest import as_role
from tests.greeter.hello import Hello
from tests.greeter.service import GreeterSettings, book
from tests.integration.kit_proxy import proxied
from tests.integration.kit_support import Database, eyes

TOPICS = ["hellos", "waves"]
SHARD = Shard(1)
BOOK = partial(book, "greetings")


def _settings(database: str, dsn: str | None = None) -> GreeterSettings:
    return GreeterSettings(
        database_url=SecretStr(as_role(dsn or database, "greeter")),
        migration_database_url=SecretStr(database),
        kafka_bootstrap_servers="127.0.0.1:1",
    )


@asynccontextmanager
async def _pooled(settings: GreeterSettings) -> AsyncIterator[Pool]:
    pool = await new_pool(settings)
    try:
        yield pool
    finally:
        pool.terminate()


@pytest.fixture
async def look(database: str) -> AsyncIterator[Database]:
    """A migrated greeter whose shard 1 stands at offset 0 of both topics."""
    await migrate(_settings(database), "tests.greeter")
    async with eyes(database) as seen:
        await seen.connection.execute("INSERT INTO greeter.consumer_offset SELECT 1, unnest($1::text[]), 0", TOPICS)
        yield seen


def _hellos(*numbers: int) -> list[Hello]:
    return [Hello("m", n) for n in numbers]


async def test_the_second_of_two_owners_is_fenced_and_writes_nothing(database: str, look: Database) -> None:
    async with _pooled(_settings(database)) as pool:
        first, second = Executor[Hello, str](pool, BOOK), Executor[Hello, str](pool, BOOK)
        fence = Fence(TOPICS, [0, 0], [2, 1])
        slow = [Hello("m", 1, slow=0.2), *_hellos(2, 3)]
        results = await asyncio.gather(
            first.run(SHARD, slow, fence=fence), second.run(SHARD, slow, fence=fence), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == ["Fenced", "list"]
        assert await look.hellos() == {("m", 1), ("m", 2), ("m", 3)}
        assert await look.offsets() == {(1, "hellos"): 2, (1, "waves"): 1}
        with pytest.raises(Fenced):  # one topic of two that does not match is enough
            await second.run(SHARD, _hellos(4), fence=Fence(TOPICS, [2, 0], [3, 1]))
        assert await look.offsets() == {(1, "hellos"): 2, (1, "waves"): 1}
        assert await look.count("hello") == 3


@pytest.mark.parametrize("cut", ["before", "after", "late"])
async def test_a_connection_cut_in_commit_is_settled_by_the_offsets(cut: str, database: str, look: Database) -> None:
    async with proxied(database) as proxy, _pooled(_settings(database, proxy.dsn)) as pool:
        committed: list[int] = []
        executor = Executor[Hello, str](pool, BOOK, committed=committed.append)
        proxy.cut_next = [cut]  # type: ignore[list-item]
        outcomes = await executor.run(SHARD, _hellos(1, 2), fence=Fence(TOPICS, [0, 0], [2, 0]))
        assert proxy.cuts == 1
        assert outcomes == ["booked", "booked"]  # as they were first decided, in all three cases
        assert committed == [1]
        assert await look.offsets() == {(1, "hellos"): 2, (1, "waves"): 0}
        assert await look.count("hello") == 2
        assert await look.count("outbox") == 2


@pytest.mark.parametrize("cut", ["before", "after", "late"])
async def test_a_command_whose_commit_was_cut_is_run_again_and_known(cut: str, database: str, look: Database) -> None:
    async with proxied(database) as proxy, _pooled(_settings(database, proxy.dsn)) as pool:
        executor = Executor[Hello, str](pool, BOOK)
        proxy.cut_next = [cut]  # type: ignore[list-item]
        assert await executor.submit(SHARD, Hello("m", 1)) == ("booked" if cut == "before" else "known")
        assert await look.count("hello") == 1
        assert await look.count("outbox") == 1


async def test_mend_c02_commands_that_nobody_can_book_in_time_are_shed(
    database: str, look: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "WAIT_SECONDS", 0.05)
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def stuck(tx: Connection, shard: Shard, inputs: Sequence[Hello]) -> Sequence[str | Refused]:
        begun.set()
        await goes_on.wait()
        return await BOOK(tx, shard, inputs)

    async with _pooled(_settings(database)) as pool:
        executor = Executor[Hello, str](pool, stuck, max_waiting=3)
        first = asyncio.create_task(executor.submit(SHARD, Hello("m", 1)))
        await begun.wait()  # it is being booked, and waits no longer
        waiting = [asyncio.create_task(executor.submit(SHARD, Hello("m", n))) for n in (2, 3)]
        waiting.append(asyncio.create_task(executor.submit(SHARD, Hello("m", 4), background=True)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="3 commands wait"):
            await executor.submit(SHARD, Hello("m", 5))
        await asyncio.sleep(0.1)
        goes_on.set()
        assert await first == "booked"
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Overloaded, Overloaded, str]
        assert await look.hellos() == {("m", 1), ("m", 4)}  # what was let go was not booked, and may come again
        assert await executor.submit(SHARD, Hello("m", 2)) == "booked"


async def test_commands_that_arrive_together_share_a_transaction(database: str, look: Database) -> None:
    batches: list[int] = []

    async def counting(tx: Connection, shard: Shard, inputs: Sequence[Hello]) -> Sequence[str | Refused]:
        batches.append(len(inputs))
        await asyncio.sleep(0.05)
        return await BOOK(tx, shard, inputs)

    async with _pooled(_settings(database)) as pool:
        executor = Executor[Hello, str](pool, counting)
        first = asyncio.create_task(executor.submit(SHARD, Hello("m", 0)))
        await asyncio.sleep(0.02)
        rest = [asyncio.create_task(executor.submit(SHARD, Hello("m", n))) for n in range(1, 100)]
        assert set(await asyncio.gather(first, *rest)) == {"booked"}
        assert batches == [1, 99]
        await executor.drain()


async def test_records_wait_for_commands_and_not_for_ever(database: str, look: Database) -> None:
    booking, go_on = asyncio.Event(), asyncio.Event()

    async def held_up(tx: Connection, shard: Shard, inputs: Sequence[Hello]) -> Sequence[str | Refused]:
        booking.set()
        await go_on.wait()
        return await BOOK(tx, shard, inputs)

    async with _pooled(_settings(database)) as pool:
        executor = Executor[Hello, str](pool, held_up)
        in_background = asyncio.create_task(executor.submit(SHARD, Hello("m", 0), background=True))
        await booking.wait()
        await executor.yield_to_commands()
        assert not executor.has_commands, "nobody waits for what is in the background"
        command = asyncio.create_task(executor.submit(SHARD, Hello("m", 1)))
        await asyncio.sleep(0)
        await executor.yield_to_commands()
        assert not command.done(), "the wait is over after YIELD_SECONDS"
        waiting = asyncio.create_task(executor.yield_to_commands())
        go_on.set()
        await waiting
        assert {await in_background, await command} == {"booked"}


async def test_shards_take_turns_and_what_waits_for_its_turn_comes_together(database: str, look: Database) -> None:
    batches: list[tuple[int, int]] = []
    booking, go_on = asyncio.Event(), asyncio.Event()

    async def held_up(tx: Connection, shard: Shard, inputs: Sequence[Hello]) -> Sequence[str | Refused]:
        batches.append((shard, len(inputs)))
        booking.set()
        await go_on.wait()
        return await BOOK(tx, shard, inputs)

    async with _pooled(_settings(database)) as pool:
        executor = Executor[Hello, str](pool, held_up, concurrent_shards=1)
        said = [asyncio.create_task(executor.submit(SHARD, Hello("a", 0)))]
        await booking.wait()
        said += [
            asyncio.create_task(executor.submit(Shard(shard), Hello("b", n))) for n in range(5) for shard in (2, 3)
        ]
        await asyncio.sleep(0.05)
        go_on.set()
        assert set(await asyncio.gather(*said)) == {"booked"}
        assert batches == [(1, 1), (2, 5), (3, 5)]


async def test_commands_are_tried_optimistically_before_they_have_a_transaction(database: str, look: Database) -> None:
    asked: list[int] = []

    async def odd_ones(connection: Connection, shard: Shard, inputs: Sequence[Hello]) -> Sequence[str | Refused] | None:
        asked.append(len(inputs))
        return [f"hello {each.n}" for each in inputs] if inputs[0].n % 2 else None

    async with _pooled(_settings(database)) as pool:
        committed: list[int] = []
        executor = Executor[Hello, str](pool, BOOK, optimistic=odd_ones, committed=committed.append)
        assert await executor.submit(SHARD, Hello("m", 1)) == "hello 1"
        assert await look.count("hello") == 0, "the optimistic statement writes by itself"
        assert await executor.submit(SHARD, Hello("m", 2)) == "booked"
        assert await look.count("hello") == 1
        assert (asked, committed) == ([1, 1], [1, 1])


async def test_a_command_that_breaks_breaks_only_its_own_caller(database: str, look: Database) -> None:
    async with _pooled(_settings(database)) as pool:
        executor = Executor[Hello, str](pool, BOOK)
        said = [executor.submit(SHARD, Hello("m", n, breaks=n == 3, late=n == 4)) for n in range(6)]
        answers = await asyncio.gather(*said, return_exceptions=True)
        assert [type(answer).__name__ for answer in answers] == [
            "str",
            "str",
            "str",
            "ZeroDivisionError",
            "Refused",
            "str",
        ]
        assert await look.count("hello") == 4


async def test_batches_that_deadlock_run_again_whole(database: str, look: Database) -> None:
    meet = asyncio.Barrier(2)
    attempts = 0

    async def crossing(tx: Connection, shard: Shard, inputs: Sequence[Hello]) -> Sequence[str | Refused]:
        nonlocal attempts
        attempts += 1
        for turn, hello in enumerate(inputs):
            await tx.execute("UPDATE member SET member = member WHERE shard = $1 AND member = $2", shard, hello.member)
            if turn == 0 and attempts <= 2:
                await meet.wait()
        return await BOOK(tx, shard, inputs)

    await look.connection.execute("INSERT INTO greeter.member VALUES (1, 'a'), (1, 'b')")
    async with _pooled(_settings(database)) as pool:
        executor = Executor[Hello, str](pool, crossing)
        await asyncio.gather(
            executor.run(SHARD, [Hello("a", 1), Hello("b", 1)], fence=Fence(["hellos"], [0], [2])),
            executor.run(SHARD, [Hello("b", 2), Hello("a", 2)], fence=Fence(["waves"], [0], [2])),
        )
    assert attempts == 3
    assert await look.count("hello") == 4


async def test_an_unavailable_database_is_reported_in_time_and_used_when_back(database: str, look: Database) -> None:
    async with proxied(database) as proxy, _pooled(_settings(database, proxy.dsn)) as pool:
        executor = Executor[Hello, str](pool, BOOK, timeout_seconds=0.5)
        assert await executor.submit(SHARD, Hello("m", 1)) == "booked"
        proxy.break_all()
        with pytest.raises(DatabaseUnavailable):
            await executor.submit(SHARD, Hello("m", 2))
        with pytest.raises(DatabaseUnavailable):
            await executor.run(SHARD, _hellos(2), fence=Fence(["hellos"], [0], [1]))
        proxy.down = False
        assert await executor.submit(SHARD, Hello("m", 2)) == "booked"


async def test_a_cancelled_batch_leaves_no_transaction_behind(database: str, look: Database) -> None:
    async with _pooled(_settings(database)) as pool:
        executor = Executor[Hello, str](pool, BOOK)
        task = asyncio.create_task(
            executor.run(SHARD, [Hello("m", 1), Hello("m", 2, slow=5)], fence=Fence(["hellos"], [0], [2]))
        )
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(4):
            async with pool.acquire() as connection:
                assert not connection.is_in_transaction()
        assert await look.count("hello") == 0


async def test_the_runtime_role_appends_and_no_more(database: str, look: Database) -> None:
    async with _pooled(_settings(database)) as pool:
        for statement in ("DELETE FROM hello", "TRUNCATE hello", "CREATE TABLE x ()", "UPDATE outbox SET key = NULL"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(statement)
