"""Turns an event of the contracts into an input: plain numbers, orders as refs, no personal data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from msgspec import structs

from schemas.events import RefusalReason, Refused
from services.kit.calendar import NEVER, NO_DAY, NOT_YET, Day, Micros, day_from, parse_rfc3339, to_micros
from services.kit.epoch import version_of
from services.kit.money import minor_units, plain_decimal
from services.ledger.domain.rules.bounds import MAX_DIGITS, max_amount, order_amount
from services.ledger.domain.state.inputs import (
    ActivityRecorded,
    ActivityWithdrawn,
    AnyInput,
    Cancelled,
    Completed,
    Enrolled,
    Erased,
    Line,
    LinePart,
    Paid,
    ProfileUpdated,
    Refunded,
    RefundedLine,
    RefundFailed,
    Reinstated,
    ReviewPublished,
    ReviewRemoved,
    Shipped,
    SignedIn,
    TierHistoryReceived,
)
from services.ledger.domain.state.messages import (
    AskBudget,
    AskReward,
    BudgetAnswered,
    GiveBackReward,
    KeepReward,
    LotPart,
    ReceivePoints,
    ReferralAnswered,
    ReferralReceived,
    RewardAnswered,
    TransferArrived,
)
from services.ledger.domain.state.refs import order_ref

TIER_HISTORY_TYPES: Final = frozenset(
    f"loyalty.tier.{kind}.v1" for kind in ("upgraded", "downgraded", "kept", "overridden")
)
ERASED: Final = "commerce.member.erased.v1"
TYPES: Final[Mapping[str, str]] = {
    "paid": "commerce.order.paid.v1",
    "shipped": "commerce.order.shipped.v1",
    "completed": "commerce.order.completed.v1",
    "refunded": "commerce.order.refunded.v1",
    "cancelled": "commerce.order.cancelled.v1",
    "reinstated": "commerce.order.reinstated.v1",
    "refund_failed": "commerce.order.refund_failed.v1",
    "signed_in": "commerce.member.signed_in.v1",
    "review_published": "commerce.review.published.v1",
    "review_removed": "commerce.review.removed.v1",
    "profile": "commerce.profile.updated.v1",
    "erased": ERASED,
    "activity": "commerce.activity.recorded.v1",
    "activity_withdrawn": "commerce.activity.withdrawn.v1",
    "tier": "loyalty.tier.upgraded.v1",
    "enrolled": "loyalty.tier.enrolled.v1",
    "hold": "loyalty.command.hold.v1",
    "capture": "loyalty.command.capture.v1",
    "release": "loyalty.command.release.v1",
    "redeem": "loyalty.command.redeem.v1",
    "return": "loyalty.command.return.v1",
    "make_up": "loyalty.command.make_up.v1",
    "decide_shortfall": "loyalty.command.decide_shortfall.v1",
    "referral": "loyalty.referral.told.v1",
    "referral_answered": "loyalty.referral.answered.v1",
    "send": "loyalty.command.transfer.v1",
    "receive": "loyalty.transfer.sent.v1",
    "arrived": "loyalty.transfer.arrived.v1",
    "redeem_reward": "loyalty.command.redeem.v1",
    "add_codes": "loyalty.command.add_codes.v1",
    "ask_reward": "loyalty.reward.asked.v1",
    "reward_answered": "loyalty.reward.answered.v1",
    "give_back_reward": "loyalty.reward.given_back.v1",
    "keep_reward": "loyalty.reward.kept.v1",
    "ask_budget": "loyalty.budget.asked.v1",
    "budget_answered": "loyalty.budget.answered.v1",
    "timer": "loyalty.timer.due.v1",
    "expiring": "loyalty.timer.due.v1",
    "snapshot_taken": "loyalty.timer.due.v1",
}
"""The event type that an input's tag stands for, to the outside."""


def input_of(
    event: Mapping[str, Any], currency: str, decimals: int, needs: Callable[[Micros], frozenset[str]] | None = None
) -> AnyInput | None:
    """The input of an event that `schemas.events` has read; None if the ledger does not use it.

    `needs` answers which profile fields the rules in force at a business time look into.
    Raises Refused for what only the program can decide: the currency, and how many decimals it has.
    """
    kind, at = event["type"], to_micros(event["time"])
    if (read := _READERS.get(kind)) is None:
        read_amounts = _AMOUNT_READERS.get(kind)
        if read_amounts is _paid and event["data"]["currency"] != currency:
            raise Refused(RefusalReason.OTHER_CURRENCY, "data.currency", f"this program counts in {currency}")
        return None if read_amounts is None else read_amounts(event, at, decimals)
    input_ = read(event, at)
    if isinstance(input_, ProfileUpdated) and needs and (needed := needs(input_.at)):
        return _with_contents(input_, event["data"], needed)
    return input_


