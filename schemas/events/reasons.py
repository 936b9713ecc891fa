"""Why a record is not processed: one stable code each."""

from __future__ import annotations

from enum import StrEnum


class RefusalReason(StrEnum):
    """The reason of a dead letter. Codes never change their meaning; new ones may come."""

    NOT_PARSABLE = "not_parsable"
    """No CloudEvent: no JSON, or neither structured nor binary mode."""
    BROKEN_FIELD = "broken_field"
    """A field is missing or has a value it cannot have; the dead letter names the field."""
    UNKNOWN_TYPE = "unknown_type"
    """No such event type, or not one that this topic carries."""
    KEY_MISMATCH = "key_mismatch"
    """The record's key is not its subject."""
    TOO_LARGE = "too_large"
    """The record's value is over 256 KiB."""
    OTHER_CURRENCY = "other_currency"
    """The order is not in the program's currency."""
    TOO_LATE = "too_late"
    """Its business time is longer ago than `max_event_age`."""
    IN_FUTURE = "in_future"
    """Its business time is more than 5 minutes after its arrival."""
    OUT_OF_RANGE = "out_of_range"
    """Its order comes to more than 12 digits before the point, or the member's points or growth value would pass their
    bounds (O12)."""
    CONFLICT = "conflict"
    """A known event (subject, source, id, time) with another payload."""
    FAILED = "failed"
    """Booking it raised an error: a defect of ours, to be driven again after the fix."""


class Refused(ValueError):
    """A record or an event that breaks the contract.

    `reason` is the stable code, `field` the path of what is broken (`data.lines[0].amount`, `key`; None where
    there is no one field) and `detail` says what is wrong. None of them repeats a value: it may be personal.
    """

    def __init__(self, reason: RefusalReason, field: str | None, detail: str) -> None:
        super().__init__(f"{reason}: {field}: {detail}" if field else f"{reason}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail
