"""Whether the message of an occasion is sent, over each channel, and if not, why not."""

from __future__ import annotations

from itertools import product

import pytest

from services.kit.calendar import MICROS_PER_SECOND, Micros, later, parse_rfc3339
from services.notifier.domain.decision import Decision, TouchpointRule, decide, message_key
from services.notifier.domain.inputs import ConsentChanged, apply_input
from services.notifier.domain.member import CHANNELS, CLASSES, Member, Recipient
from services.notifier.domain.occasions import MANDATORY_TOUCHPOINTS, TOUCHPOINTS, Occasion

DAY = 86_400 * MICROS_PER_SECOND
AT = parse_rfc3339("2026-03-01T10:00:00+08:00")
TEXTS = frozenset(product(TOUCHPOINTS, ("inapp", "sms", "email")))
ADDRESSES = {"sms": "+8613800138000", "email": "li@shop.example"}


def test_S1_the_key_keeps_its_parts_apart() -> None:
    assert message_key("m:a", "joined", "b", "sms") != message_key("m", "a:joined", "b", "sms")
    assert len(message_key("m", "joined", "enrolment", "sms")) == 16


def occasion(touchpoint: str = "points-confirmed") -> Occasion:
    return Occasion(touchpoint, "order:/17", AT, {"points": 1})  # type: ignore[arg-type]


def reasons(
    rule: TouchpointRule | None,
    *,
    what: Occasion | None = None,
    member: Member | None = None,
    addresses: dict[str, str] | None = None,
    arrived_at: Micros = AT,
    texts: frozenset[tuple[str, str]] = TEXTS,
) -> dict[str, str | None]:
    recipient = Recipient(member or Member(), ADDRESSES if addresses is None else addresses)
    decisions = decide(what or occasion(), rule, recipient, texts, arrived_at)
    return {decision.channel: decision.reason for decision in decisions}


ALL_CHANNELS = TouchpointRule(("inapp", "sms", "email"), "notice", 3 * DAY)


def test_every_channel_of_the_table_gets_a_decision() -> None:
    assert reasons(ALL_CHANNELS) == {"inapp": None, "sms": None, "email": None}


def test_without_an_address_there_is_nothing_to_send_to_but_the_app() -> None:
    assert reasons(ALL_CHANNELS, addresses={}) == {"inapp": None, "sms": "no_address", "email": "no_address"}


def test_S2_promotions_go_out_with_consent_and_with_a_way_to_opt_out() -> None:
    promo = TouchpointRule(("inapp", "sms", "email"), "promo")
    member = Member()
    assert reasons(promo, member=member) == {"inapp": None, "sms": "no_consent", "email": "no_consent"}
    for channel in ("sms", "email"):
        apply_input(member, ConsentChanged("m", AT, channel, "promo", True, "/shop", None))
    assert reasons(promo, member=member) == {"inapp": None, "sms": None, "email": "no_way_out"}


def test_S3_an_occasion_that_is_too_old_is_not_sent() -> None:
    assert reasons(ALL_CHANNELS, arrived_at=later(AT, 3 * DAY)) == {"inapp": None, "sms": None, "email": None}
    assert set(reasons(ALL_CHANNELS, arrived_at=later(AT, 3 * DAY + 1)).values()) == {"not_after"}


def test_an_occasion_without_a_touchpoint_is_decided_once_and_not_sent() -> None:
    assert reasons(None) == {"none": "no_touchpoint"}


def test_an_erased_member_gets_no_message() -> None:
    member = Member()
    member.erase(AT)
    assert set(reasons(ALL_CHANNELS, member=member).values()) == {"erased"}
    assert set(reasons(None, what=occasion("clawback-debt"), member=member).values()) == {"erased"}


def test_without_a_text_nothing_is_sent() -> None:
    assert reasons(ALL_CHANNELS, texts=frozenset({("points-confirmed", "inapp")})) == {
        "inapp": None,
        "sms": "no_template",
        "email": "no_template",
    }


@pytest.mark.parametrize("touchpoint", sorted(MANDATORY_TOUCHPOINTS))
@pytest.mark.parametrize("rule", [None, ALL_CHANNELS, TouchpointRule(("sms",), "notice", DAY)])
def test_S4_debt_and_downgrades_always_reach_the_inbox(touchpoint: str, rule: TouchpointRule | None) -> None:
    member = Member()
    for channel, message_class in product(CHANNELS, CLASSES):
        apply_input(member, ConsentChanged("m", AT, channel, message_class, False, "/shop", None))
    decisions = reasons(rule, what=occasion(touchpoint), member=member, addresses={}, arrived_at=later(AT, 400 * DAY))
    assert decisions["inapp"] is None
    assert all(reason is not None for channel, reason in decisions.items() if channel != "inapp")


def test_a_decision_without_a_reason_is_to_send() -> None:
    assert Decision("sms", "notice", None).send
    assert not Decision("sms", "notice", "no_consent").send
