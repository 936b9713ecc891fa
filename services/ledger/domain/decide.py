"""The fold: `decide(programs, member, input, now) -> outcome`. Pure: no I/O, no clock, no randomness.

It first does what is due for the account by `now`, then the input (architecture, "One write path").
"""

from __future__ import annotations

from itertools import zip_longest
from typing import assert_never

from services.kit.calendar import NEVER, Micros
from services.ledger.domain import (
    facts,
    redeeming,
    referrals,
    sending,
    shortfalls,
    signins,
    sliding,
    spending,
    stock,
)
from services.ledger.domain.account import ORDERS, tier_of
from services.ledger.domain.booking import book_orders, true_up
from services.ledger.domain.budget import allot
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
    DecideShortfall,
    DueTimer,
    Enrolled,
    ExpiryNear,
    GiveBackReward,
    HoldPoints,
    MakeUpDay,
    OrderInput,
    Paid,
    ProfileTold,
    ReceivePoints,
    RedeemPoints,
    RedeemReward,
    ReferralTold,
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
from services.ledger.domain.member import Member
from services.ledger.domain.moves import Moves, is_unclaimed
from services.ledger.domain.orders import tell
from services.ledger.domain.outcome import Expiring, OrderQualified, Outcome
from services.ledger.domain.program import Programs
from services.ledger.domain.purse import Cause
from services.ledger.domain.shares import ask_budgets, take_share

EXPIRY = "expiry"
TRUE_UP = "tier-true-up"


def decide(programs: Programs, member: Member, given: AnyInput, now: Micros) -> Outcome | None:
    """What an input that arrives at `now` changes; None for a timer that finds nothing due or to tell.

    Changes `member`. Raises `Missing` when it needs more than was read; `member` is then worthless.
    """
    account = member.account
    now = account.now = max(now, account.now)
    moves = Moves(member, now)
    qualified = _settle_due(member, programs, moves, now) if _is_due(member, now) else []
    if programs.slide:
        sliding.follow(member, programs, given, now)
    outcome = _decide(programs, member, moves, given, now)
    if programs.slide and outcome.kind == "booked":
        sliding.follow_command(member, programs, given, now)
    if isinstance(given, DueTimer | ExpiryNear) and not (moves.entries or qualified or outcome.expiring):
        return None
    moves.carry_out()
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


def _settle_due(member: Member, programs: Programs, moves: Moves, now: Micros) -> list[OrderQualified]:
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
        moves.carry_out()
        for lot, points in member.lots.spendable():
            last_day = member.lots.last_day(lot[0])
            if last_day != NEVER and calendar.end_of(last_day) <= at:
                moves.expire(lot, points, Cause(EXPIRY, "", last_day, programs.at(at)))
        spending.time_out_holds(member, programs, moves, at)
        orders = member.orders_due(now)
    moves.now = now
    member.account.next_due = member.next_due(now, calendar)
    return list(qualified.values())


def _decide(programs: Programs, member: Member, moves: Moves, given: AnyInput, now: Micros) -> Outcome:
    match given:
        case Paid() | Shipped() | Completed() | Refunded() | Cancelled():
            return _order_fact(programs, member, moves, given, now)
        case SignedIn():
            return signins.sign_in(member, programs, moves, given)
        case ReviewPublished():
            return facts.publish_review(member, programs, moves, given)
        case ReviewRemoved():
            return facts.remove_review(member, programs, moves, given)
        case ProfileTold():
            return facts.tell_profile(member, programs, moves, given)
        case ActivityRecorded():
            return facts.record_activity(member, programs, moves, given)
        case TierTold():
            return _tell_tiers(programs, member, moves, given, now)
        case Enrolled():
            return facts.enrol(member, programs, moves, given)
        case HoldPoints():
            return spending.hold_points(member, programs, moves, given)
        case CaptureHold():
            return spending.capture_hold(member, programs, moves, given)
        case ReleaseHold():
            return spending.release_hold(member, programs, moves, given)
        case RedeemPoints():
            return spending.redeem_points(member, programs, moves, given)
        case ReturnRedemption():
            return spending.return_redemption(member, programs, moves, given)
        case SendPoints():
            return sending.send_points(member, programs, moves, given)
        case ReceivePoints():
            return sending.receive_points(member, programs, moves, given)
        case TransferArrived():
            return sending.finish_transfer(member, given)
        case RedeemReward():
            return redeeming.redeem_reward(member, programs, moves, given)
        case RewardAnswered():
            return redeeming.settle_reward(member, programs, moves, given)
        case AskReward():
            return stock.grant_reward(member, programs, moves, given)
        case GiveBackReward():
            return stock.take_back_reward(member, given)
        case AddCodes():
            return stock.add_codes(member, given)
        case AskBudget():
            return allot(member, programs, moves, given)
        case BudgetAnswered():
            return take_share(member, programs, moves, given)
        case MakeUpDay():
            return signins.make_up(member, programs, moves, given)
        case DecideShortfall():
            return shortfalls.decide_shortfall(member, programs, moves, given)
        case ReferralTold():
            return referrals.tell_referral(member, programs, moves, given)
        case DueTimer():
            return Outcome("booked")
        case ExpiryNear():
            return Outcome("booked", expiring=_expiring(programs, member, given, now))
        case _:
            assert_never(given)


def _expiring(programs: Programs, member: Member, given: ExpiryNear, now: Micros) -> Expiring | None:
    """What a member still has of the points that end on a day; None if there is nothing to tell."""
    program = programs.at(now)
    points = sum(points for lot, points in member.lots.spendable() if member.lots.last_day(lot[0]) == given.day)
    if not points:
        return None
    return Expiring(points, given.day, given.day + 1 - program.calendar.day_of(now), program.number)


def _order_fact(programs: Programs, member: Member, moves: Moves, given: OrderInput, now: Micros) -> Outcome:
    ref = given.order
    order = member.order(ref)
    at, telling = given.at, order.telling
    if isinstance(given, Paid):
        at = member.account.count_from(ORDERS, given.at, programs.at(given.at).max_lateness)
    member.touched.add(ref)
    is_new = tell(order, given, at, now)
    moves.paying = ref if isinstance(given, Paid) else ""
    if not is_new and not (moves.paying and is_unclaimed(member, order.names)):
        return Outcome("known", "this fact is told already")
    if isinstance(given, Paid) and order.telling > telling:
        member.tell_lines(ref, order.telling, given.lines)
    if not order.paid_at:
        return Outcome("parked", "waits for the order to be paid")
    alarms = set(order.alarms)
    [(qualified, reasons)] = book_orders(member, programs, moves, [ref], now)
    moves.carry_out()
    raised = [alarm for alarm in order.alarms if alarm not in alarms]
    outcome = Outcome("booked", reasons=reasons, qualified=[qualified], alarms=raised)
    if order.cancelled_at:
        outcome.messages += redeeming.cancel_rewards(member, programs, ref, order, now)
    return outcome


def _tell_tiers(programs: Programs, member: Member, moves: Moves, given: TierTold, now: Micros) -> Outcome:
    """T1: orders that earned at another tier than the history now tells are trued up."""
    details = member.account.details
    if given.seen <= details.tiers_seen:
        return Outcome("known", "a newer tier history is told already")
    before, after = details.tiers, list(given.history)
    details.tiers_seen = given.seen
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
