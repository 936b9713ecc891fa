"""How far a consumer is behind the log, and whether it gets anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from services.kit import clock

if TYPE_CHECKING:
    from services.kit.lane import Lane


class Lag(NamedTuple):
    """Records between what is booked and the end of the log; the age of the oldest one read but not booked."""

    records: int
    seconds: float


def lag_of(lanes: Iterable[Lane[Any, Any]], end_of: Callable[[str, int], int | None]) -> Lag:
    """The lag of some lanes; `end_of(topic, shard)` is the log's end as last heard."""
    records = 0
    oldest = now = clock.now()
    for lane in lanes:
        records += sum(max(0, (end_of(topic, lane.shard) or 0) - booked) for topic, booked in lane.booked.items())
        oldest = min(oldest, lane.oldest() or now)
    return Lag(records, (now - oldest) / 1_000_000)


class Stall:
    """Notices that records wait and none gets booked: a client that hangs looks healthy otherwise."""

    def __init__(self, after_seconds: float) -> None:
        self._after_seconds = after_seconds
        self._booked = -1
        self._since = time.monotonic()

    def noticed(self, lag: Lag, lanes: Iterable[Lane[Any, Any]]) -> bool:
        """Whether nothing has moved for too long while there was something to do. Ask it regularly."""
        booked = sum(sum(lane.booked.values()) for lane in lanes)
        if lag.records == 0 or booked != self._booked:
            self._booked = booked
            self._since = time.monotonic()
        return time.monotonic() - self._since > self._after_seconds
