"""Records on another shard's partition: what is sent on, and what is refused before."""

from __future__ import annotations

import pytest

from schemas.events import MAX_EVENT_BYTES, Refused
from services.kit.calendar import Micros
from services.kit.dead_letter import ORIGIN_HEADER
from services.kit.kafka import Headers, Record, Shard, partition_of
from services.ledger.consumer import MAX_SENT_ON, Decoder
from services.ledger.executor import Ledger
from services.ledger.inputs import Misrouted

KEY = b"m1"
ELSEWHERE = Shard((partition_of(KEY, 16) + 1) % 16)
HEADERS: Headers = (("content-type", b"application/cloudevents+json"),)


def _decode(value: bytes | None, headers: Headers = HEADERS, key: bytes = KEY) -> object:
    partition = Shard((partition_of(key, 16) + 1) % 16)
    return Decoder(Ledger(), 16)(Record("commerce.orders.v1", partition, 41, Micros(0), key, value, headers))


def test_a_misrouted_record_is_sent_on_as_it_was_and_says_where_it_came_from() -> None:
    place = f"commerce.orders.v1:{ELSEWHERE}:41".encode()
    assert _decode(b"{}") == Misrouted(KEY, b"{}", (*HEADERS, (ORIGIN_HEADER, place)))


def test_mend_c03_the_largest_record_that_is_taken_is_also_sent_on() -> None:
    assert isinstance(_decode(b"x" * MAX_EVENT_BYTES), Misrouted)


@pytest.mark.parametrize(
    ("value", "headers", "key"),
    [
        (b"x" * (MAX_EVENT_BYTES + 1), HEADERS, KEY),
        (b"{}", (("h", b"x" * MAX_SENT_ON),), KEY),
        (b"{}", HEADERS, b"k" * (MAX_SENT_ON + 1)),
    ],
)
def test_mend_c03_what_is_too_large_is_refused_before_it_is_sent_on(value: bytes, headers: Headers, key: bytes) -> None:
    refused = _decode(value, headers, key)
    assert isinstance(refused, Refused)
    assert refused.reason == "too_large"


def test_mend_c03_a_misrouted_record_without_a_value_is_refused_at_once() -> None:
    refused = _decode(None)
    assert isinstance(refused, Refused)
    assert refused.reason == "not_parsable"
