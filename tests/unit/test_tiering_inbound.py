"""Records as tiering's inputs: what is read, what is skipped, and what is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.events.reasons import RefusalReason, Refused
from services.kit.calendar import parse_rfc3339
from services.kit.kafka import Record, Shard
from services.tiering.domain.member import Cause, Enrolment, Erasure, Order, TimelineReceived, order_key
from services.tiering.domain.program import ProgramVersions, compile_program
from services.tiering.domain.timeline import Entry
from services.tiering.events.inbound import POINTS, PROFILES, Decoder
from tests.unit.test_tiering_history import document

VERSIONS = ProgramVersions([compile_program(document())])
STRUCTURED = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
ARRIVED = parse_rfc3339("2026-06-01T00:00:00Z")


def qualified(**changes: Any) -> dict[str, Any]:
    data = {
        "member_version": 7,
        "event_no": 2,
        "order_id": "17",
        "shop": "tmall",
        "paid_at": "2026-01-01T09:00:00+08:00",
        "timeline": [
            {"at": "2026-01-05T10:00:00+08:00", "amount": "-12.30", "orders": 0, "cause": "refund"},
            {"at": "2026-01-02T10:00:00+08:00", "amount": "399", "orders": 1, "cause": "completed"},
        ],
    }
    return event("loyalty.order.qualified.v1", {**data, **changes})


def event(kind: str, data: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    made = {
        "specversion": "1.0",
        "id": "m-1:7:2",
        "source": "/loyalty/ledger",
        "type": kind,
        "subject": "m-1",
        "time": "2026-01-05T10:00:00+08:00",
        "data": data,
    }
    return {**made, **attributes}


def record(topic: str, value: dict[str, Any] | bytes, **changes: Any) -> Record:
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    fields: dict[str, Any] = {"key": b"m-1", "headers": STRUCTURED, **changes}
    return Record(topic=topic, partition=Shard(0), offset=0, appended_at=ARRIVED, value=raw, **fields)


def decode(read: Record) -> object:
    return Decoder(lambda: VERSIONS, shards=1, max_event_age_days=400)(read)


def test_a_timeline_is_read_in_canonical_form_with_its_cause() -> None:
    input_ = decode(record(POINTS, qualified()))
    assert input_ == TimelineReceived(
        "m-1",
        order_key("tmall", "17"),
        Order(
            7,
            2,
            (
                Entry(parse_rfc3339("2026-01-02T02:00:00Z"), 39_900, 1),
                Entry(parse_rfc3339("2026-01-05T02:00:00Z"), -1_230, 0),
            ),
        ),
        Cause(
            "loyalty.order.qualified.v1",
            "/loyalty/ledger",
            "m-1:7:2",
            parse_rfc3339("2026-01-05T02:00:00Z"),
            order_key("tmall", "17"),
        ),
    )


def test_a_registration_in_binary_mode_is_read_too() -> None:
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"r1"),
        ("ce_source", b"/shop"),
        ("ce_type", b"commerce.member.registered.v1"),
        ("ce_subject", b"m-1"),
        ("ce_time", b"2026-01-05T10:00:00+08:00"),
        ("content-type", b"application/json"),
    )
    input_ = decode(record(PROFILES, {"name": "Li"}, headers=headers))
    at = parse_rfc3339("2026-01-05T02:00:00Z")
    assert input_ == Enrolment("m-1", Cause("commerce.member.registered.v1", "/shop", "r1", at))


def test_mend_b06_an_erasure_is_read_however_old_it_is() -> None:
    for time in ("2026-05-31T00:00:00Z", "2024-05-31T00:00:00Z"):
        at = parse_rfc3339(time)
        cause = Cause("commerce.member.erased.v1", "/loyalty/ledger", "m-1:7:2", at)
        assert decode(record(PROFILES, event("commerce.member.erased.v1", {}, time=time))) == Erasure("m-1", cause)


@pytest.mark.parametrize(
    "unused",
    [
        record(POINTS, event("loyalty.points.earned.v1", {"points": 5})),
        record(PROFILES, event("commerce.consent.changed.v1", {"channel": "sms", "class": "promo", "granted": True})),
        record(PROFILES, event("commerce.profile.updated.v1", {"name": "commerce.member.registered.v1"})),
        record(POINTS, b"not an event"),
        Record(PROFILES, Shard(0), 0, ARRIVED, b"m-1", None),
    ],
)
def test_a_record_that_tiering_does_not_use_is_skipped(unused: Record) -> None:
    assert decode(unused) is None


@pytest.mark.parametrize(
    ("broken", "reason", "field"),
    [
        (record(POINTS, qualified(shop=5)), RefusalReason.BROKEN_FIELD, "data.shop"),
        (
            record(
                POINTS,
                qualified(timeline=[
                    {"at": "2026-01-02T10:00:00Z", "amount": "1.005", "orders": 1, "cause": "completed"}
                ]),
            ),
            RefusalReason.BROKEN_FIELD,
            "data.timeline[0].amount",
        ),
        (record(POINTS, qualified(), key=b"m-2"), RefusalReason.KEY_MISMATCH, "key"),
        (
            record(PROFILES, event("commerce.member.registered.v1", {}, time="2025-04-26T23:59:59Z")),
            RefusalReason.TOO_LATE,
            "time",
        ),
        (
            record(PROFILES, event("commerce.member.registered.v1", {}, time="2026-06-01T00:05:01Z")),
            RefusalReason.IN_FUTURE,
            "time",
        ),
    ],
)  # fmt: skip
def test_a_record_that_breaks_its_contract_is_refused_with_its_field(broken: Record, reason: str, field: str) -> None:
    with pytest.raises(Refused) as refused:
        decode(broken)
    assert (refused.value.reason, refused.value.field) == (reason, field)
