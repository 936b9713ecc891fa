"""The order events that are measured: a shop's year as `make replay` tells it, from a file or from an imitation.

Paid orders have 21 lines in the mean with a long tail, each is shipped and completed later, a part of many is sent
back, some refunds name no order that ever comes, and a fifth of the members causes most of it. Nothing else is told:
no registrations, no sign-ins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.shop.events import KAFKA_HEADERS, Event
from deploy.shop.imitation import write_imitation
from deploy.shop.online_retail import read_shop
from deploy.shop.replay import replay
from services.kit.calendar import later, to_micros
from services.kit.kafka import Record, Shard, partition_of

CURRENCY = "CNY"
SEED = 1
DEFAULT_EVENTS = 60_000
_EVENTS_AN_INVOICE = 2.4
"""Of the imitation: a quarter of its invoices are guests', the others make three events and now and then a refund."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Events in the order in which they are published."""

    events: Sequence[Event]
    source: str
    """What to call it in a report."""

    @property
    def members(self) -> list[str]:
        """Whom it is about."""
        return sorted({event.member_id for event in self.events})

    def records(self, shards: int) -> dict[Shard, list[Record]]:
        """The same as records of each shard, as if the broker had appended them now (one a microsecond)."""
        placed: dict[Shard, list[Record]] = defaultdict(list)
        now = to_micros(datetime.now(UTC))
        headers = tuple(KAFKA_HEADERS)
        for number, event in enumerate(self.events):
            key = event.member_id.encode()
            shard = partition_of(key, shards)
            record = Record(event.topic, shard, len(placed[shard]), later(now, number), key, event.body, headers)
            placed[shard].append(record)
        return dict(placed)


def prepare(directory: Path, *, events: int, file: Path | None) -> Workload:
    """The events of `file` (Online Retail CSV), or `events` of an imitation that is kept in `directory`."""
    path = file if file is not None else _imitation(directory, round(events / _EVENTS_AN_INVOICE * 1.05) + 20)
    replayed = replay(read_shop(path, decimals=2), currency=CURRENCY, now=datetime.now(UTC)).events
    if file is not None:
        return Workload(replayed, file.name)
    # The last weeks are cut off, so that another size is the same shop for another time.
    return Workload(replayed[:events], "an imitation of a gift shop's year")


def _imitation(directory: Path, invoices: int) -> Path:
    path = directory / f"imitation-{SEED}-{invoices}.csv"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{path.stem}-new.csv")
        write_imitation(scratch, seed=SEED, invoices=invoices)
        scratch.rename(path)
    return path
