"""The ladder of tiers that a program document describes (T2).

A step is held when one of its ways is: a way asks for a growth value, a number of successful orders, or
both. Conditions written with `any` and `all` are compiled to such ways once, so that reading the ladder is
a few integer comparisons, and the gap to a step is a subtraction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from services.kit.money import minor_units

NONE = "none"
"""The tier of a member who holds no step yet (T9)."""


class UnsupportedError(ValueError):
    """The program document asks for something that this version of tiering does not do."""


class Way(NamedTuple):
    """One sufficient condition: at least this growth value and this many successful orders."""

    growth: int | None
    """Minor units; None when the way does not ask for growth."""
    orders: int | None
    """Successful orders; None when the way does not ask for them."""

    def holds(self, growth: int, orders: int) -> bool:
        """Whether totals meet this way. A threshold itself is inside (half-open intervals, T2)."""
        return (self.growth is None or growth >= self.growth) and (self.orders is None or orders >= self.orders)

    def gap(self, growth: int, orders: int) -> Way:
        """What is missing for this way, never below zero."""
        return Way(
            None if self.growth is None else max(0, self.growth - growth),
            None if self.orders is None else max(0, self.orders - orders),
        )


class LadderStep(msgspec.Struct, frozen=True):
    """One tier of the ladder."""

    tier: str
    names: dict[str, str]
    """What the tier is called, by locale; empty when the program gives no names."""
    ways: tuple[Way, ...]

    def holds(self, growth: int, orders: int) -> bool:
        """Whether totals meet this step's own condition."""
        return any(way.holds(growth, orders) for way in self.ways)


class Ladder:
    """The steps from the lowest to the highest. A rank is a place on the ladder: 0 is below all steps."""

    def __init__(self, steps: Sequence[LadderStep]) -> None:
        self.steps = tuple(steps)
        self._ranks = {step.tier: rank for rank, step in enumerate(self.steps, start=1)}
        self._descending = [
            (rank, *way)
            for rank in range(len(self.steps), 0, -1)
            for way in self.steps[rank - 1].ways
        ]  # fmt: skip

    def rank(self, growth: int, orders: int) -> int:
        """The rank of the highest step whose own condition holds, 0 for none (T1)."""
        for rank, least_growth, least_orders in self._descending:
            if (least_growth is None or growth >= least_growth) and (least_orders is None or orders >= least_orders):
                return rank
        return 0

    def rank_of(self, tier: str, otherwise: int = 0) -> int:
        """The rank of a tier by name. A tier that this ladder no longer names keeps the rank it had."""
        return self._ranks.get(tier, min(otherwise, len(self.steps)))

    def tier(self, rank: int) -> str:
        """The tier's name at a rank."""
        return self.steps[rank - 1].tier if rank else NONE

    def next(self, rank: int) -> LadderStep | None:
        """The step above a rank; None at the top."""
        return self.steps[rank] if rank < len(self.steps) else None


def compile_ladder(steps: Sequence[Mapping[str, Any]], decimals: int) -> Ladder:
    """The ladder of a document's `tiers.ladder`, lowest first; UnsupportedError names what is not built."""
    compiled = []
    for index, step in enumerate(steps):
        ways = _ways(step["when"], decimals, f"tiers.ladder.{index}.when")
        compiled.append(LadderStep(step["tier"], dict(step.get("name") or {}), ways))
    return Ladder(compiled)


def _ways(when: Mapping[str, Any], decimals: int, path: str) -> tuple[Way, ...]:
    """A condition in disjunctive normal form. Several keys of one condition must all hold."""
    ways: tuple[Way, ...] = (Way(None, None),)
    asked = 0
    for key, value in when.items():
        if value is None:
            continue
        asked += 1
        match key:
            case "growth":
                alternatives: tuple[Way, ...] = (Way(minor_units(str(value), decimals), None),)
            case "orders":
                alternatives = (Way(None, int(value)),)
            case "any":
                alternatives = tuple(
                    way for i, part in enumerate(value) for way in _ways(part, decimals, f"{path}.any.{i}")
                )
            case "all":
                alternatives = (Way(None, None),)
                for i, part in enumerate(value):
                    alternatives = _both(alternatives, _ways(part, decimals, f"{path}.all.{i}"))
            case _:
                raise UnsupportedError(f"{path}.{key}: this condition is not built")
        ways = _both(ways, alternatives)
    if not asked:
        raise UnsupportedError(f"{path}: a step without a condition")
    return ways


def _both(left: Sequence[Way], right: Sequence[Way]) -> tuple[Way, ...]:
    """Every pair of ways joined into one that asks for both."""
    return tuple(
        dict.fromkeys(Way(_larger(a.growth, b.growth), _larger(a.orders, b.orders)) for a in left for b in right)
    )


def _larger(a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return b if a is None else a
    return max(a, b)
