"""What could not be booked: the reason as a value, and the letter that keeps the record.

A letter is a CloudEvent on `loyalty.dead_letters.v1` that is written to the outbox in the transaction that moves the
stored offset past the record: a refused record is never lost and never blocks the ones behind it.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
import orjson

from services.kit.calendar import rfc3339
from services.kit.kafka import Record

DEAD_LETTERS = "loyalty.dead_letters.v1"
DEAD_LETTER_TYPE = "loyalty.dead_letter.recorded.v1"
WITHOUT_BODY = frozenset({"commerce.profiles.v1"})
"""Topics whose records carry personal data: their letters say where the record stands and no more."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Why an input is not booked.

    `reason` is a stable code (`not_parsable`, `broken_field`, `unknown_type`, `too_late`, `conflict`, `failed`, …);
    `field` names the field as a path (`data.lines.0.amount`); `detail` is for people and carries no personal data.
    """

    reason: str
    field: str | None = None
    detail: str = ""


FAILED = "failed"
"""The reason of a record that our own code could not digest."""


def render(service: str, record: Record, refused: Refused) -> bytes:
    """The dead letter of a record as a structured CloudEvent; its id is the record's place, so it is one for ever."""
    data: dict[str, Any] = {
        "service": service,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "appended_at": rfc3339(record.appended_at),
        "reason": refused.reason,
    }
    if refused.field is not None:
        data["field"] = refused.field
    if refused.detail:
        data["detail"] = refused.detail
    if record.key is not None:
        data["key"] = b64encode(record.key).decode()
    if record.topic not in WITHOUT_BODY:
        data["value"] = None if record.value is None else b64encode(record.value).decode()
        data["headers"] = [[name, b64encode(value).decode()] for name, value in record.headers]
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"{service}:{record.topic}:{record.partition}:{record.offset}",
            "source": f"/loyalty/{service}",
            "type": DEAD_LETTER_TYPE,
            "subject": f"{record.topic}/{record.partition}/{record.offset}",
            "time": rfc3339(record.appended_at),
            "datacontenttype": "application/json",
            "data": data,
        }
    )