def _paid(event: Mapping[str, Any], at: Micros, decimals: int) -> AnyInput:
    data = event["data"]
    paid = Paid(
        event["source"],
        event["id"],
        at,
        order_ref(data.get("shop", ""), data["order_id"]),
        data.get("revision", 0),
        _lines(data["lines"], decimals),
        _minor(data.get("shipping", "0"), decimals, "data.shipping"),
        _minor(data.get("tax", "0"), decimals, "data.tax"),
        data.get("points_used", 0),
        _points_value(data, decimals),
        data.get("hold_id"),
        data.get("redemption_id"),
        data.get("channel", ""),
    )
    if order_amount(paid) > max_amount(decimals):
        detail = f"an order has at most {MAX_DIGITS} digits before the point in all"
        raise Refused(RefusalReason.OUT_OF_RANGE, "data.lines", detail)
    return paid


def _points_value(data: Mapping[str, Any], decimals: int) -> int | None:
    value = data.get("points_value")
    if value is None:
        return None if data.get("points_used") else 0
    return _minor(value, decimals, "data.points_value")


def _lines(lines: list[Mapping[str, Any]], decimals: int) -> tuple[Line, ...]:
    try:
        return tuple(
            [
                Line(
                    line["line_id"],
                    line["sku"],
                    line.get("category"),
                    plain_decimal(line["quantity"]),
                    minor_units(line["amount"], decimals),
                )
                for line in lines
            ]
        )
    except ValueError:
        raise _too_precise("data.lines.amount", decimals) from None


def _minor(amount: str, decimals: int, field: str) -> int:
    try:
        return minor_units(amount, decimals)
    except ValueError:
        raise _too_precise(field, decimals) from None


def _too_precise(field: str, decimals: int) -> Refused:
    return Refused(RefusalReason.BROKEN_FIELD, field, f"the program's currency has {decimals} decimals")


def _parts(data: Mapping[str, Any]) -> tuple[LinePart, ...] | None:
    lines = data.get("lines")
    if lines is None:
        return None
    return tuple(
        LinePart(line["line_id"], None if line.get("quantity") is None else plain_decimal(line["quantity"]))
        for line in lines
    )


