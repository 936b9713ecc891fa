"""The fold: `decide(programs, member, input, now) -> outcome`. Pure: no I/O, no clock, no randomness.

It first does what is due for the account by `now`, then the input (architecture, "One write path").
"""

from __future__ import annotations

from itertools import zip_longest
from typing import assert_never

from services.kit.calendar import NEVER, Micros
from services.ledger.domain.posting import sliding
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import Posting, has_available_funding
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules import (
    activities,
    enrolment,
    holds,
    profile,
    redemptions,
    referrals,
    reviews,
    rewards,
    shortfalls,
    signins,
    stock,
    transfers,
)
from services.ledger.domain.rules.budgets import allot
from services.ledger.domain.rules.holds import time_out_holds
from services.ledger.domain.rules.order_facts import apply_fact
from services.ledger.domain.rules.orders import book_orders, true_up
from services.ledger.domain.rules.shares import ask_budgets, take_share
from services.ledger.domain.state.account import ORDERS, tier_of
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
    DecideShortfall,
    DueTimer,
    Enrolled,
    ExpiryNear,
    GiveBackReward,
    HoldPoints,
    OrderInput,
    Paid,
    ProfileUpdated,
    ReceivePoints,
    RedeemPoints,
    RedeemReward,
    ReferralReceived,
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
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import Expiring, OrderQualified, Outcome

EXPIRY = "expiry"
TRUE_UP = "tier-true-up"


def decide(programs: ProgramVersions, member: Member, input_: AnyInput, now: Micros) -> Outcome | None:
    """What an input that arrives at `now` changes; None for a timer that finds nothing due or to tell.

    Changes `member`. Raises `Missing` when it needs more than was read; `member` is then worthless.
    """
    account = member.account
    now = account.now = max(now, account.now)
    moves = Posting(member, now)
    qualified = _settle_due(member, programs, moves, now) if _is_due(member, now) else []
    if programs.slide:
        sliding.follow(member, programs, input_, now)
    outcome = _decide(programs, member, moves, input_, now)
    if programs.slide and outcome.kind == "booked":
        sliding.follow_command(member, programs, input_, now)
    if isinstance(input_, DueTimer | ExpiryNear) and not (moves.entries or qualified or outcome.expiring):
        return None
    moves.post()
    outcome.entries = moves.entries
    if moves.referrals:
        # What fell due may have been undone by the input itself: the last word for each referrer goes out.
        outcome.referrals = list({told.referrer: told for told in moves.referrals}.values())
    if moves.alarms:
        outcome.alarms = [*outcome.alarms, *moves.alarms]
    if qualified:
        told = {each.order for each in outcome.qualified}
        outcome.qualified = [each for each in qualified if each.order not in told] + outcome.qualified
    account.version += 1
    if moves.asked:
        outcome.messages += ask_budgets(member, moves)
    return outcome


def _is_due(member: Member, now: Micros) -> bool:
    due = member.account.next_due
    return due is not None and due <= now


def _settle_due(member: Member, programs: ProgramVersions, moves: Posting, now: Micros) -> list[OrderQualified]:
    """Confirm lines, expire lots and end holds, each as of its own due time, at one instant in this order (T8, R6).

    What is due is booked as it would have been had somebody looked at that very instant, so it makes no
    difference when somebody looks (E1).
    """
    calendar = programs.at(now).calendar
    qualified: dict[str, OrderQualified] = {}
    orders = member.orders_due(now)
    while True:
        last_days = [member.lots.last_day(lot[0]) for lot, _ in member.lots.spendable()]
        ends = [calendar.end_of(day) for day in last_days if day != NEVER]
        holds = [expires_at for expires_at, _ in member.account.details.holds[:1]]
        at = min([due for due, _ in orders] + ends + holds, default=None)
        if at is None or at > now:
            break
        moves.now = at
        refs = [ref for due, ref in orders if due == at]
        member.want(refs)
        qualified.update({told.order: told for told, _ in book_orders(member, programs, moves, refs, at)})
        moves.post()
        for lot, points in member.lots.spendable():
            last_day = member.lots.last_day(lot[0])
            if last_day != NEVER and calendar.end_of(last_day) <= at:
                moves.expire(lot, points, Cause(EXPIRY, "", last_day, programs.at(at)))
        time_out_holds(member, programs, moves, at)
        orders = member.orders_due(now)
    moves.now = now
    member.account.next_due = member.next_due(now, calendar)
    return list(qualified.values())


