"""Instants, local days and money for the naive model: plain datetime, zoneinfo and Decimal.

Deliberately not the kit's calendar, but for its type of instants: the two check each other.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from services.kit.calendar import Micros

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1) // MICROSECOND
MINUTE = timedelta(minutes=1) // MICROSECOND
NEVER = date.max
"""The last day of what does not expire."""


def instant(text: str) -> Micros:
    """An RFC 3339 time with offset as microseconds."""
    return Micros((datetime.fromisoformat(text) - EPOCH) // MICROSECOND)


def text_of(at: Micros) -> str:
    """An instant as RFC 3339 in UTC."""
    return (EPOCH + at * MICROSECOND).isoformat()


def local_day(at: Micros, zone: str) -> date:
    """D1: the local date of an instant."""
    return (EPOCH + at * MICROSECOND).astimezone(ZoneInfo(zone)).date()


def midnight_after(day: date, zone: str) -> Micros:
    """E1: the first instant that is no longer on this local day."""
    tomorrow = day + timedelta(days=1)
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=ZoneInfo(zone))
    return Micros((midnight.astimezone(UTC) - EPOCH) // MICROSECOND)


def is_over(day: date, now: Micros, zone: str) -> bool:
    """E1: whether a day has ended at `now`; the day that never comes has not."""
    return day != NEVER and midnight_after(day, zone) <= now


def months_later(day: date, months: int) -> date:
    """E4: the same day of the month some months on, or that month's last."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def minor(amount: str | None, currency: str = "CNY") -> int:
    """A decimal string in minor units; nothing is 0."""
    units = Decimal(amount or "0").scaleb(0 if currency == "JPY" else 2)
    if units != int(units):
        raise ValueError(f"{amount} has more decimals than {currency}")
    return int(units)


def major(units: int, currency: str = "CNY") -> Decimal:
    """Minor units as an amount of the currency."""
    return Decimal(units).scaleb(0 if currency == "JPY" else -2)
