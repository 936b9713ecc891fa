"""Events in: what the e-commerce backend says about orders, sign-ins, reviews, profiles and activities.

In a profile a field that is absent is unknown and a field that is null is deleted; everywhere else an
optional field is absent or has a value.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypeVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from schemas.events.envelope import Envelope
from schemas.events.fields import (
    Channel,
    Count,
    Country,
    Currency,
    Flag,
    Id,
    IsoDate,
    Locale,
    MemberId,
    MessageClass,
    Money,
    Quantity,
    Shop,
    Text,
    TimeZone,
    Token,
)

Lines = TypeVar("Lines", bound=list[Any])


def _each_line_once(lines: Lines) -> Lines:
    """Refuse a line that is named twice: which of the two amounts holds would be a guess."""
    if len({line["line_id"] for line in lines}) != len(lines):
        raise PydanticCustomError("line_twice", "each line_id may be named once")
    return lines


class OrderLine(TypedDict):
    """One line of an order."""

    line_id: Id
    """Unique within the order."""
    sku: Id
    category: NotRequired[Id]
    """What the program's exclusions go by."""
    quantity: Quantity
    amount: Money
    """What is owed for the whole line after discounts, before points."""
    discount: NotRequired[Money]
    """What was taken off before `amount`; for reports."""
    cost: NotRequired[Money]
    """What the line cost the shop; for reports."""


class LinePart(TypedDict):
    """A line of the order that is meant. Parts of a quantity never add up (O8)."""

    line_id: Id
    quantity: NotRequired[Quantity]


class RefundLine(TypedDict):
    """A line that is refunded, in whole or in part."""

    line_id: Id
    quantity: NotRequired[Quantity]
    amount: Money
    """The part of that line's amount, before points."""


class OrderFact(TypedDict):
    """What each event of an order says first. An order is (subject, shop, order_id)."""

    order_id: Id
    shop: NotRequired[Shop]
    """Which of the merchant's shops; absent is the same as empty."""


class OrderPaidData(OrderFact):
    """The order as it was paid. Of several tellings the highest `revision` counts (O2)."""

    revision: NotRequired[Count]
    """0 if absent; a higher one replaces the lines."""
    currency: Currency
    lines: Annotated[list[OrderLine], Field(min_length=1), AfterValidator(_each_line_once)]
    shipping: NotRequired[Money]
    tax: NotRequired[Money]
    points_used: NotRequired[Count]
    """Points that paid a part of it (P1, P2, P7). Beyond what the program lets be used they are booked all the same,
    with an alarm (P8)."""
    points_value: NotRequired[Money]
    """What those points were worth. Of a value beyond the lines that points can pay, shipping and tax, the points come
    back (P2)."""
    hold_id: NotRequired[Id]
    """The hold that payment captures. What the order does not use of it comes back (P7)."""
    redemption_id: NotRequired[Id]
    """The redemption that debited the points already. What the order does not use of it comes back (P7)."""
    channel: NotRequired[Token]


class OrderPaid(Envelope):
    """An order was paid."""

    type: Literal["commerce.order.paid.v1"]
    data: OrderPaidData


class OrderShippedData(OrderFact):
    """What was shipped; without lines, all."""

    carrier: NotRequired[Text]
    tracking_no: NotRequired[Text]
    lines: NotRequired[list[LinePart]]


class OrderShipped(Envelope):
    """An order, or some of its lines, left the warehouse."""

    type: Literal["commerce.order.shipped.v1"]
    data: OrderShippedData


class OrderCompletedData(OrderFact):
    """What was received; without lines, all."""

    lines: NotRequired[list[LinePart]]


class OrderCompleted(Envelope):
    """The member confirmed receipt of an order, or of some of its lines."""

    type: Literal["commerce.order.completed.v1"]
    data: OrderCompletedData


class OrderRefundedData(OrderFact):
    """What was paid back. Without lines it is goodwill and takes no points (R10)."""

    refund_id: Id
    """Unique within the order."""
    lines: NotRequired[Annotated[list[RefundLine], AfterValidator(_each_line_once)]]
    shipping: NotRequired[Money]
    tax: NotRequired[Money]


class OrderRefunded(Envelope):
    """Money of an order was paid back."""

    type: Literal["commerce.order.refunded.v1"]
    data: OrderRefundedData


class OrderCancelledData(OrderFact):
    """The whole order is off."""

    reason: NotRequired[Text]


class OrderCancelled(Envelope):
    """An order was cancelled."""

    type: Literal["commerce.order.cancelled.v1"]
    data: OrderCancelledData


class OrderRefundFailedData(OrderFact):
    """The refund that did not go through."""

    refund_id: Id


class OrderRefundFailed(Envelope):
    """A refund never happened: its gateway bounced it, or a chargeback was won. For good, whichever of the two came
    first; another attempt has another `refund_id` (R12)."""

    type: Literal["commerce.order.refund_failed.v1"]
    data: OrderRefundFailedData


class OrderReinstatedData(OrderFact):
    """The whole order is on again."""

    reason: NotRequired[Text]


class OrderReinstated(Envelope):
    """A cancellation is undone: the order is as if it had never been cancelled. Of cancellations and reinstatements the
    latest by `time` holds, at one instant the cancellation (R13)."""

    type: Literal["commerce.order.reinstated.v1"]
    data: OrderReinstatedData


