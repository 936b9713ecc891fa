"""Sign-in days as runs, and the streak steps that a run reaches (D2 to D5). Pure day arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

from services.kit.calendar import Day

Run = tuple[Day, Day]
"""First and last day of sign-ins on consecutive local dates."""


def add_day(runs: list[Run], day: Day) -> tuple[list[Run], list[Run], Run] | None:
    """The runs after a sign-in on `day`, those it replaces, and the run it is in now; None if it was there already."""
    joined: list[Run] = []
    first = last = day
    rest: list[Run] = []
    for start, end in runs:
        if start <= day <= end:
            return None
        if end == day - 1 or start == day + 1:
            joined.append((start, end))
            first, last = min(first, start), max(last, end)
        else:
            rest.append((start, end))
    return sorted([*rest, (first, last)]), joined, (first, last)


def steps_of(run: Run, steps: Mapping[int, int], cycle: int) -> dict[Day, int]:
    """The days on which a run reaches a step, with its points; steps repeat each cycle (D5)."""
    reached: dict[Day, int] = {}
    if not cycle:
        return reached
    first, last = run
    for length, points in steps.items():
        for day in range(first + length - 1, last + 1, cycle):
            reached[day] = reached.get(day, 0) + points
    return reached
