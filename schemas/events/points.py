"""Events out of the ledger: what became of points, of orders and of days."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from schemas.events.envelope import Cause, Envelope, Numbered
from schemas.events.fields import (
    Count,
    Flag,
    Id,
    Instant,
    IsoDate,
    MemberId,
    Positive,
    Shop,
    SignedMoney,
    SignedPoints,
    Text,
    Token,
)


class Balance(TypedDict):
    """A member's points after the event."""

    available: Count
    """Can be spent now."""
    pending: Count
    """Of orders that are not completed yet."""
    held: Count
    """Reserved by holds."""
    debt: Count
    """Owed: clawed back after it was spent. Never negative here."""


class PointsOutcome(Numbered):
    """What each points event says beside how many."""

    balance: Balance
    cause: Cause
    debt_made: NotRequired[Count]
    debt_paid: NotRequired[Count]
    alarm: NotRequired[Token]
    """Something a person should look at, by its code."""


class PointsOfRule(PointsOutcome):
    """Points of one kind of movement and one rule."""

    points: Positive
    expires_on: NotRequired[IsoDate]
    """The last local day on which these points can be spent; absent if they never expire."""


class PointsMoved(PointsOfRule):
    """Points that moved for an order, another fact, or a command."""

    hold_id: NotRequired[Id]
    """The hold that this is about."""
    redemption_id: NotRequired[Id]
    """The redemption that this is about."""


class Covered(TypedDict):
    """What points were taken from; the parts add up to all that was taken."""

    available: NotRequired[Count]
    pending: NotRequired[Count]
    debt: NotRequired[Count]
    """Not there any more: now owed."""
    forgiven: NotRequired[Count]
    """Expired already, so not taken again (R7)."""
    written_off: NotRequired[Count]
    """Not there any more, and let go (R6)."""
    held: NotRequired[Count]
    """Set aside by a hold before."""
    expired: NotRequired[Count]
    """Expired after the hold that took them was over, and honoured all the same (P7)."""


_Taken = TypedDict("_Taken", {"from": NotRequired[Covered]})


class PointsTaken(PointsMoved, _Taken):
    """Points that went, and what covered them."""


class PointsPending(Envelope):
    """An order will earn points once it is completed."""

    type: Literal["loyalty.points.pending.v1"]
    data: PointsMoved


class PointsEarned(Envelope):
    """Points were awarded and can be spent."""

    type: Literal["loyalty.points.earned.v1"]
    data: PointsMoved


class PointsConfirmed(Envelope):
    """Pending points of an order became spendable."""

    type: Literal["loyalty.points.confirmed.v1"]
    data: PointsMoved


class PointsRedeemed(Envelope):
    """Points were spent."""

    type: Literal["loyalty.points.redeemed.v1"]
    data: PointsTaken


class PointsReturned(Envelope):
    """Points used came back: with a refund or a cancellation, by command, or since the order that names a redemption or
    a captured hold uses fewer (P7)."""

    type: Literal["loyalty.points.returned.v1"]
    data: PointsMoved


class PointsClawedBack(Envelope):
    """Points earned were taken back."""

    type: Literal["loyalty.points.clawed_back.v1"]
    data: PointsTaken


class PointsExpired(Envelope):
    """Points passed their last day."""

    type: Literal["loyalty.points.expired.v1"]
    data: PointsMoved


class PointsExpiringData(PointsOutcome):
    """Points whose last day comes near."""

    points: Positive
    expires_on: IsoDate
    days_left: Count


class PointsExpiring(Envelope):
    """Points will expire soon."""

    type: Literal["loyalty.points.expiring.v1"]
    data: PointsExpiringData


class PointsOfHold(PointsOfRule):
    """Points that a hold reserved or gave back."""

    hold_id: Id
    hold_expires_at: NotRequired[Instant]


class PointsHeld(Envelope):
    """A hold reserved points."""

    type: Literal["loyalty.points.held.v1"]
    data: PointsOfHold


