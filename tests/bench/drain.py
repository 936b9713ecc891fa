"""Measuring how fast a backlog is booked: published before, read to its end by services that start on nothing."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from deploy.shop.settle import Watch
from tests.bench.system import BrokenError, Database, Service, System
from tests.bench.usage import Memory, Moment, Usage, families_of

ORDERS: Final = "commerce.orders.v1"
_LOOK_S: Final = 0.05
_LOOK_AROUND_S: Final = 0.2
_STALLED_S: Final = 60.0
_SETTLED_S: Final = 300.0
_BOOKED: Final = "SELECT coalesce(sum(next_offset), 0)::bigint FROM ledger.consumer_offset WHERE topic = $1"
_BATCHES: Final = (
    "SELECT n_tup_upd FROM pg_stat_user_tables WHERE schemaname = 'ledger' AND relname = 'consumer_offset'"
)
_STATISTICS_S: Final = 1.5
"""Sessions tell the statistics collector what they did at most so much later."""
_WAITING: Final = "SELECT count(*) FROM ledger.outbox"


@dataclass(frozen=True, slots=True)
class Drain:
    """How a backlog of order events was drained."""

    events: int
    events_per_second: float
    """From the first commit on, the start of the processes left out, to the last."""
    seconds: float
    steady: float
    """The median rate over tenths of the drain: without the tail of the last shard."""
    usage: Usage
    used_by: int
    """The events that the usage is of."""
    peaks: Mapping[str, int]
    """Bytes of memory at their most, by service."""
    batch: float
    """Events of one transaction, in the mean."""
    outbox_left: int
    """Facts that were not sent yet at the last commit."""
    sent_per_second: float
    """Events a second until all their facts were sent too; 0 where nothing sends."""
    settled_per_second: float
    """Events a second until everything that follows from them was at rest in every service; 0 if not waited for."""


async def drain(
    system: System, database: Database, services: Sequence[Service], events: int, *, relay: bool, settle: bool = False
) -> Drain:
    """Watch the ledger book `events` order events, with `settle` until all that follows has come to rest.

    The usage is of all that time. Raises BrokenError if it stops before the end.
    """
    families = families_of(system, services)
    connection = await asyncpg.connect(database.dsn())
    try:
        async with Memory({service.name: service.process for service in services}) as memory:
            samples = [(time.monotonic(), 0)]
            begin: Moment | None = None
            while samples[-1][1] < events:
                await asyncio.sleep(_LOOK_S)
                booked = await connection.fetchval(_BOOKED, ORDERS)
                now = time.monotonic()
                if booked != samples[-1][1]:
                    samples.append((now, booked))
                    if begin is None:
                        begin = await Moment.now(connection, families)
                elif now - samples[-1][0] > _STALLED_S:
                    raise BrokenError(f"nothing was booked for {_STALLED_S:.0f} s, at {booked} of {events} events")
                for service in services:
                    service.check()
            assert begin is not None
            if not settle:
                end = await Moment.now(connection, families)
            left = await connection.fetchval(_WAITING)
            while relay and await connection.fetchval(_WAITING):  # noqa: ASYNC110  # the ledger tells nobody
                await asyncio.sleep(_LOOK_S)
            sent = time.monotonic()
            if settle:
                settled = await _at_rest(system, database)
                end = await Moment.now(connection, families)
        await asyncio.sleep(_STATISTICS_S)
        batches = await connection.fetchval(_BATCHES)
        (first_at, first), (last_at, _) = samples[1], samples[-1]
        return Drain(
            events,
            (events - first) / (last_at - first_at),
            last_at - first_at,
            steady(samples[1:]),
            begin.until(end),
            events - first,
            memory.peaks,
            events / max(batches, 1),
            left,
            (events - first) / (sent - first_at) if relay else 0.0,
            (events - first) / (settled - first_at) if settle else 0.0,
        )
    finally:
        await connection.close()


async def _at_rest(system: System, database: Database) -> float:
    """When everything had come to rest: of the first of two looks in a row that found nothing open."""
    began = time.monotonic()
    async with Watch(database.dsn(), system.kafka.bootstrap) as watch:
        last, rested = None, 0.0
        while True:
            backlog = await watch.look()
            if backlog.total:
                last = None
                if time.monotonic() - began > _SETTLED_S:
                    raise BrokenError(f"not settled after {_SETTLED_S:.0f} s: {backlog.describe()}")
            elif backlog == last:
                return rested
            else:
                last, rested = backlog, time.monotonic()
            await asyncio.sleep(_LOOK_AROUND_S)


def steady(samples: Sequence[tuple[float, int]]) -> float:
    """The median rate over tenths of the drain."""
    (began, first), (ended, last) = samples[0], samples[-1]
    rates = []
    at = 0
    for tenth in range(10):
        until = began + (ended - began) * (tenth + 1) / 10
        start = at
        while at < len(samples) - 1 and samples[at + 1][0] <= until:
            at += 1
        if at > start:
            rates.append((samples[at][1] - samples[start][1]) / (samples[at][0] - samples[start][0]))
    return statistics.median(rates) if rates else (last - first) / (ended - began)


def drained(system: System, database: Database, events: int, *, relay: bool) -> Drain:
    """Start the ledger as it is deployed (without relay: its consumer alone), drain the backlog, stop it."""
    parts = () if relay else ("--parts", "consumer")
    with system.service("ledger", database, *parts) as ledger:
        return asyncio.run(drain(system, database, [ledger], events, relay=relay))
