"""Requests to gateways: they keep the contract, and name the business key of their message."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import parse_event
from services.kit.calendar import MICROS_PER_SECOND, later, parse_rfc3339
from services.notifier.domain.decision import message_key
from services.notifier.events.outbound import Outgoing, Senders, class_mark, dedupe_key, key_of, message_id, render
from services.notifier.texts.rendering import Text

NOW = parse_rfc3339("2026-03-02T00:00:00Z")
DAY = 86_400 * MICROS_PER_SECOND


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
        expires_at=later(NOW, DAY),
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


def test_a_business_key_that_is_too_long_for_the_contract_goes_by_its_digest() -> None:
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