class PointsReleased(Envelope):
    """A hold ended and gave points back."""

    type: Literal["loyalty.points.released.v1"]
    data: PointsOfHold


class PointsAdjustedData(PointsOutcome):
    """A correction by a person."""

    points: SignedPoints
    """Negative where points were taken."""
    reason: Token
    note: NotRequired[Text]


class PointsAdjusted(Envelope):
    """A person granted or took points."""

    type: Literal["loyalty.points.adjusted.v1"]
    data: PointsAdjustedData


class PointsTransferredData(PointsOutcome):
    """One half of a transfer."""

    points: SignedPoints
    """Negative for who gave, as `lifetime.transferred` of the balance."""
    transfer_id: Id
    counterpart: MemberId
    expires_on: NotRequired[IsoDate]
    """The last local day of the first of these points to expire; absent if none does."""


class PointsTransferred(Envelope):
    """Points went from one member to another."""

    type: Literal["loyalty.points.transferred.v1"]
    data: PointsTransferredData


class TimelineEntry(TypedDict):
    """One change of what an order counts for."""

    at: Instant
    """Business time of the change."""
    amount: SignedMoney
    """Change of the qualifying amount."""
    orders: Annotated[int, Field(strict=True, ge=-1, le=1)]
    """Change of the number of successful orders."""
    cause: Token
    """`completed`, `due`, `refund`, `cancelled`, `revised` and the like."""


class OrderQualifiedData(Numbered):
    """An order's whole timeline; it replaces what was said of that order before."""

    order_id: Id
    shop: Shop
    """Empty where there is only one."""
    paid_at: Instant
    timeline: list[TimelineEntry]


class OrderQualified(Envelope):
    """What an order counts for in the member's growth value changed, or was told again."""

    type: Literal["loyalty.order.qualified.v1"]
    data: OrderQualifiedData


class OrderAlarm(TypedDict):
    """Something odd about an order, for a person to look at."""

    kind: Token
    """A stable name, `told_differently`; the runbook says what each means."""
    detail: Text
    """What it is, in words, naming the events or amounts that do not go together."""
    at: Instant
    """Business time of what made it so."""


class OrderAlarmedData(Numbered):
    """What is odd about an order since this event. It stands on the order until a later fact resolves it."""

    order_id: Id
    shop: Shop
    """Empty where there is only one."""
    alarms: Annotated[list[OrderAlarm], Field(min_length=1)]


class OrderAlarmed(Envelope):
    """Events about an order contradict each other or say more than there is: a person should look at it (O10)."""

    type: Literal["loyalty.order.alarmed.v1"]
    data: OrderAlarmedData


class RewardIssuedData(Numbered):
    """What the shop has to hand out."""

    redemption_id: Id
    reward: Token
    kind: Token
    points: Count
    code: NotRequired[Id]
    """The coupon's code."""
    prize: NotRequired[Token]
    """What a draw gave: the reward is the one that was won."""
    cause: Cause


class RewardIssued(Envelope):
    """A reward was redeemed and is to be fulfilled."""

    type: Literal["loyalty.reward.issued.v1"]
    data: RewardIssuedData


class DayClosedData(TypedDict):
    """A local day of one partition."""

    partition: Count
    day: IsoDate
    complete: NotRequired[Flag]
    """False if the day was closed after the longest wait, with inputs outstanding."""


class DayClosed(Envelope):
    """A partition's confirmations and expiries of a local day are booked and its inputs are past midnight.

    Written to the partition it speaks of; the subject is the day.
    """

    type: Literal["loyalty.day.closed.v1"]
    data: DayClosedData


PointsEvent = (
    PointsPending
    | PointsEarned
    | PointsConfirmed
    | PointsRedeemed
    | PointsHeld
    | PointsReleased
    | PointsReturned
    | PointsClawedBack
    | PointsExpired
    | PointsExpiring
    | PointsAdjusted
    | PointsTransferred
    | OrderQualified
    | OrderAlarmed
    | RewardIssued
    | DayClosed
)
"""Everything on the ledger's topic of points."""
