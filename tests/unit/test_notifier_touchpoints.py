"""Which facts are told, as what occasion, and what is decided about them."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from services.kit.calendar import MICROS_PER_SECOND, parse_rfc3339
from services.notifier.domain.decision import Decision, TouchpointRule, decide, message_key
from services.notifier.domain.inputs import ConsentChanged, absorb
from services.notifier.domain.member import CHANNELS, CLASSES, Member
from services.notifier.domain.touchpoint import (
    ALWAYS_TOLD,
    TOUCHPOINTS,
    Occasion,
    PointsFact,
    TierFact,
    points_occasion,
    tier_occasion,
    together,
)

DAY = 86_400 * MICROS_PER_SECOND
AT = parse_rfc3339("2026-03-01T10:00:00+08:00")
TEXTS = frozenset(product(TOUCHPOINTS, ("inapp", "sms", "email")))
ADDRESSES = {"sms": "+8613800138000", "email": "li@shop.example"}


def points(**changed: Any) -> PointsFact:
    fact: dict[str, Any] = {
        "kind": "earned",
        "at": AT,
        "points": 5,
        "available": 100,
        "debt": 0,
        "debt_made": 0,
        "rule": "sign-in",
        "order_id": None,
        "shop": "",
        "expires_on": None,
    }
    return PointsFact(**{**fact, **changed})


@pytest.mark.parametrize(
    ("fact", "touchpoint", "name"),
    [
        (points(), "points-earned", "sign-in:2026-03-01T02:00:00Z"),
        (points(rule="first-purchase", order_id="17"), "points-earned", "order:/17:first-purchase"),
        (points(kind="confirmed", order_id="17", shop="east"), "points-confirmed", "order:east/17"),
        (points(kind="confirmed"), None, None),
        (
            points(kind="clawed_back", order_id="17", rule="purchase", debt=30, debt_made=30),
            "clawback-debt",
            "order:/17:2026-03-01T02:00:00Z",
        ),
        (points(kind="clawed_back", order_id="17", debt=30), None, None),
        (TierFact("enrolled", AT, "none", "none"), "joined", "enrolment"),
        (TierFact("upgraded", AT, "vip", "regular"), "tier-upgraded", "vip:2026-03-01T02:00:00Z"),
        (TierFact("downgraded", AT, "senior", "vip"), "tier-downgraded", "senior:2026-03-01T02:00:00Z"),
        (TierFact("kept", AT, "vip", "vip"), None, None),
    ],
)
def test_S1_an_occasion_is_named_by_what_happened(
    fact: PointsFact | TierFact, touchpoint: str | None, name: str | None
) -> None:
    occasion = points_occasion(fact) if isinstance(fact, PointsFact) else tier_occasion(fact)
    if touchpoint is None:
        assert occasion is None
    else:
        assert occasion is not None
        assert (occasion.touchpoint, occasion.name) == (touchpoint, name)


def test_S1_a_part_of_an_order_confirmed_later_is_the_same_occasion() -> None:
    first = points_occasion(points(kind="confirmed", order_id="17", points=150))
    rest = points_occasion(points(kind="confirmed", order_id="17", points=150, at=AT + DAY))
    assert first is not None
    assert rest is not None
    assert first.name == rest.name


def test_S4_each_debt_made_is_an_occasion_of_its_own() -> None:
    names = {
        occasion.name
        for hour in range(3)
        if (occasion := points_occasion(points(kind="clawed_back", order_id="17", debt=1, debt_made=1, at=AT + hour)))
    }
    assert len(names) == 3


def test_facts_of_one_outcome_about_one_occasion_are_told_together() -> None:
    day, streak = points_occasion(points(expires_on="2027-03-31")), points_occasion(points(points=30, available=135))
    assert day is not None
    assert streak is not None
    assert together(day, streak).parameters == {
        "points": 35,
        "available": 100,
        "rule": "sign-in",
        "expires_on": "2027-03-31",
    }


def test_S1_the_key_tells_its_parts_apart() -> None:
    assert message_key("m:a", "joined", "b", "sms") != message_key("m", "a:joined", "b", "sms")
    assert len(message_key("m", "joined", "enrolment", "sms")) == 16


def occasion(touchpoint: str = "points-confirmed") -> Occasion:
    return Occasion(touchpoint, "order:/17", AT, {"points": 1})  # type: ignore[arg-type]


def told(
    rule: TouchpointRule | None,
    *,
    what: Occasion | None = None,
    member: Member | None = None,
    addresses: dict[str, str] | None = None,
    now: int = AT,
    texts: frozenset[tuple[str, str]] = TEXTS,
) -> dict[str, str | None]:
    decisions = decide(
        what or occasion(), rule, member or Member(), ADDRESSES if addresses is None else addresses, texts, now
    )
    return {decision.channel: decision.reason for decision in decisions}


ALL_WAYS = TouchpointRule(("inapp", "sms", "email"), "notice", 3 * DAY)


def test_every_way_of_the_table_gets_a_decision() -> None:
    assert told(ALL_WAYS) == {"inapp": None, "sms": None, "email": None}


def test_without_an_address_there_is_nothing_to_send_to_but_the_app() -> None:
    assert told(ALL_WAYS, addresses={}) == {"inapp": None, "sms": "no_address", "email": "no_address"}


def test_S2_promotions_go_out_with_consent_and_with_a_way_out() -> None:
    promo = TouchpointRule(("inapp", "sms", "email"), "promo")
    member = Member()
    assert told(promo, member=member) == {"inapp": None, "sms": "no_consent", "email": "no_consent"}
    for channel in ("sms", "email"):
        absorb(member, ConsentChanged("m", 1, channel, "promo", True, "/shop", None))
    assert told(promo, member=member) == {"inapp": None, "sms": None, "email": "no_way_out"}


def test_S3_what_is_no_longer_news_is_not_told() -> None:
    assert told(ALL_WAYS, now=AT + 3 * DAY) == {"inapp": None, "sms": None, "email": None}
    assert set(told(ALL_WAYS, now=AT + 3 * DAY + 1).values()) == {"not_after"}


def test_what_the_program_does_not_tell_is_decided_once_and_not_sent() -> None:
    assert told(None) == {"none": "no_touchpoint"}


def test_an_erased_member_is_told_nothing() -> None:
    member = Member()
    member.erase(AT)
    assert set(told(ALL_WAYS, member=member).values()) == {"erased"}
    assert set(told(None, what=occasion("clawback-debt"), member=member).values()) == {"erased"}


def test_without_a_text_nothing_is_sent() -> None:
    assert told(ALL_WAYS, texts=frozenset({("points-confirmed", "inapp")})) == {
        "inapp": None,
        "sms": "no_template",
        "email": "no_template",
    }


@pytest.mark.parametrize("touchpoint", sorted(ALWAYS_TOLD))
@pytest.mark.parametrize("rule", [None, ALL_WAYS, TouchpointRule(("sms",), "notice", DAY)])
def test_S4_debt_and_downgrades_always_reach_the_inbox(touchpoint: str, rule: TouchpointRule | None) -> None:
    member = Member()
    for channel, message_class in product(CHANNELS, CLASSES):
        absorb(member, ConsentChanged("m", 1, channel, message_class, False, "/shop", None))
    decisions = told(rule, what=occasion(touchpoint), member=member, addresses={}, now=AT + 400 * DAY)
    assert decisions["inapp"] is None
    assert all(reason is not None for channel, reason in decisions.items() if channel != "inapp")


def test_a_decision_without_a_reason_is_to_send() -> None:
    assert Decision("sms", "notice", None).send
    assert not Decision("sms", "notice", "no_consent").send
