"""The program as messages need it: the table of touchpoints, and the member policy that they carry (S7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any

import msgspec

from services.kit.calendar import Micros, calendar_of
from services.notifier.domain.decision import TouchpointRule
from services.notifier.domain.locale import choose
from services.notifier.domain.member import NO_TIER
from services.notifier.domain.touchpoint import Parameters


class TierPolicy(msgspec.Struct, frozen=True):
    """A step of the ladder: its names by locale, what it multiplies, and the growth value it begins at."""

    tier: str
    names: dict[str, str]
    multiplier: str | None = None
    growth: str | None = None


class Policy(msgspec.Struct, frozen=True):
    """What one version of the program says to members. Points are None where no rule gives them.

    `titles` are what the merchant calls the earning rules, by rule and locale; the ladder ascends.
    """

    program: str
    version: str
    timezone: str
    currency: str
    touchpoints: dict[str, TouchpointRule]
    ladder: tuple[TierPolicy, ...] = ()
    titles: dict[str, dict[str, str]] = {}
    joining_points: int | None = None
    sign_in_points: int | None = None
    review_points: int | None = None

    def step(self, tier: str) -> TierPolicy | None:
        """The step of the ladder that a tier is."""
        return next((step for step in self.ladder if step.tier == tier), None)

    def step_after(self, tier: str) -> TierPolicy | None:
        """The step that follows a tier; the first for a member without one (`none`)."""
        place = next((place for place, step in enumerate(self.ladder, 1) if step.tier == tier), 0)
        return self.ladder[place] if place < len(self.ladder) else None


class Reader(msgspec.Struct, frozen=True):
    """Whom a text is for: the locale it is written in, the shop's default locale and name as members know it, and
    the member's own name where it is to be said."""

    locale: str
    default_locale: str
    shop: str
    name: str | None = None


def context(policy: Policy, touchpoint: str, parameters: Parameters, at: Micros, reader: Reader) -> dict[str, Any]:
    """Everything a template of a touchpoint may say: what happened, and the policy that belongs to it.

    The program's `says` chooses among the policy (`joining_gift`, `sign_in`, `multiplier`, `review_reward`,
    `gap_to_next`); where it is silent, all that fits is said. The news itself is always told.
    """
    rule = policy.touchpoints.get(touchpoint)
    said: dict[str, Any] = {**parameters, "shop": reader.shop or policy.program, "name": reader.name}
    for part, values in _policy_parts(policy, touchpoint, parameters, reader).items():
        if rule is None or not rule.says or part in rule.says:
            said |= values
    if touchpoint == "points-earned":
        titles = policy.titles.get(str(parameters.get("rule")), {})
        said["title"] = _in_locale(titles, reader)
    elif touchpoint in ("tier-upgraded", "tier-downgraded"):
        tier = str(parameters["tier"])
        step = policy.step(tier)
        names = {} if step is None else step.names
        said["tier_name"] = None if tier == NO_TIER else _in_locale(names, reader) or tier
        said["effective_on"] = date.fromordinal(calendar_of(policy.timezone).day_of(at)).isoformat()
    return {key: value for key, value in said.items() if value is not None}


def _policy_parts(policy: Policy, touchpoint: str, parameters: Parameters, reader: Reader) -> dict[str, dict[str, Any]]:
    """The policy that fits a touchpoint, by the name that `says` gives it."""
    tier = str(parameters.get("tier", NO_TIER))
    match touchpoint:
        case "joined":
            multipliers = [step.multiplier for step in policy.ladder if step.multiplier]
            top = max(multipliers, key=Fraction, default="1")
            return {
                "joining_gift": {"joining_points": policy.joining_points},
                "sign_in": {"sign_in_points": policy.sign_in_points},
                "multiplier": {"top_multiplier": _telling(top)},
            }
        case "points-confirmed":
            return {
                "review_reward": {"review_points": policy.review_points},
                "gap_to_next": _next_step(policy, tier, reader),
            }
        case "tier-upgraded" | "tier-downgraded":
            step = policy.step(tier)
            return {
                "multiplier": {"multiplier": _telling(step.multiplier if step else None)},
                "gap_to_next": _next_step(policy, tier, reader),
            }
    return {}


def _next_step(policy: Policy, tier: str, reader: Reader) -> dict[str, Any]:
    """Where the step after a tier begins, if a growth value says so."""
    following = policy.step_after(tier)
    if following is None or following.growth is None:
        return {}
    return {
        "next_tier": _in_locale(following.names, reader) or following.tier,
        "next_growth": following.growth,
        "currency": policy.currency,
    }


def _telling(multiplier: str | None) -> str | None:
    """A multiplier that changes something."""
    return None if multiplier is None or Fraction(multiplier) == 1 else multiplier


def _in_locale(texts: Mapping[str, str], reader: Reader) -> str | None:
    """The merchant's wording for a reader; any wording is better than none."""
    tag = choose(reader.locale, texts, reader.default_locale)
    return texts[tag] if tag is not None else next(iter(texts.values()), None)
