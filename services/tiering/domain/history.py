"""A member's tier history: which tiers the dated entries of all orders reach (T1, T2, T9).

Entries of one instant are summed over all orders before the ladder is read. In `upgrade_only` mode the
growth value is what has accumulated since joining, a tier reached in business time stays whatever is
refunded later, and a tier takes effect at the instant of the entry that crossed its threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.kit.calendar import Micros
from services.tiering.domain.ladder import NO_TIER
from services.tiering.domain.program import ProgramVersions
from services.tiering.domain.timeline import Entry


class Reached(NamedTuple):
    """A tier reached, and the figures that reached it."""

    tier: str
    effective_at: Micros
    growth: int
    orders: int
    program_version: str
    rank: int
    """Its rank on the ladder of that version, which it keeps on a later ladder that does not name it."""


class Position(NamedTuple):
    """Where a member stands after all entries up to an instant."""

    at: Micros | None
    """The instant of the last entry read; None before any."""
    growth: int
    """Minor units. Refunds can make it negative when growth counts from the enrolment on (T10)."""
    orders: int
    """Successful orders; can be negative as `growth` can."""
    reached: tuple[Reached, ...]
    """The dated history, oldest first; empty before the first tier."""

    @property
    def tier(self) -> str:
        """The tier held, `none` before the first."""
        return self.reached[-1].tier if self.reached else NO_TIER

    @property
    def since(self) -> Micros | None:
        """When the tier held took effect; None before the first."""
        return self.reached[-1].effective_at if self.reached else None

    def has_same_history(self, other: Position) -> bool:
        """Whether two positions name the same tiers at the same times."""
        return self.reached is other.reached or ([r[:2] for r in self.reached] == [r[:2] for r in other.reached])


START = Position(None, 0, 0, ())
"""The position before any entry."""


def advance(
    versions: ProgramVersions, enrolled_at: Micros | None, start: Position, entries: Sequence[Entry]
) -> Position:
    """The position after further entries, which are sorted by time and all later than `start.at`.

    The program version in force at an instant decides what counts then and which ladder applies. Under
    `earn_from: enrolment` an entry before the enrolment does not count (T10).
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
        earned_rank = ladder.earned_rank(growth, orders)
        if earned_rank > rank:
            rank = earned_rank
            reached = (*reached, Reached(ladder.code_at(rank), at, growth, orders, program.version, rank))
        last = at
    return Position(last, growth, orders, reached)
