"""The yardstick: how fast plain SQL writes the same rows, when nobody has to think of them.

The rows are those that the ledger writes for the same events, with the same keys, in transactions of 1,000 events:
COPY for what is appended, upserts from arrays of rows for the rest, over 2, 3 or 4 connections, each in a process of
its own. Nothing is read, decoded, locked, folded, hashed or rendered; all values stand ready in the driver's own
forms before the clock starts. What the database and the driver take is what is left.
"""

from __future__ import annotations

import gc
import multiprocessing
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from multiprocessing.connection import Connection as Pipe
from typing import Any, Final

import asyncpg
import uvloop

from deploy.local.processes import Process
from services.kit.calendar import NEVER
from services.ledger.__main__ import SERVICE
from tests.bench.booking import Batch, Change, Copy, Write
from tests.bench.system import Database, System
from tests.bench.usage import family_cpu

CONNECTIONS: Final = (2, 3, 4)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES: Final = """
SELECT c.relname AS name, a.attname AS column, format_type(a.atttypid, NULL) AS type
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'ledger'::regnamespace AND a.attnum > 0 AND c.relkind IN ('r', 'p', 'c')
ORDER BY a.attnum
"""
_ARRAY: Final = re.compile(r"\$(\d+)::(\w+)\[\]")


@dataclass(frozen=True, slots=True)
class Rate:
    """The best of several numbers of connections."""

    events_per_second: float
    connections: int
    cpu_an_event: float
    """Microseconds of processor, of client and database together."""
    all: dict[int, float]


def plain(batches: Sequence[Batch], database: Database) -> list[Batch]:
    """The same batches with every value in the driver's own form (the ledger's are instants and days as integers)."""
    types = uvloop.run(_read_types(database))
    return [
        Batch(batch.shard, batch.events, [plain_write(write, types) for write in batch.writes]) for batch in batches
    ]


def measure(system: System, batches: Sequence[Batch], connections: Sequence[int] = CONNECTIONS) -> Rate:
    """The events a second at which plain SQL writes these batches (of `plain`), each time into a fresh database."""
    rates: dict[int, float] = {}
    cpu: dict[int, float] = {}
    events = sum(batch.events for batch in batches)
    for number in connections:
        with system.database("yardstick") as database:
            seconds, cpu_seconds = _write(database, share(batches, number), system.postgres.process)
        rates[number], cpu[number] = events / seconds, 1e6 * cpu_seconds / events
    best = max(rates, key=lambda number: rates[number])
    return Rate(rates[best], best, cpu[best], rates)


def prove(system: System, batches: Sequence[Batch]) -> None:
    """Check that what plain SQL writes is the ledger that they were taken from. Raises BrokenError."""
    with system.database("yardstick") as database:
        _write(database, share(batches, CONNECTIONS[0]), system.postgres.process)
        system.verify(database)


def share(batches: Sequence[Batch], connections: int) -> list[list[Batch]]:
    """Whole shards to each connection, as even as can be; a connection takes its shards in turn, as a worker does."""
    events: dict[int, int] = {}
    for batch in batches:
        events[batch.shard] = events.get(batch.shard, 0) + batch.events
    load = [0] * connections
    owner: dict[int, int] = {}
    for shard in sorted(events, key=lambda shard: -events[shard]):
        owner[shard] = load.index(min(load))
        load[owner[shard]] += events[shard]
    return [[batch for batch in batches if owner[batch.shard] == number] for number in range(connections)]


