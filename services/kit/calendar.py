"""Local days of one time zone, as pure arithmetic (D1, D3, E1, E4).

Instants are integer microseconds since 1970-01-01T00:00:00Z (`Micros`); days are proleptic Gregorian ordinals
(`datetime.date.toordinal`, `Day`). Both compare and store cheaply, and neither can be mixed up with a naive datetime,
a number of points or each other. A length of time is a plain `int` of microseconds. This is the one module of the kit
that a domain may import: it does no I/O.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NewType
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    Micros = NewType("Micros", int)
    Day = NewType("Day", int)
else:
    # Only the type checker tells them apart: a call of a NewType costs four times one of `int`, ten times an event.
    Micros = Day = int

NEVER: Final = Day(date.max.toordinal())
"""The last day of what does not expire; PostgreSQL's `infinity`."""

NOT_YET: Final = Micros(0)
"""The instant of what has not happened, is not known or is not due: falsy, and before every real instant."""

NO_DAY: Final = Day(0)
"""The day of what has none, or whose day is not known: falsy, and before every real day."""

END_OF_TIME: Final = Micros(2**63 - 1)
"""After every real instant; the largest that PostgreSQL's `bigint` holds."""

MICROS_PER_SECOND = 1_000_000
MICROS_PER_QUARTER_HOUR = 15 * 60 * MICROS_PER_SECOND
# Every zone of the tz database that is in use keeps its offset constant within a UTC quarter of an hour.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MICROS_PER_DAY = 86_400 * MICROS_PER_SECOND


def to_micros(moment: datetime) -> Micros:
    """The instant of an aware datetime, exactly (no float in between)."""
    if moment.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    delta = moment - _EPOCH
    return Micros((delta.days * 86_400 + delta.seconds) * MICROS_PER_SECOND + delta.microseconds)


def from_micros(instant: Micros) -> datetime:
    """The aware UTC datetime of an instant."""
    return _EPOCH + timedelta(microseconds=instant)


def later(instant: Micros, span: int) -> Micros:
    """The instant so many microseconds after another one."""
    return Micros(instant + span)


@lru_cache(maxsize=8_192)
def rfc3339(instant: Micros) -> str:
    """An instant as RFC 3339 in UTC, with microseconds only where there are any."""
    return from_micros(instant).isoformat().replace("+00:00", "Z")


def parse_rfc3339(text: str) -> Micros:
    """An RFC 3339 time with offset as an instant; ValueError when it has none or is not a time."""
    return to_micros(datetime.fromisoformat(text))


def day_from(local: date) -> Day:
    """The ordinal of a date."""
    return Day(local.toordinal())


@lru_cache(maxsize=8_192)
def add_months(day: Day, months: int) -> Day:
    """The same day of the month, `months` later, clamped to that month's end (E4)."""
    start = date.fromordinal(day)
    index = start.year * 12 + start.month - 1 + months
    year, month = divmod(index, 12)
    return day_from(date(year, month + 1, min(start.day, monthrange(year, month + 1)[1])))


def first_of_month(day: Day) -> Day:
    """The first day of a day's month."""
    return day_from(date.fromordinal(day).replace(day=1))


YearDay = tuple[int, int]
"""A day of every year, (month, day); 29 February is the 28th in common years."""


@lru_cache(maxsize=8_192)
def next_of(days: tuple[YearDay, ...], day: Day) -> Day:
    """The first of these days of the year that is not before a day (E4)."""
    year = date.fromordinal(day).year
    falls = [
        day_from(date(each, month, min(on, monthrange(each, month)[1])))
        for each in (year, year + 1)
        for month, on in days
    ]
    return min(each for each in falls if each >= day)


class Calendar:
    """Local dates and midnights of one IANA zone."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self._tz = ZoneInfo(zone)
        self._offsets: dict[int, int] = {}
        self._midnights: dict[Day, Micros] = {}

    def day_of(self, instant: Micros) -> Day:
        """The local date that an instant falls on (D1)."""
        quarter = instant // MICROS_PER_QUARTER_HOUR
        offset = self._offsets.get(quarter)
        if offset is None:
            offset = self._learn_offset(quarter)
        return _EPOCH_ORDINAL + (instant + offset) // _MICROS_PER_DAY  # type: ignore[return-value] # often called

    def start_of(self, day: Day) -> Micros:
        """The first instant of a local day. Where midnight is skipped, the first moment after the gap."""
        found = self._midnights.get(day)
        if found is None:
            local = date.fromordinal(day)
            midnight = datetime(local.year, local.month, local.day, tzinfo=self._tz)
            found = to_micros(midnight.astimezone(UTC))
            while self.day_of(found) < day:
                found = Micros(found + MICROS_PER_QUARTER_HOUR)
            if len(self._midnights) > 100_000:
                self._midnights.clear()
            self._midnights[day] = found
        return found

    def end_of(self, day: Day) -> Micros:
        """The local midnight that ends a day: the first instant that is no longer on it (E1, O8). `NEVER` has none."""
        return self.start_of(day + 1)  # type: ignore[arg-type] # often called

    def _learn_offset(self, quarter: int) -> int:
        moment = from_micros(Micros(quarter * MICROS_PER_QUARTER_HOUR)).astimezone(self._tz)
        utcoffset = moment.utcoffset()
        assert utcoffset is not None
        offset = (utcoffset.days * 86_400 + utcoffset.seconds) * MICROS_PER_SECOND
        if len(self._offsets) > 1_000_000:
            self._offsets.clear()
        self._offsets[quarter] = offset
        return offset


@lru_cache(maxsize=256)
def calendar_of(zone: str) -> Calendar:
    """The shared calendar of a zone (its caches are worth keeping)."""
    return Calendar(zone)
