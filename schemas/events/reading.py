"""Reading an event from a Kafka record: CloudEvents 1.0 in structured or binary mode.

The way of a structured event is the short one: the record's bytes go into pydantic-core once, which parses,
checks and picks the type by `type`, and out comes a plain dict.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Container, Mapping, Sequence
from typing import Annotated, Any, Final, get_args, get_type_hints

import orjson
from pydantic import ConfigDict, Discriminator, TypeAdapter, ValidationError

from schemas.events.commerce import CommerceEvent
from schemas.events.internal import InternalEvent
from schemas.events.notify import NotifyEvent
from schemas.events.operations import OperationsEvent
from schemas.events.points import PointsEvent
from schemas.events.reasons import RefusalReason, Refused
from schemas.events.tiers import TierEvent

Event = CommerceEvent | InternalEvent | PointsEvent | TierEvent | OperationsEvent | NotifyEvent
"""Any event of the contracts, a plain dict discriminated by `type`."""

MAX_EVENT_BYTES: Final = 256 * 1024
"""A record's value may have no more."""

KEYED_OTHERWISE: Final = frozenset(
    {
        "loyalty.program.published.v1",
        "loyalty.ledger.checkpoint.v1",
        "loyalty.dead_letter.recorded.v1",
        "loyalty.day.closed.v1",
    }
)
"""Types whose record key is not the subject."""

_adapter: Final[TypeAdapter[Event]] = TypeAdapter(
    Annotated[Event, Discriminator("type")], config=ConfigDict(hide_input_in_errors=True)
)


def read_event(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    key: bytes | None,
    *,
    types: Container[str] | None = None,
    max_bytes: int = MAX_EVENT_BYTES,
) -> Event:
    """The event of a record, in structured or binary mode.

    `types` are those the record's topic carries (`schemas.topics`): who may write to one topic must not speak
    for another. `max_bytes` is more than 256 KiB only where our own events have another in them.
    Raises Refused.
    """
    if value is None:
        raise Refused(RefusalReason.NOT_PARSABLE, None, "the record has no value")
    if len(value) > max_bytes:
        raise Refused(RefusalReason.TOO_LARGE, None, f"{len(value)} bytes; the limit is {max_bytes}")
    event = parse_event(value if _is_structured(headers) else _as_structured(value, headers))
    if types is not None and event["type"] not in types:
        raise Refused(RefusalReason.UNKNOWN_TYPE, "type", "this topic does not carry this type")
    if event["type"] not in KEYED_OTHERWISE and key != event["subject"].encode():
        raise Refused(RefusalReason.KEY_MISMATCH, "key", "the record's key must be the event's subject")
    return event


def parse_event(value: bytes) -> Event:
    """The event of a CloudEvent in JSON format. Raises Refused."""
    try:
        return _adapter.validate_json(value)
    except ValidationError as error:
        plain = _with_plain_data(value)
        if plain is None:
            raise _refused(error) from None
    try:
        return _adapter.validate_json(plain)
    except ValidationError as error:
        raise _refused(error) from None


def render_event(event: Event) -> bytes:
    """An event that was read, as a CloudEvent in JSON format: for sending it on, not for the hot path."""
    return _adapter.dump_json(event)


def _is_structured(headers: Sequence[tuple[str, bytes]]) -> bool:
    for name, content in headers:
        if name.lower() == "content-type":
            kind = content.lower()
            if kind.startswith(b"application/cloudevents-batch"):
                raise Refused(RefusalReason.NOT_PARSABLE, "content-type", "a record holds one event, not a batch")
            if kind.startswith(b"application/cloudevents"):
                if kind.partition(b";")[0].strip() != b"application/cloudevents+json":
                    raise Refused(RefusalReason.NOT_PARSABLE, "content-type", "only the JSON format is read")
                return True
    return False


def _as_structured(value: bytes, headers: Sequence[tuple[str, bytes]]) -> bytes:
    """A binary mode record as structured JSON. The value is parsed by itself: it cannot add attributes."""
    envelope: dict[str, Any] = {}
    try:
        for name, content in headers:
            lower = name.lower()
            if lower.startswith("ce_"):
                envelope[lower[3:]] = content.decode()
            elif lower == "content-type":
                envelope["datacontenttype"] = content.decode()
    except UnicodeDecodeError:
        raise Refused(RefusalReason.NOT_PARSABLE, name, "a header must be UTF-8") from None
    if "specversion" not in envelope:
        raise Refused(
            RefusalReason.NOT_PARSABLE,
            "content-type",
            "neither structured (content-type: application/cloudevents+json) nor binary mode (ce_* headers)",
        )
    try:
        envelope["data"] = orjson.loads(value)
        return orjson.dumps(envelope)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # the latter for what is nested too deep
        raise Refused(RefusalReason.NOT_PARSABLE, "data", "the value is not JSON") from None


def _with_plain_data(value: bytes) -> bytes | None:
    """The same event with `data` for its `data_base64`, which the JSON format allows; None if it has none."""
    if b'"data_base64"' not in value:
        return None
    try:
        event = orjson.loads(value)
        if not isinstance(event, dict) or "data" in event:
            return None
        event["data"] = orjson.loads(b64decode(event.pop("data_base64"), validate=True))
        return orjson.dumps(event)
    except (ValueError, TypeError, KeyError):
        return None


def _refused(error: ValidationError) -> Refused:
    """The first thing that is wrong, without the value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    match first["type"]:
        case "json_invalid":
            return Refused(RefusalReason.NOT_PARSABLE, None, first["msg"])
        case "dict_type" if not first["loc"]:
            return Refused(RefusalReason.NOT_PARSABLE, None, "an event is a JSON object")
        case "union_tag_invalid" if not first["loc"]:
            return Refused(RefusalReason.UNKNOWN_TYPE, "type", "no such event type")
        case "union_tag_not_found":
            return Refused(RefusalReason.BROKEN_FIELD, "type", "Field required")
    return Refused(RefusalReason.BROKEN_FIELD, _path(first["loc"]), first["msg"])


def _path(location: tuple[int | str, ...]) -> str:
    """A place in the event as people write it: `data.lines[0].amount`."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step not in EVENT_TYPES and not step.startswith("constrained-"):
            # The rest of the steps are branches that pydantic took in a union, not names in the event.
            path += f".{step}" if path else step
    return path


def _type_of(event: Any) -> str:
    (name,) = get_args(get_type_hints(event)["type"])
    return str(name)


EVENT_TYPES: Final[Mapping[str, type]] = {_type_of(event): event for event in get_args(Event)}
"""Every event type and the TypedDict that describes it."""
