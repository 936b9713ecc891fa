"""Which facts make a message, and for what occasion.

A touchpoint is a kind of moment at which the shop writes to a member; an occasion is one such moment. An
occasion is named by what happened in business terms, never by the id of an event, because one message per
(member, touchpoint, occasion, channel) goes out for ever (S1): the same fact published again, replayed, or derived
anew by a rebuilt ledger names the same occasion, and makes no second message.

| touchpoint       | fact                                             | occasion                        |
|------------------|--------------------------------------------------|---------------------------------|
| joined           | tier.enrolled                                    | enrolment                       |
| points-earned    | points.earned, not for an order                  | rule:instant                    |
|                  | points.earned for an order (a bonus)             | order:shop/id:rule              |
| points-confirmed | points.confirmed for an order                    | order:shop/id                   |
| clawback-debt    | points.clawed_back that made debt (S4)           | order:shop/id:instant, or rule:instant |
|                  | points.redeemed that made debt (S4)              | used:order:shop/id:instant             |
| tier-upgraded    | tier.upgraded                                    | tier:instant                    |
| tier-downgraded  | tier.downgraded (S4)                             | tier:instant                    |

Pending points make no message: an order makes one, when its points can be spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from services.kit.calendar import Micros, rfc3339

Touchpoint = Literal["joined", "points-earned", "points-confirmed", "clawback-debt", "tier-upgraded", "tier-downgraded"]
TOUCHPOINTS: Final[tuple[Touchpoint, ...]] = get_args(Touchpoint)

MANDATORY_TOUCHPOINTS: Final[frozenset[str]] = frozenset({"clawback-debt", "tier-downgraded"})
"""Touchpoints that reach the member's inbox whatever the program, their age and the consents say (S4)."""

Parameter: TypeAlias = str | int
Parameters: TypeAlias = dict[str, Parameter]


class PointsFact(msgspec.Struct, frozen=True):
    """A movement of points from a fact of the ledger, cut to what a message needs. `at` is the business time."""

    kind: Literal["earned", "confirmed", "clawed_back", "redeemed"]
    at: Micros
    points: int
    available: int
    debt: int
    debt_made: int
    rule: str
    order_id: str | None
    shop: str
    expires_on: str | None


class TierFact(msgspec.Struct, frozen=True):
    """A change of tier from a fact of tiering, cut to what a message needs."""

    kind: Literal["enrolled", "upgraded", "downgraded", "kept"]
    effective_at: Micros
    tier: str
    previous_tier: str


class Occasion(msgspec.Struct, frozen=True):
    """One moment worth a message: its business name, when it was, and the parameters of its text."""

    touchpoint: Touchpoint
    name: str
    at: Micros
    parameters: Parameters


def points_occasion(fact: PointsFact) -> Occasion | None:
    """The occasion that a movement of points makes, if it makes one."""
    parameters: Parameters = {"points": fact.points, "available": fact.available}
    if fact.expires_on is not None:
        parameters["expires_on"] = fact.expires_on
    if fact.order_id is not None:
        parameters["order_id"] = fact.order_id
    order = f"order:{fact.shop}/{fact.order_id}"
    match fact.kind:
        case "earned":
            parameters["rule"] = fact.rule
            name = f"{fact.rule}:{rfc3339(fact.at)}" if fact.order_id is None else f"{order}:{fact.rule}"
            return Occasion("points-earned", name, fact.at, parameters)
        case "confirmed":
            return None if fact.order_id is None else Occasion("points-confirmed", order, fact.at, parameters)
        case "clawed_back" | "redeemed":
            if fact.debt_made <= 0:
                return None
            parameters["debt"] = fact.debt
            parameters["debt_made"] = fact.debt_made
            name = f"{fact.rule if fact.order_id is None else order}:{rfc3339(fact.at)}"
            if fact.kind == "redeemed":
                name, parameters["why"] = f"used:{name}", "used"
            return Occasion("clawback-debt", name, fact.at, parameters)


def merged(first: Occasion, more: Occasion) -> Occasion:
    """One occasion of two facts of one outcome (a day's points and its streak's).

    The points are summed, and of two expiry days the earlier stays.
    """
    parameters = {**first.parameters}
    for name in ("points", "debt_made"):
        if name in more.parameters:
            parameters[name] = int(parameters[name]) + int(more.parameters[name])
    if "expires_on" in more.parameters:
        known = parameters.get("expires_on", more.parameters["expires_on"])
        parameters["expires_on"] = min(str(known), str(more.parameters["expires_on"]))
    return Occasion(first.touchpoint, first.name, first.at, parameters)


def tier_occasion(fact: TierFact) -> Occasion | None:
    """The occasion that a change of tier makes, if it makes one. A jump over several tiers is one fact (T2)."""
    match fact.kind:
        case "enrolled":
            return Occasion("joined", "enrolment", fact.effective_at, {})
        case "upgraded" | "downgraded":
            parameters: Parameters = {"tier": fact.tier, "previous_tier": fact.previous_tier}
            name = f"{fact.tier}:{rfc3339(fact.effective_at)}"
            touchpoint: Touchpoint = "tier-upgraded" if fact.kind == "upgraded" else "tier-downgraded"
            return Occasion(touchpoint, name, fact.effective_at, parameters)
        case "kept":
            return None


SAMPLES: Final[Mapping[Touchpoint, Parameters]] = {
    "joined": {},
    "points-earned": {"points": 5, "available": 125, "rule": "sign-in", "expires_on": "2027-03-31"},
    "points-confirmed": {
        "points": 1200,
        "available": 3400,
        "order_id": "20260301-17",
        "expires_on": "2027-03-31",
        "tier": "senior",
    },
    "clawback-debt": {"points": 630, "available": 0, "debt": 30, "debt_made": 30, "order_id": "20260301-17"},
    "tier-upgraded": {"tier": "vip", "previous_tier": "senior"},
    "tier-downgraded": {"tier": "senior", "previous_tier": "vip"},
}
"""Example parameters of each touchpoint, for previews."""
