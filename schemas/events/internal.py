"""What the ledger's shards tell each other; nobody else's business."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from schemas.events.envelope import Envelope
from schemas.events.fields import Count, Flag, Id, Instant, IsoDate, MemberId, Positive, Shop, Token


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
    told_at: NotRequired[Instant]
    """When it was told that the subject referred the member: of two who refer each other the earlier holds (F1)."""


class ReferralTold(Envelope):
    """A member whom the subject referred has a successful order since this time, or has none any more."""

    type: Literal["loyalty.referral.told.v1"]
    data: ReferralToldData


class ReferralAnsweredData(TypedDict):
    """Whether a referrer's account stands for what it was told."""

    referrer: MemberId
    granted: Flag
    """True: the referrer's side is booked, and the subject's may be."""
    why: Literal["", "referrer_unknown", "refers_back"]
    """If not: nothing came to be known of the referrer in time (F3), or the other referral was told earlier (F1)."""
    seen: Positive
    """The version of the subject's account that is answered."""
    version: Positive
    """The version of the referrer's account that answers: what is not newer is old news."""


class ReferralAnswered(Envelope):
    """The subject's account told its referrer's of a referral, and this is the answer."""

    type: Literal["loyalty.referral.answered.v1"]
    data: ReferralAnsweredData


class RewardAskedData(TypedDict):
    """One of a reward, for a redemption."""

    redemption_id: Id
    member_id: MemberId
    reward: Token


class RewardAsked(Envelope):
    """A redemption asks for one of a reward's stock, or for a code; the subject is the account that keeps them."""

    type: Literal["loyalty.reward.asked.v1"]
    data: RewardAskedData


class RewardAnsweredData(TypedDict):
    """What a redemption gets."""

    redemption_id: Id
    granted: Flag
    """False: sold out."""
    code: NotRequired[Id]
    """The coupon's code."""


class RewardAnswered(Envelope):
    """The stock was asked for a redemption of the subject, and this is the answer."""

    type: Literal["loyalty.reward.answered.v1"]
    data: RewardAnsweredData


class RewardGivenBackData(TypedDict):
    """A redemption that was returned in full."""

    redemption_id: Id


class RewardGivenBack(Envelope):
    """What was granted is there again; the subject is the account that keeps the stock."""

    type: Literal["loyalty.reward.given_back.v1"]
    data: RewardGivenBackData


class RewardKeptData(TypedDict):
    """A redemption that gave its reward back and has it again."""

    redemption_id: Id


class RewardKept(Envelope):
    """What was given back is out again, since the order of its redemption was reinstated (R13); the subject is the
    account that keeps the stock."""

    type: Literal["loyalty.reward.kept.v1"]
    data: RewardKeptData


class BudgetAskedData(TypedDict):
    """What an order is to have of a campaign's budget."""

    member_id: MemberId
    shop: Shop
    order_id: Id
    points: Count
    """All in all, as if the budget had no end; 0: nothing any more."""
    asked: Positive
    """The version of the member's account that says so: what is not newer is old news."""
    program: Positive
    """The number of the program version under which the order met the campaign."""


class BudgetAsked(Envelope):
    """An order asks for points of a budget, or gives some up; the subject is the account that keeps it (N6)."""

    type: Literal["loyalty.budget.asked.v1"]
    data: BudgetAskedData


class BudgetAnsweredData(TypedDict):
    """What an order has of a campaign's budget."""

    account: MemberId
    """The account that keeps the budget."""
    shop: Shop
    order_id: Id
    points: Count
    """All in all; less than it asked for: the budget is spent, and the order waits for what others give up."""
    asked: Positive
    """What is answered, as the question said."""


class BudgetAnswered(Envelope):
    """A budget has given points to an order of the subject, at once or after others gave some up (N6)."""

    type: Literal["loyalty.budget.answered.v1"]
    data: BudgetAnsweredData


InternalEvent = (
    TransferSent
    | TransferArrived
    | RewardAsked
    | RewardAnswered
    | RewardGivenBack
    | RewardKept
    | ReferralTold
    | ReferralAnswered
    | BudgetAsked
    | BudgetAnswered
)
"""Everything that one shard tells another."""
