"""Partitions whose stored offset the log does not have: they are left out, and all others go on.

The topic was made anew under its name, or its retention has passed the consumer by. Only a person can know where to go
on, and sets the stored offset; from time to time it is loaded again, so no restart is needed then.
"""

from __future__ import annotations

import time
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from services.kit import log, metrics
from services.kit.kafka import Shard

_log = log.get(__name__)

RETRY_SECONDS: Final = 15.0
"""How often the stored offsets of such partitions are loaded again."""
REMEDY: Final = (
    "The stored offset is not in the log: the topic was made anew, or its retention has passed. Set consumer_offset; "
    "the other partitions go on."
)


class LostPlaces:
    """The partitions that a consumer leaves out, each with the offset that its log does not have."""

    def __init__(self) -> None:
        self._offsets: dict[TopicPartition, int] = {}
        self._told: dict[TopicPartition, int] = {}
        self._retry_at = 0.0

    def add(self, error: OffsetOutOfRangeError) -> list[TopicPartition]:
        """Takes note of what a client could not read; answers the partitions."""
        found: dict[TopicPartition, int] = error.args[0]
        self._offsets |= found
        self._retry_at = time.monotonic() + RETRY_SECONDS
        for place, offset in found.items():
            if self._told.get(place) != offset:
                metrics.count("alarms_total", kind="offset_out_of_range")
                _log.error("offset_out_of_range", topic=place.topic, partition=place.partition, offset=offset)
        self._told |= found
        return list(found)

    def __contains__(self, place: TopicPartition) -> bool:
        return place in self._offsets

    def take_due(self) -> set[Shard]:
        """The shards whose stored offsets are to be loaded again now; their partitions are read again after that."""
        if not self._offsets or time.monotonic() < self._retry_at:
            return set()
        shards = {Shard(place.partition) for place in self._offsets}
        self._offsets.clear()
        return shards

    def forget(self) -> None:
        """Says that another client begins, which has not tried yet."""
        self._offsets.clear()

    def trouble(self) -> str:
        """What is left out, in words; empty when nothing is."""
        places = [f"{place.topic} partition {place.partition} at {at}" for place, at in sorted(self._offsets.items())]
        return f"offset out of range: {', '.join(places)}" if places else ""
