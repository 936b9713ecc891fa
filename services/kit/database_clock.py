"""The database's clock, by which all that is booked goes (C1), and the shift of it for simulated time.

Each worker reads the database's time once a second and counts on from there with the monotonic clock, which nobody can
set. So whatever a host's wall clock says, it moves no point. A wall clock that is further off than 5 s is reported all
the same, and commands and due work wait: tokens, logs and notices still go by it.

For tests and simulated years one shift is kept with the database (`ALTER DATABASE … SET loyalty.clock_shift`), so it
is one for all services; it moves the database's time and the append times of records alike. A service that meets it
without DEVELOPMENT=1 books nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import asyncpg
from msgspec import structs

from services.kit import clock, log, metrics
from services.kit.calendar import MICROS_PER_SECOND, Micros, later
from services.kit.clock import Clock
from services.kit.executor import ClockOff, DatabaseUnavailable
from services.kit.part import State
from services.kit.postgres import Pool, Queries, is_unavailable
from services.kit.pulse import Pulse

if TYPE_CHECKING:
    from services.kit.kafka import Record
    from services.kit.settings import Settings

_log = log.get(__name__)
_SQL: Final = Queries.load("services.kit", "sql/clock.sql", require=("read",))

MAX_AHEAD: Final = 5 * MICROS_PER_SECOND
"""How far an input's `now` may be ahead of the database's time, and how far a wall clock may be off."""
MAX_APPENDED_AHEAD: Final = 60 * MICROS_PER_SECOND
"""A record that was appended further ahead of the database's time waits on its partition."""
EVERY_SECONDS: Final = 1.0
_DAY: Final = 86_400 * MICROS_PER_SECOND


class DatabaseClock:
    """The part `clock`: the present instant, as the database has it."""

    name = "clock"

    def __init__(self, settings: Settings, pool: Pool, *, wall: Clock | None = None) -> None:
        self._is_shift_allowed = settings.development
        self._pool = pool
        self._wall = wall or clock.now
        self._read_at: float | None = None
        self._database = Micros(0)
        self.shift = 0
        """By how many microseconds time is shifted (DEVELOPMENT only)."""
        self._task: asyncio.Task[None] | None = None
        self.pulse = Pulse()
        self._trouble = "the database's time is not known yet"

    async def start(self) -> None:
        """Begins to read the database's time; returns at once."""
        self._task = self.pulse.follow(asyncio.create_task(self._run(), name="clock"))

    async def stop(self) -> None:
        """Reads it no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def state(self) -> State:
        """Whether commands and due work may be booked here, and how far the wall clock is off."""
        why, remedy = self._why_not()
        off = 0 if self._read_at is None else self.seconds_off
        metrics.gauge("clock_off_seconds", off)
        return State(not why, why, remedy, {"seconds_off": round(off, 3), "shift_days": round(self.shift / _DAY, 3)})

    def now(self) -> Micros:
        """The present instant. Raises DatabaseUnavailable before the first look at the database."""
        return later(self._unshifted(), self.shift)

    @property
    def seconds_off(self) -> float:
        """By how much the wall clock is ahead of the database's."""
        return (self._wall() - self._unshifted()) / MICROS_PER_SECOND

    def check(self) -> None:
        """Raises ClockOff where commands and due work may not be booked."""
        why, _ = self._why_not()
        if why:
            raise ClockOff(why)

    def take(self, records: Sequence[Record]) -> tuple[Sequence[Record], str]:
        """The records of a batch that may be booked now, each appended at most 5 s ahead of the database, and why the
        next one has to wait ("": none has)."""
        if self._read_at is None:
            return [], self._trouble
        if self.shift and not self._is_shift_allowed:
            return [], self._why_not()[0]
        present, shift = self._unshifted(), self.shift
        newest = max([record.appended_at for record in records], default=present)
        if newest <= present + MAX_AHEAD and not shift:
            return records, ""
        taken: list[Record] = []
        for record in records:
            ahead = record.appended_at - present
            if ahead > MAX_APPENDED_AHEAD:
                place = f"{record.topic}/{record.partition}@{record.offset}"
                return taken, f"{place} was appended {ahead / MICROS_PER_SECOND:.0f} s ahead of the database's time"
            appended_at = later(present, min(ahead, MAX_AHEAD) + shift)
            taken.append(structs.replace(record, appended_at=appended_at))
        return taken, ""

    def _unshifted(self) -> Micros:
        if self._read_at is None:
            raise DatabaseUnavailable(self._trouble)
        return later(self._database, int((time.monotonic() - self._read_at) * MICROS_PER_SECOND))

    def _why_not(self) -> tuple[str, str]:
        """Why commands and due work may not be booked here, and what to do; ("", "") if they may."""
        if self._read_at is None:
            return self._trouble, "Bring the database back."
        if self.shift and not self._is_shift_allowed:
            return (
                f"the database's time is shifted by {self.shift / _DAY:.1f} days, which only DEVELOPMENT=1 allows",
                "ALTER DATABASE … RESET loyalty.clock_shift; what was booked under it cannot be undone.",
            )
        off = self.seconds_off
        if abs(off) * MICROS_PER_SECOND > MAX_AHEAD:
            return (
                f"this host's clock is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} the database's",
                "Set the clocks of both hosts (NTP). Reads and events go on by the database's time; commands wait.",
            )
        return "", ""

    async def _run(self) -> None:
        while True:
            self.pulse.beat()
            try:
                await self.read()
            except Exception as error:
                if not is_unavailable(error):
                    _log.error("clock_not_read", error=repr(error))
            await asyncio.sleep(EVERY_SECONDS if self._read_at is not None else EVERY_SECONDS / 10)

    async def read(self) -> None:
        """Reads the database's time. The answer is as of the middle of the round trip."""
        async with self._pool.acquire() as connection:
            began = time.monotonic()
            row = await connection.fetchrow(_SQL.read)
            ended = time.monotonic()
        assert row is not None
        self._database, self._read_at, self.shift = Micros(row["at"]), (began + ended) / 2, row["shift"] or 0


async def shift_clock(settings: Settings, arguments: Sequence[str]) -> int:
    """Shift the time of all services of a database, for tests and simulated years (DEVELOPMENT=1 only)."""
    parser = argparse.ArgumentParser(prog="shift-clock")
    parser.add_argument("--days", type=float, required=True, help="from the real time on; 0 takes the shift back")
    days: float = parser.parse_args(arguments).days
    if not settings.development:
        sys.stderr.write("Refused: time is shifted on a development installation alone (DEVELOPMENT=1).\n")
        return 2
    if settings.migration_database_url is None:
        sys.stderr.write("MIGRATION_DATABASE_URL is not set: the shift is a setting of the database's owner.\n")
        return 2
    connection = await asyncpg.connect(settings.migration_database_url.get_secret_value())
    try:
        change = f"SET loyalty.clock_shift = '{round(days * _DAY)}'" if days else "RESET loyalty.clock_shift"
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"ALTER DATABASE {name} {change}")
    finally:
        await connection.close()
    sys.stdout.write(f"The time of all services of this database is shifted by {days:g} days within a second.\n")
    return 0
