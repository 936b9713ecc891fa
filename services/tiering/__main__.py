"""python -m services.tiering serve|migrate|redrive|restored|verify"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from services.kit.app import Api
from services.kit.auth import Guard
from services.kit.consumer import Consumer
from services.kit.epoch import restored
from services.kit.event_sources import EventSources
from services.kit.executor import Executor
from services.kit.part import Part
from services.kit.program import ProgramFollower
from services.kit.relay import Relay
from services.kit.serve import Service, main
from services.kit.worker import Worker
from services.tiering.api import routers
from services.tiering.api.context import Context
from services.tiering.audit.verify import verify
from services.tiering.domain.program import compile_program
from services.tiering.events.inbound import TOPICS, Decoder
from services.tiering.executor import Booking
from services.tiering.settings import TieringSettings
from services.tiering.versions import KnownVersions


def wire(worker: Worker[TieringSettings]) -> Sequence[Part]:
    """Build the parts of one worker process. Nothing connects before it is started."""
    settings, pool, clock = worker.settings, worker.pool, worker.clock
    programs = ProgramFollower(settings, parse=compile_program)
    versions = KnownVersions(programs)
    relay = Relay(settings)
    executor = Executor(
        pool,
        Booking(versions.newest, settings.shards),
        committed=relay.wake,
        clock=clock,
        max_batch=settings.max_batch,
        max_waiting=settings.waiting_commands,
    )
    consumer = Consumer(
        settings,
        pool,
        executor,
        topics=TOPICS,
        decode=Decoder(
            versions,
            shards=settings.shards,
            max_event_age_days=settings.max_event_age_days,
            sources=EventSources(settings.event_sources),
        ),
        needs=[programs],
        worker=worker.number,
        clock=clock,
    )
    relay.follow(consumer)
    api = Api(
        worker,
        routers=routers(Context(worker.reads, Guard(settings), versions, settings.shards, clock.now), executor),
        title="Tiering",
        summary="Where members stand, and what is missing for the next tier.",
        drain=executor.drain,
    )
    return [programs, relay, consumer, api]


SERVICE = Service(
    "tiering",
    "services.tiering",
    TieringSettings,
    wire,
    commands={"restored": restored, "verify": verify},
)

if __name__ == "__main__":
    sys.exit(main(SERVICE))
