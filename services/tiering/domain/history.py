"""A member's tier history: the ladder read over dated entries (T1, T2, T9).

Entries of one instant are summed over all orders before the ladder is read. In `upgrade_only` mode the
growth value is what has accumulated since joining, a tier reached in business time stays whatever is
refunded later, and the instant of the entry that crossed a threshold is when the tier takes effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.kit.calendar import Micros
from services.tiering.domain.ladder import NONE
from services.tiering.domain.program import Versions


class Entry(NamedTuple):
    """What an order changed at one instant."""

    at: Micros
    amount: int
    """Change of the qualifying amount, minor units, signed."""
    orders: int
    """Change of the number of successful orders: -1, 0 or 1."""


class Reached(NamedTuple):
    """A tier reached, and the figures that reached it."""

    tier: str
    effective_at: Micros
    growth: int
    orders: int
    program_version: str
    rank: int
    """Its rank on the ladder of that version: what it keeps on a later ladder that does not name it."""


class Position(NamedTuple):
    """Where a member stands after all entries up to an instant."""

    at: Micros | None
    """The instant of the last entry read; None before any."""
    growth: int
    orders: int
    reached: tuple[Reached, ...]
    """The dated history, oldest first; empty before the first tier."""

    @property
    def tier(self) -> str:
        """The tier held, `none` before the first."""
        return self.reached[-1].tier if self.reached else NONE

    @property
    def since(self) -> Micros | None:
        """When the tier held took effect; None before the first."""
        return self.reached[-1].effective_at if self.reached else None

    def says_the_same(self, other: Position) -> bool:
        """Whether two histories name the same tiers at the same times."""
        return self.reached is other.reached or ([r[:2] for r in self.reached] == [r[:2] for r in other.reached])


START = Position(None, 0, 0, ())
"""Before any entry."""


def timeline(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """One order's entries in canonical form: by time, one an instant, none that changes nothing."""
    ordered = sorted(entries)
    merged: list[Entry] = []
    for entry in ordered:
        if merged and merged[-1].at == entry.at:
            last = merged.pop()
            entry = Entry(entry.at, last.amount + entry.amount, last.orders + entry.orders)
        merged.append(entry)
    return tuple(entry for entry in merged if entry.amount or entry.orders)


def climb(versions: Versions, enrolled_at: Micros | None, start: Position, entries: Sequence[Entry]) -> Position:
    """The position after further entries, which are sorted by time and all later than `start.at`.

    Each instant is judged by the program version in force then. Under `earn_from: enrolment` an entry
    before the enrolment does not count (T10).
    """
    last, growth, orders, reached = start
    program, rank = None, 0
    index, count = 0, len(entries)
    while index < count:
        at = entries[index].at
        in_force = versions.at(at)
        counts = not in_force.from_enrolment or (enrolled_at is not None and at >= enrolled_at)
        while index < count and entries[index].at == at:
            if counts:
                growth += entries[index].amount
                orders += entries[index].orders
            index += 1
        ladder = in_force.ladder
        if in_force is not program:
            program = in_force
            rank = ladder.rank_of(reached[-1].tier, reached[-1].rank) if reached else 0
        held = ladder.rank(growth, orders)
        if held > rank:
            rank = held
            reached = (*reached, Reached(ladder.tier(rank), at, growth, orders, program.version, rank))
        last = at
    return Position(last, growth, orders, reached)
