"""Events are read as the contract says, in both modes, and what breaks it is refused by reason and field."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import (
    EVENT_TYPES,
    MAX_EVENT_BYTES,
    RefusalReason,
    Refused,
    parse_event,
    read_event,
    render_event,
)
from schemas.topics import ALL, BY_NAME, TOPIC_OF
from tests.contract.schemas_support import STRUCTURED, TYPES, binary, example, structured


def refusal(value: bytes | None, headers: list[tuple[str, bytes]], key: bytes | None, **options: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        read_event(value, headers, key, **options)
    return refused.value


def refused_field(event: dict[str, Any]) -> tuple[RefusalReason, str | None]:
    in_structured, in_binary = refusal(*structured(event)), refusal(*binary(event))
    assert (in_structured.reason, in_structured.field) == (in_binary.reason, in_binary.field)
    return in_structured.reason, in_structured.field


@pytest.mark.parametrize("kind", TYPES)
def test_an_example_of_each_type_is_read_in_both_modes_alike(kind: str) -> None:
    event = example(kind)
    read = read_event(*structured(event), types=TOPIC_OF[kind].types)
    assert read["type"] == kind
    assert read == read_event(*binary(event))


@pytest.mark.parametrize("kind", TYPES)
def test_an_event_that_was_read_renders_as_the_same_event(kind: str) -> None:
    read = parse_event(orjson.dumps(example(kind)))
    assert parse_event(render_event(read)) == read


def test_each_type_is_on_exactly_one_topic() -> None:
    carried = [kind for topic in ALL for kind in topic.types]
    assert sorted(carried) == sorted(EVENT_TYPES)
    assert {topic.timestamp_type for topic in ALL} == {"LogAppendTime"}


def test_what_is_sent_on_between_shards_has_a_topic_of_its_own() -> None:
    internal = BY_NAME["loyalty.internal.v1"]
    assert "commerce.order.paid.v1" in internal.accepted
    assert {TOPIC_OF[kind].writer for kind in internal.accepted} == {"shop", "ledger"}


def test_requests_to_gateways_are_kept_three_days() -> None:
    days = {topic.name: topic.retention_ms / 86_400_000 for topic in ALL if topic.name.startswith("notify.")}
    assert set(days.values()) == {3}


def test_member_keyed_topics_have_a_partition_a_shard() -> None:
    assert BY_NAME["commerce.orders.v1"].partition_count(32) == 32
    assert BY_NAME["loyalty.program.v1"].partition_count(32) == 1
    assert BY_NAME["loyalty.program.v1"].config()["cleanup.policy"] == "compact"


def test_unknown_fields_are_ignored() -> None:
    event = example("commerce.order.paid.v1", gift_wrap=True)
    event["traceparent"] = "00-1"
    read: Any = read_event(*structured(event))
    assert "gift_wrap" not in read["data"]
    assert "traceparent" not in read


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("commerce.order.paid.v1", {"order_id": None}, "data.order_id"),
        ("commerce.order.paid.v1", {"order_id": ""}, "data.order_id"),
        ("commerce.order.paid.v1", {"order_id": "o\u0000"}, "data.order_id"),
        ("commerce.order.paid.v1", {"order_id": 17}, "data.order_id"),
        ("commerce.order.paid.v1", {"lines": []}, "data.lines"),
        ("commerce.order.paid.v1", {"currency": "yuan"}, "data.currency"),
        ("commerce.order.paid.v1", {"shipping": 12}, "data.shipping"),
        ("commerce.order.paid.v1", {"shipping": 12.5}, "data.shipping"),
        ("commerce.order.paid.v1", {"shipping": "-1"}, "data.shipping"),
        ("commerce.order.paid.v1", {"shipping": "1e3"}, "data.shipping"),
        ("commerce.order.paid.v1", {"shipping": "١٢"}, "data.shipping"),
        ("commerce.order.paid.v1", {"points_used": -1}, "data.points_used"),
        ("commerce.order.paid.v1", {"points_used": 2**53 + 1}, "data.points_used"),
        ("commerce.order.paid.v1", {"points_used": "9000"}, "data.points_used"),
        ("commerce.order.refunded.v1", {"refund_id": None}, "data.refund_id"),
        ("commerce.review.published.v1", {"rating": 0}, "data.rating"),
        ("commerce.review.published.v1", {"rating": 6, "scale": 5}, "data"),
        ("commerce.review.published.v1", {"scale": 10}, "data.scale"),
        ("commerce.profile.updated.v1", {"birthday": "1990-02-30"}, "data.birthday"),
        ("commerce.profile.updated.v1", {"birthday": "28.02.1990"}, "data.birthday"),
        ("commerce.consent.changed.v1", {"class": "spam"}, "data.class"),
        ("commerce.consent.changed.v1", {"granted": "yes"}, "data.granted"),
        ("commerce.activity.recorded.v1", {"units": "-1"}, "data.units"),
        ("loyalty.points.earned.v1", {"points": 0}, "data.points"),
        ("loyalty.points.earned.v1", {"expires_on": "2026-13-01"}, "data.expires_on"),
    ],
)
def test_a_broken_field_is_refused_by_its_name(kind: str, change: dict[str, Any], field: str) -> None:
    assert refused_field(example(kind, **change)) == (RefusalReason.BROKEN_FIELD, field)


def test_a_broken_field_of_a_line_is_named_with_its_place() -> None:
    event = example("commerce.order.paid.v1")
    event["data"]["lines"][1]["amount"] = "12.34567"
    assert refused_field(event) == (RefusalReason.BROKEN_FIELD, "data.lines[1].amount")
    event["data"]["lines"][1]["amount"] = "12.34"
    event["data"]["lines"][1]["quantity"] = -2
    assert refused_field(event) == (RefusalReason.BROKEN_FIELD, "data.lines[1].quantity")


@pytest.mark.parametrize("kind", ["commerce.order.paid.v1", "commerce.order.refunded.v1"])
def test_a_line_named_twice_is_refused(kind: str) -> None:
    event = example(kind)
    event["data"]["lines"].append(event["data"]["lines"][0])
    assert refused_field(event) == (RefusalReason.BROKEN_FIELD, "data.lines")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("time", "2026-03-02T10:15:00"),
        ("time", "2026-02-30T10:15:00Z"),
        ("time", "2026-03-02T10:15:60Z"),
        ("time", "1772417700"),
        ("time", "0026-03-02T10:15:00Z"),
        ("subject", "+86 138 0013 8000"),
        ("subject", "m" * 65),
        ("subject", ""),
        ("specversion", "0.3"),
        ("id", ""),
        ("source", ""),
        ("datacontenttype", "text/xml"),
    ],
)
def test_a_broken_attribute_is_refused_by_its_name(attribute: str, value: str) -> None:
    event = {**example("commerce.order.paid.v1"), attribute: value}
    assert refused_field(event) == (RefusalReason.BROKEN_FIELD, attribute)


@pytest.mark.parametrize("attribute", ["id", "source", "subject", "time"])
def test_a_missing_attribute_is_refused_by_its_name(attribute: str) -> None:
    event = example("commerce.order.paid.v1")
    del event[attribute]
    key = b"m-1001"
    assert refusal(orjson.dumps(event), STRUCTURED, key).field == attribute


def test_a_refusal_never_repeats_a_value() -> None:
    event = example("commerce.profile.updated.v1", birthday="secret-day")
    refused = refusal(*structured(event))
    assert "secret-day" not in f"{refused} {refused.detail} {refused.__cause__}"


def test_an_unknown_type_is_refused() -> None:
    event = {**example("commerce.order.paid.v1"), "type": "commerce.order.paid.v9"}
    assert refused_field(event) == (RefusalReason.UNKNOWN_TYPE, "type")
    assert refusal(b'{"specversion": "1.0"}', STRUCTURED, b"m").field == "type"


def test_a_type_on_another_topic_is_refused() -> None:
    record = structured(example("loyalty.tier.upgraded.v1"))
    refused = refusal(*record, types=BY_NAME["commerce.orders.v1"].types)
    assert (refused.reason, refused.field) == (RefusalReason.UNKNOWN_TYPE, "type")


@pytest.mark.parametrize("key", [None, b"", b"m-1002", b"\xff"])
def test_a_key_that_is_not_the_subject_is_refused(key: bytes | None) -> None:
    value, headers, _ = structured(example("commerce.order.paid.v1"))
    refused = refusal(value, headers, key)
    assert (refused.reason, refused.field) == (RefusalReason.KEY_MISMATCH, "key")


def test_a_value_beyond_256_kib_is_refused() -> None:
    value, headers, key = structured(example("commerce.member.signed_in.v1"))
    padded = value[:-1] + b" " * (MAX_EVENT_BYTES - len(value)) + b"}"
    assert read_event(padded, headers, key)["type"] == "commerce.member.signed_in.v1"
    assert refusal(padded + b" ", headers, key).reason == RefusalReason.TOO_LARGE


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"type": "\\ud800"}']
)
def test_what_is_no_json_object_is_not_parsable(value: bytes | None) -> None:
    assert refusal(value, STRUCTURED, b"m").reason == RefusalReason.NOT_PARSABLE


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[" * 900 + b"]" * 900, b'{},"subject":"m-1"'])
def test_binary_data_that_is_no_json_is_not_parsable(value: bytes) -> None:
    _, headers, key = binary(example("commerce.member.signed_in.v1"))
    refused = refusal(value, headers, key)
    assert (refused.reason, refused.field) == (RefusalReason.NOT_PARSABLE, "data")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", b"application/json")],
        [("content-type", b"application/cloudevents-batch+json")],
        [("content-type", b"application/cloudevents+avro")],
    ],
)
def test_a_record_of_neither_mode_is_not_parsable(headers: list[tuple[str, bytes]]) -> None:
    value, _, key = structured(example("commerce.order.paid.v1"))
    refused = refusal(value, headers, key)
    assert (refused.reason, refused.field) == (RefusalReason.NOT_PARSABLE, "content-type")


def test_the_media_type_may_have_parameters_and_any_case() -> None:
    value, _, key = structured(example("commerce.order.paid.v1"))
    headers = [("Content-Type", b"application/CloudEvents+JSON; charset=UTF-8")]
    assert read_event(value, headers, key)["subject"] == "m-1001"


def test_data_may_come_as_base64() -> None:
    event = example("commerce.order.paid.v1")
    expected = parse_event(orjson.dumps(event))
    event["data_base64"] = b64encode(orjson.dumps(event.pop("data"))).decode()
    assert parse_event(orjson.dumps(event)) == expected
    event["data_base64"] = "no base64"
    assert refusal(orjson.dumps(event), STRUCTURED, b"m-1001").field == "data"


def test_time_is_exact_to_the_microsecond_and_truncated_below() -> None:
    event = {**example("commerce.order.paid.v1"), "time": "2026-03-02T10:15:00.123456999+08:00"}
    read = read_event(*structured(event))
    assert read["time"].isoformat() == "2026-03-02T10:15:00.123456+08:00"


@given(
    st.binary(max_size=200),
    st.lists(
        st.tuples(
            st.sampled_from(["content-type", "ce_specversion", "ce_type", "ce_subject", "other"]),
            st.one_of(
                st.binary(max_size=40),
                st.sampled_from([b"1.0", b"application/cloudevents+json", b"commerce.member.signed_in.v1"]),
            ),
        ),
        max_size=5,
    ),
)
@settings(deadline=None)
def test_whatever_bytes_come_they_are_read_or_refused(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(Refused):
        read_event(value, headers, b"m-1")
