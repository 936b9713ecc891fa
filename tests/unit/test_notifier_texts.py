"""Every text in every language, as it reads.

The golden files show each template rendered with an example, and with as little as it can have. After a deliberate
change of wording: `UPDATE_GOLDEN=1 pytest tests/unit/test_notifier_texts.py`, and read the difference.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.program.loading import load
from services.kit.calendar import parse_rfc3339
from services.notifier.domain.occasions import SAMPLES, TOUCHPOINTS, Parameters, Touchpoint
from services.notifier.domain.policy import Policy, Reader, context
from services.notifier.program import policy_of
from services.notifier.texts.formats import formatted, money, number
from services.notifier.texts.rendering import MissingTextError, TemplateError, Text, Texts

GOLDEN = Path(__file__).parent / "golden" / "notifier"
LOCALES = ("zh-CN", "zh-TW", "en")
AT = parse_rfc3339("2026-03-01T23:30:00+08:00")
SHOPS = {"zh-CN": "示例商店", "zh-TW": "範例商店", "en": "Example Shop"}
NAMES = {"zh-CN": "李雷", "zh-TW": "王小明", "en": "Ann <b>Lee</b>"}

TEXTS = Texts.load()
PROGRAM = Path(__file__).parents[2] / "deploy" / "program.yaml"
POLICY = policy_of(load(PROGRAM.read_text("utf-8")).document())
BARE = Policy("example-shop", "1", "Asia/Shanghai", "CNY", {})
"""A program without any policy to add to what happened."""

MINIMAL: dict[Touchpoint, Parameters] = {
    "joined": {},
    "points-earned": {"points": 1, "available": 1},
    "points-confirmed": {"points": 1, "available": 1, "order_id": "17"},
    "clawback-debt": {"points": 1, "available": 0, "debt": 1, "debt_made": 1},
    "tier-upgraded": {"tier": "gold", "previous_tier": "none"},
    "tier-downgraded": {"tier": "none", "previous_tier": "regular"},
}

OTHERS: dict[Touchpoint, list[Parameters]] = {
    "clawback-debt": [
        {"points": 500, "available": 0, "debt": 480, "debt_made": 480, "order_id": "20260301-17", "why": "used"},
        {"points": 1, "available": 0, "debt": 1, "debt_made": 1, "why": "used"},
    ],
}
"""Further examples where one touchpoint has more than one thing to say."""


def rendered(
    touchpoint: Touchpoint,
    channel: str,
    locale: str,
    parameters: Parameters,
    policy: Policy = POLICY,
    *,
    name: str | None = None,
    promo: bool = False,
) -> Text:
    reader = Reader(locale, "zh-CN", SHOPS[locale], name)
    return TEXTS.render(touchpoint, channel, locale, context(policy, touchpoint, parameters, AT, reader), promo=promo)


def all_texts() -> Iterator[tuple[Touchpoint, str, str]]:
    for touchpoint in TOUCHPOINTS:
        for channel in ("inapp", "sms", "email"):
            for locale in sorted(TEXTS.locales(touchpoint, channel)):
                yield touchpoint, channel, locale


@pytest.mark.parametrize(("touchpoint", "channel", "locale"), list(all_texts()))
def test_each_text_reads_as_its_golden_file(touchpoint: Touchpoint, channel: str, locale: str) -> None:
    example = rendered(touchpoint, channel, locale, SAMPLES[touchpoint], name=NAMES[locale])
    minimal = rendered(touchpoint, channel, locale, MINIMAL[touchpoint], BARE)
    others = [rendered(touchpoint, channel, locale, parameters, BARE) for parameters in OTHERS.get(touchpoint, ())]
    read = "\n\n".join(
        part
        for text in (example, minimal, *others)
        for part in (f"[{text.title}]" if text.title else "", text.body)
        if part
    )
    if channel == "email":
        read += f"\n\n{example.html}"
    file = GOLDEN / f"{touchpoint}.{channel}.{locale}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(read + "\n", "utf-8")
    assert file.read_text("utf-8") == read + "\n"


def test_every_touchpoint_of_the_program_has_a_text_in_every_language_for_every_channel() -> None:
    for touchpoint, rule in POLICY.touchpoints.items():
        for channel in rule.channels:
            assert TEXTS.locales(touchpoint, channel) == set(LOCALES), (touchpoint, channel)


def test_every_touchpoint_has_a_text_in_the_app() -> None:
    assert {touchpoint for touchpoint, channel in TEXTS.available if channel == "inapp"} == set(TOUCHPOINTS)


@pytest.mark.parametrize(
    ("touchpoint", "policy"),
    [
        ("joined", ["20", "5", "1.5"]),
        ("points-confirmed", ["20", "VIP会员", "¥688"]),
        ("tier-upgraded", ["1.2", "至尊VIP", "¥888"]),
        ("clawback-debt", ["优先抵还"]),
        ("points-earned", ["有效期至2027年3月31日"]),
    ],
)
def test_S7_a_touchpoint_carries_policy_and_not_only_news(touchpoint: Touchpoint, policy: list[str]) -> None:
    everything = Policy(**{**{f: getattr(POLICY, f) for f in POLICY.__struct_fields__}, "touchpoints": {}})
    text = rendered(touchpoint, "inapp", "zh-CN", SAMPLES[touchpoint], everything).body
    assert all(part in text for part in policy), text


def test_S7_the_program_chooses_the_policy_in_a_text() -> None:
    assert "签到" not in rendered("joined", "inapp", "zh-CN", {}).body
    assert "入会专享礼 20 积分" in rendered("joined", "inapp", "zh-CN", {}).body


def test_S2_a_promotional_text_message_ends_with_the_way_out() -> None:
    assert rendered("joined", "sms", "zh-CN", {}, promo=True).body.endswith("拒收请回复R")
    assert rendered("joined", "sms", "zh-TW", {}, promo=True).body.endswith("拒收請回覆R")
    assert rendered("joined", "sms", "en", {}, promo=True).body.endswith("Reply STOP to opt out")
    assert "拒收" not in rendered("joined", "sms", "zh-CN", {}).body


def test_words_that_carriers_refuse_are_in_no_text_message() -> None:
    for touchpoint, channel, locale in all_texts():
        if channel == "sms":
            text = rendered(touchpoint, channel, locale, SAMPLES[touchpoint]).body
            assert not any(word in text for word in ("积分兑换", "积分清零", "用户召回")), text


def test_english_has_a_singular() -> None:
    one = rendered("points-earned", "inapp", "en", {"points": 1, "available": 1})
    many = rendered("points-earned", "inapp", "en", {"points": 1200, "available": 1})
    assert "1 point " in one.body
    assert "1,200 points " in many.body


def test_a_name_cannot_write_html() -> None:
    html = rendered("joined", "email", "en", {}, name="<script>").html
    assert html is not None
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_parameters_for_providers_read_as_in_the_text() -> None:
    values = context(POLICY, "points-confirmed", SAMPLES["points-confirmed"], AT, Reader("zh-CN", "zh-CN", "示例商店"))
    assert formatted(values, "zh-CN") == {
        "points": "1,200",
        "available": "3,400",
        "order_id": "20260301-17",
        "expires_on": "2027年3月31日",
        "tier": "senior",
        "shop": "示例商店",
        "review_points": "20",
        "next_tier": "VIP会员",
        "next_growth": "¥688",
        "currency": "CNY",
    }


def test_a_day_is_that_of_the_programs_zone() -> None:
    values = context(POLICY, "tier-upgraded", {"tier": "vip"}, AT, Reader("en", "zh-CN", ""))
    assert values["effective_on"] == "2026-03-01"
    assert values["shop"] == "example-shop"


def test_numbers_and_money_are_written_as_the_locale_does() -> None:
    assert number(1234567, "zh-CN") == "1,234,567"
    assert money("888.00", "CNY", "zh-CN") == "¥888"
    assert money("1888.50", "CNY", "en") == "CN¥1,888.5"


def test_a_template_that_runs_away_is_stopped() -> None:
    source = "{% for i in (1..100000) %}{% for j in (1..100000) %}x{% endfor %}{% endfor %}"
    runaway = Texts({("joined", "sms", "en"): source}, "")
    with pytest.raises(TemplateError):
        runaway.render("joined", "sms", "en", {})
    flood = Texts({("joined", "sms", "en"): "{{ text }}"}, "")
    with pytest.raises(TemplateError):
        flood.render("joined", "sms", "en", {"text": "x" * 70_000})


def test_an_error_of_a_template_quotes_no_value() -> None:
    broken = Texts({("joined", "sms", "en"): "{{ name | number }}"}, "")
    with pytest.raises(TemplateError) as raised:
        broken.render("joined", "sms", "en", {"name": "Li Lei"})
    assert "Li Lei" not in str(raised.value)


def test_a_template_that_does_not_parse_is_named() -> None:
    with pytest.raises(TemplateError, match=r"joined/sms\.en"):
        Texts({("joined", "sms", "en"): "{% if %}"}, "")


def test_a_text_that_is_not_there_is_missing() -> None:
    with pytest.raises(MissingTextError):
        TEXTS.locale_for("joined", "push", "en", "zh-CN")
