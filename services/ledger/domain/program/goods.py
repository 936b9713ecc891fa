"""Goods that a program names, by category or stock keeping unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.ledger.domain.state.inputs import Line


@dataclass(frozen=True, slots=True)
class Goods:
    """The goods of these categories, and those with these stock keeping units."""

    categories: frozenset[str]
    skus: frozenset[str]

    def has(self, line: Line) -> bool:
        """Whether a line is of these goods."""
        return line.category in self.categories or line.sku in self.skus

    def rest(self, lines: Iterable[Line]) -> int:
        """The sum of the lines of all other goods, in minor units."""
        categories, skus = self.categories, self.skus
        if skus:
            return sum([line.amount for line in lines if line.category not in categories and line.sku not in skus])
        return sum([line.amount for line in lines if line.category not in categories])


def compile_goods(named: Mapping[str, Any] | None) -> Goods:
    """The goods that an `exclude` or `include` of a validated document names."""
    named = named or {}
    return Goods(frozenset(named.get("categories") or ()), frozenset(named.get("skus") or ()))
