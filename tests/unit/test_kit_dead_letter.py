"""Dead letters keep the record, except what is personal, and too many of them stop."""

from __future__ import annotations

from base64 import b64decode

import orjson
import pytest
from msgspec.structs import replace

from schemas.events import RefusalReason, Refused, parse_event
from services.kit.calendar import Micros
from services.kit.dead_letter import (
    MAX_BODY,
    ORIGIN_HEADER,
    FailureLimit,
    TooManyFailures,
    is_our_fault,
    is_own_message,
    render,
)
from services.kit.kafka import Headers, Record, Shard

REFUSED = Refused(RefusalReason.BROKEN_FIELD, "data.lines[0].amount", "no decimal string")


def _record(topic: str = "commerce.orders.v1", value: bytes = b'{"x": 1}') -> Record:
    headers = (("content-type", b"application/json"), ("odd", b"\xff"))
    return Record(topic, Shard(3), 41, Micros(1_790_000_000_000_000), b"m-1", value, headers)


def test_a_letter_is_a_valid_event_and_holds_the_record_as_it_was() -> None:
    letter = render("ledger", _record(), REFUSED)
    data = orjson.loads(letter)["data"]
    assert parse_event(letter)["type"] == "loyalty.dead_letter.recorded.v1"
    assert data["origin"] == {
        "topic": "commerce.orders.v1",
        "partition": 3,
        "offset": 41,
        "appended_at": "2026-09-21T14:13:20Z",
    }
    assert (data["reason"], data["field"], data["detail"]) == ("broken_field", REFUSED.field, REFUSED.detail)
    assert b64decode(data["record"]["value"]) == b'{"x": 1}'
    assert b64decode(data["record"]["key"]) == b"m-1"
    assert [(h["name"], b64decode(h["value"])) for h in data["record"]["headers"]] == list(_record().headers)


PROFILE = b'{"type": "commerce.profile.updated.v1", "phone": "+12025550101"}'


@pytest.mark.parametrize(
    ("topic", "headers"),
    [
        ("commerce.profiles.v1", ()),
        ("loyalty.internal.v1", ((ORIGIN_HEADER, b"commerce.profiles.v1:3:41"),)),
        ("loyalty.internal.v1", ()),  # sent on by a release that did not say where it came from
    ],
)
def test_a_letter_of_a_profile_has_no_body_also_where_it_was_sent_on(topic: str, headers: Headers) -> None:
    letter = render("ledger", replace(_record(topic, PROFILE), headers=headers), REFUSED)
    assert "record" not in orjson.loads(letter)["data"]
    assert b"2025550101" not in letter


@pytest.mark.parametrize(
    ("value", "headers", "own"),
    [
        (b'{"type": "loyalty.transfer.sent.v1"}', (), True),
        (b'{"type": "commerce.order.paid.v1"}', ((ORIGIN_HEADER, b"commerce.orders.v1:3:41"),), False),
        (b'{"type": "commerce.order.paid.v1"}', (), False),
        (b"{}", (("ce_type", b"commerce.order.paid.v1"),), False),
    ],
)
def test_mend_b04_a_message_between_accounts_keeps_its_body(value: bytes, headers: Headers, own: bool) -> None:
    record = replace(_record("loyalty.internal.v1", value), headers=headers)
    assert is_own_message(record) == own
    assert ("record" in orjson.loads(render("ledger", record, REFUSED))["data"]) == (
        own or headers == ((ORIGIN_HEADER, b"commerce.orders.v1:3:41"),)
    )


def test_a_letter_of_a_very_large_record_says_where_it_stands() -> None:
    letter = render("ledger", _record(value=b"x" * (MAX_BODY + 1)), REFUSED)
    data = orjson.loads(letter)["data"]
    assert data["size"] == MAX_BODY + 1
    assert "record" not in data
    assert parse_event(letter)


@pytest.mark.parametrize("part", ["key", "headers"])
def test_a_letter_of_a_record_with_a_very_large_key_or_headers_has_no_body(part: str) -> None:
    large = b"x" * MAX_BODY
    record = replace(_record(), **{part: large if part == "key" else (("h", large),)})
    letter = render("ledger", record, REFUSED)
    assert len(letter) < 1000
    assert parse_event(letter)


def test_fifty_of_the_last_thousand_may_fail_and_not_one_more() -> None:
    limit = FailureLimit(0.05)
    limit.check([True] * 50)
    limit.add([True] * 50)
    limit.check([False] * 10)  # a batch without failures never passes the limit
    with pytest.raises(TooManyFailures, match="51 of the last 1000"):
        limit.check([True])
    assert limit.failed == 50
    limit.add([False] * 1000)
    limit.check([True] * 50)


def test_a_large_batch_counts_by_its_last_thousand() -> None:
    limit = FailureLimit(0.05)
    limit.check([True] * 50 + [False] * 1000 + [True] * 10)
    with pytest.raises(TooManyFailures):
        limit.check([False] * 1000 + [True] * 51)


@pytest.mark.parametrize(
    ("topic", "reason", "headers", "ours"),
    [
        ("commerce.orders.v1", RefusalReason.BROKEN_FIELD, (), False),
        ("commerce.orders.v1", RefusalReason.FAILED, (), True),
        ("loyalty.points.v1", RefusalReason.BROKEN_FIELD, (), True),  # a fact that its reader cannot read
        ("loyalty.internal.v1", RefusalReason.KEY_MISMATCH, (), True),
        ("loyalty.internal.v1", RefusalReason.NOT_PARSABLE, ((ORIGIN_HEADER, b"commerce.orders.v1:3:41"),), False),
    ],
)
def test_mend_c01_what_others_publish_is_not_our_fault(
    topic: str, reason: RefusalReason, headers: Headers, ours: bool
) -> None:
    record = replace(_record(topic), headers=headers)
    assert is_our_fault(record, Refused(reason, None, "")) == ours
