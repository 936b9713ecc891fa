"""The ledger's database in memory, to the letter of its statements: it answers each by the statement's name.

Transactions are READ COMMITTED as PostgreSQL's are, as far as the write path can tell: what is written is seen by
others when it is committed, and a locked row (an account, a stored offset) makes others wait until its holder ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from services.kit.postgres import Queries
from services.ledger import store
from services.ledger.reads import sql
from tests.simulation.faults import BEGIN, COMMIT, Fault, Faults, Killed
from tests.simulation.tables import Database, Row

_NAMED: Final = {
    queries[name]: name
    for queries in (
        sql.SQL,
        store.SQL,
        Queries.load("services.kit", "sql/offsets.sql"),
        Queries.load("services.kit", "sql/outbox.sql"),
    )
    for name in queries.names()
}
_WRITTEN: Final = ("accounts", "journal", "entries", "lots", "orders", "lines", "facts", "answers", "outbox")
"""What the statement `write` takes, in the order of its parameters."""
_COPIED: Final = {"journal": "journal", "entry": "entries", "order_lines": "lines", "outbox": "appended"}


class Pool:
    """One process's connections."""

    def __init__(self, database: Database, faults: Faults, killed: Callable[[], None]) -> None:
        self._database = database
        self._faults = faults
        self._killed = killed
        self._connections: set[Connection] = set()
        self._is_over = False

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection; one left inside a transaction is closed."""
        if self._is_over:
            raise Killed
        connection = Connection(self._database, self._faults, self._killed)
        self._connections.add(connection)
        try:
            yield connection
        finally:
            connection.terminate()
            self._connections.discard(connection)

    def terminate(self) -> None:
        """The process is gone: what it had not committed is rolled back."""
        self._is_over = True
        for connection in self._connections:
            connection.terminate()


class Connection:
    """Answers statements, and fails as the faults say."""

    def __init__(self, database: Database, faults: Faults, killed: Callable[[], None]) -> None:
        self._database = database
        self._faults = faults
        self._killed = killed
        self._closed = False
        self._in_transaction = False
        self._writes: list[tuple[str, Iterable[Sequence[Any]], int]] = []
        self._moves: dict[tuple[int, str], int] = {}
        self._locked: list[asyncio.Lock] = []

    # The interface of asyncpg, as far as it is used

    def transaction(self) -> Transaction:
        """A transaction, not yet begun."""
        return Transaction(self)

    async def fetch(self, statement: str, *arguments: Any) -> list[Row]:
        """The rows of a statement."""
        name = _NAMED[statement]
        fault = await self._begin(name)
        if name == "lock_accounts":
            rows = await self._lock_accounts(*arguments)
        elif name == "stored_locked":
            shard, topics = arguments
            for topic in sorted(topics):
                await self._lock(("offset", shard, topic))
            rows = self._stored(shard, topics)
        else:
            rows = list(getattr(self, f"_{name}")(*arguments))
        self._end(fault)
        return rows

    async def fetchrow(self, statement: str, *arguments: Any) -> Row | None:
        """The first row."""
        rows = await self.fetch(statement, *arguments)
        return rows[0] if rows else None

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        """The first column of the first row."""
        rows = await self.fetch(statement, *arguments)
        return rows[0][0] if rows else None

    async def execute(self, statement: str, *arguments: Any) -> str:
        """Do a statement that answers no rows."""
        name = _NAMED[statement]
        if name == "write":
            await self._write(*arguments)
            return "SELECT 1"
        fault = await self._begin(name)
        done = "DONE"
        if name == "move":
            done = await self._move(*arguments)
        elif name == "open_accounts":
            await self._open_accounts(*arguments)
        else:
            assert name == "append"
            self._writes.append(("appended", list(zip(*arguments, strict=True)), 0))
        self._end(fault)
        return done

    async def copy_records_to_table(self, table: str, *, records: Sequence[Sequence[Any]], columns: object) -> None:
        """COPY."""
        fault = await self._begin(f"copy {table}")
        self._writes.append((_COPIED[table], records, records[0][0]))
        self._end(fault)

    def terminate(self) -> None:
        """Close it; an open transaction is rolled back."""
        self._closed = True
        self.roll_back()

    # Transactions

    async def start(self) -> None:
        """BEGIN."""
        fault = await self._begin(BEGIN)
        self._in_transaction = True
        self._end(fault)

    async def commit(self) -> None:
        """COMMIT."""
        fault = await self._begin(COMMIT)
        for name, rows, shard in self._writes:
            self._database.apply(name, rows, shard)
        self._database.offsets.update(self._moves)
        self.roll_back()
        self._end(fault)

    def roll_back(self) -> None:
        """Forget what was written, and let go of the rows."""
        self._in_transaction = False
        self._writes, self._moves = [], {}
        locked, self._locked = self._locked, []
        for lock in locked:
            lock.release()

    async def _begin(self, call: str) -> Fault | None:
        """Before a call: others have their turn, and it may fail here."""
        if self._closed:
            raise asyncpg.InterfaceError("connection is closed")
        await asyncio.sleep(0)
        if self._closed:
            raise asyncpg.InterfaceError("connection is closed")
        fault = self._faults.draw(call)
        if fault is not None and fault.is_before:
            self._fail(fault)
        return fault

    def _end(self, fault: Fault | None) -> None:
        if fault is not None:
            self._fail(fault)

    def _fail(self, fault: Fault) -> None:
        error = fault.error()
        if fault is Fault.CONFLICT:
            self.roll_back()
        else:
            self.terminate()
        if isinstance(error, Killed):
            self._killed()
        raise error

    async def _lock(self, key: object) -> None:
        lock = self._database.locks[key]
        if lock in self._locked:
            return
        await lock.acquire()
        if self._closed:
            lock.release()
            raise asyncpg.InterfaceError("connection is closed")
        if self._in_transaction:
            self._locked.append(lock)
        else:
            lock.release()

    # What the statements say

    async def _write(
        self,
        shard: int,
        accounts: Sequence[Sequence[Any]],
        versions_read: Sequence[int],
        *others: Sequence[Sequence[Any]] | None,
    ) -> None:
        """A part of a transaction that holds its locks; with accounts that were read without one, a transaction of its
        own."""
        writes = [(name, rows, shard) for name, rows in zip(_WRITTEN, (accounts, *others), strict=True) if rows]
        fault = await self._begin("write" if self._in_transaction else COMMIT)
        for account in accounts:
            await self._lock(("account", shard, account[0]))
        if self._in_transaction:
            self._writes += writes
        else:
            known = self._database.accounts
            for account, version in zip(accounts, versions_read, strict=True):
                if known[shard, account[0]]["version"] != version:
                    self._end(fault)
                    raise asyncpg.SerializationError("an account was changed since it was read")
            for write in writes:
                self._database.apply(*write)
        self._end(fault)

    def _accounts_for_commands(
        self, shard: int, members: Sequence[str], digests: Sequence[bytes], facts: Sequence[str | None]
    ) -> Iterable[Row]:
        database = self._database
        unanswered = Row(dict.fromkeys(("digest", "at", "request", "status", "body")))
        for member, digest, fact in zip(members, digests, facts, strict=True):
            if (number := database.identities.get((shard, member))) is not None:
                yield Row(
                    member_id=member,
                    account=number,
                    **database.accounts[shard, number],
                    newest_program=len(database.programs),
                    epoch=None,
                    **database.answers.get((shard, digest), unanswered),
                    fact=database.facts[shard, number].get(fact),  # type: ignore[arg-type]
                    lots=list(self._spendable_lots(shard, [number])) or None,
                )

    async def _open_accounts(self, shard: int, members: Sequence[str], _format: int) -> None:
        """Each in a row of its own that others wait for, as they wait for an index entry that is not committed."""
        for member in sorted(members):
            await self._lock(("identity", shard, member))
            known = self._database.identities
            if (shard, member) not in known:
                # It stands even if this transaction does not: an empty account, as if somebody had opened it before.
                self._database.open_account(shard, member)

    async def _lock_accounts(self, shard: int, members: Sequence[str]) -> list[Row]:
        database, found = self._database, []
        known = database.identities
        for number, member in sorted((known[shard, member], member) for member in members if (shard, member) in known):
            await self._lock(("account", shard, number))
            totals = database.accounts[shard, number]
            found.append(
                Row(member_id=member, account=number, **totals, newest_program=len(database.programs), epoch=None)
            )
        return found

    async def _move(self, shard: int, topics: Sequence[str], expected: Sequence[int], to: Sequence[int]) -> str:
        moved = 0
        for topic, was, next_offset in sorted(zip(topics, expected, to, strict=True)):
            await self._lock(("offset", shard, topic))
            if self._database.offsets.get((shard, topic)) == was:
                self._moves[shard, topic] = next_offset
                moved += 1
        return f"UPDATE {moved}"

    def _stored(self, shard: int, topics: Sequence[str]) -> list[Row]:
        return [Row(topic=topic, next_offset=self._database.offsets[shard, topic]) for topic in topics]

    def _newest_program(self) -> list[Row]:
        return [Row(max=len(self._database.programs))]

    def _programs(self) -> list[Row]:
        return self._database.programs

    def _account(self, shard: int, member: str) -> Iterable[Row]:
        database = self._database
        if (number := database.identities.get((shard, member))) is not None:
            yield Row(member_id=member, account=number, **database.accounts[shard, number])

    def _journalled(self, shard: int, digests: Sequence[bytes], first: int, last: int) -> Iterable[Row]:
        database = self._database
        for digest in digests:
            for at in database.times[shard, digest]:
                if first <= at <= last:
                    yield Row(digest=digest, at=at, input=database.journal[shard, digest, at][8])

    def _answers(self, shard: int, digests: Sequence[bytes]) -> Iterable[Row]:
        known = self._database.answers
        return (known[shard, digest] for digest in digests if (shard, digest) in known)

    def _orders(self, shard: int, accounts: Sequence[int], refs: Sequence[str]) -> Iterable[Row]:
        for account, ref in zip(accounts, refs, strict=True):
            if (order := self._database.orders[shard, account].get(ref)) is not None:
                yield Row(account=account, ref=ref, state=order["state"])

    def _order_lines(
        self, shard: int, accounts: Sequence[int], refs: Sequence[str], lines_versions: Sequence[int]
    ) -> Iterable[Row]:
        for account, ref, telling in zip(accounts, refs, lines_versions, strict=True):
            if (lines := self._database.lines[shard, account].get((ref, telling))) is not None:
                yield Row(account=account, ref=ref, telling=telling, lines=lines)

    def _facts(self, shard: int, accounts: Sequence[int], keys: Sequence[str]) -> Iterable[Row]:
        for account, key in zip(accounts, keys, strict=True):
            if (value := self._database.facts[shard, account].get(key)) is not None:
                yield Row(account=account, key=key, value=value)

    def _spendable_lots(self, shard: int, accounts: Sequence[int]) -> Iterable[Row]:
        for account in accounts:
            for (day, parent), columns in self._database.lots[shard, account].items():
                if columns[1] > 0:
                    yield _lot(account, day, parent, columns)

    def _lot_families(self, shard: int, accounts: Sequence[int], days: Sequence[int]) -> Iterable[Row]:
        for account, family in zip(accounts, days, strict=True):
            for (day, parent), columns in self._database.lots[shard, account].items():
                if (day, parent) == (family, 0) or parent == family:
                    yield Row(family=family, **_lot(account, day, parent, columns))

    def _orders_due(self, shard: int, accounts: Sequence[int], untils: Sequence[int]) -> Iterable[Row]:
        for account, until in zip(accounts, untils, strict=True):
            yield from (
                order
                for order in self._database.orders[shard, account].values()
                if order["due"] and order["due"] <= until
            )

    def _next_orders_due(self, shard: int, accounts: Sequence[int], untils: Sequence[int]) -> Iterable[Row]:
        for account, until in zip(accounts, untils, strict=True):
            later = [
                (order["due"], order["ref"])
                for order in self._database.orders[shard, account].values()
                if order["due"] and order["due"] > until
            ]
            if later:
                due, ref = min(later)
                yield Row(account=account, due=due, ref=ref)

    def _successes(self, shard: int, accounts: Sequence[int]) -> Iterable[Row]:
        for account in accounts:
            yield from (order for order in self._database.orders[shard, account].values() if order["success_from"])

    def _orders_paid_after(self, shard: int, accounts: Sequence[int], instants: Sequence[int]) -> Iterable[Row]:
        for account, instant in zip(accounts, instants, strict=True):
            yield from (
                order for order in self._database.orders[shard, account].values() if (order["paid_at"] or 0) > instant
            )

    def _due_members(self, shard: int, now: int, limit: int) -> list[Row]:
        database = self._database
        due = [
            Row(member_id=member, version=account["version"], next_due=account["next_due"])
            for (on, member), number in database.identities.items()
            if on == shard and (account := database.accounts[shard, number])["next_due"] is not None
            if account["next_due"] <= now
        ]
        return sorted(due, key=lambda row: row["next_due"])[:limit]


class Transaction:
    """BEGIN, and COMMIT or ROLLBACK."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def start(self) -> None:
        """BEGIN."""
        await self._connection.start()

    async def commit(self) -> None:
        """COMMIT."""
        await self._connection.commit()

    async def rollback(self) -> None:
        """ROLLBACK."""
        self._connection.roll_back()

    async def __aenter__(self) -> Transaction:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await (self.commit() if kind is None else self.rollback())


def _lot(account: int, day: int, parent: int, columns: Sequence[int]) -> Row:
    names = ("pending", "available", "held", "expired", "forgiven")
    return Row(account=account, day=day, parent=parent, **dict(zip(names, columns, strict=True)))
