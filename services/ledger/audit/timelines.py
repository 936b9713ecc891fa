"""`python -m services.ledger timelines`: every order's timeline as it was told last, a line of JSON each.

Tiering compares them with those that it holds (`verify --told`): services do not read each other's tables. A timeline
is worked out again from the order's facts as of the account's last input: had it changed since it was told, it would
have been told again.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import asyncpg
import orjson

from services.kit.epoch import numbered
from services.kit.kafka import Shard
from services.kit.postgres import Connection, Queries, connect
from services.kit.settings import Settings
from services.ledger.codecs import register_codecs
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.assessment import assess
from services.ledger.domain.state.orders import decode_lines, decode_order
from services.ledger.domain.state.outcome import OrderQualified
from services.ledger.events.outbound import qualified_json
from services.ledger.programs import KnownPrograms

SQL: Final = Queries.load("services.ledger", "sql/timelines.sql", require=("paid_orders", "lines_of"))
BLOCK: Final = 1_000
"""Orders of one round trip."""


async def timelines(settings: Settings, arguments: list[str]) -> int:
    """timelines: print what was told of every paid order, a line of JSON each; tiering's `verify --told` reads it."""
    if arguments:
        sys.stderr.write("usage: timelines\n")
        return 2
    connection = await connect(settings, part="verify")
    try:
        await register_codecs(connection)
        async for line in all_timelines(connection, settings.shards):
            sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
        sys.stdout.flush()
    finally:
        await connection.close()
    return 0


async def all_timelines(connection: Connection, shards: int) -> AsyncIterator[dict[str, Any]]:
    """What was told of each paid order, a member's one after the other. Each shard is read in a snapshot of its own."""
    for shard in map(Shard, range(shards)):
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            programs = await KnownPrograms().read(connection)
            cursor = await connection.cursor(SQL.paid_orders, shard)
            while rows := await cursor.fetch(BLOCK):
                for line in await _told(connection, shard, programs, rows):
                    yield line


async def _told(
    tx: Connection, shard: Shard, programs: ProgramVersions, rows: Sequence[asyncpg.Record]
) -> list[dict[str, Any]]:
    orders = [decode_order(row["state"]) for row in rows]
    named = [(row["account"], row["ref"], order.lines_version) for row, order in zip(rows, orders, strict=True)]
    found = await tx.fetch(SQL.lines_of, shard, *map(list, zip(*named, strict=True)))
    lines = {(row["account"], row["ref"]): decode_lines(row["lines"]) for row in found}
    told = []
    for row, order in zip(rows, orders, strict=True):
        program = programs.at(order.paid_at)
        timeline = assess(order, lines[row["account"], row["ref"]], program, row["now"]).timeline
        qualified = OrderQualified(row["ref"], order.paid_at, timeline, program.decimals)
        place = numbered(row["epoch"] or 0, row["version"], 0)
        told.append({"member_id": row["member_id"], **place, **qualified_json(qualified)})
    return told
