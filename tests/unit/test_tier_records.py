"""Records in, facts out and answers over HTTP, without a broker: what is read, refused, rendered and shown."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.events import parse_event
from schemas.events.reasons import RefusalReason, Refused
from services.kit.calendar import parse_rfc3339
from services.kit.kafka import Record
from services.tiering.api import ladder, standing
from services.tiering.domain.history import Entry
from services.tiering.domain.member import (
    Cause,
    Decision,
    Enrolment,
    Member,
    Order,
    Qualified,
    decide,
    order_key,
)
from services.tiering.domain.program import Versions, compile_program
from services.tiering.events.inbound import POINTS, PROFILES, Decoder
from services.tiering.events.outbound import render
from tests.unit.test_tier_history import document, on, with_ladder

VERSIONS = Versions([compile_program(document())])
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
    return Record(topic=topic, partition=0, offset=0, appended_at=ARRIVED, value=raw, **fields)


def decode(read: Record) -> object:
    return Decoder(lambda: VERSIONS, shards=1, max_event_age_days=400)(read)


def test_a_timeline_is_read_in_canonical_form_with_its_cause() -> None:
    told = decode(record(POINTS, qualified()))
    assert told == Qualified(
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
    told = decode(record(PROFILES, {"name": "Li"}, headers=headers))
    at = parse_rfc3339("2026-01-05T02:00:00Z")
    assert told == Enrolment("m-1", Cause("commerce.member.registered.v1", "/shop", "r1", at))


@pytest.mark.parametrize(
    "passed_over",
    [
        record(POINTS, event("loyalty.points.earned.v1", {"points": 5})),
        record(PROFILES, event("commerce.member.erased.v1", {})),
        record(PROFILES, event("commerce.profile.updated.v1", {"name": "commerce.member.registered.v1"})),
        record(POINTS, b"not an event"),
        Record(PROFILES, 0, 0, ARRIVED, b"m-1", None),
    ],
)
def test_what_tiering_does_not_read_is_passed_over(passed_over: Record) -> None:
    assert decode(passed_over) is None


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
def test_what_the_contract_refuses_is_refused_with_its_field(broken: Record, reason: str, field: str) -> None:
    with pytest.raises(Refused) as refused:
        decode(broken)
    assert (refused.value.reason, refused.value.field) == (reason, field)


def bought(member: Member, number: int, *entries: Entry) -> Decision:
    order = Order(number, 0, entries)
    key = order_key("", str(number))
    cause = Cause("loyalty.order.qualified.v1", "/loyalty/ledger", f"m-1:{number}:0", on(20), key)
    decision = decide(VERSIONS, member, Qualified("m-1", key, order, cause), {}, whole=False)
    assert decision is not None
    return decision


def test_T1_facts_out_validate_and_carry_the_whole_dated_history() -> None:
    member = Member()
    enrolment = Enrolment("m-1", Cause("commerce.member.registered.v1", "/shop", "r1", on(0)))
    joined = decide(VERSIONS, member, enrolment, {}, whole=False)
    assert joined is not None
    decisions = [
        joined,
        bought(member, 1, Entry(on(1), 40_000, 1)),
        bought(member, 2, Entry(on(2), 50_000, 1)),
    ]
    late = Qualified(
        "m-1",
        order_key("", "1"),
        Order(9, 0, (Entry(on(1), 100, 1),)),
        Cause("loyalty.order.qualified.v1", "/loyalty/ledger", "m-1:9:0", on(21), order_key("", "1")),
    )
    corrected = decide(VERSIONS, member, late, {}, whole=False)
    assert corrected is not None
    told = [render("m-1", decision, decision.facts[0], 2) for decision in [*decisions, corrected]]
    for rendered in told:
        parse_event(rendered)
    enrolled, _, upgraded, downgraded = (orjson.loads(rendered) for rendered in told)
    assert enrolled["type"] == "loyalty.tier.enrolled.v1"
    assert enrolled["data"]["effective_at"] == "2025-12-31T16:00:00Z"
    assert upgraded["id"] == "m-1:3:0"
    assert upgraded["time"] == "2026-01-20T16:00:00Z"
    assert upgraded["data"] == {
        "member_version": 3,
        "event_no": 0,
        "tier": "supreme",
        "previous_tier": "senior",
        "effective_at": "2026-01-02T16:00:00Z",
        "history": [
            {"tier": "senior", "effective_at": "2026-01-01T16:00:00Z"},
            {"tier": "supreme", "effective_at": "2026-01-02T16:00:00Z"},
        ],
        "growth_value": "900.00",
        "orders": 2,
        "program_version": "2026.1",
        "cause": {
            "type": "loyalty.order.qualified.v1",
            "source": "/loyalty/ledger",
            "id": "m-1:2:0",
            "time": "2026-01-20T16:00:00Z",
            "program_version": "2026.1",
            "shop": "",
            "order_id": "2",
        },
    }
    assert downgraded["type"] == "loyalty.tier.downgraded.v1"
    assert downgraded["data"]["cause"]["rule"] == "corrected"
    assert [step["tier"] for step in downgraded["data"]["history"]] == ["regular", "senior"]


def test_the_standing_shows_the_gap_to_the_next_tier() -> None:
    member = Member()
    bought(member, 1, Entry(on(1), 40_000, 1))
    shown = standing("m-1", member, VERSIONS.at(on(9)))
    assert shown["tier"] == "senior"
    assert shown["since"] == "2026-01-01T16:00:00Z"
    assert shown["growth_value"] == "400.00"
    assert shown["orders"] == 1
    assert shown["next"]["tier"] == "vip"
    assert shown["next"]["gap"] == {"growth": "288.00", "orders": None}
    assert shown["history"] == [{"tier": "senior", "effective_at": "2026-01-01T16:00:00Z"}]
    assert (shown["keep"], shown["valid_until"], shown["benefits"]) == (None, None, [])


def test_the_standing_with_an_order_is_the_one_after_it() -> None:
    member = Member()
    bought(member, 1, Entry(on(1), 40_000, 1))
    after = standing("m-1", member, VERSIONS.at(on(9)), 28_799)
    assert (after["tier"], after["since"], after["with"]) == ("senior", "2026-01-01T16:00:00Z", "287.99")
    assert after["next"]["gap"] == {"growth": "0.01", "orders": None}
    after = standing("m-1", member, VERSIONS.at(on(9)), 28_800)
    assert (after["tier"], after["since"], after["orders"]) == ("vip", None, 2)
    assert after["next"]["tier"] == "supreme"
    after = standing("m-1", member, VERSIONS.at(on(9)), 100_000)
    assert (after["tier"], after["next"]) == ("supreme", None)


def test_a_step_with_several_ways_shows_each() -> None:
    either = {"any": [{"growth": "399"}, {"orders": 3}]}
    program = compile_program(with_ladder([{"tier": "senior", "name": {"en": "Senior"}, "when": either}]))
    shown = standing("m-1", Member(), program)
    assert shown["next"] == {
        "tier": "senior",
        "names": {"en": "Senior"},
        "gap": {"growth": "399.00", "orders": None},
        "ways": [{"growth": "399.00", "orders": None}, {"growth": None, "orders": 3}],
    }
    assert ladder(program)["tiers"] == [
        {"tier": "senior", "rank": 1, "names": {"en": "Senior"}, "ways": shown["next"]["ways"]}
    ]
