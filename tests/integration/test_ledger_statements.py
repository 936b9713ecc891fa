"""What the write path may ask of the database: how many statements a batch has, and by which indexes they find rows.

A statement more in a batch, one that grows with it, or an index that a hot statement does not use any more fails here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

import pytest

from services.kit.calendar import parse_rfc3339
from services.kit.kafka import Shard, shard_of
from services.kit.postgres import Connection, Queries, new_pool
from services.ledger import store
from services.ledger.api.commands import public_id
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.inputs import DueTimer, RedeemPoints
from services.ledger.inputs import MemberCommand, MemberInput
from services.ledger.jobs import expiry_notices
from services.ledger.reads import sql
from services.ledger.writes import FEW
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import LedgerUnderTest, ledger_on
from tests.model import events as shop

SHARD: Final = Shard(3)
SIZES: Final = (1, 50, 1_000)
OUTBOX: Final = Queries.load("services.kit", "sql/outbox.sql")
OFFSETS: Final = Queries.load("services.kit", "sql/offsets.sql")
NAMES: Final = {queries[name]: name for queries in (store.SQL, OUTBOX, OFFSETS) for name in queries.names()}
MORE_ROWS: Final = """
DO $$ BEGIN
    INSERT INTO lot
    SELECT 3, account, date '2027-01-01' + n, '-infinity', 0, 1, 0, 0, 0
    FROM account CROSS JOIN generate_series(1, 20) n WHERE shard = 3;
    INSERT INTO answer SELECT 3, decode(md5(n::text), 'hex'), now(), '', 201, '' FROM generate_series(1, 2000) n;
    INSERT INTO notice SELECT 3, n, '2026-03-01', 1 FROM generate_series(1, 500) n;
    INSERT INTO consumer_offset SELECT 3, n::text, n FROM generate_series(1, 500) n;
    ANALYZE;
