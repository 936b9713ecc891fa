"""The fold: `decide(programs, member, input, now) -> outcome`. Pure: no I/O, no clock, no randomness.

It first books what is due for the account by `now`, then the input (architecture, "One write path").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from services.kit.calendar import Micros
from services.ledger.domain.posting import sliding
from services.ledger.domain.posting.expiry import expire_past_lots, expiring_on, next_expiry
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules import (
    activities,
    budgets,
    enrolment,
    erasure,
    holds,
    orders,
    profile,
    redemptions,
    referrals,
    reviews,
    rewards,
    shortfalls,
    signins,
    stock,
    tiers,
    transfers,
)
from services.ledger.domain.state.inputs import (
    ActivityRecorded,
    ActivityWithdrawn,
    AddCodes,
    AnyInput,
    Cancelled,
    CaptureHold,
    Completed,
    DecideShortfall,
    DueTimer,
    Enrolled,
    Erased,
    ExpiryNear,
    HoldPoints,
    Paid,
    ProfileUpdated,
    RedeemPoints,
    RedeemReward,
    Refunded,
    RefundFailed,
    Reinstated,
    ReleaseHold,
    RepairStreak,
    ReturnRedemption,
    ReviewPublished,
    ReviewRemoved,
    SendPoints,
    Shipped,
    SignedIn,
    SnapshotTaken,
    TierHistoryReceived,
)
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.messages import (
    AskBudget,
    AskReward,
    BudgetAnswered,
    GiveBackReward,
    KeepReward,
    ReceivePoints,
    ReferralAnswered,
    ReferralReceived,
    RewardAnswered,
    TransferArrived,
)
from services.ledger.domain.state.outcome import OrderQualified, Outcome

_RULES: Final[Mapping[type, Callable[[Posting, Any], Outcome]]] = {
    Paid: orders.book_order_event,
    Shipped: orders.book_order_event,
    Completed: orders.book_order_event,
    Refunded: orders.book_order_event,
    Cancelled: orders.book_order_event,
    Reinstated: orders.book_order_event,
    RefundFailed: orders.book_order_event,
    SignedIn: signins.sign_in,
    ReviewPublished: reviews.publish_review,
    ReviewRemoved: reviews.remove_review,
    ProfileUpdated: profile.update_profile,
    Erased: erasure.erase,
    ActivityRecorded: activities.record_activity,
    ActivityWithdrawn: activities.withdraw_activity,
    TierHistoryReceived: tiers.receive_tier_history,
    Enrolled: enrolment.enrol,
    HoldPoints: holds.hold_points,
    CaptureHold: holds.capture_hold,
    ReleaseHold: holds.release_hold,
    RedeemPoints: redemptions.redeem_points,
    ReturnRedemption: redemptions.return_redemption,
    SendPoints: transfers.send_points,
    ReceivePoints: transfers.receive_points,
    TransferArrived: transfers.finish_transfer,
    RedeemReward: rewards.redeem_reward,
    RewardAnswered: rewards.settle_reward,
    AskReward: stock.grant_reward,
    GiveBackReward: stock.take_back_reward,
    KeepReward: stock.keep_reward,
    AddCodes: stock.add_codes,
    AskBudget: budgets.grant_budget,
    BudgetAnswered: budgets.receive_budget,
    RepairStreak: signins.repair_streak,
    DecideShortfall: shortfalls.decide_shortfall,
    ReferralReceived: referrals.receive_referral,
    ReferralAnswered: referrals.receive_answer,
    DueTimer: lambda _posting, _timer: Outcome("booked"),
    ExpiryNear: lambda posting, near: Outcome("booked", expiring=expiring_on(posting, near.day)),
    SnapshotTaken: lambda _posting, _taken: Outcome("booked"),
}
"""What each kind of input means."""
_OF_THE_LEDGER: Final = (ReferralReceived, ReferralAnswered, DueTimer, ExpiryNear, SnapshotTaken)
"""Inputs that say nothing of the member itself (F3)."""
assert _RULES.keys() == set(get_args(AnyInput)), "each kind of input has its rule"


def decide(programs: ProgramVersions, member: Member, input_: AnyInput, now: Micros) -> Outcome | None:
    """What an input that arrives at `now` changes; None for one that finds nothing due and has nothing to say.

    Changes `member`. Raises `Missing` when it needs more than was read; `member` is then worthless.
    """
    account = member.account
    now = account.now = max(now, account.now)
    posting = Posting(member, programs, now)
    qualified = _book_what_is_due(posting) if _is_due(member, now) else []
    outcome = _apply(posting, input_)
    if account.details.stranger and not isinstance(input_, _OF_THE_LEDGER):
        referrals.become_known(posting)
    booked = posting.entries or qualified or posting.referral_answers
    if not booked and _says_nothing(input_, posting, outcome):
        return None
    posting.post()
    _complete(outcome, posting, qualified)
    account.version = posting.version
    return outcome


def _apply(posting: Posting, input_: AnyInput) -> Outcome:
    """Apply the rule of an input, unless its member is erased (Z1)."""
    member, programs, now = posting.member, posting.programs, posting.now
    details = member.account.details
    if details.erased_at and (refusal := erasure.refuse(details, input_)) is not None:
        return refusal
    if programs.slide:
        sliding.follow(member, programs, input_, now)
    outcome = _RULES[type(input_)](posting, input_)
    if programs.slide and outcome.kind == "booked":
        sliding.follow_command(member, programs, input_, now)
    return outcome


def _says_nothing(input_: AnyInput, posting: Posting, outcome: Outcome) -> bool:
    """Whether an input of the ledger's own needs no journal row, if nothing fell due: there is nobody to notify, or
    the account has moved on since its snapshot was taken."""
    if isinstance(input_, SnapshotTaken):
        return input_.version != posting.member.account.version
    return isinstance(input_, DueTimer | ExpiryNear) and not outcome.expiring


def _complete(outcome: Outcome, posting: Posting, qualified: list[OrderQualified]) -> None:
    """Put into the outcome what the posting has booked and what others have to know; `qualified` are due orders."""
    outcome.entries = posting.entries
    if posting.referrals:
        # The input may have undone what fell due: only the last message for each referrer goes out.
        outcome.referrals = list({referral.referrer: referral for referral in posting.referrals}.values())
    if posting.alarms:
        outcome.alarms, outcome.alarmed = [*outcome.alarms, *posting.alarms], posting.alarmed
    if qualified:
        newer = {each.order for each in outcome.qualified}
        outcome.qualified = [each for each in qualified if each.order not in newer] + outcome.qualified
    outcome.messages += posting.referral_answers.values()
    if posting.budget_requests:
        outcome.messages += budgets.ask_budgets(posting)


def _is_due(member: Member, now: Micros) -> bool:
    due = member.account.next_due
    return due is not None and due <= now


def _book_what_is_due(posting: Posting) -> list[OrderQualified]:
    """Confirm lines, expire lots, end holds and what waits, each as of its own due time, at one instant in this order
    (T8, R6).

    What is due is booked as it would have been at that very instant, so it makes no difference when it is booked (E1).
    """
    member, now = posting.member, posting.now
    calendar = posting.programs.at(now).calendar
    qualified: dict[str, OrderQualified] = {}
    due_orders = member.orders_due(now)
    while True:
        details = member.account.details
        instants = [due for due, _ in due_orders[:1] + details.holds[:1] + details.waiting_referrals[:1]]
        if (expiry := next_expiry(member, calendar)) is not None:
            instants.append(expiry)
        at = min(instants, default=None)
        if at is None or at > now:
            break
        posting.now = at
        refs = [ref for due, ref in due_orders if due == at]
        member.want(refs)
        qualified.update({each.order: each for each, _ in orders.book_orders(posting, refs)})
        posting.post()
        expire_past_lots(posting, calendar, at)
        holds.time_out_holds(posting)
        referrals.let_go_of_strangers(posting)
        due_orders = member.orders_due(now)
    posting.now = now
    member.account.next_due = member.next_due(now, calendar)
    return list(qualified.values())
