"""Settled means two looks in a row that find nothing open; what hangs is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

import pytest
from aiokafka import TopicPartition
from rich.console import Console

from deploy.shop.settle import Backlog, NotSettledError, settle

POINTS = TopicPartition("loyalty.points.v1", 3)


def looks(*backlogs: Backlog) -> Callable[[], Awaitable[Backlog]]:
    """A stack that looks like this, one look after another, and stays as it was last."""
    upcoming = iter(backlogs)
    seen: list[Backlog] = []

    async def look() -> Backlog:
        seen.append(next(upcoming, seen[-1] if seen else Backlog(Counter())))
        return seen[-1]

    return look


def backlog(waiting: Iterable[tuple[str, int]] = (), end: int = 0) -> Backlog:
    return Backlog(Counter(dict(waiting)), {POINTS: end})


async def test_one_look_at_rest_is_not_enough() -> None:
    calls = 0
    stack = looks(backlog(end=1), backlog(end=2), backlog([("ledger outbox", 1)], end=2), backlog(end=3))

    async def counted() -> Backlog:
        nonlocal calls
        calls += 1
        return await stack()

    await settle(counted, console=Console(quiet=True), every_s=0)
    assert calls == 5


async def test_what_hangs_is_named() -> None:
    stack = looks(backlog([("tiering loyalty.points.v1", 7), ("ledger outbox", 2)]))
    with pytest.raises(NotSettledError, match=r"tiering loyalty\.points\.v1: 7, ledger outbox: 2"):
        await settle(stack, console=Console(quiet=True), stalled_after_s=0.01, every_s=0.005)


async def test_what_moves_slowly_does_not_hang() -> None:
    moving = [backlog([("ledger outbox", left)]) for left in range(20, 0, -1)]
    assert await settle(looks(*moving, backlog()), console=Console(quiet=True), stalled_after_s=0.05, every_s=0.01)