END $$
"""
_names = count()


class Counting:
    """A connection that notes which statements pass."""

    def __init__(self, connection: Connection, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        self._connection = connection
        self._meanwhile = meanwhile
        self.passed: list[str] = []

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        """Rows."""
        self._note(statement)
        rows = await self._connection.fetch(statement, *arguments)
        if self._meanwhile is not None:
            await self._meanwhile()
        return rows

    async def execute(self, statement: str, *arguments: Any) -> Any:
        """No rows."""
        self._note(statement)
        return await self._connection.execute(statement, *arguments)

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        """One value."""
        self._note(statement)
        return await self._connection.fetchval(statement, *arguments)

    async def copy_records_to_table(self, table: str, **options: Any) -> Any:
        """COPY."""
        self.passed.append(f"copy {table}")
        return await self._connection.copy_records_to_table(table, **options)

    def _note(self, statement: str) -> None:
        self.passed.append(NAMES[statement])


class Desk:
    """Books batches of one shard, and tells which statements that took."""

    def __init__(self, ledger: LedgerUnderTest, connection: Connection) -> None:
        self.ledger = ledger
        self.connection = connection

    async def events(self, *documents: dict[str, Any], at: str) -> list[str]:
        """The statements of a batch of events."""
        self.ledger.now = parse_rfc3339(at)
        inputs = [(each["subject"], self.ledger._input(each)) for each in documents]
        return await self.batch([MemberInput(member, self._arrival(member, input_)) for member, input_ in inputs])

    async def timers(self, members: Sequence[str], at: str) -> list[str]:
        """The statements of what is due of members at a time."""
        self.ledger.now = parse_rfc3339(at)
        timer = DueTimer("/loyalty/ledger/timer", f"due:{at}", self.ledger.now)
        return await self.batch([MemberInput(member, self._arrival(member, timer)) for member in members])

    async def batch(self, inputs: Sequence[MemberInput]) -> list[str]:
        """The statements of a batch in a transaction."""
        tap = Counting(self.connection)
        async with self.connection.transaction():
            await self.ledger.ledger.book(tap, SHARD, inputs)  # type: ignore[arg-type]
        return tap.passed

    async def optimistic(
        self, commands: Sequence[MemberCommand], meanwhile: Callable[[], Awaitable[None]] | None = None
    ) -> tuple[list[str], Any]:
        """The statements of commands that are booked at once, and their outcomes. `meanwhile` happens once they have
        been read."""
        tap = Counting(self.connection, meanwhile)
        outcomes = await self.ledger.ledger.book_optimistically(tap, SHARD, commands)  # type: ignore[arg-type]
        return tap.passed, outcomes

    async def with_points(self, prefix: str, number: int) -> list[str]:
        """Members of whom each has 1,800 points and 100 for the first purchase."""
        names = members(prefix, number)
        await self.events(*paid(names), at="2026-03-01T10:00:01+08:00")
        await self.events(*completed(names), at="2026-03-02T10:00:01+08:00")
        await self.timers(names, at="2026-03-20T00:00:00+08:00")
        return names

    async def state(self) -> dict[str, int]:
        """How many rows there are, and points that were redeemed."""
        tables = ("journal", "entry", "fact", "answer", "outbox")
        counted = {table: await self.connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
        return counted | {"redeemed": await self.connection.fetchval("SELECT sum(redeemed)::bigint FROM account")}

    def redeem(self, member: str, points: int = 1) -> MemberCommand:
        """A command to spend points."""
        name, now = f"redeem-{next(_names)}", self.ledger.now
        input_ = RedeemPoints("till", name, now, public_id("redemption", member, name), name, points)
        return MemberCommand(member, Arrival(digest_of(member, "till", name), input_, now), b"")

    def _arrival(self, member: str, input_: Any) -> Arrival:
        return Arrival(digest_of(member, input_.source, input_.id), input_, self.ledger.now)


@pytest.fixture(scope="module")
async def desk(make_database: MakeDatabase) -> AsyncIterator[Desk]:
    async with ledger_on(make_database()) as ledger, as_deployed(ledger) as connection:
        await ledger.ledger.programs.read(connection)
        yield Desk(ledger, connection)


@asynccontextmanager
async def as_deployed(ledger: LedgerUnderTest) -> AsyncIterator[Connection]:
    """A connection with the plans of a deployed ledger's."""
    async with new_pool(ledger.settings, prepare=store.prepare) as pool, pool.acquire() as connection:
        yield connection


def members(prefix: str, number: int) -> list[str]:
    """So many members of the shard."""
    named = (f"{prefix}-{number}-{n}" for n in count())
    mine: Iterator[str] = (name for name in named if shard_of(name, 16) == SHARD)
    return [next(mine) for _ in range(number)]


def paid(names: Sequence[str], order: str = "o1") -> list[dict[str, Any]]:
    return [shop.paid(order, shop.d(1), "900", member=name, id=f"{name}:{order}:paid") for name in names]


def completed(names: Sequence[str], order: str = "o1") -> list[dict[str, Any]]:
    return [shop.completed(order, shop.d(2), member=name, id=f"{name}:{order}:completed") for name in names]


def writes(number: int, *copied: str) -> list[str]:
    """What a batch of so many inputs writes with: one statement, and if they are many COPY into these tables before."""
    return ["write"] if number <= FEW else [*(f"copy {table}" for table in copied), "write"]


@pytest.mark.parametrize("number", SIZES)
async def test_a_batch_of_events_has_as_many_statements_however_many_it_is_of(desk: Desk, number: int) -> None:
    names = members("orders", number)
    tables = ("journal", "entry", "order_lines", "outbox")
    of_strangers = await desk.events(*paid(names), at="2026-03-01T10:00:01+08:00")
    assert of_strangers == [
        "lock_accounts", "open_accounts", "lock_accounts", "journalled", *writes(number, *tables)
    ]  # fmt: skip
    again = await desk.events(*paid(names), at="2026-03-01T10:00:01+08:00")
    assert again == ["lock_accounts", "journalled"]
    of_known = await desk.events(*paid(names, "o2"), at="2026-03-01T10:00:01+08:00")
    assert of_known == ["lock_accounts", "journalled", "orders", *writes(number, *tables)]
    without_lines = [table for table in tables if table != "order_lines"]
    of_completion = await desk.events(*completed(names), at="2026-03-02T10:00:01+08:00")
    assert of_completion == ["lock_accounts", "journalled", "orders", *writes(number, *without_lines)]


