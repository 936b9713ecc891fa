"""Events out of tiering: where a member stands."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from schemas.events.envelope import Cause, Envelope, Numbered
from schemas.events.fields import Count, Id, Instant, Money, Text, Token, Version


class TierSince(TypedDict):
    """A step of a member's tier history."""

    tier: Token
    """`none` before the first tier."""
    effective_at: Instant


class TierStanding(Numbered):
    """A member's tier after the event, and all of its dated history so far."""

    tier: Token
    previous_tier: Token
    effective_at: Instant
    """Business time from which the tier counts; orders paid after it earn by it (T1)."""
    history: list[TierSince]
    """Replaces what was said before; oldest first."""
    growth_value: Money
    orders: Count
    """Successful orders."""
    program_version: Version
    cause: Cause


class TierEnrolled(Envelope):
    """A member joined the program."""

    type: Literal["loyalty.tier.enrolled.v1"]
    data: TierStanding


class TierUpgraded(Envelope):
    """A member rose."""

    type: Literal["loyalty.tier.upgraded.v1"]
    data: TierStanding


class TierValidity(TierStanding):
    """A standing that has an end."""

    valid_until: NotRequired[Instant]


class TierDowngraded(Envelope):
    """A member fell."""

    type: Literal["loyalty.tier.downgraded.v1"]
    data: TierValidity


class TierKept(Envelope):
    """A validity ended and its condition was met."""

    type: Literal["loyalty.tier.kept.v1"]
    data: TierValidity


class TierAtRiskData(TierValidity):
    """What is missing to keep the tier."""

    gap: NotRequired[Money]
    gap_orders: NotRequired[Count]


class TierAtRisk(Envelope):
    """A validity ends soon and its condition is not met yet."""

    type: Literal["loyalty.tier.at_risk.v1"]
    data: TierAtRiskData


class TierOverriddenData(TierStanding):
    """A person's decision (T7)."""

    reason: Text
    actor: Id
    until: NotRequired[Instant]


class TierOverridden(Envelope):
    """A person set the tier by hand."""

    type: Literal["loyalty.tier.overridden.v1"]
    data: TierOverriddenData


TierEvent = TierEnrolled | TierUpgraded | TierDowngraded | TierKept | TierAtRisk | TierOverridden
"""Everything on the topic of tiers."""