class MemberSignedInData(TypedDict):
    """A visit."""

    device: NotRequired[Text]


class MemberSignedIn(Envelope):
    """A member signed in; the first of a local day is rewarded (D2)."""

    type: Literal["commerce.member.signed_in.v1"]
    data: MemberSignedInData


class ReviewPublishedData(TypedDict):
    """A rating of a product."""

    review_id: Id
    order_id: NotRequired[Id]
    sku: Id
    rating: Annotated[int, Field(strict=True, ge=1, le=7)]
    """From 1, very dissatisfied, to `scale`."""
    scale: NotRequired[Literal[5, 7]]
    """How many grades there are; 5 if absent."""
    images: NotRequired[Count]
    """How many pictures it has."""
    text_length: NotRequired[Count]
    """Characters of its text."""


def _rating_on_its_scale(review: ReviewPublishedData) -> ReviewPublishedData:
    """Refuse 6 of 5."""
    if review["rating"] > review.get("scale", 5):
        raise PydanticCustomError("rating_beyond_scale", "rating is beyond its scale")
    return review


class ReviewPublished(Envelope):
    """A review became public."""

    type: Literal["commerce.review.published.v1"]
    data: Annotated[ReviewPublishedData, AfterValidator(_rating_on_its_scale)]


class ReviewRemovedData(TypedDict):
    """Which review; final, also before it was published (N3)."""

    review_id: Id


class ReviewRemoved(Envelope):
    """A review was taken down."""

    type: Literal["commerce.review.removed.v1"]
    data: ReviewRemovedData


class ProfileData(TypedDict):
    """Personal data, as the member gave it: how well formed it is, is for its reader to judge.

    An older `time` never overwrites a newer one, field by field.
    """

    name: NotRequired[Text | None]
    phone: NotRequired[Text | None]
    email: NotRequired[Text | None]
    birthday: NotRequired[IsoDate | None]
    gender: NotRequired[Text | None]
    address: NotRequired[Text | None]
    locale: NotRequired[Locale | None]
    timezone: NotRequired[TimeZone | None]
    country: NotRequired[Country | None]
    referred_by: NotRequired[MemberId | None]
    """Who brought the member; told with the registration or soon after, the first told holds (F1)."""


class MemberRegistered(Envelope):
    """An account was opened in the shop."""

    type: Literal["commerce.member.registered.v1"]
    data: ProfileData


class ProfileUpdated(Envelope):
    """A profile changed."""

    type: Literal["commerce.profile.updated.v1"]
    data: ProfileData


ConsentChangedData = TypedDict(
    "ConsentChangedData",
    {
        "channel": Channel,
        "class": MessageClass,
        "granted": Flag,
        "evidence": NotRequired[Text],
    },
)
"""Which messages are allowed from now on; `evidence` says where the member said so (S2)."""


class ConsentChanged(Envelope):
    """A member allowed or forbade a class of messages on a channel."""

    type: Literal["commerce.consent.changed.v1"]
    data: ConsentChangedData


class DeviceRegisteredData(TypedDict):
    """Where push messages reach the member."""

    device_id: Id
    platform: Token
    token: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")]
    """The push provider's address of the device; a secret."""


class DeviceRegistered(Envelope):
    """A device can receive push messages."""

    type: Literal["commerce.device.registered.v1"]
    data: DeviceRegisteredData


class MemberErasedData(TypedDict):
    """Nothing: the subject says who."""


class MemberErased(Envelope):
    """The member is to be forgotten: personal data goes, the ledger stays."""

    type: Literal["commerce.member.erased.v1"]
    data: MemberErasedData


class ActivityRecordedData(TypedDict):
    """Something a member did."""

    activity: Token
    """`favourite`, `game`, `share`, `browse`, `enquiry` or another name the program knows."""
    activity_id: Id
    """Unique within the activity; the same one never earns twice."""
    sku: NotRequired[Id]
    """What it was about; a program may award the same thing once, whatever the ids (N7)."""
    units: NotRequired[Quantity]
    """How much of it; 1 if absent."""
    cost: NotRequired[Money]
    """What it cost the shop, in the program's currency; for reports."""


class ActivityRecorded(Envelope):
    """A member took part in something."""

    type: Literal["commerce.activity.recorded.v1"]
    data: ActivityRecordedData


class ActivityWithdrawnData(TypedDict):
    """Which activity; final, also before it was recorded (N7)."""

    activity: Token
    activity_id: Id


class ActivityWithdrawn(Envelope):
    """Something that a member did was taken back: goods are no favourite any more."""

    type: Literal["commerce.activity.withdrawn.v1"]
    data: ActivityWithdrawnData


CommerceEvent = (
    OrderPaid
    | OrderShipped
    | OrderCompleted
    | OrderRefunded
    | OrderCancelled
    | OrderReinstated
    | OrderRefundFailed
    | MemberSignedIn
    | ReviewPublished
    | ReviewRemoved
    | MemberRegistered
    | ProfileUpdated
    | ConsentChanged
    | DeviceRegistered
    | MemberErased
    | ActivityRecorded
    | ActivityWithdrawn
)
"""Everything the shop tells us."""