def _write(database: Database, shares: Sequence[Sequence[Batch]], server: Process) -> tuple[float, float]:
    """Seconds from the first row to the last commit, and seconds of processor that clients and server spent."""
    gc.collect()
    gc.freeze()  # the rows are shared with the children: they must not be touched by a collection
    forking = multiprocessing.get_context("fork")
    pipes: list[Pipe] = []
    children = []
    try:
        for share in shares:
            ours, theirs = forking.Pipe()
            child = forking.Process(target=_child, args=(database.dsn("ledger"), share, theirs), daemon=True)
            child.start()
            theirs.close()
            children.append(child)
            pipes.append(ours)
        for pipe in pipes:
            pipe.recv()  # connected
        before = family_cpu(server)
        for pipe in pipes:
            pipe.send(None)
        spans: list[tuple[float, float, float]] = [pipe.recv() for pipe in pipes]
        after = family_cpu(server)
        for pipe, child in zip(pipes, children, strict=True):
            pipe.send(None)
            child.join()
    finally:
        for child in children:
            if child.is_alive():
                child.terminate()
        gc.unfreeze()
    seconds = max(ended for _, ended, _ in spans) - min(began for began, _, _ in spans)
    spent = sum(cpu for _, _, cpu in spans) + sum(used - before.get(pid, 0.0) for pid, used in after.items())
    return seconds, spent


def _child(dsn: str, share: Sequence[Batch], pipe: Pipe) -> None:
    gc.disable()
    uvloop.run(_write_share(dsn, share, pipe))


async def _write_share(dsn: str, share: Sequence[Batch], pipe: Pipe) -> None:
    """Write one connection's share when told to; the connection stays until what it used has been read."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "ledger", "jit": "off"})
    if SERVICE.prepare is not None:
        await SERVICE.prepare(connection)  # the same plans; the codecs are the driver's again
    for name in ("timestamptz", "date"):
        await connection.reset_type_codec(name, schema="pg_catalog")
    pipe.send(None)
    pipe.recv()
    began, cpu_began = time.monotonic(), time.process_time()
    for batch in share:
        async with connection.transaction():
            for write in batch.writes:
                if isinstance(write, Copy):
                    await connection.copy_records_to_table(write.table, records=write.rows, columns=write.columns)
                else:
                    await connection.execute(write.statement, *write.arguments)
    pipe.send((began, time.monotonic(), time.process_time() - cpu_began))
    pipe.recv()
    await connection.close()


# ── the driver's own forms ───────────────────────────────────────────────────────────────────────────────────────

_Types = Mapping[str, Mapping[str, str]]
_Form = Callable[[Any], Any]


async def _read_types(database: Database) -> dict[str, dict[str, str]]:
    """The columns and their types of every table and row type of the ledger, in order."""
    connection = await asyncpg.connect(database.dsn())
    try:
        types: dict[str, dict[str, str]] = {}
        for row in await connection.fetch(_TYPES):
            types.setdefault(row["name"], {})[row["column"]] = row["type"]
        return types
    finally:
        await connection.close()


def plain_write(write: Write, types: _Types) -> Write:
    """The same write, its instants as `datetime` and its days as `date`."""
    if isinstance(write, Copy):
        forms = [_form(types[write.table][column]) for column in write.columns]
        return Copy(write.table, write.columns, _rows(write.rows, forms))
    arguments = list(write.arguments)
    for number, kind in _ARRAY.findall(write.statement):
        values = arguments[int(number) - 1]
        if values is None:
            continue  # no rows for this table
        if kind in types:
            arguments[int(number) - 1] = _rows(values, [_form(of) for of in types[kind].values()])
        elif (form := _form(kind)) is not None:
            arguments[int(number) - 1] = [form(value) for value in values]
    return Change(write.name, write.statement, tuple(arguments))


def _rows(rows: Sequence[Sequence[Any]], forms: Sequence[_Form | None]) -> list[tuple[Any, ...]]:
    return [
        tuple(value if form is None or value is None else form(value) for value, form in zip(row, forms, strict=True))
        for row in rows
    ]


def _form(kind: str) -> _Form | None:
    return {"timestamptz": _instant, "timestamp with time zone": _instant, "date": _day}.get(kind)


def _instant(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _day(day: int) -> date:
    if day == NEVER:
        return date.max  # the driver's infinity
    return date.fromordinal(day) if day else date.min
