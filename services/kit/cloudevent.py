"""The envelope of every event that leaves a service: CloudEvents 1.0 in structured mode, one JSON object a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from services.kit.kafka import Headers

HEADERS: Final[Headers] = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
"""The headers of a record whose value is a whole event (structured mode)."""


def structured(*, id: str, source: str, type: str, subject: str, time: str, data: Mapping[str, Any]) -> bytes:
    """The event as JSON; `time` (RFC 3339) is the business time of what it reports. The same
    arguments give the same bytes."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": id,
            "source": source,
            "type": type,
            "subject": subject,
            "time": time,
            "datacontenttype": "application/json",
            "data": data,
        }
    )
