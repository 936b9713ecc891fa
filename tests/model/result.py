"""What a member's account says after a history, in a form that model and ledger can both be held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.kit.calendar import Micros
from tests.model.orders import TimelineEntry

LotName = tuple[str, str | None]
"""(last day as ISO date or 'never', the parent's last day for a grace lot)."""


@dataclass(frozen=True)
class OrderResult:
    """One order: what it earned, what it used, its timeline; amounts in minor units."""

    earned_pending: int
    earned_confirmed: int
    points_used: int
    """Those that count (P2)."""
    points_returned: int
    owed: int
    """What is still owed of the points used (P7)."""
    timeline: list[TimelineEntry]
    alarms: frozenset[str]
    working: tuple[Mapping[str, Any], ...] = ()
    """N4: one a rule on orders."""


@dataclass(frozen=True)
class HoldResult:
    """One hold: open, captured, released or timed_out; `captured` by command or by an order.

    `surplus` is what came back of a capture by command when an order took it over that uses fewer (P7).
    """

    state: str
    points: int
    captured: int
    surplus: int = 0


@dataclass(frozen=True)
class RedemptionResult:
    """One redemption by command; `returned` by command, not what an order that has it returned.

    `surplus` is what came back when an order took it over that uses fewer (P7).
    """

    points: int
    returned: int
    surplus: int = 0


@dataclass(frozen=True)
class Result:
    """One member, as of the account's `now`."""

    available: int
    pending: int
    debt: int
    earned: int
    """Confirmed awards net of clawbacks."""
    redeemed: int
    """Points used by orders, and by commands what no order took over, before what came back."""
    returned: int
    expired: int
    """Before what was forgiven."""
    forgiven: int
    lots: dict[LotName, dict[str, int]]
    """{pending, available, expired, forgiven} of each lot that ever had something, and what is held of it."""
    orders: dict[str, OrderResult]
    tiers: list[tuple[Micros, str]]
    rules: dict[str, int]
    """Net awards by rule, pending and confirmed."""
    parked: frozenset[tuple[str, str]]
    """(order, refund_id) of refunds whose order is unknown (O3)."""
    reported: frozenset[tuple[str, str]]
    """Those of them that have waited for `park_days`."""
    outcomes: list[tuple[str, str]]
    """(event id, outcome) in order of arrival."""
    held: int = 0
    holds: dict[str, HoldResult] = field(default_factory=dict)
    """By reference."""
    redemptions: dict[str, RedemptionResult] = field(default_factory=dict)
    """By reference."""
    written_off: int = 0
    """What clawbacks did not find, under `negative: clamp`, or as decided."""
    under_review: dict[str, int] = field(default_factory=dict)
    """What waits for a decision, under `negative: review`: by order, or by another fact's owner."""
    in_transit: int = 0
    """Points sent to other members less points received."""
    sent: dict[str, list[tuple[str, str | None, int]]] = field(default_factory=dict)
    """By reference, the lots: (last day, the parent's last day, points)."""
    net: int = field(init=False)
    """available + pending + held - debt (O6)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "net", self.available + self.pending + self.held - self.debt)

    def check_books(self) -> None:
        """Books balance: every total is what its parts say, and nothing is below 0."""
        spent = self.redeemed - self.returned
        not_taken = self.forgiven + self.written_off + sum(self.under_review.values())
        gone = spent + self.expired + self.in_transit
        assert self.earned == self.available + self.held - self.debt + gone - not_taken
        for side in ("pending", "available", "held", "expired", "forgiven"):
            total = sum(lot.get(side, 0) for lot in self.lots.values())
            assert total == getattr(self, side), side
            assert all(lot.get(side, 0) >= 0 for lot in self.lots.values()), side
        assert all(lot["forgiven"] <= lot["expired"] for lot in self.lots.values())
        assert self.debt >= 0
        assert sum(self.rules.values()) == self.earned + self.pending
        assert self.held == sum(hold.points for hold in self.holds.values() if hold.state == "open")
        by_command = sum(spent.returned for spent in self.redemptions.values())
        assert self.returned == by_command + sum(order.points_returned for order in self.orders.values())


def mismatches(actual: Any, expected: Any, path: str = "") -> list[str]:
    """Where `actual` is not what is expected; only what is named is looked at.

    Mappings are compared by the names they give, so an expectation may leave the rest open; all else must
    be equal.
    """
    if isinstance(expected, Mapping):
        found = []
        for name, value in expected.items():
            where = f"{path}.{name}" if path else str(name)
            if isinstance(actual, Mapping):
                if name not in actual and (value == 0 or (isinstance(value, Mapping) and not any(value.values()))):
                    continue  # nothing was ever booked for it, or nothing is left
                if name not in actual:
                    found.append(f"{where}: missing, expected {value!r}")
                    continue
                part = actual[name]
            else:
                part = getattr(actual, name)
            found += mismatches(part, value, where)
        return found
    return [] if actual == expected else [f"{path}: {actual!r}, expected {expected!r}"]
