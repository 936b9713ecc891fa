"""`due`: a day on which very many lots end, and who waits for an answer meanwhile.

Many members signed in once, more than a year ago; nobody has touched them since. A ledger that is started on them
sweeps as it does every midnight. While it does, commands and events come in at a steady pace; once all of it is booked
they come in again at the same pace, and that is what they stand beside.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import asyncpg
import uvloop

from schemas.topics import SHARDS
from services.kit.calendar import MICROS_PER_SECOND, later
from services.kit.clock import now
from tests.bench import latency
from tests.bench.booking import ledger_pool
from tests.bench.drain import drained
from tests.bench.http_load import Storm, load
from tests.bench.report import Figure, number
from tests.bench.run import Run
from tests.bench.spending import redeem, strangers
from tests.bench.system import BrokenError, Database, Service
from tests.fortunes import grant

LOTS: Final = 150_000
QUICK_LOTS: Final = 100_000
COMMANDS_A_SECOND: Final = 100.0
EVENTS_A_SECOND: Final = 200.0
SECONDS: Final = 6.0
_AGO: Final = 380 * 86_400 * MICROS_PER_SECOND
_LOOK_S: Final = 0.25
_DONE_WITHIN_S: Final = 3_600.0
_DUE: Final = "SELECT count(*) FROM ledger.account WHERE next_due <= now()"
_EXPIRED: Final = (
    "SELECT count(*), count(DISTINCT account) FROM ledger.entry JOIN ledger.identity USING (shard, account) "
    "WHERE credit = 'expired' AND member_id LIKE 'fortune-%'"
)


def due(run: Run, lots: int) -> list[Figure]:
    """Lots that expire a second, undisturbed; what commands and events wait while they do, and once they have."""
    with run.system.database("due") as database:
        drained(run.system, database, run.events, relay=True)
        uvloop.run(_grant(database, lots))
        run.say(f"{lots:,} lots are due, of as many members")
        with run.system.service("ledger", database) as ledger:
            ledger.ready()
            busy = _waits(run, ledger)
            rate = uvloop.run(_swept(database, lots))
            run.say(f"undisturbed, {rate:,.0f} lots expire a second; each has, once")
            idle = _waits(run, ledger)
        run.system.verify(database)
        run.say("the invariants hold")
    return [
        Figure.of("due_lots", [rate], "lots/s"),
        *(
            _beside(f"due_p99_{what}", ours, theirs)
            for what, ours, theirs in zip(("commands", "events"), busy, idle, strict=True)
        ),
    ]


def _waits(run: Run, ledger: Service) -> tuple[float, float]:
    """Milliseconds that the slowest hundredth of commands, and of events until they can be read, take now."""
    storm = Storm(redeem(run, strangers()), 32, SECONDS, status=409, rate=COMMANDS_A_SECOND)
    commands = load(ledger.url, storm).percentile(0.99)
    readable = sorted(uvloop.run(latency.measure(run, [ledger], EVENTS_A_SECOND, seconds=SECONDS))[0])
    events = 1000 * readable[int(len(readable) * 0.99)]
    run.say(f"p99 of commands {number(commands)} ms, of events until they are readable {number(events)} ms")
    return commands, events


def _beside(name: str, ours: float, theirs: float) -> Figure:
    return Figure(name, ours, "ms", [ours], "nothing due", theirs, ours / theirs)


async def _grant(database: Database, lots: int) -> None:
    async with ledger_pool(database) as pool:
        await grant(pool, shards=SHARDS, members=lots, at=later(now(), -_AGO))


async def _swept(database: Database, lots: int) -> float:
    """Lots that expired a second from now on, until none is due; each must have done so once."""
    connection = await asyncpg.connect(database.dsn())
    try:
        began, first = time.monotonic(), await connection.fetchval(_DUE)
        if not first:
            raise BrokenError("all lots had expired before the commands and events were through: let there be more")
        while await connection.fetchval(_DUE):
            if time.monotonic() - began > _DONE_WITHIN_S:
                raise BrokenError(f"not all lots had expired after {_DONE_WITHIN_S:.0f} s")
            await asyncio.sleep(_LOOK_S)
        took = time.monotonic() - began
        expired = tuple((await connection.fetch(_EXPIRED))[0])
        if expired != (lots, lots):
            raise BrokenError(f"of {lots} lots of as many members {expired} expired")
        return float(first / took)
    finally:
        await connection.close()