@pytest.mark.parametrize("number", SIZES)
async def test_what_is_due_of_members_has_as_many_statements_however_many_they_are(desk: Desk, number: int) -> None:
    names = members("due", number)
    await desk.events(*paid(names), at="2026-03-01T10:00:01+08:00")
    confirmed = await desk.timers(names, at="2026-03-30T00:00:00+08:00")
    reads = ["lock_accounts", "journalled", "spendable_lots", "orders_due", "next_orders_due", "orders"]
    assert confirmed == [*reads, *writes(number, "journal", "entry", "outbox")]
    expired = await desk.timers(names, at="2027-04-02T00:00:00+08:00")
    reads = ["lock_accounts", "journalled", "spendable_lots", "orders_due", "next_orders_due"]
    assert expired == [*reads, *writes(number, "journal", "entry", "outbox")]


@pytest.mark.parametrize("number", SIZES)
async def test_a_batch_of_commands_has_as_many_statements_however_many_they_are(desk: Desk, number: int) -> None:
    names = await desk.with_points("spenders", number)
    commands = [desk.redeem(name) for name in names]
    reads = ["lock_accounts", "answers", "facts", "spendable_lots"]
    assert await desk.batch(commands) == [*reads, *writes(number, "journal", "entry", "outbox")]
    assert await desk.batch(commands) == ["lock_accounts", "answers"], "answered before"


@pytest.mark.parametrize("number", [1, FEW])
async def test_few_commands_have_two_statements_and_no_transaction_around(desk: Desk, number: int) -> None:
    names = await desk.with_points("at-once", number)
    commands = [desk.redeem(name) for name in names]
    passed, outcomes = await desk.optimistic(commands)
    assert passed == ["accounts_for_commands", "write"]
    assert [answer.status for answer in outcomes] == [201] * number
    assert await desk.optimistic(commands) == (["accounts_for_commands"], outcomes), "answered before"


async def test_commands_that_need_the_lock_ask_nothing_before_they_take_it(desk: Desk) -> None:
    (name,) = await desk.with_points("locked", 1)
    assert await desk.optimistic([desk.redeem(name), desk.redeem(name)]) == ([], None), "two of a member"
    many = [desk.redeem(name) for name in members("locked", FEW + 1)]
    assert await desk.optimistic(many) == ([], None)
    stranger = [desk.redeem(name) for name in members("stranger", 1)]
    assert await desk.optimistic([desk.redeem(name), *stranger]) == (["accounts_for_commands"], None), (
        "an account to be opened"
    )


async def test_commands_of_which_one_member_has_moved_since_it_was_read_write_nothing_at_once(desk: Desk) -> None:
    names = await desk.with_points("moved", 3)
    before = await desk.state()

    async def moved() -> None:
        async with as_deployed(desk.ledger) as other, other.transaction():
            await desk.ledger.ledger.book(other, SHARD, [desk.redeem(names[1], 7)])

    commands = [desk.redeem(name, 5) for name in names]
    passed, outcomes = await desk.optimistic(commands, meanwhile=moved)
    assert (passed, outcomes) == (["accounts_for_commands", "write"], None)
    after = await desk.state()
    assert {table: after[table] - before[table] for table in after} == {
        "journal": 1, "entry": 1, "fact": 1, "answer": 1, "outbox": 1, "redeemed": 7,
    }, "what the other has booked, and nothing else"  # fmt: skip
    assert len(await desk.batch(commands)) == 5
    assert (await desk.state())["redeemed"] == before["redeemed"] + 7 + 3 * 5


