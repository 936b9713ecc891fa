"""Closes local days: `loyalty.day.closed.v1` states that one shard has booked a day to its end (T8).

A day is closed on a shard once every record that was appended before the midnight at its end is booked, and so is
everything that fell due by then. Tiering waits for this event before its decisions, so that they miss no confirmation
of that day.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from itertools import count
from typing import Final, NamedTuple

import structlog
from aiokafka.errors import KafkaError

from services.kit import clock, cloudevent, metrics
from services.kit.calendar import MICROS_PER_SECOND, NOT_YET, Day, Micros, rfc3339
from services.kit.clock import Clock
from services.kit.kafka import Shard, partition_of
from services.kit.outbox import OutboxRow, append
from services.kit.postgres import Pool, Queries
from services.kit.program import NoProgram
from services.ledger.consumer import TOPICS
from services.ledger.domain.state.outcome import SOURCE
from services.ledger.events.outbound import TOPIC
from services.ledger.horizon import CLOSED_AFTER, Horizon
from services.ledger.programs import KnownPrograms

SQL: Final = Queries.load("services.ledger", "sql/closing.sql", require=("last_closed", "offsets", "is_due", "close"))
LATE_SECONDS: Final = 600.0
"""A day that this worker cannot close for so long is an alarm; days closed in turn after an outage are none."""
AGAIN: Final = 5 * MICROS_PER_SECOND
"""How long to wait before the next look at a shard whose day cannot be closed yet."""
_log = structlog.get_logger("ledger")

FORGET_SECONDS: Final = 300.0
"""A shard that was not looked at for so long is no matter of this worker."""
STILL_DUE: Final = "something of before its end is due and not booked"
UNREAD: Final = "records of before its end are not booked, or a publisher's transaction is open"

IsBooked = Callable[[Shard, Mapping[str, int], Micros], Awaitable[bool]]
"""Whether no record of a shard's topics from these offsets on was appended before an instant."""


class _Ended(NamedTuple):
    """A local day, and the midnight at its end."""

    day: Day
    midnight: Micros


class _OpenDay(NamedTuple):
    """A day that cannot be closed: why not, since when this worker has tried, and when it did last (monotonic)."""

    day: Day
    why: str
    since: float
    seen_at: float


