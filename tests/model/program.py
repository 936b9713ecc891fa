"""The default program as a plain dict, and how a test says what is different in its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

Program = dict[str, Any]

ALL_RULES = (
    "purchase",
    "first-purchase",
    "sign-in",
    "review",
    "profile",
    "favourite",
    "game",
    "joining-gift",
)

DEFAULT: Program = {
    "program": "example-shop",
    "version": "2026.1",
    "effective_from": "2026-01-01T00:00:00+08:00",
    "timezone": "Asia/Shanghai",
    "currency": "CNY",
    "membership": {"kind": "open", "earn_from": "first_event"},
    "points": {
        "rounding": "floor",
        "expiry": {"kind": "rolling", "months": 12, "min_life_days": 30},
        "pending": {"until": "order_completed", "auto_after_days": 15},
        "negative": "debt",
        "refund": {"mode": "recompute", "returned_expired": {"grace_days": 30}, "park_days": 30},
        "max_lateness_days": 30,
    },
    "earn": [
        {
            "rule": "purchase",
            "on": "order",
            "base": "net_of_points",
            "exclude": {"categories": ["gift-card"], "skus": []},
            "min_spend": "0",
            "bands": {
                "mode": "whole",
                "steps": [
                    {"upto": "200", "exclusive": True, "rate": "1"},
                    {"upto": "800", "rate": "1.5"},
                    {"rate": "2"},
                ],
            },
            "tier_multiplier": {"none": "1", "regular": "1", "senior": "1.1", "vip": "1.2", "supreme": "1.5"},
            "stacking": "multiply",
        },
        {"rule": "first-purchase", "on": "first_order", "points": 100},
        {"rule": "sign-in", "on": "signed_in", "points": 5, "once_per": "day", "streak": {7: 30}},
        {"rule": "review", "on": "review", "points": 20, "cap": {"per": "day", "points": 60}},
        {
            "rule": "profile",
            "on": "profile_completed",
            "fields": ["name", "phone", "email", "birthday"],
            "points": 50,
            "once_per": "member",
        },
        {
            "rule": "favourite",
            "on": {"activity": "favourite"},
            "points": 2,
            "cap": {"per": "day", "points": 10},
        },
        {
            "rule": "game",
            "on": {"activity": "game"},
            "points_per_unit": "1",
            "cap": {"per": "day", "points": 20},
        },
        {"rule": "joining-gift", "on": "enrolled", "points": 20, "once_per": "member"},
    ],
    "redeem": {
        "cash_offset": {
            "points_per_unit": 100,
            "minimum": 1,  # any number may be held: what is refused for its number alone is not a rule of points
            "step": 1,
            "max_share": "0.5",
            "exclude": {"categories": ["gift-card"]},
        }
    },
    "tiers": {
        "mode": "upgrade_only",
        "purpose": "attract",
        "growth": {"counts": "qualifying_amount", "after_days": 0},
        "ladder": [
            {
                "tier": "regular",
                "name": {"zh-CN": "普通会员", "zh-TW": "普通會員", "en": "Regular"},
                "when": {"orders": 1},
                "target_share": "0.80",
            },
            {
                "tier": "senior",
                "name": {"zh-CN": "高级会员", "zh-TW": "高級會員", "en": "Senior"},
                "when": {"growth": "399"},
                "target_share": "0.15",
            },
            {
                "tier": "vip",
                "name": {"zh-CN": "VIP会员", "zh-TW": "VIP會員", "en": "VIP"},
                "when": {"growth": "688"},
                "target_share": "0.05",
            },
            {
                "tier": "supreme",
                "name": {"zh-CN": "至尊VIP会员", "zh-TW": "至尊VIP會員", "en": "Supreme"},
                "when": {"growth": "888"},
                "target_share": "0.01",
            },
        ],
    },
}


def program(
    rules: Iterable[str] = ALL_RULES,
    *,
    points: Mapping[str, Any] | None = None,
    tiers: Mapping[str, Any] | None = None,
    rule: Mapping[str, Mapping[str, Any]] | None = None,
    more: Iterable[Mapping[str, Any]] = (),
    **top: Any,
) -> Program:
    """The default program with only `rules`, and with what is named replaced.

    `points` and `tiers` replace whole keys of those sections, `rule` keys of the rule of that name (None: without it);
    `more` are rules beside these, and other words keys of the document:
    `program(["purchase"], points={"expiry": {"kind": "none"}})`.
    """
    made = deepcopy(DEFAULT)
    made["points"].update(deepcopy(dict(points or {})))
    made["tiers"].update(deepcopy(dict(tiers or {})))
    made.update(deepcopy(top))
    wanted = set(rules)
    made["earn"] = [known for known in made["earn"] if known["rule"] in wanted]
    for known in made["earn"]:
        changed = {**known, **deepcopy(dict((rule or {}).get(known["rule"], {})))}
        known.clear()
        known.update({key: value for key, value in changed.items() if value is not None})
    made["earn"] += deepcopy([dict(one) for one in more])
    return made
