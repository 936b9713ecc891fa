"""Waiting until the services are at rest: all records consumed, all outboxes sent, everything due booked.

The services feed each other (points make tiers, tiers make points), so one look is not enough: at rest means
two looks in a row that find nothing open and the same ends of the topics.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from rich.console import Console

from deploy.shop.publisher import progress_bar
from services.kit.kafka import READ_COMMITTED
from services.kit.postgres import Queries

SQL = Queries.load("deploy.shop", "sql/settle.sql", require=("next_offsets", "outbox_rows", "due_accounts"))
SERVICES = ("ledger", "tiering", "notifier")

STALLED_AFTER_SECONDS = 60.0
"""If no offset moved and no outbox row was sent in this time, something hangs."""
_LOOK_EVERY_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is still open at one look, by the place that has it."""

    open: Counter[str]
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    """The broker's end offsets at the look."""

    @property
    def total(self) -> int:
        """Records, rows and accounts that wait."""
        return self.open.total()

    def describe(self) -> str:
        """The places that have something open, most first."""
        return ", ".join(f"{place}: {count:,}" for place, count in self.open.most_common() if count)


class NotSettledError(Exception):
    """Nothing moved for a while although something is open; the message says where it hangs."""


async def settle(
    look: Callable[[], Awaitable[Backlog]],
    *,
    console: Console,
    stalled_after_s: float = STALLED_AFTER_SECONDS,
    every_s: float = _LOOK_EVERY_SECONDS,
) -> float:
    """Look until two looks in a row find all at rest; the seconds it took. NotSettledError if it hangs."""
    started = moved_at = time.monotonic()
    last: Backlog | None = None
    most = 0
    with progress_bar(console) as progress:
        task = progress.add_task("settle", total=None)
        while True:
            backlog = await look()
            now = time.monotonic()
            most = max(most, backlog.total)
            progress.update(task, total=max(most, 1), completed=most - backlog.total)
            if backlog == last:
                if not backlog.total:
                    progress.update(task, completed=max(most, 1))
                    return now - started
                if now - moved_at > stalled_after_s:
                    waited = f"nothing moved for {stalled_after_s:.0f} s"
                    raise NotSettledError(f"{waited}; still open: {backlog.describe()}")
            else:
                moved_at = now
            last = backlog
            await asyncio.sleep(every_s)


class Watch(AbstractAsyncContextManager["Watch"]):
    """Looks at a running stack: the stored offsets beside the broker's, the outboxes, what is due."""

    def __init__(self, database_url: str, bootstrap_servers: str) -> None:
        self._database_url = database_url
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers, enable_auto_commit=False, isolation_level=READ_COMMITTED
        )
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
        self._assigned: set[TopicPartition] = set()
        self._partitions: dict[str, list[int]] = {}

    async def __aenter__(self) -> Watch:
        self._database = await asyncpg.connect(self._database_url)
        await self._consumer.start()
        await self._admin.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._database.close()
        await self._admin.close()
        await asyncio.wait_for(self._consumer.stop(), 10)

    async def look(self) -> Backlog:
        """One look. The order matters: what a record causes is in an outbox before its offset is stored."""
        open_: Counter[str] = Counter()
        for row in await self._database.fetch(SQL.outbox_rows):
            open_[f"{row['service']} outbox"] += row["rows"]
        open_["ledger accounts due"] += await self._database.fetchval(SQL.due_accounts)
        offsets: dict[tuple[str, str], dict[int, int]] = {}
        for row in await self._database.fetch(SQL.next_offsets):
            offsets.setdefault((row["service"], row["topic"]), {})[row["partition"]] = row["next_offset"]
        partitions = await self._partitions_of({topic for _, topic in offsets})
        ends = await self._ends(TopicPartition(topic, number) for topic in partitions for number in partitions[topic])
        for (service, topic), taken in offsets.items():
            for number in partitions[topic]:
                # A partition without a stored offset has not been read at all.
                behind = ends[TopicPartition(topic, number)] - taken.get(number, 0)
                open_[f"{service} {topic}"] += max(behind, 0)
        for service in SERVICES:
            open_[f"{service} has no offsets"] += service not in {name for name, _ in offsets}
        return Backlog(+open_, ends)

    async def _partitions_of(self, topics: set[str]) -> dict[str, list[int]]:
        if topics - self._partitions.keys():
            for described in await self._admin.describe_topics(sorted(topics)):
                self._partitions[described["topic"]] = [each["partition"] for each in described["partitions"]]
        return {topic: self._partitions[topic] for topic in topics}

    async def _ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        wanted = set(partitions)
        if not wanted:
            return {}
        if wanted != self._assigned:
            self._consumer.assign(list(wanted))
            # Only the ends are asked for; nothing is fetched.
            self._consumer.pause(*wanted)
            self._assigned = wanted
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(list(wanted))
        return ends
