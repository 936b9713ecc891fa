"""Keeps milestones: sums of an account's entries, some thousand versions apart, so that no read adds up a million."""

from __future__ import annotations

from typing import Final

import asyncpg

from services.kit import clock
from services.kit.calendar import MICROS_PER_SECOND, NOT_YET, Micros
from services.kit.clock import Clock
from services.kit.kafka import Shard
from services.kit.postgres import Connection, Pool, Queries
from services.ledger.reads.sums import Sums, decode_sums, encode_sums

SQL: Final = Queries.load(
    "services.ledger", "sql/milestones.sql", require=("next_account", "sums_between", "booked_at", "keep")
)
STEP: Final = 2_000
"""Versions between two milestones: their entries are added up in some milliseconds."""
AGAIN: Final = 3_600 * MICROS_PER_SECOND
"""How long to rest when no account of a shard has come further by a step."""


class Milestones:
    """A pass over one shard: keeps the next milestone of one account; answers 1 if it kept one.

    Entries are never changed and an account's versions are booked one after the other, so what is read up to a version
    stands for ever, and several sweepers keep the same.
    """

    def __init__(self, pool: Pool, *, now: Clock = clock.now, step: int = STEP) -> None:
        self._pool = pool
        self._now = now
        self._step = step
        self._after: dict[Shard, int] = {}
        self._not_before: dict[Shard, Micros] = {}

    async def __call__(self, shard: Shard) -> int:
        """One account of one shard."""
        now = self._now()
        if now < self._not_before.get(shard, NOT_YET):
            return 0
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(SQL.next_account, shard, self._after.get(shard, 0), self._step)
            if row is None:
                self._after.pop(shard, None)
                self._not_before[shard] = Micros(now + AGAIN)
                return 0
            await self._keep(connection, shard, row)
        self._after[shard] = row["account"] - 1  # it may be due for another one
        return 1

    async def _keep(self, connection: Connection, shard: Shard, row: asyncpg.Record) -> None:
        account, before = row["account"], row["version"]
        sums = decode_sums(row["sums"]) if row["sums"] is not None else Sums({}, {})
        version = before + self._step
        sums.add(await connection.fetch(SQL.sums_between, shard, account, before, version))
        booked_at = await connection.fetchval(SQL.booked_at, shard, account, version)
        await connection.execute(SQL.keep, shard, account, version, booked_at, encode_sums(sums))
