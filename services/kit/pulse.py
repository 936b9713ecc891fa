"""Whether the task of a part lives and moves: a part that says it is well may have ended, or hang."""

from __future__ import annotations

import asyncio
import time
from typing import Final

STILL_SECONDS: Final = 180.0
"""A task that has not moved for so long hangs: two statements at their limit, and the longest wait for the brokers."""
REMEDY: Final = "See the log of this part, and restart the service; nothing is lost."


class Pulse:
    """The task of a part, and when it last moved. A part without a task of its own never has trouble."""

    def __init__(self, still_seconds: float = STILL_SECONDS) -> None:
        self._still_seconds = still_seconds
        self._task: asyncio.Task[None] | None = None
        self._moved_at = 0.0

    def follow(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Says which task moves the part; answers it."""
        self._task = task
        self.beat()
        return task

    def beat(self) -> None:
        """Says that the task moves."""
        self._moved_at = time.monotonic()

    def trouble(self) -> str:
        """What is wrong with the task, in words; empty when it lives and moves."""
        if self._task is None:
            return ""
        if self._task.done():
            error = None if self._task.cancelled() else self._task.exception()
            return f"its task has ended{f': {error!r}' if error is not None else ''}"
        still = time.monotonic() - self._moved_at
        return f"its task has not moved for {still:.0f} s" if still > self._still_seconds else ""
