"""python -m services.ledger serve|migrate|redrive|publish|verify"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from services.kit.app import Api
from services.kit.auth import Guard
from services.kit.consumer import Consumer
from services.kit.event_sources import EventSources
from services.kit.executor import Executor
from services.kit.part import Part
from services.kit.relay import Relay
from services.kit.serve import Service, Worker, main
from services.kit.sweeper import Sweeper
from services.kit.unread import is_booked_until
from services.ledger.api import MAX_BODIES, routers
from services.ledger.api.publisher import Publisher
from services.ledger.audit.verify import verify
from services.ledger.consumer import TOPICS, Decoder
from services.ledger.executor import Ledger
from services.ledger.jobs.day_close import DayClose
from services.ledger.jobs.due import DueAccounts, passes_in_sequence
from services.ledger.jobs.expiry_notices import ExpiryNotices
from services.ledger.jobs.snapshots import Snapshots
from services.ledger.jobs.upkeep import Upkeep
from services.ledger.publication import publish
from services.ledger.settings import LedgerSettings
from services.ledger.store import prepare


def wire(worker: Worker[LedgerSettings]) -> Sequence[Part]:
    """Build the parts of one worker process. Nothing connects before it is started."""
    settings, pool = worker.settings, worker.pool
    ledger = Ledger()
    upkeep = Upkeep(pool, ledger, settings.shards)
    relay = Relay(settings)
    executor = Executor(
        pool,
        ledger.book,
        optimistic=ledger.book_optimistically,
        committed=relay.wake,
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
        needs=[upkeep],
        worker=worker.number,
    )
    relay.follow(consumer)
    due = DueAccounts(pool, executor, settings.sweep_batch)
    day_close = DayClose(pool, settings.shards, partial(is_booked_until, settings))
    sweep = passes_in_sequence(due, ExpiryNotices(pool, executor), Snapshots(pool, executor), day_close)
    sweeper = Sweeper(settings, sweep, shards=consumer, alarms=lambda: [*due.alarms(), *day_close.alarms()])
    publisher = Publisher(settings)
    api = Api(
        worker,
        routers=routers(pool, executor, publisher, Guard(settings), settings),
        title="Ledger",
        summary="Points: what members have, and why.",
        max_bodies=MAX_BODIES,
    )
    return [upkeep, relay, consumer, sweeper, publisher, api]


SERVICE = Service(
    "ledger",
    "services.ledger",
    LedgerSettings,
    wire,
    commands={"publish": publish, "verify": verify},
    prepare=prepare,
)

if __name__ == "__main__":
    sys.exit(main(SERVICE))
