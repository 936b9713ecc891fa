"""What the tests of the contracts share: records of the checked-in examples."""

from __future__ import annotations

from typing import Any, Final

import orjson

from schemas.events import EVENT_TYPES, KEYED_OTHERWISE
from schemas.generate.examples import event_example

TYPES: Final = sorted(EVENT_TYPES)
STRUCTURED: Final = [("content-type", b"application/cloudevents+json")]

Headers = list[tuple[str, bytes]]


def example(kind: str, **data: Any) -> dict[str, Any]:
    """The example of a type, with some fields of its data set otherwise; None takes a field out."""
    event = event_example(kind)
    for name, value in data.items():
        if value is None:
            event["data"].pop(name, None)
        else:
            event["data"][name] = value
    return event


def key_of(event: dict[str, Any]) -> bytes:
    """A key that fits the event."""
    return b"any" if event["type"] in KEYED_OTHERWISE else event["subject"].encode()


def structured(event: dict[str, Any]) -> tuple[bytes, Headers, bytes]:
    """Value, headers and key of a record in structured mode."""
    return orjson.dumps(event), STRUCTURED, key_of(event)


def binary(event: dict[str, Any]) -> tuple[bytes, Headers, bytes]:
    """Value, headers and key of a record in binary mode."""
    headers = [(f"ce_{name}", str(value).encode()) for name, value in event.items() if name not in _NOT_CE]
    headers.append(("content-type", event.get("datacontenttype", "application/json").encode()))
    return orjson.dumps(event["data"]), headers, key_of(event)


_NOT_CE = ("data", "datacontenttype")
