"""What one account sends to another: inputs of the receiving account, by the ledger's own topic."""

from __future__ import annotations

import msgspec

from services.kit.calendar import NOT_YET, Day, Micros
from services.ledger.domain.state.entries import LotKey
from services.ledger.domain.state.input_base import Input


class LotPart(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Points of a lot on their way to another account."""

    lot_day: Day
    parent: Day
    points: int

    @property
    def lot(self) -> LotKey:
        """The lot's key."""
        return LotKey(self.lot_day, self.parent)


class ReceivePoints(Input, frozen=True, array_like=True, tag="receive"):
    """Another account sent points: out of these lots, in the order in which they left."""

    transfer: str
    sender: str
    lots: tuple[LotPart, ...]


class TransferArrived(Input, frozen=True, array_like=True, tag="arrived"):
    """The receiver's half of a transfer of this account is booked."""

    transfer: str


class ReferralReceived(Input, frozen=True, array_like=True, tag="referral"):
    """A member whom this one referred has a successful order, under a program version; 0: it has none any more.

    `seen` is the version of the referred member's account that says so: what is not newer is ignored. `told_at` is when
    the referral was told; an older release did not say so.
    """

    member: str
    stands_under: int
    seen: int
    told_at: Micros = NOT_YET


class ReferralAnswered(Input, frozen=True, array_like=True, tag="referral_answered"):
    """Whether the account that this one named as its referrer stands for it, and if not, why (F1, F3).

    `seen` is the version of this account that is answered, `version` that of the account that answers.
    """

    referrer: str
    granted: bool
    why: str
    seen: int
    version: int


class AskReward(Input, frozen=True, array_like=True, tag="ask_reward"):
    """A member's account asks this one, which keeps a reward's stock, for one of it."""

    redemption: str
    member: str
    reward: str


class RewardAnswered(Input, frozen=True, array_like=True, tag="reward_answered"):
    """The reward's account granted what a redemption of this account asked for, or the reward is sold out."""

    redemption: str
    granted: bool
    code: str


class GiveBackReward(Input, frozen=True, array_like=True, tag="give_back_reward"):
    """A redemption to which this account granted a reward was returned in full."""

    redemption: str


class KeepReward(Input, frozen=True, array_like=True, tag="keep_reward"):
    """A redemption that gave back its reward to this account has it again, since its order was reinstated (R13)."""

    redemption: str


class AskBudget(Input, frozen=True, array_like=True, tag="ask_budget"):
    """A member's order asks for so many points, all in all, of the budget that this account keeps (N6).

    `asked` is the version of the member's account that says so: what is not newer is ignored. `program` is the program
    version under which the order met the campaign.
    """

    member: str
    order: str
    points: int
    asked: int
    program: int


class BudgetAnswered(Input, frozen=True, array_like=True, tag="budget_answered"):
    """An order of this account has so many points, all in all, of the budget that `account` keeps.

    `asked` is the version of this account whose question is answered.
    """

    account: str
    order: str
    points: int
    asked: int


AccountMessage = (
    ReceivePoints
    | TransferArrived
    | AskReward
    | RewardAnswered
    | GiveBackReward
    | KeepReward
    | ReferralReceived
    | ReferralAnswered
    | AskBudget
    | BudgetAnswered
)
"""What one account sends to another."""
