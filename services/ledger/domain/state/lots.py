"""A member's lots: what was read of them, and the changes of this batch."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.kit.calendar import Day


class LotRow(msgspec.Struct, array_like=True):
    """A lot as stored: points by where they are. `forgiven` are expired points that a clawback let go (R7).

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


PENDING, AVAILABLE, HELD, EXPIRED, FORGIVEN = range(5)


class LotAllocation(msgspec.Struct, array_like=True):
    """Points that an order used out of one lot, and has not given back."""

    lot_day: Day
    parent: Day
    points: int


def split(taken: Sequence[LotAllocation], points: int) -> tuple[list[LotAllocation], list[LotAllocation]]:
    """The first so many points of what was taken, and the rest."""
    first: list[LotAllocation] = []
    rest: list[LotAllocation] = []
    for part in taken:
        here = min(part.points, points)
        points -= here
        if here:
            first.append(LotAllocation(part.lot_day, part.parent, here))
        if here < part.points:
            rest.append(LotAllocation(part.lot_day, part.parent, part.points - here))
    return first, rest