def _decide(programs: ProgramVersions, member: Member, moves: Posting, input_: AnyInput, now: Micros) -> Outcome:
    match input_:
        case Paid() | Shipped() | Completed() | Refunded() | Cancelled():
            return _order_fact(programs, member, moves, input_, now)
        case SignedIn():
            return signins.sign_in(member, programs, moves, input_)
        case ReviewPublished():
            return reviews.publish_review(member, programs, moves, input_)
        case ReviewRemoved():
            return reviews.remove_review(member, programs, moves, input_)
        case ProfileUpdated():
            return profile.update_profile(member, programs, moves, input_)
        case ActivityRecorded():
            return activities.record_activity(member, programs, moves, input_)
        case TierHistoryReceived():
            return _receive_tier_history(programs, member, moves, input_, now)
        case Enrolled():
            return enrolment.enrol(member, programs, moves, input_)
        case HoldPoints():
            return holds.hold_points(member, programs, moves, input_)
        case CaptureHold():
            return holds.capture_hold(member, programs, moves, input_)
        case ReleaseHold():
            return holds.release_hold(member, programs, moves, input_)
        case RedeemPoints():
            return redemptions.redeem_points(member, programs, moves, input_)
        case ReturnRedemption():
            return redemptions.return_redemption(member, programs, moves, input_)
        case SendPoints():
            return transfers.send_points(member, programs, moves, input_)
        case ReceivePoints():
            return transfers.receive_points(member, programs, moves, input_)
        case TransferArrived():
            return transfers.finish_transfer(member, input_)
        case RedeemReward():
            return rewards.redeem_reward(member, programs, moves, input_)
        case RewardAnswered():
            return rewards.settle_reward(member, programs, moves, input_)
        case AskReward():
            return stock.grant_reward(member, programs, moves, input_)
        case GiveBackReward():
            return stock.take_back_reward(member, input_)
        case AddCodes():
            return stock.add_codes(member, input_)
        case AskBudget():
            return allot(member, programs, moves, input_)
        case BudgetAnswered():
            return take_share(member, programs, moves, input_)
        case RepairStreak():
            return signins.repair_streak(member, programs, moves, input_)
        case DecideShortfall():
            return shortfalls.decide_shortfall(member, programs, moves, input_)
        case ReferralReceived():
            return referrals.receive_referral(member, programs, moves, input_)
        case DueTimer():
            return Outcome("booked")
        case ExpiryNear():
            return Outcome("booked", expiring=_expiring(programs, member, input_, now))
        case _:
            assert_never(input_)


def _expiring(programs: ProgramVersions, member: Member, input_: ExpiryNear, now: Micros) -> Expiring | None:
    """What a member still has of the points that end on a day; None if there is nothing to tell."""
    program = programs.at(now)
    points = sum(points for lot, points in member.lots.spendable() if member.lots.last_day(lot[0]) == input_.day)
    if not points:
        return None
    return Expiring(points, input_.day, input_.day + 1 - program.calendar.day_of(now), program.number)


def _order_fact(programs: ProgramVersions, member: Member, moves: Posting, input_: OrderInput, now: Micros) -> Outcome:
    ref = input_.order
    order = member.order(ref)
    at, lines_version = input_.at, order.lines_version
    if isinstance(input_, Paid):
        at = member.account.count_from(ORDERS, input_.at, programs.at(input_.at).max_lateness)
    member.touched.add(ref)
    is_new = apply_fact(order, input_, at, now)
    moves.paying = ref if isinstance(input_, Paid) else ""
    if not is_new and not (moves.paying and has_available_funding(member, order.names)):
        return Outcome("known", "this fact is told already")
    if isinstance(input_, Paid) and order.lines_version > lines_version:
        member.add_lines(ref, order.lines_version, input_.lines)
    if not order.paid_at:
        return Outcome("parked", "waits for the order to be paid")
    alarms = set(order.alarms)
    [(qualified, reasons)] = book_orders(member, programs, moves, [ref], now)
    moves.post()
    raised = [alarm for alarm in order.alarms if alarm not in alarms]
    outcome = Outcome("booked", reasons=reasons, qualified=[qualified], alarms=raised)
    if order.cancelled_at:
        outcome.messages += rewards.cancel_rewards(member, programs, ref, order, now)
    return outcome


def _receive_tier_history(
    programs: ProgramVersions, member: Member, moves: Posting, input_: TierHistoryReceived, now: Micros
) -> Outcome:
    """T1: orders that earned at another tier than the history now tells are trued up."""
    details = member.account.details
    if input_.seen <= details.tiers_seen:
        return Outcome("known", "a newer tier history is told already")
    before, after = details.tiers, list(input_.history)
    details.tiers_seen = input_.seen
    if before == after:
        return Outcome("known", "this tier history is told already")
    outcome = Outcome("booked")
    details.tiers = after
    differs_from = min(step[0] for pair in zip_longest(before, after) if pair[0] != pair[1] for step in pair if step)
    refs = [
        ref
        for paid_at, ref in member.paid_after(differs_from)
        if not programs.at(paid_at).order.earns_alike(tier_of(before, paid_at), tier_of(after, paid_at))
    ]
    outcome.reasons = true_up(member, programs, moves, refs, now, TRUE_UP)
    return outcome
