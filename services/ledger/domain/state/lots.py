"""Lots: where a member's points are, by the last day on which they can be spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from services.kit.calendar import Day
from services.ledger.domain.state.entries import LotKey

LotColumns = list[int]
"""Points of one lot by column: pending, available, held, expired, forgiven."""

PENDING, AVAILABLE, HELD, EXPIRED, FORGIVEN = range(5)
"""The columns' places."""
NO_POINTS: Final = (0, 0, 0, 0, 0)
"""The columns of a lot without points."""


class LotRow(msgspec.Struct, array_like=True):
    """A lot as stored: points by where they are. `forgiven` are expired points that a clawback did not take again (R7).

    `ends` is the last day of a lot that slides (E3), where it was asked for.
    """

    day: Day
    parent: Day
    pending: int
    available: int
    held: int
    expired: int
    forgiven: int
    ends: Day | None = None

    @property
    def lot(self) -> LotKey:
        """The lot's key."""
        return LotKey(self.day, self.parent)

    def columns(self) -> LotColumns:
        """Its points by column."""
        return [self.pending, self.available, self.held, self.expired, self.forgiven]


def lot_row(lot: LotKey, columns: Sequence[int], ends: Day | None = None) -> LotRow:
    """A lot's row of its columns."""
    pending, available, held, expired, forgiven = columns
    return LotRow(lot.day, lot.parent, pending, available, held, expired, forgiven, ends)


class LotAllocation(msgspec.Struct, array_like=True):
    """Points that an order, a hold or a redemption has out of one lot."""

    lot_day: Day
    parent: Day
    points: int

    @property
    def lot(self) -> LotKey:
        """The lot's key."""
        return LotKey(self.lot_day, self.parent)


def split_allocations(
    allocations: Sequence[LotAllocation], points: int
) -> tuple[list[LotAllocation], list[LotAllocation]]:
    """The first so many points of allocations, and the rest."""
    first: list[LotAllocation] = []
    rest: list[LotAllocation] = []
    for allocation in allocations:
        part = min(allocation.points, points)
        points -= part
        if part:
            first.append(LotAllocation(allocation.lot_day, allocation.parent, part))
        if part < allocation.points:
            rest.append(LotAllocation(allocation.lot_day, allocation.parent, allocation.points - part))
    return first, rest
