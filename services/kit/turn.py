"""Giving way to the other tasks of the event loop in long work."""

from __future__ import annotations

import asyncio
import time
from typing import Final

TURN_SECONDS: Final = 0.01
"""How long one task may keep the loop at a time: reads and heartbeats wait for it."""


class Turn:
    """One task's turn on the event loop. Long work asks between its steps whether the turn is over."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.perf_counter() + TURN_SECONDS

    def is_over(self) -> bool:
        """Whether it has lasted for `TURN_SECONDS`."""
        return time.perf_counter() > self._until

    async def yield_to_others(self) -> None:
        """Lets the other tasks run, and begins the next turn."""
        await asyncio.sleep(0)
        self._until = time.perf_counter() + TURN_SECONDS
