"""The tier history in `upgrade_only` mode, from the dated timelines of all orders (T1, T2, T9, R8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from services.kit.calendar import Micros
from tests.model.days import minor
from tests.model.orders import TimelineEntry
from tests.model.program import Program


def history(
    timelines: Iterable[list[TimelineEntry]], program_at: Callable[[Micros], Program]
) -> list[tuple[Micros, str]]:
    """[(effective_at, tier)]: at each instant the highest step whose own condition holds, never down."""
    by_instant: dict[Micros, tuple[int, int]] = {}
    for timeline in timelines:
        for at, amount, orders in timeline:
            known = by_instant.get(at, (0, 0))
            by_instant[at] = known[0] + amount, known[1] + orders
    growth = orders = 0
    reached = -1
    steps: list[tuple[Micros, str]] = []
    for at in sorted(by_instant):
        growth, orders = growth + by_instant[at][0], orders + by_instant[at][1]
        program = program_at(at)
        ladder = program.get("tiers", {}).get("ladder", [])
        holding = [i for i, step in enumerate(ladder) if holds(step["when"], growth, orders, program)]
        if holding and holding[-1] > reached:
            reached = holding[-1]
            steps.append((at, ladder[reached]["tier"]))
    return steps


def holds(condition: dict[str, Any], growth: int, orders: int, program: Program) -> bool:
    """T2: a step's own condition: growth, orders, any of them, or all."""
    checks = [
        *([growth >= minor(condition["growth"], program["currency"])] if "growth" in condition else []),
        *([orders >= condition["orders"]] if "orders" in condition else []),
        *([any(holds(one, growth, orders, program) for one in condition["any"])] if "any" in condition else []),
        *([all(holds(one, growth, orders, program) for one in condition["all"])] if "all" in condition else []),
    ]
    return all(checks)
