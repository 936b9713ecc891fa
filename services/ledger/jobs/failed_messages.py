"""Watches the messages between accounts that could not be booked: until they are, what they carry is in transit."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from services.kit import clock, failed_messages, metrics
from services.kit.calendar import MICROS_PER_SECOND, Micros
from services.kit.clock import Clock
from services.kit.kafka import Shard
from services.kit.postgres import Pool
from services.ledger.events.internal import INTERNAL

LOOK_SECONDS: Final = 10.0
"""How often a shard is looked at."""
FORGET_SECONDS: Final = 60.0
"""What was seen of a shard that was not looked at for so long is forgotten."""


class _Seen(NamedTuple):
    number: int
    since: Micros | None
    at: float


class FailedMessages:
    """A sweeper's pass over one shard: counts the messages that wait; they are driven again by an operator."""

    def __init__(self, pool: Pool, *, now: Clock = clock.now) -> None:
        self._pool = pool
        self._now = now
        self._seen: dict[Shard, _Seen] = {}

    async def __call__(self, shard: Shard) -> int:
        """Look at one shard; there is never anything to book."""
        seen = self._seen.get(shard)
        if seen is None or time.monotonic() - seen.at > LOOK_SECONDS:
            async with self._pool.acquire() as connection:
                found = await failed_messages.oldest(connection, INTERNAL, shard)
            self._seen[shard] = _Seen(*found, time.monotonic())
        return 0

    def alarms(self) -> list[str]:
        """How many messages wait, and since when, in words."""
        for shard in [shard for shard, seen in self._seen.items() if time.monotonic() - seen.at > FORGET_SECONDS]:
            del self._seen[shard]  # it is another worker's now
        number = sum(seen.number for seen in self._seen.values())
        since = min((seen.since for seen in self._seen.values() if seen.since is not None), default=None)
        age = 0.0 if since is None else (self._now() - since) / MICROS_PER_SECOND
        metrics.gauge("failed_messages", number)
        metrics.gauge("oldest_in_transit_seconds", age)
        if since is None:
            return []
        return [
            f"{number} messages between accounts could not be booked, the oldest for {age:.0f} s, and what they carry "
            "is in transit: mend the cause, then python -m services.ledger redrive"
        ]
