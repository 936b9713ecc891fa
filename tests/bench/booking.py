"""The ledger's write path in this process: the same code as in its workers, over prepared batches.

It serves the yardstick, which writes what the ledger wrote, and the profile. Nothing of the path is replaced; a
`Tap` stands before the connection and sees each statement.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

from schemas.topics import SHARDS
from services.kit.kafka import Record, Shard
from services.kit.postgres import Pool, new_pool
from services.ledger import store
from services.ledger.__main__ import SERVICE
from services.ledger.consumer import Decoder
from services.ledger.executor import Ledger
from services.ledger.settings import LedgerSettings
from tests.bench.system import Database

BATCH: Final = 1_000
"""Events of one transaction: the ledger's default."""
DECODE: Final = "decode (parse, validate, digest)"
"""What the costs of a tap call the step before the first statement."""
_SOURCE: Final = (resources.files("services.ledger") / "sql" / "ledger.sql").read_text("utf-8")
_STATEMENTS: Final = {store.SQL[name]: name for name in re.findall(r"^-- name: (\w+)", _SOURCE, re.MULTILINE)}
_WRITES: Final = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM|WITH .*\bINSERT INTO)\s", re.DOTALL)
_COMMENT: Final = re.compile(r"--.*")


@dataclass(frozen=True, slots=True)
class Copy:
    """Rows that were appended by COPY."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """A statement that writes, with its arguments."""

    name: str
    statement: str
    arguments: tuple[Any, ...]


Write = Copy | Change


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction wrote for so many events of a shard, in order."""

    shard: int
    events: int
    writes: list[Write]


@dataclass(slots=True)
class Cost:
    """What the calls of one kind took: seconds until the answer, and of them the CPU of this process."""

    calls: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def add(self, seconds: float, cpu_seconds: float) -> None:
        """One call more."""
        self.calls += 1
        self.seconds += seconds
        self.cpu_seconds += cpu_seconds


@dataclass(slots=True)
class Tap:
    """A connection as the write path uses it, which counts, times and notes what passes."""

    connection: Any
    costs: dict[str, Cost] = field(default_factory=lambda: defaultdict(Cost))
    writes: list[Write] | None = None
    """Where to note what is written; None: nowhere."""

    async def fetch(self, statement: str, *arguments: Any, **options: Any) -> Any:
        """Rows."""
        self._note(statement, arguments)
        return await self._timed(_name(statement), self.connection.fetch(statement, *arguments, **options))

    async def fetchval(self, statement: str, *arguments: Any, **options: Any) -> Any:
        """One value."""
        self._note(statement, arguments)
        return await self._timed(_name(statement), self.connection.fetchval(statement, *arguments, **options))

    async def fetchrow(self, statement: str, *arguments: Any, **options: Any) -> Any:
        """One row."""
        self._note(statement, arguments)
        return await self._timed(_name(statement), self.connection.fetchrow(statement, *arguments, **options))

    async def execute(self, statement: str, *arguments: Any, **options: Any) -> Any:
        """A statement without rows."""
        self._note(statement, arguments)
        return await self._timed(_name(statement), self.connection.execute(statement, *arguments, **options))

    async def copy_records_to_table(self, table: str, *, records: Any, columns: Any = None, **options: Any) -> Any:
        """Rows by COPY."""
        rows = list(records)
        if self.writes is not None:
            self.writes.append(Copy(table, tuple(columns), rows))
        copying = self.connection.copy_records_to_table(table, records=rows, columns=columns, **options)
        return await self._timed(f"COPY {table}", copying)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def _note(self, statement: str, arguments: tuple[Any, ...]) -> None:
        if self.writes is not None and _WRITES.match(_COMMENT.sub("", statement).lstrip()):
            self.writes.append(Change(_name(statement), statement, arguments))

    async def _timed(self, name: str, call: Any) -> Any:
        began, cpu_began = time.perf_counter(), time.process_time()
        answer = await call
        self.costs[name].add(time.perf_counter() - began, time.process_time() - cpu_began)
        return answer


def _name(statement: str) -> str:
    return _STATEMENTS.get(statement) or " ".join(statement.split())[:40]


def settings_of(database: Database) -> LedgerSettings:
    """Settings of the ledger on this database, without brokers."""
    return LedgerSettings(database_url=database.dsn("ledger"), kafka_bootstrap_servers="127.0.0.1:1", shards=SHARDS)


@asynccontextmanager
async def ledger_pool(database: Database) -> AsyncIterator[Pool]:
    """The ledger's own pool on this database."""
    pool = new_pool(settings_of(database), prepare=SERVICE.prepare)
    async with pool:
        yield pool


def batches_of(records: Mapping[Shard, Sequence[Record]], size: int = BATCH) -> list[tuple[int, Sequence[Record]]]:
    """Batches as the consumer makes them of a backlog, the shards in turn."""
    cut = [
        (start, shard, placed[start : start + size])
        for shard, placed in records.items()
        for start in range(0, len(placed), size)
    ]
    return [(shard, batch) for _, shard, batch in sorted(cut, key=lambda piece: piece[:2])]


async def book(tap: Tap, ledger: Ledger, decode: Decoder, shard: int, batch: Sequence[Record]) -> None:
    """One batch, as the consumer and the executor book it; a refused event would be a fault of the workload."""
    began, cpu_began = time.perf_counter(), time.process_time()
    inputs: list[Any] = [input_ for input_ in map(decode, batch) if input_ is not None]
    tap.costs[DECODE].add(time.perf_counter() - began, time.process_time() - cpu_began)
    transaction = tap.connection.transaction()
    await transaction.start()
    await ledger.book(tap, shard, inputs)  # type: ignore[arg-type]
    began, cpu_began = time.perf_counter(), time.process_time()
    await transaction.commit()
    tap.costs["COMMIT"].add(time.perf_counter() - began, time.process_time() - cpu_began)


async def record(database: Database, records: Mapping[Shard, Sequence[Record]]) -> tuple[list[Batch], dict[str, Cost]]:
    """Book all of it and note every row, batch by batch; also what each statement took."""
    written: list[Batch] = []
    async with ledger_pool(database) as pool, pool.acquire() as connection:
        ledger = Ledger()
        await ledger.programs.read(connection)
        decode = Decoder(ledger, SHARDS)
        tap = Tap(connection)
        for shard, batch in batches_of(records):
            tap.writes = []
            await book(tap, ledger, decode, shard, batch)
            written.append(Batch(shard, len(batch), tap.writes))
        accounts = {
            (row["shard"], row["member_id"]): row["account"]
            for row in await connection.fetch("SELECT shard, member_id, account FROM identity")
        }
    costs = {name: cost for name, cost in tap.costs.items() if name != DECODE}
    return [_with_accounts(batch, accounts) for batch in written], costs


def _with_accounts(batch: Batch, accounts: Mapping[tuple[int, str], int]) -> Batch:
    """The same with the accounts that were opened as rows: their numbers came from a sequence."""
    writes: list[Write] = []
    for write in batch.writes:
        if isinstance(write, Change) and write.name == "open_accounts":
            shard, member_ids, format_ = write.arguments
            opened = sorted((accounts[shard, member_id], member_id) for member_id in member_ids)
            writes.append(Copy("identity", ("shard", "member_id", "account"), [(shard, m, a) for a, m in opened]))
            rows = [(shard, account, format_) for account, _ in opened]
            writes.append(Copy("account", ("shard", "account", "format"), rows))
        else:
            writes.append(write)
    return Batch(batch.shard, batch.events, writes)
