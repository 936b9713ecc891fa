"""Named points at which a test ends the process as `kill -9` would: `LOYALTY_KILL_AT=before_commit:3` at the third.

Without the variable a point costs a call of an empty function.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

VARIABLE = "LOYALTY_KILL_AT"


def armed(spec: str) -> Callable[[str], None]:
    """The function that kills this process when it passes the point of `name[:n]` for the n-th time (first: 1)."""
    name, _, nth = spec.partition(":")
    left = int(nth or 1)

    def fault(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return fault


def _unarmed(point: str) -> None:
    """Passes `point`."""


fault: Callable[[str], None] = armed(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _unarmed
"""Passes a named point: `after_fence`, `before_commit`, `after_commit`, `relay_before_send`, `relay_after_send`,
`relay_after_delete`, and those that a service names."""
