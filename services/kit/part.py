"""The parts of a worker process: what each offers, the state it reports, and the shards that several parts share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from services.kit.kafka import Shard
from services.kit.pulse import Pulse


class State(msgspec.Struct, frozen=True):
    """The state of a part or a dependency. `remedy` says what an operator can do; `figures` are worth seeing."""

    ok: bool
    detail: str = ""
    remedy: str = ""
    figures: Mapping[str, float | int | str | None] = {}
    serves: bool | None = None
    """Whether requests can be answered with it as it is, where that differs from `ok`."""

    @property
    def can_serve(self) -> bool:
        """Whether it stands in no request's way."""
        return self.ok if self.serves is None else self.serves


class Part(Protocol):
    """What runs in a worker. `start` returns at once and connects in the background; `stop` loses nothing."""

    @property
    def name(self) -> str:
        """`api`, `consumer`, `relay`, `sweeper`, or another."""

    @property
    def pulse(self) -> Pulse:
        """Whether its task lives and moves."""

    async def start(self) -> None:
        """Begins to work."""

    async def stop(self) -> None:
        """Finishes what is in flight."""

    def state(self) -> State:
        """Whether it works."""


class Source(Protocol):
    """A part that must know something before the first record is decoded (the program follower)."""

    @property
    def name(self) -> str:
        """The part's name."""

    async def first(self) -> object:
        """Returns when it is known."""


class Shards(Protocol):
    """The shards that this process owns at the moment. The consumer offers them; the relay and the sweeper follow."""

    @property
    def shards(self) -> frozenset[Shard]:
        """The shards owned now."""

    def on_shards_changed(self, listener: Callable[[frozenset[Shard]], None]) -> None:
        """Calls `listener` with the shards owned whenever they change."""


class ClockCheck(Protocol):
    """Whether what goes by the present instant may be booked in this process."""

    def check(self) -> None:
        """Raises `ClockOff` if not."""
