"""How far time may go on each shard (C2): a jump over more days than `max_jump_days` waits for somebody to confirm it.

What falls due is booked local day by local day, and nobody can take it back. So if more days than that would be closed
at once on a shard, none of them is, and the present of the shard's members ends with the last day that may be closed:
for inputs and for reads, so that they agree (E1). `python -m services.ledger proceed --through DATE` lets it go on.

What is known here may be a second old. That is safe: days are closed in order, so an older state ends earlier.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from datetime import date
from typing import Final

import structlog

from services.kit.calendar import MICROS_PER_SECOND, Calendar, Day, Micros
from services.kit.clock import Clock
from services.kit.database_clock import DatabaseClock
from services.kit.executor import DatabaseUnavailable
from services.kit.kafka import Shard
from services.kit.part import State
from services.kit.postgres import Pool, Queries, is_unavailable, new_pool
from services.kit.program import NoProgram
from services.kit.pulse import Pulse
from services.ledger.programs import KnownPrograms
from services.ledger.settings import LedgerSettings
from services.ledger.store import prepare

SQL: Final = Queries.load("services.ledger", "sql/horizon.sql", require=("last_closed", "through", "proceed"))
CLOSED_AFTER: Final = 60 * MICROS_PER_SECOND
"""How long after its end a day can be closed. By then no broker appends a record with a time before midnight, although
clocks differ, and no command from before midnight is still running."""
EVERY_SECONDS: Final = 1.0
_log = structlog.get_logger("ledger")

Limit = Callable[[Shard, Micros], Micros]
"""An instant on a shard, or where that is earlier the end of the last day that may be closed there."""


def without_limit(_shard: Shard, now: Micros) -> Micros:
    """The limit where no day is closed: none."""
    return now


class Horizon:
    """The part `days`: which days are closed, and how far the present may go."""

    name = "days"

    def __init__(self, pool: Pool, shards: int, max_jump_days: int, now: Clock) -> None:
        self._pool = pool
        self._shards = shards
        self._max_jump_days = max_jump_days
        self._now = now
        self._programs = KnownPrograms()
        self._closed: dict[Shard, Day] = {}
        self._through: Day | None = None
        self._calendar: Calendar | None = None
        self._known = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.pulse = Pulse()

    async def first(self) -> object:
        """Returns when the closed days are known."""
        return await self._known.wait()

    async def start(self) -> None:
        """Begins to follow the closed days; returns at once."""
        self._task = self.pulse.follow(asyncio.create_task(self._run(), name="days"))

    async def stop(self) -> None:
        """Follows them no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def state(self) -> State:
        """Whether any shard waits for `proceed`."""
        if not self._known.is_set():
            return State(False, "the closed days are not known yet", "Bring the database back, publish a program.")
        waiting = {shard: waits for shard in self._closed if (waits := self.days_waiting(shard))}
        if not waiting:
            return State(True)
        last = min(self.allowed(shard) for shard in waiting)
        return State(
            False,
            f"{max(waiting.values())} days would be closed at once on {len(waiting)} shards: nothing is booked "
            f"later than the end of {date.fromordinal(last)}",
            "If the database's date is right: python -m services.ledger proceed --through DATE. Else set its clock.",
        )

    def limit(self, shard: Shard, now: Micros) -> Micros:
        """`now`, or while the shard waits the end of the last day that may be closed. Raises DatabaseUnavailable
        before the closed days are known."""
        if not self._known.is_set():
            raise DatabaseUnavailable("the closed days are not known yet")
        if shard not in self._closed or self._calendar is None:
            return now
        allowed = self.allowed(shard)
        # Above all else this is cheap: it is asked for each batch and each read.
        if now < self._calendar.end_of(Day(allowed + self._max_jump_days + 1)) + CLOSED_AFTER:
            return now
        return self._calendar.end_of(allowed)

    def due_until(self, shard: Shard, now: Micros) -> Micros:
        """Until when what is due on a shard may be booked: a day after the one before it is closed (C2)."""
        limit = self.limit(shard, now)
        if shard not in self._closed or self._calendar is None:
            return limit
        return min(limit, self._calendar.end_of(Day(self._closed[shard] + 1)))

    def days_waiting(self, shard: Shard) -> int:
        """How many days would be closed at once on a shard that waits; 0 if it does not wait."""
        now = self._now()
        if self.limit(shard, now) == now or self._calendar is None:
            return 0
        return self._calendar.day_of(Micros(now - CLOSED_AFTER)) - 1 - self.allowed(shard)

    def close(self, shard: Shard, day: Day) -> None:
        """Take note of a day that was closed here."""
        self._closed[shard] = max(day, self._closed.get(shard, day))

    def allowed(self, shard: Shard) -> Day:
        """The last day that is closed, or that somebody let be closed."""
        closed = self._closed[shard]
        return closed if self._through is None else max(closed, self._through)

    async def read(self) -> None:
        """Read which days are closed. Raises NoProgram."""
        async with self._pool.acquire() as connection:
            programs = await self._programs.read(connection)
            rows = await connection.fetch(SQL.last_closed, self._shards)
            self._through = await connection.fetchval(SQL.through)
        self._calendar = programs.at(self._now()).calendar
        self._closed = {Shard(row["shard"]): row["day"] for row in rows if row["day"] is not None}
        self._known.set()

    async def _run(self) -> None:
        while True:
            self.pulse.beat()
            try:
                await self.read()
            except NoProgram:
                pass
            except Exception as error:
                if not is_unavailable(error):
                    _log.exception("closed days not read")
            await asyncio.sleep(EVERY_SECONDS if self._known.is_set() else EVERY_SECONDS / 10)


async def proceed(settings: LedgerSettings, arguments: list[str]) -> int:
    """Let days be closed through a date, after a jump of time over more days than MAX_JUMP_DAYS."""
    parser = argparse.ArgumentParser(prog="python -m services.ledger proceed")
    parser.add_argument("--through", type=date.fromisoformat, required=True, help="the last day, an ISO date")
    through: date = parser.parse_args(arguments).through
    async with new_pool(settings, prepare=prepare) as pool:
        clock = DatabaseClock(settings, pool)
        await clock.read()
        async with pool.acquire() as connection:
            calendar = (await KnownPrograms().read(connection)).at(clock.now()).calendar
            yesterday = date.fromordinal(calendar.day_of(clock.now()) - 1)
            if through > yesterday:
                parser.error(f"--through: {through} has not ended; the last day that has is {yesterday}")
            await connection.execute(SQL.proceed, through.toordinal())
    print(f"Days are closed through {through}, one after the other; GET /readyz says how far it is.")
    return 0
