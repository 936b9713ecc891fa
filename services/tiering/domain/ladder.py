"""The ladder of tiers that a program document describes (T2).

A tier is earned when one of its ways is met: a way asks for a growth value, a number of successful orders, or
both. Conditions written with `any` and `all` are compiled to such ways once, so that reading the ladder is
a few integer comparisons, and the gap to a tier is a subtraction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from services.kit.money import minor_units

NO_TIER = "none"
"""The code of a member who has reached no tier yet (T9)."""


class UnsupportedError(ValueError):
    """The program document asks for something that this version of tiering does not do."""


class Way(NamedTuple):
    """One sufficient condition: at least this growth value and this many successful orders."""

    growth: int | None
    """Minor units; None when the way does not ask for growth."""
    orders: int | None
    """Successful orders; None when the way does not ask for them."""

    def gap(self, growth: int, orders: int) -> Way:
        """What these totals lack for this way, never below zero."""
        return Way(
            None if self.growth is None else max(0, self.growth - growth),
            None if self.orders is None else max(0, self.orders - orders),
        )


class Tier(msgspec.Struct, frozen=True):
    """One tier of the ladder."""

    code: str
    """The tier's stable id in events and tables."""
    names: dict[str, str]
    """What the tier is called, by locale; empty when the program gives no names."""
    ways: tuple[Way, ...]
    """Any one of them is enough."""


class Ladder:
    """The tiers from the lowest to the highest. A rank is a place on the ladder: 0 is below all tiers."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self.tiers = tuple(tiers)
        self._ranks = {tier.code: rank for rank, tier in enumerate(self.tiers, start=1)}
        self._descending = [
            (rank, *way)
            for rank in range(len(self.tiers), 0, -1)
            for way in self.tiers[rank - 1].ways
        ]  # fmt: skip

    def earned_rank(self, growth: int, orders: int) -> int:
        """The rank of the highest tier whose own condition these totals meet, 0 for none (T1).

        A total that equals a threshold meets it (half-open intervals, T2).
        """
        for rank, min_growth, min_orders in self._descending:
            if (min_growth is None or growth >= min_growth) and (min_orders is None or orders >= min_orders):
                return rank
        return 0

    def rank_of(self, code: str, former_rank: int) -> int:
        """The rank of a tier; one that this ladder does not name keeps its former rank, at most the top."""
        return self._ranks.get(code, min(former_rank, len(self.tiers)))

    def code_at(self, rank: int) -> str:
        """The code of the tier at a rank."""
        return self.tiers[rank - 1].code if rank else NO_TIER

    def names_of(self, code: str) -> dict[str, str]:
        """What a tier is called, by locale; empty for a tier that this ladder does not name."""
        rank = self._ranks.get(code)
        return {} if rank is None else self.tiers[rank - 1].names

    def above(self, rank: int) -> Tier | None:
        """The tier above a rank; None at the top."""
        return self.tiers[rank] if rank < len(self.tiers) else None


def compile_ladder(rows: Sequence[Mapping[str, Any]], decimals: int) -> Ladder:
    """The ladder of a document's `tiers.ladder`, lowest first; UnsupportedError names what is not built."""
    return Ladder(
        [
            Tier(
                row["tier"],
                dict(row.get("name") or {}),
                _ways(row["when"], decimals, f"tiers.ladder.{index}.when"),
            )
            for index, row in enumerate(rows)
        ]
    )


def _ways(when: Mapping[str, Any], decimals: int, path: str) -> tuple[Way, ...]:
    """A condition in disjunctive normal form. Several keys of one condition must all be met."""
    conditions = {key: value for key, value in when.items() if value is not None}
    if not conditions:
        raise UnsupportedError(f"{path}: a tier without a condition")
    ways: tuple[Way, ...] = (Way(None, None),)
    for key, value in conditions.items():
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
