"""Notifies members 30, 7 and 1 days before points expire, by inputs of the one write path.

The code that books events and commands knows nothing of it. A notice's id names the last day and how many days before
it, so it is booked once, however many sweepers submit it (O1). The rows of `notice` only say where to go on.
"""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any, Final, NamedTuple

from services.kit import clock, log, metrics
from services.kit.calendar import NOT_YET, Calendar, Day, Micros
from services.kit.clock import Clock
from services.kit.executor import Executor
from services.kit.kafka import Shard
from services.kit.postgres import Connection, Pool, Queries
from services.kit.program import NoProgram
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.inputs import ExpiryNear
from services.ledger.domain.state.outcome import SOURCE
from services.ledger.horizon import Limit, without_limit
from services.ledger.inputs import MemberInput
from services.ledger.jobs.submitting import submit_all
from services.ledger.programs import KnownPrograms

_log = log.get(__name__)
SQL: Final = Queries.load("services.ledger", "sql/notices.sql", require=("places", "lots_of_day", "move"))
DAYS_BEFORE: Final = (30, 7, 1)
"""How many days are left to spend the points, the last one included, when a member gets a notice."""
PAGE: Final = 50
"""Accounts of one pass. They take some 20 ms, for which a command that arrives meanwhile waits; more gain little."""


class _Place(NamedTuple):
    """How far the notices of so many days before are: the last day that is next, done up to an account."""

    days: int
    day: Day
    account: int


class ExpiryNotices:
    """A pass over one shard: notifies the next page of members; answers how many, at least 1 while there may be more.

    A lot that gets its first points after its notice was due has to wait for the next notice.
    """

    def __init__(
        self,
        pool: Pool,
        executor: Executor[Any, Any],
        *,
        now: Clock = clock.now,
        limit: Limit = without_limit,
        page: int = PAGE,
    ) -> None:
        self._pool = pool
        self._executor = executor
        self._now = now
        self._limit = limit
        self._page = page
        self._programs = KnownPrograms()
        self._done_until: dict[Shard, Micros] = {}

    async def __call__(self, shard: Shard) -> int:
        """One page of one shard, or nothing until the next local midnight."""
        now = self._limit(shard, self._now())
        if now < self._done_until.get(shard, NOT_YET):
            return 0
        async with self._pool.acquire() as connection:
            try:
                calendar = (await self._programs.read(connection)).at(now).calendar
            except NoProgram:
                return 0
            today = calendar.day_of(now)
            place = await _next_place(connection, shard, today)
            if place is None:
                self._done_until[shard] = calendar.end_of(today)
                return 0
            rows = await connection.fetch(SQL.lots_of_day, shard, place.day, place.account, self._page)
        notices = [
            _notice(row["member_id"], place, calendar, now)
            for row in rows
            if row["available"] > 0 and row["member_id"] is not None
        ]
        for failure in await submit_all(self._executor, shard, notices):
            if failure is not None:  # the others get theirs, and this member the next one
                metrics.count("alarms_total", kind="notice_failed")
                _log.error("notice_failed", shard=shard, error=type(failure).__name__)
        done = (place.day, rows[-1]["account"]) if len(rows) == self._page else (place.day + 1, 0)
        async with self._pool.acquire() as connection:
            await connection.execute(SQL.move, shard, place.days, *done)
        # A day without lots counts as one, so that the sweeper looks at the next day at once.
        return max(1, len(notices))


async def _next_place(connection: Connection, shard: Shard, today: Day) -> _Place | None:
    """Where to go on: from the last day for which a notice is due now, or from where the ledger stopped before.

    A notice that was missed for so long that the next one is due is not made up for.
    """
    stored = {row["days"]: _Place(*row) for row in await connection.fetch(SQL.places, shard)}
    for days, nearer in pairwise((*DAYS_BEFORE, 0)):
        first, last = Day(today + nearer), Day(today + days - 1)
        place = stored.get(days, _Place(days, last, 0))
        if place.day < first:
            place = _Place(days, first, 0)
        if place.day <= last:
            return place
    return None


def _notice(member_id: str, place: _Place, calendar: Calendar, now: Micros) -> MemberInput:
    event_id = f"expiring:{date.fromordinal(place.day).isoformat()}:{place.days}d"
    input_ = ExpiryNear(SOURCE, event_id, calendar.end_of(Day(place.day - place.days)), place.day)
    return MemberInput(member_id, Arrival(digest_of(member_id, SOURCE, event_id), input_, now))
