"""Rules that multiply what orders earn, by when an order was paid: campaigns and birthdays (N2, B1, B2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from services.kit.calendar import Calendar, Day, Micros, parse_rfc3339

Birthdays = Sequence[tuple[Micros, int]]
"""A member's birthdays as told, by business time: month x 100 + day; 0 = emptied."""

NOTICE_DAYS: Final = 30
"""A birthday entered less than so many days before does not count that year (B2)."""

_LEAP_DAY: Final = 229
_NOT_CHANGED: Final = (2**63, 0)


@dataclass(frozen=True, slots=True)
class Campaign:
    """Multiplies for orders paid from `starts` until before `ends`."""

    name: str
    factor: Fraction
    starts: Micros
    ends: Micros

    def holds(self, paid_at: Micros, _birthdays: Birthdays) -> bool:
        """Whether an order paid at an instant meets it."""
        return self.starts <= paid_at < self.ends


@dataclass(frozen=True, slots=True)
class Birthday:
    """Multiplies for orders paid on the member's birthday, or in its month, once a calendar year (B2).

    A year's birthday is the first that was told in time and still stood when its day (or month) began.
    """

    name: str
    factor: Fraction
    whole_month: bool
    leap_day: int
    """The day on which 29 February is kept in common years: 228 or 301 (B1)."""
    calendar: Calendar

    def holds(self, paid_at: Micros, birthdays: Birthdays) -> bool:
        """Whether an order paid at an instant meets it."""
        day = self.calendar.day_of(paid_at)
        year = date.fromordinal(day).year
        for (since, birthday), (until, _) in pairwise([*birthdays, _NOT_CHANGED]):
            if birthday and self._counts(since, birthday, year) and self._begins(birthday, year) <= until:
                return since < paid_at and self._is_on(day, birthday)
        return False

    def _kept(self, birthday: int, year: int) -> date:
        if birthday == _LEAP_DAY and (year % 4 or (year % 100 == 0 and year % 400)):
            birthday = self.leap_day
        return date(year, *divmod(birthday, 100))

    def _is_on(self, day: Day, birthday: int) -> bool:
        today = date.fromordinal(day)
        kept = self._kept(birthday, today.year)
        return today.month == kept.month if self.whole_month else today == kept

    def _begins(self, birthday: int, year: int) -> Micros:
        kept = self._kept(birthday, year)
        return self.calendar.start_of((kept.replace(day=1) if self.whole_month else kept).toordinal())

    def _counts(self, told_at: Micros, birthday: int, year: int) -> bool:
        return self.calendar.day_of(told_at) + NOTICE_DAYS <= self._kept(birthday, year).toordinal()


Multiplier = Campaign | Birthday


def is_multiplier(rule: Mapping[str, Any]) -> bool:
    """Whether a rule on orders multiplies what another one gives."""
    return "campaign" in rule or "when" in rule


def compile_multiplier(rule: Mapping[str, Any], calendar: Calendar) -> Multiplier:
    """The multiplier of a validated document's rule."""
    if "campaign" in rule:
        campaign = rule["campaign"]
        starts, ends = parse_rfc3339(campaign["from"]), parse_rfc3339(campaign["to"])
        return Campaign(rule["rule"], Fraction(campaign["multiplier"]), starts, ends)
    leap_day = 301 if rule.get("feb29") == "mar1" else 228
    return Birthday(rule["rule"], Fraction(rule["multiplier"]), rule["when"] == "birthday_month", leap_day, calendar)
