"""How far a consumer is behind the log, and whether it gets anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from services.kit import clock

if TYPE_CHECKING:
    from services.kit.shard_worker import ShardWorker


class Lag(NamedTuple):
    """Records that were read and not booked, or not read; the age of the oldest one read, in seconds."""

    records: int
    seconds: float


def lag_of(lanes: Iterable[ShardWorker[Any, Any]], unread: Callable[[str, int], int | None]) -> Lag:
    """The lag of some lanes; `unread(topic, shard)` is how much of a partition was not read, if known."""
    records = 0
    oldest = now = clock.now()
    for lane in lanes:
        records += lane.waiting + sum(unread(topic, lane.shard) or 0 for topic in lane.booked)
        oldest = min(oldest, lane.oldest() or now)
    return Lag(records, (now - oldest) / 1_000_000)


class Stall:
    """Notices that records wait and none gets booked: a client that hangs looks healthy otherwise."""

    def __init__(self, after_seconds: float) -> None:
        self._after_seconds = after_seconds
        self._booked = -1
        self._since = time.monotonic()

    def noticed(self, lag: Lag, lanes: Iterable[ShardWorker[Any, Any]]) -> bool:
        """Whether nothing has moved for too long while there was something to do. Ask it regularly."""
        booked = sum(sum(lane.booked.values()) for lane in lanes)
        if lag.records == 0 or booked != self._booked:
            self._booked = booked
            self._since = time.monotonic()
        return time.monotonic() - self._since > self._after_seconds
