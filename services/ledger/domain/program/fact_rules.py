"""The rules for facts other than orders: points for sign-ins, reviews, activities, the profile, joining, referrals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from services.kit.money import minor_units

REFERRED_WITHIN_DAYS: Final = 30
"""Days after the registration within which a profile update can tell who referred a member, unless the program says so
(F1)."""


@dataclass(frozen=True, slots=True)
class FactRule:
    """A rule that awards points for a fact: so many each, or for each unit, within a cap a local day."""

    name: str
    points: int
    per_unit: Fraction | None = None
    cap: int | None = None
    least_spend: int = 0
    """Minor units, net of points: what an order has to be worth (F2)."""
    verified: bool = False
    """Only while the member keeps the goods that it is about (N8)."""
    once_per_item: bool = False
    """One award for each thing that an activity is about, whatever the ids (N7)."""

    def award(self, units: str = "1") -> int:
        """The uncapped points of one fact of so many units (a decimal string)."""
        return self.points if self.per_unit is None else int(self.per_unit * Fraction(units))


@dataclass(frozen=True, slots=True)
class StreakRepair:
    """A missed day can be bought for so many points until so many days after it (D4)."""

    cost: int
    within_days: int


@dataclass(frozen=True, slots=True)
class SignInRule:
    """Points for a day's sign-in and for the steps of a streak, which repeat each cycle (D2, D5)."""

    daily: FactRule
    steps: Mapping[int, int]
    streak_repair: StreakRepair | None = None

    @property
    def cycle(self) -> int:
        """Days after which the steps start again: the largest step; 0 without steps."""
        return max(self.steps, default=0)


@dataclass(frozen=True, slots=True)
class ProfileRule:
    """Points once all of a profile's fields were first filled together (D6)."""

    award: FactRule
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReferralRule:
    """Points for both sides of a referral, once the referred member has a successful order of a least spend (F2).

    `least_spend` is in minor units, net of points. A profile update tells a referral up to `within_days` after the
    registration (F1). `month_cap` is how many points the referrer gets in a calendar month at most (F3).
    """

    name: str
    referrer: int
    referred: int
    least_spend: int
    within_days: int
    month_cap: int | None


@dataclass(frozen=True, slots=True)
class FactRules:
    """The rules of one program version, None where it has none; activities by name."""

    first_order: FactRule | None
    sign_in: SignInRule | None
    review: FactRule | None
    profile: ProfileRule | None
    joining: FactRule | None
    activities: Mapping[str, FactRule]
    referral: ReferralRule | None


def compile_fact_rules(
    rules: Mapping[str, Mapping[str, Any]], activities: Mapping[str, Mapping[str, Any]], decimals: int
) -> FactRules:
    """The rules of a validated document, by what they are `on`; those on activities by the activity's name."""
    sign_in, profile, referral = rules.get("signed_in"), rules.get("profile_completed"), rules.get("referral")
    return FactRules(
        first_order=_first_order_rule(rules.get("first_order"), decimals),
        sign_in=None if sign_in is None else _sign_in_rule(sign_in),
        review=_optional_fact_rule(rules.get("review")),
        profile=None if profile is None else ProfileRule(_fact_rule(profile), frozenset(profile["fields"])),
        joining=_optional_fact_rule(rules.get("enrolled")),
        activities={name: _fact_rule(rule) for name, rule in activities.items()},
        referral=None if referral is None else _referral_rule(referral, decimals),
    )


def _first_order_rule(rule: Mapping[str, Any] | None, decimals: int) -> FactRule | None:
    if rule is None:
        return None
    return replace(_fact_rule(rule), least_spend=minor_units(rule.get("min_spend") or "0", decimals))


def _referral_rule(rule: Mapping[str, Any], decimals: int) -> ReferralRule:
    """An order that cost no money makes no referral due, unless the rule says so (F2)."""
    least, cap, within = rule.get("min_spend"), rule.get("cap"), rule.get("within_days")
    return ReferralRule(
        name=rule["rule"],
        referrer=rule["referrer"],
        referred=rule["referred"],
        least_spend=1 if least is None else minor_units(least, decimals),
        within_days=REFERRED_WITHIN_DAYS if within is None else within,
        month_cap=None if cap is None else cap["referrals"] * rule["referrer"],
    )


def _sign_in_rule(rule: Mapping[str, Any]) -> SignInRule:
    steps = {int(day): int(step) for day, step in (rule.get("streak") or {}).items()}
    repair = rule.get("make_up")
    return SignInRule(_fact_rule(rule), steps, StreakRepair(repair["cost"], repair["within_days"]) if repair else None)


def _optional_fact_rule(rule: Mapping[str, Any] | None) -> FactRule | None:
    return None if rule is None else _fact_rule(rule)


def _fact_rule(rule: Mapping[str, Any]) -> FactRule:
    per_unit, cap = rule.get("points_per_unit"), rule.get("cap")
    return FactRule(
        name=rule["rule"],
        points=int(rule.get("points") or 0),
        per_unit=None if per_unit is None else Fraction(per_unit),
        cap=None if cap is None else int(cap["points"]),
        verified=bool(rule.get("verified")),
        once_per_item=rule.get("once_per") == "item",
    )
