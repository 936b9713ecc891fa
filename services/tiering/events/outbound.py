"""Facts out as CloudEvents on `loyalty.tiers.v1`, rendered without a model (a test validates them by one)."""

from __future__ import annotations

from services.kit import cloudevent
from services.kit.calendar import rfc3339
from services.kit.epoch import fact_id, numbered
from services.kit.money import decimal_string
from services.tiering.domain.member import Cause, Decision, Fact, split_key

TOPIC = "loyalty.tiers.v1"
SOURCE = "/loyalty/tiering"

CORRECTED = "corrected"
"""The rule of a change that a late fact about the past made: the only one by which `upgrade_only` lowers a tier."""


def render(member_id: str, epoch: int, decision: Decision, fact: Fact, decimals: int) -> bytes:
    """One fact of a decision as a structured CloudEvent.

    Its `time` is its cause's business time; `effective_at` says from when the tier counts (T1). `history` is
    the whole dated history after the decision, and replaces the one published before.
    """
    position = decision.position
    return cloudevent.structured(
        id=fact_id(member_id, epoch, decision.version, fact.event_no),
        source=SOURCE,
        type=f"loyalty.tier.{fact.kind}.v1",
        subject=member_id,
        time=rfc3339(decision.cause.time),
        data={
            **numbered(epoch, decision.version, fact.event_no),
            "tier": fact.tier,
            "previous_tier": fact.previous_tier,
            "effective_at": rfc3339(fact.effective_at),
            "history": [
                {"tier": reached.tier, "effective_at": rfc3339(reached.effective_at)} for reached in position.reached
            ],
            # Where growth counts from the enrolment on, refunds of earlier purchases can make it negative.
            "growth_value": decimal_string(max(0, position.growth), decimals),
            "orders": max(0, position.orders),
            "program_version": decision.program_version,
            "cause": _cause(decision.cause, fact, decision.program_version),
        },
    )


def _cause(cause: Cause, fact: Fact, program_version: str) -> dict[str, str]:
    rendered = {
        "type": cause.type,
        "source": cause.source,
        "id": cause.id,
        "time": rfc3339(cause.time),
        "program_version": program_version,
    }
    if cause.order is not None:
        rendered["shop"], rendered["order_id"] = split_key(cause.order)
    if fact.kind in ("downgraded", "kept"):
        rendered["rule"] = CORRECTED
    return rendered