class DayClose:
    """A sweeper's pass over one shard: closes the next local day that has ended; answers 1 if it closed one.

    The first day that a ledger closes is the day before its first pass. The row of a day and its event are written in
    one transaction, so the event is sent once, however many sweepers there are.
    """

    def __init__(
        self,
        pool: Pool,
        shards: int,
        is_booked: IsBooked,
        *,
        now: Clock = clock.now,
        horizon: Horizon | None = None,
        late_seconds: float = LATE_SECONDS,
    ) -> None:
        self._late_seconds = late_seconds
        self._pool = pool
        self._shards = shards
        self._is_booked = is_booked
        self._now = now
        self._horizon = horizon
        self._programs = KnownPrograms()
        self._not_before: dict[Shard, Micros] = {}
        self._open: dict[Shard, _OpenDay] = {}

    async def __call__(self, shard: Shard) -> int:
        """Close one day of one shard, if one can be closed now."""
        now = self._now()
        if now < self._not_before.get(shard, NOT_YET):
            return 0
        self._not_before[shard] = Micros(now + AGAIN)
        ended = await self._next_ended(shard, now)
        if ended is None:
            self._open.pop(shard, None)
            return 0
        if why := await self._close(shard, ended, now):
            self._note_open(shard, ended, why)
            return 0
        self._open.pop(shard, None)
        self._not_before[shard] = NOT_YET
        return 1

    def alarms(self) -> list[str]:
        """Which days are late to be closed, and why, in words."""
        for shard in [shard for shard, each in self._open.items() if time.monotonic() - each.seen_at > FORGET_SECONDS]:
            del self._open[shard]  # it is another worker's now
        late = [each for each in self._open.values() if each.seen_at - each.since >= self._late_seconds]
        return [
            f"{date.fromordinal(day).isoformat()} is not closed on {sum(each.day == day for each in late)} shards ("
            f"{', '.join(sorted({each.why for each in late if each.day == day}))})"
            for day in sorted({each.day for each in late})
        ]

    async def _next_ended(self, shard: Shard, now: Micros) -> _Ended | None:
        """The next day to be closed, if it has ended."""
        async with self._pool.acquire() as connection:
            try:
                calendar = (await self._programs.read(connection)).at(now).calendar
            except NoProgram:
                return None
            last: Day | None = await connection.fetchval(SQL.last_closed, shard)
        newest_ended = Day(calendar.day_of(Micros(now - CLOSED_AFTER)) - 1)
        if self._horizon is not None and self._horizon.days_waiting(shard):
            newest_ended = self._horizon.allowed(shard)  # else too many days would be closed at once (C2)
        day = newest_ended if last is None else Day(last + 1)
        midnight = calendar.end_of(day)
        if day > newest_ended:
            self._not_before[shard] = max(self._not_before[shard], Micros(midnight + CLOSED_AFTER))
            return None
        return _Ended(day, midnight)

    async def _close(self, shard: Shard, ended: _Ended, now: Micros) -> str:
        """Closes a day; answers what is in the way, or nothing if it is closed."""
        async with self._pool.acquire() as connection:
            if await connection.fetchval(SQL.is_due, shard, ended.midnight):
                return STILL_DUE
            offsets = {row["topic"]: row["next_offset"] for row in await connection.fetch(SQL.offsets, shard, TOPICS)}
        if len(offsets) < len(TOPICS):
            return "nothing has been read yet"
        if why := await self._unread_before(shard, offsets, ended.midnight):
            return why
        async with self._pool.acquire() as connection, connection.transaction():
            # Checked again: what was booked since the first check may have made something due.
            if await connection.fetchval(SQL.is_due, shard, ended.midnight):
                return STILL_DUE
            if await connection.fetchval(SQL.close, shard, ended.day, now) is not None:
                await append(connection, [day_closed_event(shard, self._shards, *ended)])
        if self._horizon is not None:
            self._horizon.close(shard, ended.day)
        return ""

    def _note_open(self, shard: Shard, ended: _Ended, why: str) -> None:
        now, before = time.monotonic(), self._open.get(shard)
        if before is None or before.day != ended.day:
            before = _OpenDay(ended.day, why, now, now)
        self._open[shard] = open_day = before._replace(why=why, seen_at=now)
        if before.seen_at - before.since < self._late_seconds <= open_day.seen_at - open_day.since:
            metrics.count("alarms_total", kind="day_not_closed")
            _log.error("day_not_closed", shard=shard, day=date.fromordinal(ended.day).isoformat(), why=why)

    async def _unread_before(self, shard: Shard, offsets: Mapping[str, int], midnight: Micros) -> str:
        """What keeps the shard from having booked all records of before midnight; nothing if it has."""
        try:
            return "" if await self._is_booked(shard, offsets, midnight) else UNREAD
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("day_not_looked_at", shard=shard, error=repr(error))
            self._not_before[shard] = Micros(self._now() + CLOSED_AFTER)
            return "the brokers do not answer"


def day_closed_event(shard: Shard, shards: int, day: Day, midnight: Micros) -> OutboxRow:
    """`loyalty.day.closed.v1`, for the partition of the shard that it is about."""
    subject = date.fromordinal(day).isoformat()
    event = cloudevent.structured(
        id=f"day:{shard}:{subject}",
        source=SOURCE,
        type="loyalty.day.closed.v1",
        subject=subject,
        time=rfc3339(midnight),
        data={"partition": shard, "day": subject},
    )
    return OutboxRow(shard, TOPIC, key_on(shard, shards), event, cloudevent.HEADERS)


def key_on(shard: Shard, shards: int) -> bytes:
    """A key whose records go to a shard's partition: the first such of `day:0`, `day:1` and so on."""
    keys = (f"day:{number}".encode() for number in count())
    return next(key for key in keys if partition_of(key, shards) == shard)
