"""The CloudEvents project's own package agrees with our reading and rendering, in both modes and directions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.kafka import (
    KafkaMessage,
    from_binary,
    from_structured,
    to_binary,
    to_structured,
)
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from schemas.events import parse_event, read_event, render_event
from tests.contract.schemas_support import TYPES, binary, example, key_of, structured


def oracle_event(event: dict[str, Any]) -> CloudEvent:
    attributes = {name: value for name, value in event.items() if name != "data"}
    attributes["time"] = datetime.fromisoformat(event["time"])
    return CloudEvent(attributes, event["data"])


def document_of(oracle: Any) -> dict[str, Any]:
    """What the package read, as an event of ours: it knows no types within data."""
    attributes = {name: value for name, value in oracle.get_attributes().items() if name != "partitionkey"}
    attributes["time"] = attributes["time"].isoformat()
    return {**attributes, "data": oracle.get_data()}


@pytest.mark.parametrize("kind", TYPES)
def test_we_read_what_it_writes(kind: str) -> None:
    event = example(kind)
    expected = parse_event(orjson.dumps(event))
    for write in (to_structured, to_binary):
        message = write(oracle_event(event), JSONFormat())
        assert read_event(message.value, list(message.headers.items()), key_of(event)) == expected


@pytest.mark.parametrize("kind", TYPES)
def test_it_reads_what_we_read(kind: str) -> None:
    event = example(kind)
    for (value, headers, key), read in ((structured(event), from_structured), (binary(event), from_binary)):
        oracle = read(KafkaMessage(dict(headers), key, value), JSONFormat())
        assert parse_event(orjson.dumps(document_of(oracle))) == read_event(value, headers, key)


@pytest.mark.parametrize("kind", TYPES)
def test_it_reads_what_we_render(kind: str) -> None:
    ours = parse_event(orjson.dumps(example(kind)))
    headers = {"content-type": b"application/cloudevents+json"}
    oracle = from_structured(KafkaMessage(headers, None, render_event(ours)), JSONFormat())
    assert parse_event(orjson.dumps(document_of(oracle))) == ours