async def test_a_command_that_waits_for_an_account_sees_that_it_was_changed_and_writes_nothing(desk: Desk) -> None:
    names = await desk.with_points("waiting", 3)
    before = await desk.state()
    async with as_deployed(desk.ledger) as other:
        transaction = other.transaction()

        async def changed() -> None:
            await transaction.start()
            await desk.ledger.ledger.book(other, SHARD, [desk.redeem(names[1], 7)])

        commands = [desk.redeem(name, 5) for name in names]
        booking = asyncio.ensure_future(desk.optimistic(commands, meanwhile=changed))
        done, _ = await asyncio.wait([booking], timeout=0.5)
        assert not done, "it waits for the lock"
        await transaction.commit()
        assert await booking == (["accounts_for_commands", "write"], None)
    after = await desk.state()
    assert (after["redeemed"] - before["redeemed"], after["outbox"] - before["outbox"]) == (7, 1)


FINDS_NO_ROWS: Final = {"programs", "newest_program", "open_accounts"}
READS: Final = (
    "balances", "account", "lots", "fact_by_public_id", "facts_of", "orders_paid_before", "orders_parked_after",
    "listed_before",
)  # fmt: skip
PLANS: Final[dict[str, tuple[Queries, str]]] = {
    **{f"ledger.{name}": (store.SQL, name) for name in sorted(store.SQL.names() - FINDS_NO_ROWS)},
    **{f"reads.{name}": (sql.SQL, name) for name in READS},
    **{f"expiry_notices.{name}": (expiry_notices.SQL, name) for name in ("places", "lots_of_day")},
    **{f"outbox.{name}": (OUTBOX, name) for name in ("waiting", "delete")},
    **{f"offsets.{name}": (OFFSETS, name) for name in ("move", "stored", "stored_locked")},
}
SOME_VALUE: Final = {"date": "'2026-03-01'", "timestamp with time zone": "'2026-03-01'"}
_INDEX: Final = re.compile(r"(?:using|Scan Backward using|Conflict Arbiter Indexes:) (\w+)")
INDEXES: Final = """
SELECT c.relname AS name, coalesce(i.inhparent::regclass::text, c.relname) AS whole
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE c.relkind IN ('i', 'I')
"""
"""Every index, and the one of the whole table that it is a month's part of."""


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
async def test_each_hot_statement_finds_its_rows_by_the_indexes_that_it_names(
    make_database: MakeDatabase, filled: bool
) -> None:
    async with ledger_on(make_database()) as ledger:
        if filled:
            async with as_deployed(ledger) as connection:
                await ledger.ledger.programs.read(connection)
                await Desk(ledger, connection).with_points("filling", 1_000)
            await ledger.tamper(MORE_ROWS)
        async with as_deployed(ledger) as connection:
            indexes = {row["name"]: row["whole"] for row in await connection.fetch(INDEXES)}
            wrong = [difference for name in PLANS if (difference := await _wrong(connection, name, indexes))]
    assert not wrong, "\n\n".join(wrong)


async def _wrong(connection: Connection, name: str, indexes: dict[str, str]) -> str:
    """What is wrong with a statement's plan; empty if nothing is."""
    queries, statement = PLANS[name]
    text = queries[statement]
    await connection.execute(f"PREPARE asked AS {text}")
    types = await connection.fetchval(
        "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'asked' AND from_sql"
    )
    arguments = ", ".join("'{}'" if kind.endswith("[]") else SOME_VALUE.get(kind, "'1'") for kind in types)
    arguments = arguments and f"({arguments})"
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE asked{arguments}"))
    await connection.execute("DEALLOCATE asked")
    comment = " ".join(line for line in text.splitlines() if line.startswith("--"))
    named = {word for word in re.findall(r"\w+", comment) if word in indexes}
    used = {indexes[index] for index in _INDEX.findall(plan)}
    if "Seq Scan" in plan or used != named:
        return f"{name} names {sorted(named)} and is planned by {sorted(used)}:\n{plan}"
    return ""
