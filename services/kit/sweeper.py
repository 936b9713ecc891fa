"""Work that falls due by itself: a pass over each owned shard, again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from services.kit.consumer import Consumer
from services.kit.health import State
from services.kit.settings import Settings

Pass = Callable[[int], Awaitable[int]]
"""Books what is due in one shard, a bounded number of it; answers how many it found (0: nothing more is due)."""


class Sweeper:
    """The part `sweeper`: runs a pass over its shards every few seconds, and at once again while it finds work."""

    name = "sweeper"

    def __init__(
        self,
        settings: Settings,
        sweep: Pass,
        *,
        every_seconds: float = 1.0,
        consumer: Consumer[Any, Any] | None = None,
    ) -> None:
        """With a consumer, its shards are swept; without, all (several sweepers only cost work, never truth)."""
        raise NotImplementedError

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def state(self) -> State:
        """Whether the last pass went through."""
        raise NotImplementedError
