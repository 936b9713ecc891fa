"""The timeline of one order: what it adds to a member's growth value and order count, and when (T1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from services.kit.calendar import Micros


class Entry(NamedTuple):
    """What an order changed at one instant."""

    at: Micros
    amount: int
    """Change of the qualifying amount, minor units, signed."""
    orders: int
    """Change of the number of successful orders: -1, 0 or 1."""


def canonical(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """An order's entries sorted by time, summed to one an instant, without those that change nothing."""
    merged: list[Entry] = []
    for entry in sorted(entries):
        if merged and merged[-1].at == entry.at:
            last = merged.pop()
            entry = Entry(entry.at, last.amount + entry.amount, last.orders + entry.orders)
        merged.append(entry)
    return tuple(entry for entry in merged if entry.amount or entry.orders)
