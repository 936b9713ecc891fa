"""CloudEvents as a shop's backend publishes them: structured JSON, keyed by the member."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from schemas.events import Refused, parse_event
from schemas.topics import TOPIC_OF
from services.kit import cloudevent
from services.kit.calendar import Micros, rfc3339, to_micros

CONTENT_TYPE = "application/cloudevents+json"
KAFKA_HEADERS = [("content-type", CONTENT_TYPE.encode())]


class Event(NamedTuple):
    """One record to publish. `at` is its business time; `body` the rendered CloudEvent."""

    at: Micros
    topic: str
    member_id: str
    body: bytes


def cloud_event(
    *, source: str, event_id: str, event_type: str, member_id: str, at: Micros, data: dict[str, Any]
) -> Event:
    """Render one event. The same arguments give the same bytes, so publishing it again changes nothing (O1)."""
    rendered = cloudevent.structured(
        id=event_id, source=source, type=event_type, subject=member_id, time=rfc3339(at), data=data
    )
    # A copy of just its length: orjson's buffer is longer than its text, and a replay keeps all of its events.
    body = bytes(memoryview(rendered))
    return Event(at, TOPIC_OF[event_type].name, member_id, body)


def read_events(lines: Iterable[bytes]) -> Iterator[Event]:
    """CloudEvents, one JSON a line, as records to publish; ValueError names a line that breaks the contract."""
    for number, line in enumerate(lines, start=1):
        body = line.strip()
        if not body:
            continue
        try:
            event = parse_event(body)
        except Refused as refused:
            raise ValueError(f"line {number}: {refused}") from None
        yield Event(to_micros(event["time"]), TOPIC_OF[event["type"]].name, event["subject"], body)
