"""What business times the contract allows: neither far before the arrival of an event nor after it."""

from __future__ import annotations

from typing import Final

from schemas.events import RefusalReason, Refused
from services.kit.calendar import MICROS_PER_SECOND, Micros

MAX_EVENT_AGE_DAYS: Final = 400
"""The contract's `max_event_age`. Because older events are refused, duplicates are looked for in recent months only."""
_MICROS_PER_DAY: Final = 86_400 * MICROS_PER_SECOND
_MAX_AHEAD: Final = 5 * 60 * MICROS_PER_SECOND
"""How far a business time may lie after the arrival, because clocks differ."""


def check_event_time(at: Micros, arrived_at: Micros, max_age_days: int | None = MAX_EVENT_AGE_DAYS) -> None:
    """Raises Refused if the business time `at` is too long before the arrival (`max_age_days`; None: it never is) or
    more than 5 minutes after it."""
    if max_age_days is not None and at < arrived_at - max_age_days * _MICROS_PER_DAY:
        raise Refused(
            RefusalReason.TOO_LATE, "time", f"the business time is more than {max_age_days} days before the arrival"
        )
    if at > arrived_at + _MAX_AHEAD:
        raise Refused(
            RefusalReason.IN_FUTURE,
            "time",
            "the business time is more than 5 minutes after the arrival; check the publisher's clock",
        )
