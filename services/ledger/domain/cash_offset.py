"""Points that pay a part of an order (抵现): how many may be asked for at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CashOffset:
    """The program's `redeem.cash_offset`: at least `minimum` points, in multiples of `step`."""

    minimum: int
    step: int


def compile_cash_offset(document: Mapping[str, Any]) -> CashOffset | None:
    """That of a validated document; None where the program asks for nothing."""
    rule = (document.get("redeem") or {}).get("cash_offset")
    return CashOffset(rule.get("minimum") or 0, rule.get("step") or 1) if rule else None
