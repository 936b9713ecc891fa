"""One run of the benchmarks: what they share, and what is said while they run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import uvloop
from rich.console import Console

from deploy.shop.publisher import publish
from schemas.topics import SHARDS
from tests.bench import booking, yardstick
from tests.bench.booking import Batch, Cost
from tests.bench.system import System, system
from tests.bench.workload import Workload
from tests.bench.yardstick import Rate

DIRECTORY = Path("build") / "bench"
PUBLISH_LIMIT_S = 300.0


@dataclass
class Run:
    """The servers, the backlog on the topic, and the rows that it makes."""

    system: System
    workload: Workload
    rounds: int
    console: Console
    began: float = field(default_factory=time.monotonic)

    @property
    def events(self) -> int:
        """How many events the backlog has."""
        return len(self.workload.events)

    def say(self, what: str) -> None:
        """A line of progress."""
        say(self.console, self.began, what)

    @cached_property
    def recorded(self) -> tuple[list[Batch], dict[str, Cost]]:
        """Every row that the ledger writes for the backlog, and what each statement took, once."""
        with self.system.database("recorded") as database:
            batches, costs = uvloop.run(booking.record(database, self.workload.records(SHARDS)))
            self.system.verify(database)
            plain = yardstick.plain(batches, database)
        # What the yardstick leaves behind is a ledger like any other: its chains hold and its books balance.
        yardstick.prove(self.system, plain)
        self.say("noted every row the ledger writes for these events; plain SQL writes the same ledger")
        return plain, costs

    def raw_sql(self) -> Rate:
        """How fast plain SQL writes those rows, now."""
        rate = yardstick.measure(self.system, self.recorded[0])
        tried = ", ".join(f"{number} connections {value:,.0f}" for number, value in rate.all.items())
        self.say(f"plain SQL: {rate.events_per_second:,.0f} events a second ({tried})")
        return rate


@contextmanager
def running(workload: Workload, *, rounds: int, console: Console) -> Iterator[Run]:
    """Start the servers and publish the backlog."""
    began = time.monotonic()
    with system(DIRECTORY / "servers", lambda what: say(console, began, what)) as servers:
        run = Run(servers, workload, rounds, console, began)
        publishing = publish(workload.events, bootstrap_servers=servers.kafka.bootstrap, console=Console(quiet=True))
        published = asyncio.run(asyncio.wait_for(publishing, PUBLISH_LIMIT_S))
        run.say(f"published {published.records:,} order events, {workload.source}")
        yield run


def say(console: Console, began: float, what: str) -> None:
    """A line of progress with the seconds since the beginning."""
    console.print(f"[dim]{time.monotonic() - began:6.1f} s[/]  {what}", highlight=False)
