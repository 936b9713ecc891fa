"""Publishing to Kafka at full speed, with a bounded number of records in flight.

The records carry deterministic identities (subject, source, id, time), so an interrupted run is resumed by
running it again: what arrived already is known to the ledger and changes nothing (O1).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from deploy.shop.events import KAFKA_HEADERS, Event

# Enough to keep every partition's batch full; at a few kilobytes a record it stays below 100 MB.
MAX_IN_FLIGHT = 20_000
# A broker that acknowledges nothing for so long is gone: aiokafka itself may wait for ever.
ACK_TIMEOUT_SECONDS = 60.0
_REPORT_EVERY = 250


class Published(NamedTuple):
    """What a publication amounted to; every record counted was acknowledged by the broker."""

    records: int
    size_bytes: int
    seconds: float

    def plus(self, other: Published) -> Published:
        """Both as one."""
        return Published(self.records + other.records, self.size_bytes + other.size_bytes, self.seconds + other.seconds)


class RateColumn(ProgressColumn):
    """Records a second."""

    def render(self, task: Task) -> Text:
        """The rate so far; a dash before there is one."""
        speed = task.finished_speed or task.speed
        return Text("- /s" if speed is None else f"{speed:,.0f} /s", style="progress.data.speed")


def progress_bar(console: Console) -> Progress:
    """The bar that publishing and settling share."""
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        console=console,
    )


async def publish(events: Sequence[Event], *, bootstrap_servers: str, console: Console) -> Published:
    """Publish in the order given and return when the broker has acknowledged all of it.

    TimeoutError when the broker stops acknowledging; KafkaError when it is not there or refuses a record.
    Records of one member keep their order: they share a partition and the producer is idempotent.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        enable_idempotence=True,
        acks="all",
        linger_ms=5,
        max_batch_size=256 * 1024,
        compression_type="lz4",
    )
    started = time.monotonic()
    in_flight: deque[asyncio.Future[object]] = deque()
    acknowledged = 0
    try:
        async with asyncio.timeout(ACK_TIMEOUT_SECONDS):
            await producer.start()
        with progress_bar(console) as progress:
            task = progress.add_task("publish", total=len(events))
            for event in events:
                if len(in_flight) >= MAX_IN_FLIGHT:
                    acknowledged += await _acknowledge(in_flight, _REPORT_EVERY)
                    progress.update(task, completed=acknowledged)
                in_flight.append(
                    await producer.send(event.topic, event.body, key=event.member_id.encode(), headers=KAFKA_HEADERS)
                )
            while in_flight:
                acknowledged += await _acknowledge(in_flight, _REPORT_EVERY)
                progress.update(task, completed=acknowledged)
    finally:
        # stop() waits for ever when the broker is gone.
        await asyncio.wait_for(producer.stop(), ACK_TIMEOUT_SECONDS)
    return Published(acknowledged, sum(len(event.body) for event in events), time.monotonic() - started)


async def _acknowledge(in_flight: deque[asyncio.Future[object]], count: int) -> int:
    """Await the oldest acknowledgements, at most `count`; how many came."""
    oldest = [in_flight.popleft() for _ in range(min(count, len(in_flight)))]
    async with asyncio.timeout(ACK_TIMEOUT_SECONDS):
        await asyncio.gather(*oldest)
    return len(oldest)
