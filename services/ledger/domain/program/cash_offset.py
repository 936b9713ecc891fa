"""How far points may pay a part of an order: what `redeem.cash_offset` of the program limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class CashOffset:
    """Points pay in steps, from a minimum on, at most a share of what they can pay for."""

    points_per_unit: int
    minimum: int
    step: int
    max_share: Fraction

    def max_points(self, available: int, payable: int, decimals: int) -> int:
        """The most of so many available points that may pay a part of `payable` minor units; 0 if none may."""
        points = min(available, int(self.max_share * payable) * self.points_per_unit // 10**decimals)
        points -= points % self.step
        return points if points >= self.minimum else 0

    def covers(self, points: int, value: int, payable: int, decimals: int) -> bool:
        """Whether the program lets so many points, at this value, pay a part of `payable`; both in minor units (P8).

        Points of less value than the program gives them are not beyond it.
        """
        units = 10**decimals
        return (
            self.objection(points) is None
            and points <= int(self.max_share * payable) * self.points_per_unit // units
            and value * self.points_per_unit <= points * units
        )

    def objection(self, points: int) -> Literal["below_minimum", "off_step"] | None:
        """Why so many points may not be spent at once; None if they may."""
        if points < self.minimum:
            return "below_minimum"
        return "off_step" if points % self.step else None


def compile_cash_offset(document: Mapping[str, Any]) -> CashOffset | None:
    """The limits that a validated document sets; None where it says nothing of what points pay."""
    rule = (document.get("redeem") or {}).get("cash_offset")
    if not rule:
        return None
    return CashOffset(
        points_per_unit=rule["points_per_unit"],
        minimum=rule.get("minimum") or 0,
        step=rule.get("step") or 1,
        max_share=Fraction(rule.get("max_share") or "1"),
    )
