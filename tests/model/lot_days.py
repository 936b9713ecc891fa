"""Until which day points can be spent: the program's expiry rule (E3, E4, E7)."""

from __future__ import annotations

from datetime import date, timedelta

from tests.model.days import NEVER, months_later
from tests.model.program import Program
from tests.model.sliding import FIRST

SLIDING = FIRST
"""The lot of whatever is granted under `sliding`: which one it is, the wallet knows (E3)."""


def order_lot(program: Program, paid_on: date) -> date:
    """E7: the lot of an order's points; under `sliding` the one there is, whichever its day (E3)."""
    return SLIDING if program["points"]["expiry"]["kind"] == "sliding" else order_day(program, paid_on)


def other_lot(program: Program, day: date) -> date:
    """E7: the lot of another award's points."""
    return SLIDING if program["points"]["expiry"]["kind"] == "sliding" else expiry_day(program, day)


def order_day(program: Program, paid_on: date) -> date:
    """E7: the later of the rule applied to the paid date, and that date + auto_after + min_life."""
    expiry = program["points"]["expiry"]
    if expiry["kind"] == "none":
        return NEVER
    waiting = program["points"]["pending"].get("auto_after_days") or 0
    least = paid_on + timedelta(days=waiting + expiry.get("min_life_days", 0))
    return max(expiry_day(program, paid_on), least)


def expiry_day(program: Program, day: date) -> date:
    """The expiry rule applied to a local date: the last day of what is granted on it."""
    expiry = program["points"]["expiry"]
    match expiry["kind"]:
        case "none":
            return NEVER
        case "fixed_dates":
            ends = [_day_of_year(year, date) for year in (day.year, day.year + 1) for date in expiry["dates"]]
            return min(end for end in ends if end >= day)
        case _:
            return months_later(day, expiry["months"])


def _day_of_year(year: int, month_day: str) -> date:
    """`02-29` is the end of February in every year (E4)."""
    month, day = map(int, month_day.split("-"))
    return months_later(date(year, 1, day), month - 1)
