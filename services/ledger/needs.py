"""What the store reads for inputs before they are folded: what each surely looks at, and nothing of a new account."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from services.ledger.domain.budget import BUDGET, allotment_key
from services.ledger.domain.inputs import (
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
    MakeUpDay,
    Paid,
    ProfileTold,
    ReceivePoints,
    RedeemPoints,
    RedeemReward,
    Refunded,
    ReleaseHold,
    ReturnRedemption,
    ReviewPublished,
    ReviewRemoved,
    RewardAnswered,
    SendPoints,
    Shipped,
    SignedIn,
    TierTold,
    TransferArrived,
)
from services.ledger.domain.member import Loaded, Needs
from services.ledger.domain.orders import named_by
from services.ledger.domain.refs import hold_key, redemption_key
from services.ledger.domain.rewards import CODES, GRANT
from services.ledger.domain.transfers import arrival_key, transfer_key


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
    for given in inputs:
        if isinstance(given, Paid | Shipped | Completed | Refunded | Cancelled):
            needs.orders.add(given.order)
            if isinstance(given, Paid):
                needs.facts.update(named_by(given))
        elif isinstance(given, TierTold):
            if given.history:
                # Histories begin with the first tier: what was paid after it is what they can change.
                first = given.history[0][0]
                needs.paid_after = first if needs.paid_after is None else min(first, needs.paid_after)
        elif isinstance(given, ExpiryNear):
            needs.spendable = True
        elif isinstance(given, BudgetAnswered):
            needs.orders.add(given.order)
        elif isinstance(given, AskBudget):
            needs.facts.update((BUDGET, allotment_key(given.member, given.order)))
        elif (key := fact_key(given)) is not None:
            needs.facts.add(key)
            needs.spendable = needs.spendable or isinstance(
                given, HoldPoints | RedeemPoints | RedeemReward | MakeUpDay | SendPoints
            )
    return needs


def fact_key(given: AnyInput) -> str | None:
    """The fact that an input surely looks at."""
    match given:
        case ReviewPublished(review_id=review) | ReviewRemoved(review_id=review):
            return f"review:{review}"
        case ActivityRecorded():
            return f"{given.activity}:{given.activity_id}"
        case SignedIn() | MakeUpDay():
            return "sign-ins"
        case ProfileTold():
            return "profile"
        case HoldPoints() | CaptureHold() | ReleaseHold():
            return hold_key(given.hold)
        case RedeemPoints() | RedeemReward() | ReturnRedemption() | RewardAnswered():
            return redemption_key(given.redemption)
        case SendPoints() | TransferArrived():
            return transfer_key(given.transfer)
        case ReceivePoints():
            return arrival_key(given.transfer)
        case AskReward() | GiveBackReward():
            return GRANT + given.redemption
        case AddCodes():
            return CODES
        case _:
            return None
