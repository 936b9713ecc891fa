"""Compiles the published program document into the policy that messages need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schemas.program.document import Condition, Program, Tier, Touchpoint
from schemas.program.earning import (
    EnrolledRule,
    OrderRule,
    ReviewRule,
    SignInRule,
)
from services.kit.calendar import MICROS_PER_SECOND
from services.notifier.domain.decision import TouchpointRule
from services.notifier.domain.member import CHANNELS, Channel
from services.notifier.domain.policy import Policy, TierPolicy

_SPAN_SECONDS: Final[Mapping[str, int]] = {"h": 3600, "d": 86_400}


def policy_of(document: Mapping[str, Any]) -> Policy:
    """The policy of one version of the program. Raises pydantic.ValidationError when it is not a program."""
    program = Program.from_document(document)
    return Policy(
        program=program.program,
        version=program.version,
        timezone=program.timezone,
        currency=program.currency,
        touchpoints={row.touchpoint: _touchpoint(row) for row in program.touchpoints},
        ladder=tuple(_tier(tier, _multipliers(program)) for tier in program.tiers.ladder),
        titles={rule.rule: dict(rule.title) for rule in program.earn if rule.title},
        joining_points=_points(program, EnrolledRule),
        sign_in_points=_points(program, SignInRule),
        review_points=_points(program, ReviewRule),
    )


def span(text: str) -> int:
    """A length of time of the document, `3d` or `12h`, in microseconds."""
    return int(text[:-1]) * _SPAN_SECONDS[text[-1]] * MICROS_PER_SECOND


def _touchpoint(row: Touchpoint) -> TouchpointRule:
    channels: tuple[Channel, ...] = tuple(channel for channel in CHANNELS if channel in row.ways)
    not_after = None if row.not_after is None else span(row.not_after)
    return TouchpointRule(channels, row.message_class, not_after, frozenset(row.says))


def _multipliers(program: Program) -> Mapping[str, str]:
    """The multiplier of each tier, by its code; of several order rules the first that has any."""
    rules = [rule for rule in program.earn if isinstance(rule, OrderRule) and rule.tier_multiplier]
    return rules[0].tier_multiplier if rules else {}


def _tier(tier: Tier, multipliers: Mapping[str, str]) -> TierPolicy:
    return TierPolicy(tier.tier, dict(tier.name), multipliers.get(tier.tier), _growth(tier.when))


def _growth(condition: Condition) -> str | None:
    """The growth value that alone is enough for a tier; None where none is."""
    if condition.any is not None:
        return next((growth for each in condition.any if (growth := _growth(each)) is not None), None)
    return condition.growth


def _points(program: Program, kind: type[EnrolledRule | SignInRule | ReviewRule]) -> int | None:
    """The points that the first rule of a kind gives; None without such a rule, or where it gives none by itself."""
    return next((rule.points or None for rule in program.earn if isinstance(rule, kind)), None)
