"""The programs that worlds are played under."""

from __future__ import annotations

import random
from typing import Any, Final

from tests.model.program import ALL_RULES, DEFAULT, Program, program

POOL: Final = "ten-off"
REWARDS: Final = ("mug", POOL, "shipping", "teapot", "draw")
CHANNEL: Final = "app"
_CAMPAIGN: Final = {"from": "2026-03-01T00:00:00+08:00", "to": "2026-09-01T00:00:00+08:00"}
_REFERRAL: Final = {"rule": "referral", "on": "referral", "referrer": 100, "referred": 50}
_EXPIRY: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "none"},
    {"kind": "rolling", "months": 12, "min_life_days": 30},
    {"kind": "rolling", "months": 1, "min_life_days": 0},
    {"kind": "rolling", "months": 2, "min_life_days": 20},
    {"kind": "fixed_dates", "dates": ["03-10", "06-30", "12-31"], "min_life_days": 5},
    {"kind": "sliding", "months": 1, "min_life_days": 0},
)


def with_all(document: Program, *, stock: int, budget: int) -> Program:
    """The same with campaigns, a referral rule and a catalogue of something of each kind, soon sold out."""
    return {
        **document,
        "earn": [*document["earn"], _REFERRAL, *_campaigns(budget)],
        "redeem": {**DEFAULT["redeem"], "rewards": _rewards(stock)},
    }


def _campaigns(budget: int) -> list[dict[str, Any]]:
    of_goods = {"multiplier": "1.5", "include": {"categories": ["apparel"]}}
    options = {"multiplier": "2", "channels": [CHANNEL], "budget": budget}
    return [
        {"rule": "apparel-days", "on": "order", "campaign": _CAMPAIGN | of_goods},
        {"rule": "app-gift", "on": "order", "campaign": _CAMPAIGN | options},
    ]


def _rewards(stock: int) -> list[dict[str, Any]]:
    prizes = [{"prize": "mug", "chance": "0.3", "reward": "mug"}, {"prize": "points", "chance": "0.3", "points": 20}]
    return [
        {"reward": "mug", "kind": "gift", "points": 40, "stock": stock},
        {"reward": POOL, "kind": "coupon", "points": 30, "codes": POOL},
        {"reward": "shipping", "kind": "free_shipping", "points": 20},
        {"reward": "teapot", "kind": "points_cash", "points": 30, "price": "59.00"},
        {"reward": "draw", "kind": "lottery", "points": 10, "prizes": prizes},
    ]


def draw_program(rng: random.Random) -> dict[str, Any]:
    """The default program with its options drawn."""
    drawn = program(
        ALL_RULES,
        points={
            "rounding": rng.choice(("floor", "half_up", "ceil")),
            "expiry": rng.choice(_EXPIRY),
            "pending": {"until": "order_completed", "auto_after_days": rng.choice((15, 3))},
            "negative": rng.choice(("debt", "clamp", "review")),
            "refund": {
                "mode": rng.choice(("recompute", "proportional")),
                "returned_expired": rng.choice(({"grace_days": 30}, "expire_at_once")),
                "park_days": 30,
            },
            "max_lateness_days": rng.choice(("none", 30, 3)),
        },
        rule={
            "purchase": {"base": rng.choice(("net_of_points", "gross")), "stacking": rng.choice(("multiply", "max"))},
            "sign-in": {"make_up": {"cost": 3, "within_days": 4}},
        },
    )
    return with_all(drawn, stock=rng.choice((1, 3, 40)), budget=rng.choice((500, 20_000, 10**7)))
