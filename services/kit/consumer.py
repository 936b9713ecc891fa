"""The consumer of the member-keyed topics: shards owned, batches fenced, offsets in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from services.kit.dead_letter import Refused
from services.kit.executor import Executor
from services.kit.health import State
from services.kit.kafka import Record
from services.kit.postgres import Pool
from services.kit.settings import Settings

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


class Source(Protocol):
    """Something that must be known before the first record is decoded (the program follower)."""

    async def first(self) -> object: ...


class Consumer(Generic[I, O]):
    """The part `consumer`: owns a share of the shards and books what arrives on them."""

    name = "consumer"

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        executor: Executor[I, O],
        *,
        topics: Sequence[str],
        decode: Callable[[Record], I | Refused | None],
        needs: Sequence[Source] = (),
        worker: int = 0,
    ) -> None:
        """`decode` makes an input of a record: a `Refused` becomes a dead letter, None is passed over.

        `worker` numbers this process among the service's workers (its static membership of the group).
        """
        raise NotImplementedError

    @property
    def shards(self) -> frozenset[int]:
        """The shards that this process owns now."""
        raise NotImplementedError

    def on_shards(self, listener: Callable[[frozenset[int]], None]) -> None:
        """Calls `listener` whenever the owned shards change."""
        raise NotImplementedError

    async def start(self) -> None:
        """Begins to join the group; returns at once, also when the broker or the database is away."""

    async def stop(self) -> None:
        """Finishes the batches in flight and leaves."""

    def state(self) -> State:
        """Whether the consumer does its work, how far it is behind, and why it stopped."""
        raise NotImplementedError
