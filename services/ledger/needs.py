"""What the store reads for inputs before they are folded: what each surely looks at, and nothing of a new account."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

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
    AddCodes,
    AnyInput,
    AskBudget,
    AskReward,
    BudgetAnswered,
    Cancelled,
    CaptureHold,
    Completed,
    ExpiryNear,
    GiveBackReward,
    HoldPoints,
    Paid,
    ProfileUpdated,
    ReceivePoints,
    RedeemPoints,
    RedeemReward,
    Refunded,
    ReleaseHold,
    RepairStreak,
    ReturnRedemption,
    ReviewPublished,
    ReviewRemoved,
    RewardAnswered,
    SendPoints,
    Shipped,
    SignedIn,
    TierHistoryReceived,
    TransferArrived,
)
from services.ledger.domain.state.loaded import Loaded, Needs


class _Nothing(dict[Any, Any]):
    """A mapping in which every key is known not to exist."""

    def __missing__(self, key: object) -> None:
        return None

    def __contains__(self, key: object) -> bool:
        return True


class _NoLots(dict[Any, Any]):
    """A mapping in which every family of lots is known to be empty."""

    def get(self, key: object, default: object = None) -> list[object]:
        """No lot of any family."""
        return []


FRESH: Final = Loaded(
    orders=_Nothing(),
    facts=_Nothing(),
    spendable=[],
    families=_NoLots(),
    due_until=2**63 - 1,
    successes=[],
    paid_after=0,
)
"""What is read of an account that has no version yet: nothing, without asking."""


def sure_needs(inputs: Iterable[AnyInput]) -> Needs:
    """What inputs of one member surely look at; where a fold lacks more, it says so (`Missing`)."""
    needs = Needs()
    for input_ in inputs:
        if isinstance(input_, Paid | Shipped | Completed | Refunded | Cancelled):
            needs.orders.add(input_.order)
            if isinstance(input_, Paid):
                needs.facts.update(funding_keys_of(input_))
        elif isinstance(input_, TierHistoryReceived):
            if input_.history:
                # Histories begin with the first tier: what was paid after it is what they can change.
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
    """The fact that an input surely looks at."""
    match input_:
        case ReviewPublished(review_id=review) | ReviewRemoved(review_id=review):
            return review_key(review)
        case ActivityRecorded():
            return activity_key(input_.activity, input_.activity_id)
        case SignedIn() | RepairStreak():
            return SIGN_IN_RUNS
        case ProfileUpdated():
            return PROFILE
        case HoldPoints() | CaptureHold() | ReleaseHold():
            return hold_key(input_.hold)
        case RedeemPoints() | RedeemReward() | ReturnRedemption() | RewardAnswered():
            return redemption_key(input_.redemption)
        case SendPoints() | TransferArrived():
            return transfer_key(input_.transfer)
        case ReceivePoints():
            return arrival_key(input_.transfer)
        case AskReward() | GiveBackReward():
            return grant_key(input_.redemption)
        case AddCodes():
            return CODES
        case _:
            return None
