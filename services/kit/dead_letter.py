"""Records that could not be booked: the dead letter that keeps each, and the limit above which the consumer stops.

A dead letter is a CloudEvent on `loyalty.dead_letters.v1`. It is written to the outbox in the transaction that moves
the stored offset past the record, so a refused record is never lost and never blocks those behind it. Whatever others
publish is refused record by record, however much it is. Only what fails through our own fault is limited: a few such
records are a defect, many are a bad deployment, which must not drain a topic.
"""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, Final

from schemas.events.reasons import RefusalReason, Refused
from schemas.topics import ALL
from services.kit import cloudevent
from services.kit.calendar import rfc3339
from services.kit.kafka import Record

__all__ = [
    "DEAD_LETTERS",
    "MAX_KEY",
    "FailureLimit",
    "RefusalReason",
    "Refused",
    "TooManyFailures",
    "is_our_fault",
    "is_own_message",
    "render",
]

DEAD_LETTERS: Final = "loyalty.dead_letters.v1"
DEAD_LETTER_TYPE: Final = "loyalty.dead_letter.recorded.v1"
WITHOUT_BODY: Final = frozenset({"commerce.profiles.v1"})
"""Topics whose records carry personal data: their dead letters hold the record's place and not its body, also where the
record was sent on."""
OWN_MESSAGES: Final = frozenset({"loyalty.internal.v1"})
"""Topics on which accounts of one service write to each other, and records are sent on to their shards."""
_PUBLISHED: Final = b"commerce."
"""What the type of an event of the shop begins with. A release before sent records on without saying where from."""
MAX_BODY: Final = 512 * 1024
"""Bytes of a record, its key and headers included; the base64 of more would exceed the broker's default limit. A larger
record's dead letter has no body."""
MAX_KEY: Final = 1024
"""Bytes; a dead letter is keyed as its record unless that key is longer."""
WINDOW: Final = 1000
"""How many of the last records the limit counts."""
ORIGIN_HEADER: Final = "loyalty-origin"
"""The header of a record that we send on as it came. Its value says where it came from: `topic:partition:offset`."""
_OURS: Final = frozenset(topic.name for topic in ALL if not topic.inbound)

Rejected = tuple[Record, Refused]
"""A record that is not booked, and why."""


def is_our_fault(record: Record, refused: Refused) -> bool:
    """Whether a record is not booked through a fault of ours: it raised an error, or one of our own services wrote it
    and its reader refuses it. What we only sent on is its publisher's."""
    if refused.reason is RefusalReason.FAILED:
        return True
    return record.topic in _OURS and _origin_of(record) is None


def is_own_message(record: Record) -> bool:
    """Whether a record is a message from one of our accounts to another, and not a publisher's that was sent on."""
    if record.topic not in OWN_MESSAGES or _origin_of(record) is not None:
        return False
    return _PUBLISHED not in (record.value or b"") and all(_PUBLISHED not in value for _, value in record.headers)


def _origin_of(record: Record) -> str | None:
    """The topic that a record was sent on from; None where it was not, or does not say so."""
    for name, place in record.headers:
        if name == ORIGIN_HEADER:
            return place.partition(b":")[0].decode(errors="replace")
    return None


def _may_be_kept(record: Record) -> bool:
    """Whether a dead letter may hold the record itself."""
    if record.topic in OWN_MESSAGES and not is_own_message(record):
        origin = _origin_of(record)
        return origin is not None and origin not in WITHOUT_BODY
    return record.topic not in WITHOUT_BODY


def render(service: str, record: Record, refused: Refused) -> bytes:
    """The dead letter of a record as a structured CloudEvent. Its id is the record's place and never changes."""
    place = record.place
    data: dict[str, Any] = {
        "service": service,
        "origin": {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "appended_at": rfc3339(record.appended_at),
        },
        "reason": str(refused.reason),
        "size": len(record.value or b""),
    }
    if refused.field is not None:
        data["field"] = refused.field
    if refused.detail:
        data["detail"] = refused.detail
    if _may_be_kept(record) and record.size <= MAX_BODY:
        original: dict[str, Any] = {
            "headers": [{"name": name, "value": b64encode(value).decode()} for name, value in record.headers]
        }
        if record.key is not None:
            original["key"] = b64encode(record.key).decode()
        if record.value is not None:
            original["value"] = b64encode(record.value).decode()
        data["record"] = original
    return cloudevent.structured(
        id=f"{service}:{place}",
        source=f"/loyalty/{service}",
        type=DEAD_LETTER_TYPE,
        subject=place,
        time=rfc3339(record.appended_at),
        data=data,
    )


class TooManyFailures(Exception):
    """More than the allowed share of the last records failed through our fault: a bad deployment of ours."""


class FailureLimit:
    """Counts what failed through our fault among the last 1,000 records of this process."""

    def __init__(self, share: float) -> None:
        """`share` of the last 1,000 records may fail; 0.05 allows fifty."""
        self.allowed: Final = int(share * WINDOW)
        self._failed: deque[bool] = deque(maxlen=WINDOW)

    @property
    def failed(self) -> int:
        """How many of the last 1,000 failed."""
        return sum(self._failed)

    def check(self, batch: Sequence[bool]) -> None:
        """Raises `TooManyFailures` if this batch (True for a failed record) would pass the limit."""
        if not any(batch):
            return
        window = islice(chain(reversed(batch), reversed(self._failed)), WINDOW)
        if (count := sum(window)) > self.allowed:
            raise TooManyFailures(f"{count} of the last {WINDOW} records failed; {self.allowed} are allowed")

    def add(self, batch: Sequence[bool]) -> None:
        """Counts a batch that was booked."""
        self._failed.extend(batch)
