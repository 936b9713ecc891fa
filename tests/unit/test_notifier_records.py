"""Records in, requests out: what is read, what is passed over, what is refused, and that requests keep the contract."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.events import parse_event
from schemas.events.reasons import RefusalReason, Refused
from services.kit.calendar import MICROS_PER_SECOND, parse_rfc3339, rfc3339
from services.kit.kafka import Record
from services.notifier.domain.decision import message_key
from services.notifier.domain.inputs import (
    ConsentChanged,
    DeviceRegistered,
    Erased,
    Happened,
    ProfileUpdated,
    TierHistoryReceived,
)
from services.notifier.events.inbound import POINTS, PROFILES, TIERS, Decoder
from services.notifier.events.outbound import Outgoing, Senders, class_mark, dedupe_key, key_of, message_id, render
from services.notifier.rendering import Text

NOW = parse_rfc3339("2026-03-02T00:00:00Z")
DAY = 86_400 * MICROS_PER_SECOND
STRUCTURED = (("content-type", b"application/cloudevents+json"),)
DECODE = Decoder(shards=16, max_event_age_days=400)


def event(kind: str, data: dict[str, Any], *, at: int = NOW - DAY) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "e1",
        "source": "/shop",
        "type": kind,
        "subject": "m1",
        "time": rfc3339(at),
        "datacontenttype": "application/json",
        "data": data,
    }


def record(topic: str, told: dict[str, Any], key: bytes = b"m1") -> Record:
    return Record(topic, 0, 1, NOW, key, orjson.dumps(told), STRUCTURED)


def points(kind: str, **changed: Any) -> dict[str, Any]:
    data = {
        "member_version": 3,
        "event_no": 0,
        "points": 630,
        "balance": {"available": 10, "pending": 0, "held": 0, "debt": 30},
        "cause": {
            "type": "commerce.order.completed.v1",
            "source": "/shop",
            "id": "e0",
            "time": "2026-03-01T00:00:00Z",
            "order_id": "17",
            "shop": "",
            "rule": "purchase",
            "program_version": "2026.1",
        },
        "expires_on": "2027-03-01",
    }
    return event(f"loyalty.points.{kind}.v1", {**data, **changed})


def tier(kind: str, **changed: Any) -> dict[str, Any]:
    data = {
        "member_version": 2,
        "event_no": 0,
        "tier": "vip",
        "previous_tier": "senior",
        "effective_at": "2026-03-01T00:00:00Z",
        "history": [],
        "growth_value": "700.00",
        "orders": 3,
        "program_version": "2026.1",
        "cause": {
            "type": "loyalty.order.qualified.v1",
            "source": "/loyalty/ledger",
            "id": "m1:3:1",
            "time": "2026-03-01T00:00:00Z",
            "program_version": "2026.1",
        },
    }
    return event(f"loyalty.tier.{kind}.v1", {**data, **changed})


def test_a_registration_tells_the_profile() -> None:
    told = event("commerce.member.registered.v1", {"name": "李雷", "phone": None, "birthday": "1990-01-02"})
    assert DECODE(record(PROFILES, told)) == ProfileUpdated(
        "m1", NOW - DAY, {"name": "李雷", "phone": None, "birthday": "1990-01-02"}
    )


def test_consents_devices_and_erasures_are_read() -> None:
    consent = {"channel": "sms", "class": "promo", "granted": True, "evidence": "checkout form 3"}
    assert DECODE(record(PROFILES, event("commerce.consent.changed.v1", consent))) == ConsentChanged(
        "m1", NOW - DAY, "sms", "promo", True, "/shop", "checkout form 3"
    )
    device = {"device_id": "d1", "platform": "ios", "token": "t"}
    assert DECODE(record(PROFILES, event("commerce.device.registered.v1", device))) == DeviceRegistered(
        "m1", NOW - DAY, "d1", "ios", "t"
    )
    assert DECODE(record(PROFILES, event("commerce.member.erased.v1", {}))) == Erased("m1", NOW - DAY)


def test_facts_of_the_ledger_and_of_tiering_are_occasions() -> None:
    confirmed = DECODE(record(POINTS, points("confirmed")))
    assert isinstance(confirmed, Happened)
    assert confirmed.occasion.name == "order:/17"
    assert confirmed.occasion.parameters == {
        "points": 630,
        "available": 10,
        "order_id": "17",
        "expires_on": "2027-03-01",
    }
    upgraded = DECODE(record(TIERS, tier("upgraded")))
    assert isinstance(upgraded, TierHistoryReceived)
    assert (upgraded.tier, upgraded.version) == ("vip", 2)
    assert upgraded.occasion is not None
    kept = DECODE(record(TIERS, tier("kept")))
    assert isinstance(kept, TierHistoryReceived)
    assert kept.occasion is None


@pytest.mark.parametrize("kind", ["pending", "redeemed", "returned", "expired"])
def test_what_makes_no_message_is_passed_over_before_it_is_parsed(kind: str) -> None:
    assert DECODE(record(POINTS, points(kind))) is None
    broken = Record(POINTS, 0, 1, NOW, b"m1", b'{"type":"loyalty.order.qualified.v1", not json', STRUCTURED)
    assert DECODE(broken) is None


def test_S4_a_clawback_without_debt_makes_no_message() -> None:
    assert DECODE(record(POINTS, points("clawed_back"))) is None
    assert DECODE(record(POINTS, points("clawed_back", debt_made=30))) is not None


def test_binary_mode_is_read_too() -> None:
    headers = tuple(
        (f"ce_{name}", value.encode())
        for name, value in points("earned").items()
        if isinstance(value, str) and name != "datacontenttype"
    )
    value = orjson.dumps(points("earned")["data"])
    binary = Record(POINTS, 0, 1, NOW, b"m1", value, (*headers, ("content-type", b"application/json")))
    assert isinstance(DECODE(binary), Happened)


@pytest.mark.parametrize(
    ("told", "reason", "field"),
    [
        (event("commerce.member.registered.v1", {"name": 7}), RefusalReason.BROKEN_FIELD, "data.name"),
        (event("commerce.member.registered.v1", {}, at=NOW - 401 * DAY), RefusalReason.TOO_LATE, "time"),
        (event("commerce.member.registered.v1", {}, at=NOW + DAY), RefusalReason.IN_FUTURE, "time"),
        (event("commerce.member.signed_in.v1", {}), RefusalReason.UNKNOWN_TYPE, "type"),
        (event("commerce.member.renamed.v1", {}), RefusalReason.UNKNOWN_TYPE, "type"),
    ],
)
def test_what_the_contract_refuses_is_refused_with_its_field(
    told: dict[str, Any], reason: RefusalReason, field: str
) -> None:
    refused = DECODE(record(PROFILES, told))
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.field) == (reason, field)


def test_an_erasure_is_never_too_late() -> None:
    late = event("commerce.member.erased.v1", {}, at=NOW - 401 * DAY)
    assert isinstance(DECODE(record(PROFILES, late)), Erased)


def outgoing(channel: str, *, occasion: str = "order:/17", text: str = "Text") -> Outgoing:
    return Outgoing(
        member_id="m1",
        key=message_key("m1", "points-confirmed", occasion, channel),
        attempt=1,
        channel=channel,
        to="+8613800138000" if channel == "sms" else "li@shop.example",
        message_class="notice",
        touchpoint="points-confirmed",
        occasion=occasion,
        parameters={"points": "630"},
        text=Text("zh-CN", "Title", text, "<p>Text</p>" if channel == "email" else None),
        consent_version=0,
        requested_at=NOW,
        expires_at=NOW + DAY,
    )


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_S1_a_request_keeps_the_contract_and_names_its_business_key(channel: str) -> None:
    sent = outgoing(channel)
    request: Any = parse_event(render(sent, Senders("示例商店", "members@shop.example")))
    assert request["type"] == f"notify.{channel}.requested.v1"
    assert request["subject"] == "m1"
    assert request["id"] == f"{request['data']['message_id']}:1"
    assert request["data"]["dedupe_key"] == f"points-confirmed:m1:order:/17:{channel}"
    assert request["data"]["template"] == {"code": "points-confirmed", "parameters": {"points": "630"}}
    assert request["data"]["expirytime"].isoformat() == "2026-03-03T00:00:00+00:00"
    if channel == "sms":
        assert request["data"]["signature"] == "示例商店"
    else:
        assert request["data"]["from"] == "members@shop.example"
        assert request["data"]["headers"]["Auto-Submitted"] == "auto-generated"


def test_a_business_key_that_is_too_long_for_the_contract_is_told_by_its_digest() -> None:
    sent = outgoing("sms", occasion="order:/" + "9" * 128)
    assert dedupe_key(sent) == f"points-confirmed:{sent.key.hex()}:sms"
    parse_event(render(sent, Senders("s", "a@shop.example")))


def test_a_message_id_leads_back_to_its_key() -> None:
    key = message_key("m1", "joined", "enrolment", "sms")
    assert key_of(message_id("m1", key)) == key
    assert key_of("0" * 39) is None
    assert key_of("z" * 40) is None


def test_a_text_cannot_pretend_to_be_of_another_class() -> None:
    request = render(outgoing("sms", text='"class":"promo"'), Senders("s", "a@shop.example"))
    assert class_mark("notice") in request
    assert class_mark("promo") not in request
