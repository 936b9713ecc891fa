"""What the ledger's shards tell each other; nobody else's business."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from schemas.events.envelope import Envelope
from schemas.events.fields import Count, Id, IsoDate, MemberId, Positive


class LotSent(TypedDict):
    """Points of one lot that change hands; they keep their last day."""

    points: Positive
    last_day: NotRequired[IsoDate]
    """The last local day on which they can be spent; absent if they never expire."""
    parent: NotRequired[IsoDate]
    """For points in their grace: the last day of the lot they came from (P4)."""


class TransferSentData(TypedDict):
    """The sender's half of a transfer."""

    transfer_id: Id
    sender: MemberId
    lots: Annotated[list[LotSent], Field(min_length=1)]
    """In the order in which they were taken (E6)."""


class TransferSent(Envelope):
    """Points left the sender's account and are on their way to the subject's."""

    type: Literal["loyalty.transfer.sent.v1"]
    data: TransferSentData


class TransferArrivedData(TypedDict):
    """The receiver's half of a transfer."""

    transfer_id: Id


class TransferArrived(Envelope):
    """Points that the subject sent are booked on the receiver's account."""

    type: Literal["loyalty.transfer.arrived.v1"]
    data: TransferArrivedData


class ReferralToldData(TypedDict):
    """What stands of a member whom the subject referred."""

    member: MemberId
    """The member who was referred."""
    program: Count
    """The number of the program version under which that member has a successful order; 0: it has none any more."""
    seen: Positive
    """The version of that member's account that says so: what is not newer is old news."""


class ReferralTold(Envelope):
    """A member whom the subject referred has a successful order since this time, or has none any more."""

    type: Literal["loyalty.referral.told.v1"]
    data: ReferralToldData


InternalEvent = TransferSent | TransferArrived | ReferralTold
"""Everything that one shard tells another."""
