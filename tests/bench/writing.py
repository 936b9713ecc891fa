"""`hot_member_events` and `cost_at_10m`: what an event costs on the write path, by whom it is of and what is there.

Both book the same kind of order events on one connection of this process, in batches of the ledger's own size; what
they are compared with is booked in turn with them, batch by batch, so that a slow moment is both's.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import psutil
import uvloop
from rich.console import Console

from schemas.topics import SHARDS
from services.kit import clock
from services.kit.calendar import later
from services.kit.kafka import Record, shard_of
from services.kit.postgres import Connection
from services.ledger.consumer import Decoder
from services.ledger.executor import Ledger
from tests.bench import booking
from tests.bench.booking import Tap
from tests.bench.filling import fill, name_of, record_of
from tests.bench.report import Figure
from tests.bench.run import DIRECTORY, Run, say
from tests.bench.system import BrokenError, Database, System, system

HOT_BAR: Final = 0.8
COST_BAR: Final = 1.25
HOT_BATCHES: Final = 24
MEMBERS: Final = 32_000
ENTRIES: Final = 10_000_000
QUICK_ENTRIES: Final = 2_000_000
FEW_ENTRIES: Final = 100_000
COST_BATCHES: Final = 96
COST_ORDERS: Final = 200
"""Paid in a batch, and as many completed, each of another member: fewer than members of a shard are where few are."""
BUFFERS_MB: Final = 448
QUICK_BUFFERS_MB: Final = 96
"""Shared buffers of the server whose tables are full, of which the indexes are `MIN_INDEX` times as large or more."""
MIN_INDEX: Final = 4
_INDEXES: Final = """
SELECT sum(pg_indexes_size(oid))::bigint FROM pg_class
WHERE relnamespace = 'ledger'::regnamespace AND relkind = 'r' AND relname ~ '^(journal|entry|account|lot|order)'
"""


@dataclass(slots=True)
class Spent:
    """What batches took, each divided by its events."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    """Of this process and its database session."""
    wal_bytes: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Writer:
    """The write path on one connection."""

    connection: Connection
    session: psutil.Process
    ledger: Ledger
    decode: Decoder
    spent: Spent = field(default_factory=Spent)

    async def book(self, batch: Sequence[Record]) -> None:
        """One batch of a shard."""
        wal, session = await self._wal(), _cpu(self.session)
        began, cpu_began = time.perf_counter(), time.process_time()
        await booking.book(Tap(self.connection), self.ledger, self.decode, batch[0].partition, batch)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        self.spent.seconds.append(seconds / len(batch))
        self.spent.cpu_seconds.append((cpu + _cpu(self.session) - session) / len(batch))
        self.spent.wal_bytes.append((await self._wal() - wal) / len(batch))

    async def _wal(self) -> int:
        written = await self.connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        return int(written)


@asynccontextmanager
async def writer(database: Database) -> AsyncIterator[Writer]:
    """The write path on a database."""
    async with booking.ledger_pool(database) as pool, pool.acquire() as connection:
        ledger = Ledger()
        await ledger.programs.read(connection)
        session = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
        yield Writer(connection, session, ledger, Decoder(ledger, SHARDS))


def hot_member_events(run: Run) -> list[Figure]:
    """Events a second of one member alone, beside as many of members at random."""
    batches = min(HOT_BATCHES, run.events // booking.BATCH)
    rates: dict[str, list[float]] = {"hot": [], "uniform": []}
    for _ in range(run.rounds):
        with run.system.database("hot") as hot, run.system.database("uniform") as uniform:
            for kind, spent in zip(rates, uvloop.run(_side_by_side(hot, uniform, batches)), strict=True):
                rates[kind].append(1 / statistics.median(spent.seconds))
            for database in (hot, uniform):
                run.system.verify(database)
        run.say(
            f"order events of one member: {rates['hot'][-1]:,.0f} a second on one connection, of members at random: "
            f"{rates['uniform'][-1]:,.0f}; the invariants hold"
        )
    return [
        Figure.beside(
            "hot_member_events",
            rates["hot"],
            "events/s",
            yardstick="members at random",
            yardstick_samples=rates["uniform"],
            least=HOT_BAR,
        )
    ]


async def _side_by_side(hot: Database, uniform: Database, batches: int) -> tuple[Spent, Spent]:
    names = [name_of(n) for n in range(MEMBERS)]
    of_a_shard = [name for name in names if shard_of(name, SHARDS) == shard_of(names[0], SHARDS)]
    orders = booking.BATCH // 2
    async with writer(hot) as one, writer(uniform) as many:
        plans = (
            _batches(names[:1] * len(of_a_shard), batches + 1, orders=orders),
            _batches(of_a_shard, batches + 1, orders=orders),
        )
        for number, (of_one, of_many) in enumerate(zip(*plans, strict=True)):
            if number == 1:
                one.spent, many.spent = Spent(), Spent()
            await one.book(of_one)
            await many.book(of_many)
        return one.spent, many.spent


def cost_at_10m(console: Console, *, quick: bool) -> list[Figure]:
    """What an event costs, and its WAL, on full tables and on nearly empty ones; on a server of their own."""
    began = time.monotonic()
    entries = QUICK_ENTRIES if quick else ENTRIES
    buffers = QUICK_BUFFERS_MB if quick else BUFFERS_MB
    settings = {"shared_buffers": f"{buffers}MB"}
    with (
        system(DIRECTORY / "full", lambda what: say(console, began, what), broker=False, settings=settings) as servers,
        servers.database("few_entries") as few,
        servers.database("many_entries") as full,
    ):
        members = {}
        for database, wanted in ((few, FEW_ENTRIES), (full, entries)):
            members[database.name] = uvloop.run(fill(database, entries=wanted))
            index = int(servers.postgres.psql(_INDEXES, database.name))
            say(
                console,
                began,
                f"{wanted:,} entries of {members[database.name]:,} members; indexes of {index / 2**20:,.0f} MiB, "
                f"{buffers} MiB of shared buffers",
            )
        if index < MIN_INDEX * buffers * 2**20:
            raise BrokenError("the indexes are too small to be larger than what the server keeps of them")
        spent = uvloop.run(_at_random(servers, few, full, members))
    return _costs(*spent)


async def _at_random(servers: System, few: Database, full: Database, members: dict[str, int]) -> tuple[Spent, Spent]:
    plans = [
        _batches([name_of(n) for n in range(members[database.name])], SHARDS + COST_BATCHES, orders=COST_ORDERS)
        for database in (few, full)
    ]
    async with writer(few) as of_few, writer(full) as of_full:
        for number, (one, other) in enumerate(zip(*plans, strict=True)):
            if number == SHARDS:
                # Each shard is warm. Behind the checkpoint each page that changes is written whole once.
                servers.postgres.psql("CHECKPOINT")
                of_few.spent, of_full.spent = Spent(), Spent()
            await of_few.book(one)
            await of_full.book(other)
        return of_few.spent, of_full.spent


def _costs(few: Spent, full: Spent) -> list[Figure]:
    figures = []
    for name, unit, scale, of_few, of_full in (
        ("cost_at_10m", "µs", 1e6, few.seconds, full.seconds),
        ("cost_at_10m_cpu", "µs", 1e6, few.cpu_seconds, full.cpu_seconds),
        ("cost_at_10m_wal", "bytes", 1.0, few.wal_bytes, full.wal_bytes),
    ):
        # Of an event; the mean over all batches: what one batch leaves to write, another one writes.
        value, yardstick = scale * statistics.mean(of_full), scale * statistics.mean(of_few)
        ratio = value / yardstick
        assessment = name == "cost_at_10m"
        figures.append(
            Figure(
                name,
                value,
                unit,
                [scale * each for each in of_full],
                f"{FEW_ENTRIES:,} entries",
                yardstick,
                ratio,
                f"ratio ≤ {COST_BAR:.2f}" if assessment else "",
                ratio <= COST_BAR if assessment else None,
            )
        )
    return figures


def _batches(members: Sequence[str], batches: int, *, orders: int) -> list[list[Record]]:
    """Batches of a shard each, the shards in turn: so many orders are paid, and those of the shard's batch before
    completed, all of other places in `members`. The first of each shard completes none."""
    rng = random.Random(5)
    by_shard: dict[int, list[str]] = defaultdict(list)
    for member in members:
        by_shard[shard_of(member, SHARDS)].append(member)
    shards = sorted(by_shard)
    paid: dict[int, list[tuple[str, str]]] = defaultdict(list)
    made: list[list[Record]] = []
    at = clock.now()
    for number in range(batches):
        turn, place = divmod(number, len(shards))
        shard = shards[place]
        half = by_shard[shard][turn % 2 :: 2]
        completed = paid[shard]
        paid[shard] = [(member, f"more-{number}-{n}") for n, member in enumerate(rng.sample(half, orders))]
        steps = [("paid", *each) for each in paid[shard]] + [("completed", *each) for each in completed]
        made.append([record_of(member, order, step, later(at, number)) for step, member, order in steps])
    return made


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
