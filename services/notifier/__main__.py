"""python -m services.notifier serve|migrate|redrive|restored|verify"""

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
from services.notifier.api import routers
from services.notifier.api.context import Context
from services.notifier.audit.verify import verify
from services.notifier.domain.inputs import Input
from services.notifier.events.inbound import TOPICS, Decoder
from services.notifier.executor import Notifier, Outcome
from services.notifier.program import policy_of
from services.notifier.settings import NotifierSettings
from services.notifier.store import prepare
from services.notifier.texts.rendering import Texts


def wire(worker: Worker[NotifierSettings]) -> Sequence[Part]:
    """Build the parts of one worker process. Nothing connects before it is started."""
    settings, pool, clock = worker.settings, worker.pool, worker.clock
    texts = Texts.load()
    programs = ProgramFollower(settings, parse=policy_of)
    relay = Relay(settings)
    notifier = Notifier(settings, programs, texts)
    executor: Executor[Input, Outcome] = Executor(
        pool,
        notifier.book,
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
        routers=routers(Context(settings, worker.reads, executor, Guard(settings), programs, texts, clock.now)),
        title="Notifier",
        summary="Messages to members, the preferences they rest on, and the inbox.",
        drain=executor.drain,
    )
    return [programs, relay, consumer, api]


SERVICE = Service(
    "notifier",
    "services.notifier",
    NotifierSettings,
    wire,
    prepare=prepare,
    commands={"restored": restored, "verify": verify},
)

if __name__ == "__main__":
    sys.exit(main(SERVICE))
