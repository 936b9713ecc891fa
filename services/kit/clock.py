"""The wall clock, as an instant in microseconds. Pass a `Clock` where a test wants to choose the time."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.kit.calendar import Micros

Clock = Callable[[], Micros]


def now() -> Micros:
    """The present instant."""
    return Micros(time.time_ns() // 1000)