def _shipped(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return Shipped(event["source"], event["id"], at, order_ref(data.get("shop", ""), data["order_id"]), _parts(data))


def _completed(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return Completed(event["source"], event["id"], at, order_ref(data.get("shop", ""), data["order_id"]), _parts(data))


def _refunded(event: Mapping[str, Any], at: Micros, decimals: int) -> AnyInput:
    data = event["data"]
    return Refunded(
        event["source"],
        event["id"],
        at,
        order_ref(data.get("shop", ""), data["order_id"]),
        data["refund_id"],
        tuple(
            RefundedLine(line["line_id"], _minor(line["amount"], decimals, "data.lines.amount"))
            for line in data.get("lines", ())
        ),
        _minor(data.get("shipping", "0"), decimals, "data.shipping"),
        _minor(data.get("tax", "0"), decimals, "data.tax"),
    )


def _cancelled(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return Cancelled(event["source"], event["id"], at, order_ref(data.get("shop", ""), data["order_id"]))


def _reinstated(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return Reinstated(event["source"], event["id"], at, order_ref(data.get("shop", ""), data["order_id"]))


def _refund_failed(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    order = order_ref(data.get("shop", ""), data["order_id"])
    return RefundFailed(event["source"], event["id"], at, order, data["refund_id"])


def _signed_in(event: Mapping[str, Any], at: Micros) -> AnyInput:
    return SignedIn(event["source"], event["id"], at)


def _review_published(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return ReviewPublished(event["source"], event["id"], at, data["review_id"], data["sku"])


def _review_removed(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return ReviewRemoved(event["source"], event["id"], at, data["review_id"])


def _profile(event: Mapping[str, Any], at: Micros) -> AnyInput:
    """Keeps which fields are filled, never their contents. An absent field is unknown; null says it was emptied."""
    data = event["data"]
    return ProfileUpdated(
        event["source"],
        event["id"],
        at,
        tuple(sorted(name for name, value in data.items() if value not in (None, ""))),
        tuple(sorted(name for name, value in data.items() if value in (None, ""))),
        event["type"] == "commerce.member.registered.v1",
    )


def _with_contents(update: ProfileUpdated, data: Mapping[str, Any], needed: frozenset[str]) -> ProfileUpdated:
    """Adds the contents that rules look into. Of a birthday this is month and day, never the year."""
    birthday: date | None = data.get("birthday") if "birthday" in needed else None
    referrer: str | None = data.get("referred_by") if "referred_by" in needed else None
    return structs.replace(
        update, birthday=birthday.month * 100 + birthday.day if birthday else 0, referred_by=referrer or ""
    )


def _activity(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    units, sku = plain_decimal(data.get("units", 1)), data.get("sku", "")
    return ActivityRecorded(event["source"], event["id"], at, data["activity"], data["activity_id"], units, sku)


def _activity_withdrawn(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return ActivityWithdrawn(event["source"], event["id"], at, data["activity"], data["activity_id"])


def _erased(event: Mapping[str, Any], at: Micros) -> AnyInput:
    return Erased(event["source"], event["id"], at)


def _tier(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return TierHistoryReceived(
        event["source"],
        event["id"],
        at,
        (version_of(data), data["event_no"]),
        tuple((_instant(step["effective_at"]), step["tier"]) for step in data["history"]),
    )


def _enrolled(event: Mapping[str, Any], at: Micros) -> AnyInput:
    return Enrolled(event["source"], event["id"], at)


def _transfer_sent(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    lots = tuple(
        LotPart(_day(lot.get("last_day")) or NEVER, _day(lot.get("parent")), lot["points"]) for lot in data["lots"]
    )
    return ReceivePoints(event["source"], event["id"], at, data["transfer_id"], data["sender"], lots)


def _transfer_arrived(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return TransferArrived(event["source"], event["id"], at, data["transfer_id"])


def _referral(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    told_at = to_micros(data["told_at"]) if "told_at" in data else NOT_YET
    return ReferralReceived(event["source"], event["id"], at, data["member"], data["program"], data["seen"], told_at)


def _referral_answered(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    answer = data["granted"], data["why"], data["seen"], data["version"]
    return ReferralAnswered(event["source"], event["id"], at, data["referrer"], *answer)


def _reward_asked(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return AskReward(event["source"], event["id"], at, data["redemption_id"], data["member_id"], data["reward"])


def _reward_answered(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    code = data.get("code", "")
    return RewardAnswered(event["source"], event["id"], at, data["redemption_id"], data["granted"], code)


def _reward_given_back(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return GiveBackReward(event["source"], event["id"], at, data["redemption_id"])


def _reward_kept(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    return KeepReward(event["source"], event["id"], at, data["redemption_id"])


def _budget_asked(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    order = order_ref(data["shop"], data["order_id"])
    return AskBudget(
        event["source"], event["id"], at, data["member_id"], order, data["points"], data["asked"], data["program"]
    )


def _budget_answered(event: Mapping[str, Any], at: Micros) -> AnyInput:
    data = event["data"]
    order = order_ref(data["shop"], data["order_id"])
    return BudgetAnswered(event["source"], event["id"], at, data["account"], order, data["points"], data["asked"])


def _day(day: date | None) -> Day:
    return NO_DAY if day is None else day_from(day)


def _instant(value: Any) -> Micros:
    return parse_rfc3339(value) if isinstance(value, str) else to_micros(value)


_AMOUNT_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], Micros, int], AnyInput]]] = {
    "commerce.order.paid.v1": _paid,
    "commerce.order.refunded.v1": _refunded,
}
"""The events with amounts of money: their readers have to know the program's currency."""
_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], Micros], AnyInput]]] = {
    "commerce.order.shipped.v1": _shipped,
    "commerce.order.completed.v1": _completed,
    "commerce.order.cancelled.v1": _cancelled,
    "commerce.order.reinstated.v1": _reinstated,
    "commerce.order.refund_failed.v1": _refund_failed,
    "commerce.member.signed_in.v1": _signed_in,
    "commerce.review.published.v1": _review_published,
    "commerce.review.removed.v1": _review_removed,
    "commerce.member.registered.v1": _profile,
    "commerce.profile.updated.v1": _profile,
    ERASED: _erased,
    "commerce.activity.recorded.v1": _activity,
    "commerce.activity.withdrawn.v1": _activity_withdrawn,
    "loyalty.tier.enrolled.v1": _enrolled,
    "loyalty.transfer.sent.v1": _transfer_sent,
    "loyalty.transfer.arrived.v1": _transfer_arrived,
    "loyalty.referral.told.v1": _referral,
    "loyalty.referral.answered.v1": _referral_answered,
    "loyalty.reward.asked.v1": _reward_asked,
    "loyalty.reward.answered.v1": _reward_answered,
    "loyalty.reward.given_back.v1": _reward_given_back,
    "loyalty.reward.kept.v1": _reward_kept,
    "loyalty.budget.asked.v1": _budget_asked,
    "loyalty.budget.answered.v1": _budget_answered,
    **dict.fromkeys(TIER_HISTORY_TYPES, _tier),
}
