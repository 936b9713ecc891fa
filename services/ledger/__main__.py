"""python -m services.ledger serve|migrate|redrive|publish|proceed|restored|verify|timelines"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from services.kit.app import Api
from services.kit.auth import Guard
from services.kit.calendar import Micros, later
from services.kit.consumer import Consumer
from services.kit.database_clock import DatabaseClock
from services.kit.event_sources import EventSources
from services.kit.executor import Executor
from services.kit.kafka import Shard
from services.kit.part import Part
from services.kit.relay import Relay
from services.kit.serve import Service, main
from services.kit.sweeper import Sweeper
from services.kit.unread import is_booked_until
from services.kit.worker import Worker
from services.ledger.api import MAX_BODIES, routers
from services.ledger.api.publisher import Publisher
from services.ledger.audit.timelines import timelines
from services.ledger.audit.verify import verify
from services.ledger.consumer import TOPICS, Decoder
from services.ledger.executor import Ledger
from services.ledger.horizon import Horizon, proceed
from services.ledger.jobs.day_close import DayClose, IsBooked
from services.ledger.jobs.due import DueAccounts, passes_in_sequence
from services.ledger.jobs.expiry_notices import ExpiryNotices
from services.ledger.jobs.failed_messages import FailedMessages
from services.ledger.jobs.milestones import Milestones
from services.ledger.jobs.snapshots import Snapshots
from services.ledger.jobs.upkeep import Upkeep
from services.ledger.publication import publish
from services.ledger.restored import restored
from services.ledger.settings import LedgerSettings
from services.ledger.store import prepare


def _is_booked(settings: LedgerSettings, clock: DatabaseClock) -> IsBooked:
    """Looks into the log, whose append times know of no shift of time."""

    async def is_booked(shard: Shard, offsets: Mapping[str, int], instant: Micros) -> bool:
        return await is_booked_until(settings, shard, offsets, later(instant, -clock.shift))

    return is_booked


def _sweeper(
    worker: Worker[LedgerSettings], executor: Executor[Any, Any], consumer: Consumer[Any, Any], days: Horizon
) -> Sweeper:
    """What sweeps the shards of the consumer: books what is due, notifies, keeps snapshots, closes days."""
    settings, pool, clock = worker.settings, worker.pool, worker.clock
    due = DueAccounts(pool, executor, settings.sweep_batch, now=clock.now, until=days.due_until)
    notices = ExpiryNotices(pool, executor, now=clock.now, limit=days.limit)
    snapshots = Snapshots(pool, executor, now=clock.now)
    day_close = DayClose(pool, settings.shards, _is_booked(settings, clock), now=clock.now, horizon=days)
    failed = FailedMessages(pool, now=clock.now)
    sweep = passes_in_sequence(due, notices, snapshots, Milestones(pool, now=clock.now), failed, day_close)

    def alarms() -> list[str]:
        return [*due.alarms(), *failed.alarms(), *day_close.alarms()]

    return Sweeper(settings, sweep, shards=consumer, alarms=alarms, clock=clock)


def wire(worker: Worker[LedgerSettings]) -> Sequence[Part]:
    """Build the parts of one worker process. Nothing connects before it is started."""
    settings, pool, clock = worker.settings, worker.pool, worker.clock
    days = Horizon(pool, settings.shards, settings.max_jump_days, clock.now)
    ledger = Ledger(days.limit)
    upkeep = Upkeep(pool, ledger, settings.shards, now=clock.now)
    relay = Relay(settings)
    executor = Executor(
        pool,
        ledger.book,
        optimistic=ledger.book_optimistically,
        committed=relay.wake,
        clock=clock,
        max_batch=settings.max_batch,
        concurrent_shards=settings.concurrent_shards,
        max_waiting=settings.waiting_commands,
    )
    consumer = Consumer(
        settings,
        pool,
        executor,
        topics=TOPICS,
        decode=Decoder(ledger, settings.shards, EventSources(settings.event_sources)),
        needs=[upkeep, days],
        worker=worker.number,
        clock=clock,
    )
    relay.follow(consumer)
    sweeper = _sweeper(worker, executor, consumer, days)
    publisher = Publisher(settings)
    api = Api(
        worker,
        routers=routers(
            pool, executor, publisher, Guard(settings), settings, reads=worker.reads, clock=clock.now, limit=days.limit
        ),
        title="Ledger",
        summary="Points: what members have, and why.",
        max_bodies=MAX_BODIES,
    )
    return [upkeep, days, relay, consumer, sweeper, publisher, api]


SERVICE = Service(
    "ledger",
    "services.ledger",
    LedgerSettings,
    wire,
    commands={
        "publish": publish,
        "proceed": proceed,
        "restored": restored,
        "verify": verify,
        "timelines": timelines,
    },
    prepare=prepare,
)

if __name__ == "__main__":
    sys.exit(main(SERVICE))
