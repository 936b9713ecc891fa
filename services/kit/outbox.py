"""Facts out: written with the transaction that makes them true, sent in order afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.kit.consumer import Consumer
from services.kit.health import State
from services.kit.kafka import Headers
from services.kit.postgres import Connection, Pool
from services.kit.settings import Settings


class OutboxRow(NamedTuple):
    """One record to send. `shard` is that of the transaction that writes it; the record's partition follows from
    its key (a row may be addressed to another shard's member)."""

    shard: int
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


async def append(tx: Connection, rows: Sequence[OutboxRow]) -> None:
    """Writes rows by COPY, in order, in the caller's transaction (after the members' locks are held)."""


class Relay:
    """The part `relay`: sends each shard's rows in id order and deletes them once the broker has them."""

    name = "relay"

    def __init__(self, settings: Settings, pool: Pool, *, batch: int = 1000) -> None: ...

    def follow(self, consumer: Consumer[object, object]) -> None:
        """Relays the shards that this consumer owns. Without, all shards that no other relay holds."""

    def wake(self, shard: int) -> None:
        """Tells the relay that rows of a shard were committed (else it looks every 20 to 250 ms)."""

    async def start(self) -> None:
        """Begins to relay; returns at once, also when broker or database is away."""

    async def stop(self) -> None:
        """Sends what is there as far as time allows, and releases its shards."""

    def state(self) -> State:
        """Whether rows get through, and how many wait."""
        raise NotImplementedError
