"""Records as the notifier's inputs: what is read, what is skipped, and what is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.events.reasons import RefusalReason, Refused
from services.kit.calendar import MICROS_PER_SECOND, Micros, later, parse_rfc3339, rfc3339
from services.kit.kafka import Record, Shard
from services.notifier.domain.inputs import (
    ConsentChanged,
    DeviceRegistered,
    Erased,
    OccasionReceived,
    ProfileUpdated,
    TierHistoryReceived,
)
from services.notifier.events.inbound import POINTS, PROFILES, TIERS, Decoder

NOW = parse_rfc3339("2026-03-02T00:00:00Z")
DAY = 86_400 * MICROS_PER_SECOND
YESTERDAY = later(NOW, -DAY)
STRUCTURED = (("content-type", b"application/cloudevents+json"),)
DECODE = Decoder(shards=16, max_event_age_days=400)


def event(kind: str, data: dict[str, Any], *, at: Micros = YESTERDAY) -> dict[str, Any]:
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


def record(topic: str, value: dict[str, Any], key: bytes = b"m1") -> Record:
    return Record(topic, Shard(0), 1, NOW, key, orjson.dumps(value), STRUCTURED)


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


def test_a_registration_updates_the_profile() -> None:
    registered = event("commerce.member.registered.v1", {"name": "李雷", "phone": None, "birthday": "1990-01-02"})
    assert DECODE(record(PROFILES, registered)) == ProfileUpdated(
        "m1", YESTERDAY, {"name": "李雷", "phone": None, "birthday": "1990-01-02"}
    )


def test_consents_devices_and_erasures_are_read() -> None:
    consent = {"channel": "sms", "class": "promo", "granted": True, "evidence": "checkout form 3"}
    assert DECODE(record(PROFILES, event("commerce.consent.changed.v1", consent))) == ConsentChanged(
        "m1", YESTERDAY, "sms", "promo", True, "/shop", "checkout form 3"
    )
    device = {"device_id": "d1", "platform": "ios", "token": "t"}
    assert DECODE(record(PROFILES, event("commerce.device.registered.v1", device))) == DeviceRegistered(
        "m1", YESTERDAY, "d1", "ios", "t"
    )
    assert DECODE(record(PROFILES, event("commerce.member.erased.v1", {}))) == Erased("m1", YESTERDAY)


def test_facts_of_the_ledger_and_of_tiering_are_occasions() -> None:
    confirmed = DECODE(record(POINTS, points("confirmed")))
    assert isinstance(confirmed, OccasionReceived)
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
def test_a_record_that_makes_no_message_is_skipped_before_it_is_parsed(kind: str) -> None:
    assert DECODE(record(POINTS, points(kind))) is None
    broken = Record(POINTS, Shard(0), 1, NOW, b"m1", b'{"type":"loyalty.order.qualified.v1", not json', STRUCTURED)
    assert DECODE(broken) is None


def test_S4_a_clawback_without_debt_makes_no_message() -> None:
    assert DECODE(record(POINTS, points("clawed_back"))) is None
    assert DECODE(record(POINTS, points("clawed_back", debt_made=30))) is not None


def test_S4_points_used_that_were_not_there_are_an_occasion() -> None:
    """500 points used by a member who has 20: 480 are owed."""
    owed = points("redeemed", points=500, debt_made=480, balance={"available": 0, "pending": 0, "held": 0, "debt": 480})
    read = DECODE(record(POINTS, owed))
    assert isinstance(read, OccasionReceived)
    assert read.occasion.touchpoint == "clawback-debt"
    assert read.occasion.parameters.items() >= {"points": 500, "debt": 480, "debt_made": 480, "why": "used"}.items()
    without_parsing = Record(POINTS, Shard(0), 1, NOW, b"m1", b'{"type":"loyalty.points.redeemed.v1", not', STRUCTURED)
    assert DECODE(without_parsing) is None


def test_binary_mode_is_read_too() -> None:
    headers = tuple(
        (f"ce_{name}", value.encode())
        for name, value in points("earned").items()
        if isinstance(value, str) and name != "datacontenttype"
    )
    value = orjson.dumps(points("earned")["data"])
    binary = Record(POINTS, Shard(0), 1, NOW, b"m1", value, (*headers, ("content-type", b"application/json")))
    assert isinstance(DECODE(binary), OccasionReceived)


@pytest.mark.parametrize(
    ("broken", "reason", "field"),
    [
        (event("commerce.member.registered.v1", {"name": 7}), RefusalReason.BROKEN_FIELD, "data.name"),
        (event("commerce.member.registered.v1", {}, at=later(NOW, -401 * DAY)), RefusalReason.TOO_LATE, "time"),
        (event("commerce.member.registered.v1", {}, at=later(NOW, DAY)), RefusalReason.IN_FUTURE, "time"),
        (event("commerce.member.signed_in.v1", {}), RefusalReason.UNKNOWN_TYPE, "type"),
        (event("commerce.member.renamed.v1", {}), RefusalReason.UNKNOWN_TYPE, "type"),
    ],
)
def test_a_record_that_breaks_its_contract_is_refused_with_its_field(
    broken: dict[str, Any], reason: RefusalReason, field: str
) -> None:
    with pytest.raises(Refused) as refused:
        DECODE(record(PROFILES, broken))
    assert (refused.value.reason, refused.value.field) == (reason, field)


def test_an_erasure_is_never_too_late() -> None:
    late = event("commerce.member.erased.v1", {}, at=later(NOW, -401 * DAY))
    assert isinstance(DECODE(record(PROFILES, late)), Erased)
