"""Liveness and readiness that tell the truth: each check says whether it holds, why not, and what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec


class State(msgspec.Struct, frozen=True):
    """How a part or a dependency is. `remedy` says what an operator can do; `figures` are numbers worth seeing."""

    ok: bool
    detail: str = ""
    remedy: str = ""
    figures: Mapping[str, float | int | str | None] = {}


Check = Callable[[], Awaitable[State]]
