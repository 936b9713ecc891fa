"""Publishes events for callers without a Kafka client: in order, acknowledged by all replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.kit import log, metrics
from services.kit.cloudevent import HEADERS
from services.kit.kafka import new_producer, stop_quietly
from services.kit.part import State
from services.kit.pulse import Pulse
from services.kit.settings import Settings

_log = log.get(__name__)

TIMEOUT_SECONDS: Final = 5.0
"""How long a request waits for the brokers; without it the producer would wait for ever."""


class BrokersUnavailable(Exception):
    """The brokers did not take all events in time. Some may be published; sending them again does no harm."""


class Message(NamedTuple):
    """An event in structured mode, for a topic, keyed by its subject."""

    topic: str
    key: bytes
    value: bytes


class Publisher:
    """The part `publisher`: a producer that connects for the first event, and again after a failure."""

    name = "publisher"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._last_error = ""
        self.pulse = Pulse()

    async def start(self) -> None:
        """Does nothing: the first event connects."""

    async def stop(self) -> None:
        """Sends what is still in its buffers, as far as time allows, and closes."""
        await self._drop()

    def state(self) -> State:
        """Always well: without the brokers only publishing fails, and its caller is answered so."""
        return State(True, self._last_error)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns when all are acknowledged; those of one member keep their order. Raises BrokersUnavailable."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                producer = await self._connected()
                sent = [
                    await producer.send(topic, value=value, key=key, headers=list(HEADERS))
                    for topic, key, value in messages
                ]
                await asyncio.gather(*sent)
        except (KafkaError, OSError, TimeoutError) as error:
            self._last_error = repr(error)
            _log.warning("publishing_failed", error=repr(error))
            metrics.count("kafka_clients_rebuilt_total", client="publisher")
            await self._drop()
            raise BrokersUnavailable(repr(error)) from error
        self._last_error = ""

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                producer = new_producer(self._settings, client="api")
                try:
                    await producer.start()
                except BaseException:
                    with suppress(Exception):
                        await stop_quietly(producer, seconds=1.0)
                    raise
                self._producer = producer
            return self._producer

    async def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_quietly(producer)
