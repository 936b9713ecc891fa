"""What the store reads before inputs are folded: what each input always needs, and nothing of a new account."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from services.kit.calendar import END_OF_TIME, NOT_YET
from services.ledger.domain.rules.order_facts import funding_keys_of
from services.ledger.domain.state.fact_keys import (
    BUDGET,
    CODES,
    PROFILE,
    SIGN_IN_RUNS,
    activity_key,
    allotment_key,
    arrival_key,
    grant_key,
    hold_key,
    redemption_key,
    review_key,
    transfer_key,
)
from services.ledger.domain.state.inputs import (
    ActivityRecorded,
    ActivityWithdrawn,
    AddCodes,
    AnyInput,
    CaptureHold,
    Erased,
    ExpiryNear,
    HoldPoints,
    OrderInput,
    Paid,
    ProfileUpdated,
    RedeemPoints,
    RedeemReward,
    ReleaseHold,
    RepairStreak,
    ReturnRedemption,
    ReviewPublished,
    ReviewRemoved,
    SendPoints,
    SignedIn,
    TierHistoryReceived,
)
from services.ledger.domain.state.loaded import Loaded, Needs
from services.ledger.domain.state.messages import (
    AskBudget,
    AskReward,
    BudgetAnswered,
    GiveBackReward,
    KeepReward,
    ReceivePoints,
    RewardAnswered,
    TransferArrived,
)


class _Nothing(dict[Any, Any]):
    """A mapping of which every key was read, and none was found."""

    def __missing__(self, key: object) -> None:
        return None

    def __contains__(self, key: object) -> bool:
        return True


class _NoLots(dict[Any, Any]):
    """A mapping of which every family of lots was read, and all are empty."""

    def get(self, key: object, default: object = None) -> list[object]:
        """No lot of any family."""
        return []


FRESH: Final = Loaded(
    orders=_Nothing(),
    facts=_Nothing(),
    spendable=[],
    families=_NoLots(),
    due_until=END_OF_TIME,
    successes=[],
    paid_after=NOT_YET,
)
"""The state of an account that has no version yet: it is known to be empty, so nothing has to be read."""


def sure_needs(inputs: Iterable[AnyInput]) -> Needs:
    """What the inputs of one member need in any case. If a fold needs more, it raises `Missing`."""
    needs = Needs()
    for input_ in inputs:
        if isinstance(input_, OrderInput):
            needs.orders.add(input_.order)
            if isinstance(input_, Paid):
                needs.facts.update(funding_keys_of(input_))
        elif isinstance(input_, TierHistoryReceived):
            if input_.history:
                # A history begins with the first tier. It can only change orders that were paid after that.
                first = input_.history[0][0]
                needs.paid_after = first if needs.paid_after is None else min(first, needs.paid_after)
        elif isinstance(input_, ExpiryNear):
            needs.spendable = True
        elif isinstance(input_, BudgetAnswered):
            needs.orders.add(input_.order)
        elif isinstance(input_, AskBudget):
            needs.facts.update((BUDGET, allotment_key(input_.member, input_.order)))
        elif (key := fact_key(input_)) is not None:
            needs.facts.add(key)
            needs.spendable = needs.spendable or isinstance(
                input_, HoldPoints | RedeemPoints | RedeemReward | RepairStreak | SendPoints
            )
    return needs


def fact_key(input_: AnyInput) -> str | None:
    """The key of the fact that an input needs in any case; None if there is none."""
    match input_:
        case ReviewPublished(review_id=review) | ReviewRemoved(review_id=review):
            return review_key(review)
        case ActivityRecorded() | ActivityWithdrawn():
            return activity_key(input_.activity, input_.activity_id)
        case SignedIn() | RepairStreak():
            return SIGN_IN_RUNS
        case ProfileUpdated() | Erased():
            return PROFILE
        case HoldPoints() | CaptureHold() | ReleaseHold():
            return hold_key(input_.hold)
        case RedeemPoints() | RedeemReward() | ReturnRedemption() | RewardAnswered():
            return redemption_key(input_.redemption)
        case SendPoints() | TransferArrived():
            return transfer_key(input_.transfer)
        case ReceivePoints():
            return arrival_key(input_.transfer)
        case AskReward() | GiveBackReward() | KeepReward():
            return grant_key(input_.redemption)
        case AddCodes():
            return CODES
        case _:
            return None
