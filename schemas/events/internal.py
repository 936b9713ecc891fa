"""What the ledger's shards tell each other; nobody else's business."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from schemas.events.envelope import Envelope
from schemas.events.fields import Id, IsoDate, MemberId, Positive


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


InternalEvent = TransferSent | TransferArrived
"""Everything that one shard tells another."""
