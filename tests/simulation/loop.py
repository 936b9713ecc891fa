"""An event loop whose time passes at once: who sleeps is woken as soon as there is nothing else to do."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class StuckError(Exception):
    """Everybody waits for somebody: a lock is never let go, or an answer never given."""


class _Selector(selectors.DefaultSelector):
    """Waits for no time at all, and says how long it should have been."""

    loop: TimelessLoop

    def select(self, timeout: float | None = None) -> Any:
        """What is ready."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise StuckError
            self.loop.slept += timeout
        return ready


class TimelessLoop(asyncio.SelectorEventLoop):
    """For what depends on no process, file or socket."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.slept = 0.0
        super().__init__(selector)

    def time(self) -> float:
        """Seconds slept so far."""
        return self.slept
