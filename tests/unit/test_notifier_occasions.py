"""Which facts make an occasion, and what names it."""

from __future__ import annotations

from typing import Any

import pytest

from services.kit.calendar import MICROS_PER_SECOND, parse_rfc3339
from services.notifier.domain.occasions import PointsFact, TierFact, merged, points_occasion, tier_occasion

DAY = 86_400 * MICROS_PER_SECOND
AT = parse_rfc3339("2026-03-01T10:00:00+08:00")


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
        (
            points(kind="redeemed", order_id="17", rule="points-used", debt=480, debt_made=480),
            "clawback-debt",
            "used:order:/17:2026-03-01T02:00:00Z",
        ),
        (points(kind="redeemed", order_id="17", rule="points-used", debt=480), None, None),
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


def test_facts_of_one_outcome_about_one_occasion_are_merged() -> None:
    day, streak = points_occasion(points(expires_on="2027-03-31")), points_occasion(points(points=30, available=135))
    assert day is not None
    assert streak is not None
    assert merged(day, streak).parameters == {
        "points": 35,
        "available": 100,
        "rule": "sign-in",
        "expires_on": "2027-03-31",
    }
