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
from services.notifier.domain.occasions import Parameters


class TierPolicy(msgspec.Struct, frozen=True):
    """A tier of the ladder: its names by locale, its multiplier of points, and the growth value it begins at."""

    code: str
    names: dict[str, str]
    multiplier: str | None = None
    growth: str | None = None


class Policy(msgspec.Struct, frozen=True):
    """What messages need of one version of the program. Points are None where no rule gives them.

    `titles` are the merchant's names of the earning rules, by rule and locale; the ladder ascends.
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

    def tier(self, code: str) -> TierPolicy | None:
        """The tier of a code; None when the ladder does not name it."""
        return next((tier for tier in self.ladder if tier.code == code), None)

    def tier_after(self, code: str) -> TierPolicy | None:
        """The tier above one; the first for a member without a tier (`none`)."""
        rank = next((rank for rank, tier in enumerate(self.ladder, 1) if tier.code == code), 0)
        return self.ladder[rank] if rank < len(self.ladder) else None


class Reader(msgspec.Struct, frozen=True):
    """The reader of a text: the locale it is written in, the shop's default locale, the shop's name as members know
    it, and the member's own name (None = the text does not use it)."""

    locale: str
    default_locale: str
    shop: str
    name: str | None = None


def context(policy: Policy, touchpoint: str, parameters: Parameters, at: Micros, reader: Reader) -> dict[str, Any]:
    """All values that a template of a touchpoint may use: what happened, and the policy that belongs to it.

    The program's `says` chooses the parts of the policy (`joining_gift`, `sign_in`, `multiplier`, `review_reward`,
    `gap_to_next`); where it names none, all parts that fit are there. What happened is always there.
    """
    rule = policy.touchpoints.get(touchpoint)
    values: dict[str, Any] = {**parameters, "shop": reader.shop or policy.program, "name": reader.name}
    for part, its_values in _policy_parts(policy, touchpoint, parameters, reader).items():
        if rule is None or not rule.policy_parts or part in rule.policy_parts:
            values |= its_values
    if touchpoint == "points-earned":
        titles = policy.titles.get(str(parameters.get("rule")), {})
        values["title"] = _in_locale(titles, reader)
    elif touchpoint in ("tier-upgraded", "tier-downgraded"):
        code = str(parameters["tier"])
        tier = policy.tier(code)
        names = {} if tier is None else tier.names
        values["tier_name"] = None if code == NO_TIER else _in_locale(names, reader) or code
        values["effective_on"] = date.fromordinal(calendar_of(policy.timezone).day_of(at)).isoformat()
    return {name: value for name, value in values.items() if value is not None}


def _policy_parts(policy: Policy, touchpoint: str, parameters: Parameters, reader: Reader) -> dict[str, dict[str, Any]]:
    """The policy that fits a touchpoint, by the name of the part in the program's `says`."""
    code = str(parameters.get("tier", NO_TIER))
    match touchpoint:
        case "joined":
            multipliers = [tier.multiplier for tier in policy.ladder if tier.multiplier]
            top = max(multipliers, key=Fraction, default="1")
            return {
                "joining_gift": {"joining_points": policy.joining_points},
                "sign_in": {"sign_in_points": policy.sign_in_points},
                "multiplier": {"top_multiplier": _unless_one(top)},
            }
        case "points-confirmed":
            return {
                "review_reward": {"review_points": policy.review_points},
                "gap_to_next": _next_tier(policy, code, reader),
            }
        case "tier-upgraded" | "tier-downgraded":
            tier = policy.tier(code)
            return {
                "multiplier": {"multiplier": _unless_one(tier.multiplier if tier else None)},
                "gap_to_next": _next_tier(policy, code, reader),
            }
    return {}


def _next_tier(policy: Policy, code: str, reader: Reader) -> dict[str, Any]:
    """Where the tier above one begins, if a growth value alone is enough for it."""
    following = policy.tier_after(code)
    if following is None or following.growth is None:
        return {}
    return {
        "next_tier": _in_locale(following.names, reader) or following.code,
        "next_growth": following.growth,
        "currency": policy.currency,
    }


def _unless_one(multiplier: str | None) -> str | None:
    """A multiplier; None when it changes nothing."""
    return None if multiplier is None or Fraction(multiplier) == 1 else multiplier


def _in_locale(texts: Mapping[str, str], reader: Reader) -> str | None:
    """The merchant's wording for a reader; without one in a locale of the reader's chain, any wording."""
    tag = choose(reader.locale, texts, reader.default_locale)
    return texts[tag] if tag is not None else next(iter(texts.values()), None)
