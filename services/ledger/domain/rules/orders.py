"""Booking an order: the difference between what its facts now earn, use and return, and what is booked.

SQL: `orders`, `order_lines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from services.kit.calendar import NO_DAY, NOT_YET, Day
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.caps import change_pool, limit_of_day
from services.ledger.domain.posting.posting import (
    PendingAndConfirmed,
    Posting,
    available_funding,
)
from services.ledger.domain.program.earning import OrderRule, sum_by_goods
from services.ledger.domain.program.program import Program
from services.ledger.domain.rules.alarms import settle_alarms
from services.ledger.domain.rules.assessment import OrderAssessment, assess, assess_simple, kept_goods
from services.ledger.domain.rules.bonus import settle_bonus
from services.ledger.domain.rules.bought import keep_goods
from services.ledger.domain.rules.budgets import book_shares
from services.ledger.domain.rules.order_facts import apply_fact
from services.ledger.domain.rules.referrals import settle_referral
from services.ledger.domain.rules.revisions import keep_paid_event
from services.ledger.domain.rules.rewards import cancel_rewards, reinstate_rewards
from services.ledger.domain.rules.successes import (
    SuccessChange,
    ends_below,
    span_for_bonus,
    span_for_referral,
)
from services.ledger.domain.state.account import ORDERS
from services.ledger.domain.state.inputs import OrderInput, Paid
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.orders import NO_LINES, Order
from services.ledger.domain.state.outcome import AwardReason, OrderQualified, Outcome
from services.ledger.domain.state.redemptions import Redemption


def book_order_event(posting: Posting, input_: OrderInput) -> Outcome:
    """Add an event's fact to its order, and book what that changes once the order is paid (O2, O3, O5)."""
    member, ref = posting.member, input_.order
    order = member.order(ref)
    at, lines_version, was_cancelled = input_.at, order.lines_version, order.cancelled_at
    if isinstance(input_, Paid):
        at = member.account.count_from(ORDERS, input_.at, posting.programs.at(input_.at).max_lateness)
        posting.paying = ref
    member.touched.add(ref)
    if isinstance(input_, Paid) and lines_version:
        keep_paid_event(order, member.lines(ref, lines_version), input_, at)
    is_new = apply_fact(order, input_, at, posting.now)
    if posting.paying and order.funding_keys:
        found = available_funding(member, order.funding_keys)
        is_new = is_new or bool(found)
        rewards = [each for each in found if isinstance(each, Redemption) and each.reward]
        order.reward_points += sum(reward.points - reward.returned for reward in rewards)
    if not is_new:
        if order.paid_at:
            settle_alarms(posting, ref, order, _assess(posting, ref, order, posting.programs.at(order.paid_at)).alarms)
        return Outcome("known", "this fact is told already")
    if isinstance(input_, Paid) and order.lines_version > lines_version:
        member.add_lines(ref, order.lines_version, input_.lines)
    if not order.paid_at:
        return Outcome("parked", "waits for the order to be paid")
    [(qualified, reasons)] = book_orders(posting, [ref])
    posting.post()
    outcome = Outcome("booked", reasons=reasons, qualified=[qualified])
    if order.cancelled_at:
        outcome.messages += cancel_rewards(posting, ref, order)
    elif was_cancelled:
        outcome.messages += reinstate_rewards(posting, ref, order)
    return outcome


def book_orders(
    posting: Posting, refs: Sequence[str], label: str | None = None
) -> list[tuple[OrderQualified, list[AwardReason]]]:
    """Assess paid orders and ask the posting for the difference to what is booked.

    `label` names the rule of the entries where it is not the order rule itself (`true_up`).
    """
    changes: list[SuccessChange] = []
    booked: list[tuple[OrderQualified, list[AwardReason]]] = []
    for ref in refs:
        booked.append(_book_order(posting, ref, label, changes))
    settle_bonus(posting, changes)
    settle_referral(posting, changes)
    return booked


def true_up(posting: Posting, refs: Sequence[str], label: str) -> list[AwardReason]:
    """Book orders anew that may earn something else than is booked; the reasons of those that do (T1, B2)."""
    member = posting.member
    member.want(refs)
    before_each = [_earned(order) for order in map(member.order, refs)]
    booked = book_orders(posting, refs, label)
    after_each = [_earned(order) for order in map(member.order, refs)]
    changes = zip(booked, before_each, after_each, strict=True)
    return [reason for (_, reasons), before, after in changes if before != after for reason in reasons]


def _earned(order: Order) -> list[PendingAndConfirmed]:
    """What an order earns: before a cap, and by campaigns with a budget as if that had no end."""
    return [(order.pending, order.confirmed), *[(share.wanted, share.ready) for share in order.shares]]


def _book_order(
    posting: Posting, ref: str, label: str | None, changes: list[SuccessChange]
) -> tuple[OrderQualified, list[AwardReason]]:
    member = posting.member
    order = member.order(ref)
    program = posting.programs.at(order.paid_at)
    assessment = _assess(posting, ref, order, program)
    day = program.calendar.day_of(order.paid_at)
    moved = order.booked_day not in (NO_DAY, day)
    changes.append(SuccessChange(ref, span_for_bonus(order, program), span_for_referral(order, program), moved))
    _keep_success(order, assessment, program)
    cause = Cause(label or program.order.name, ref, day, program, award=f"order:{ref}")
    reasons = _book_award(posting, order, assessment, cause)
    _book_points_used(posting, order, assessment, Cause("points-used", ref, day, program))
    if member.account.details.reviews_goods:
        kept = kept_goods(order, member.lines(ref, order.lines_version), program, posting.now)
        keep_goods(posting, ref, order, kept)
    if assessment.due:
        member.account.due_by(assessment.due)
    order.due = assessment.due
    settle_alarms(posting, ref, order, assessment.alarms)
    member.touched.add(ref)
    return OrderQualified(ref, order.paid_at, assessment.timeline, program.decimals), reasons


def _assess(posting: Posting, ref: str, order: Order, program: Program) -> OrderAssessment:
    """What an order's facts amount to now; its lines are read only where they have no one status."""
    member = posting.member
    _keep_eligible_sum(member, ref, order, program)
    if order.is_simple and order.confirms_by_version:
        return assess_simple(order, program, posting.now)
    _keep_confirmed_lines(member, ref, order)
    return assess(order, member.lines(ref, order.lines_version), program, posting.now)


def _keep_success(order: Order, assessment: OrderAssessment, program: Program) -> None:
    """Keep when the order is successful, and when it falls below what the bonus and a referral ask for (F2)."""
    since, bonus, referral = assessment.success_from, program.first_order, program.referral
    order.success_from, order.success_until = since, assessment.success_until
    order.bonus_until = ends_below(assessment.timeline, since, bonus.least_spend) if bonus else NOT_YET
    order.referral_until = ends_below(assessment.timeline, since, referral.least_spend) if referral else NOT_YET


def _keep_eligible_sum(member: Member, ref: str, order: Order, program: Program) -> None:
    """Keep the sum of the lines that earn with the order, so that events on whole orders need not read its lines."""
    if order.eligible_under != program.number:
        rule, lines = program.order, member.lines(ref, order.lines_version)
        before, order.eligible = order.eligible, rule.excludes.rest(lines)
        member.account.details.ordered += order.eligible - before
        order.by_goods = []
        if rule.limited:
            eligible = [line for line in lines if not rule.excludes.has(line)]
            order.by_goods = sum_by_goods((rule.campaigns_of(line), line.amount) for line in eligible)
        order.eligible_under = program.number


def _keep_confirmed_lines(member: Member, ref: str, order: Order) -> None:
    """If a revision replaced the lines after all were confirmed, remember by name which those were (O8)."""
    if not order.confirms_by_version:
        confirmed = {line.line_id for line in member.lines(ref, order.all_confirmed)}
        order.confirmed_lines = sorted(confirmed.union(order.confirmed_lines))
        order.all_confirmed = NO_LINES


def _book_award(posting: Posting, order: Order, assessment: OrderAssessment, cause: Cause) -> list[AwardReason]:
    """Book what an order earns by its rule, and by campaigns that give from a budget; the reasons of both."""
    program, rule = cause.program, cause.program.order
    member = posting.member
    tier = member.account.tier_at(order.paid_at)
    met = _met(rule, member, order, assessment) if rule.multipliers else ()
    always = tuple([name for name in met if name not in rule.budgeted]) if rule.budgeted else met
    points, confirmed = _points(rule, tier, always, assessment)
    was_in, lot_day = order.lot_day, program.order_lot_day(cause.day)
    if order.booked_under:
        _leave_lot(posting, order, lot_day, cause)
    _book_points(posting, order, lot_day, (points - confirmed, confirmed), cause)
    if assessment.confirmed_lines is not None:
        order.confirmed_lines = assessment.confirmed_lines
    elif assessment.all_confirmed:
        order.all_confirmed = order.lines_version
    about = "" if cause.rule == rule.name else cause.ref
    basis = 0 if assessment.basis == assessment.earning else assessment.basis
    by_goods = () if rule.limited.keys().isdisjoint(met) else tuple(assessment.by_goods)
    reason = AwardReason(
        rule.name, program.number, tier, assessment.earning, points, rule.cap, about, basis, always, by_goods
    )
    if len(always) == len(met) and not order.shares:
        return [reason]
    extras = _extras(rule, tier, met, assessment, (points, confirmed))
    wants = {rule.budgeted[extra.campaign].account: (extra.points, extra.confirmed) for extra in extras}
    book_shares(posting, order, wants, (was_in or lot_day, lot_day), cause)
    return [reason, *_reasons_of_extras(rule, order, reason, extras)]


def _book_points(posting: Posting, order: Order, lot_day: Day, due: PendingAndConfirmed, cause: Cause) -> None:
    """Book the points (pending, confirmed) that an order earns by its rule, through the rule's cap if it has one."""
    booked = (order.pending, order.confirmed)
    rule = cause.program.order
    if rule.cap is None:
        posting.rebalance(lot_day, booked, due, cause)
    else:
        limit = limit_of_day(rule.name, rule.cap, cause)
        change_pool(posting, limit, lot_day, (sum(due) - sum(booked), due[1] - booked[1]), cause)
    order.pending, order.confirmed = due
    order.lot_day, order.booked_day, order.booked_under = lot_day, cause.day, cause.program.number


def _met(rule: OrderRule, member: Member, order: Order, assessment: OrderAssessment) -> tuple[str, ...]:
    """The multipliers that an order met besides its tier's; those for some goods alone only if it has such goods."""
    met = rule.met(order.paid_at, order.channel, member.account.details.birthdays)
    if not rule.limited:
        return met
    found = {name for names, amount in assessment.by_goods if amount for name in names}
    return tuple([name for name in met if name not in rule.limited or name in found])


def _points(rule: OrderRule, tier: str, met: tuple[str, ...], assessment: OrderAssessment) -> tuple[int, int]:
    """What an order earns at a tier that met these multipliers, and how much of it is confirmed (O8)."""
    earn_rate = rule.earn_rate(tier, met, assessment.by_goods)
    points = earn_rate.points(assessment.earning, assessment.basis)
    if assessment.all_confirmed:
        return points, points
    if assessment.by_goods:
        earn_rate = rule.earn_rate(tier, met, assessment.confirmed_by_goods)
    return points, min(points, earn_rate.part(assessment.confirmed, assessment.basis))


class _Extra(NamedTuple):
    """What a campaign with a budget adds to what an order earns without it, as if the budget had no end (N6).

    `met` are the multipliers that make it; the campaign is the last of them that has a budget.
    """

    campaign: str
    met: tuple[str, ...]
    points: int
    confirmed: int


def _extras(
    rule: OrderRule, tier: str, met: tuple[str, ...], assessment: OrderAssessment, earned: tuple[int, int]
) -> list[_Extra]:
    """What campaigns with a budget add to what is earned without them, one after the other, in the order written."""
    extras: list[_Extra] = []
    later = [name for name in rule.budgeted if name in met]
    while later:
        name = later.pop(0)
        with_it = tuple([each for each in met if each not in later])
        points, confirmed = _points(rule, tier, with_it, assessment)
        extras.append(_Extra(name, with_it, points - earned[0], confirmed - earned[1]))
        earned = points, confirmed
    return extras


def _reasons_of_extras(
    rule: OrderRule, order: Order, reason: AwardReason, extras: Sequence[_Extra]
) -> list[AwardReason]:
    """The order rule's reason anew for each campaign, with what its budget has granted."""
    granted = {share.account: share.granted for share in order.shares}
    return [
        structs.replace(
            reason,
            rule=extra.campaign,
            points=extra.points,
            cap=None,
            multipliers=extra.met,
            granted=granted.get(rule.budgeted[extra.campaign].account, 0),
        )
        for extra in extras
    ]


def _leave_lot(posting: Posting, order: Order, lot_day: Day, cause: Cause) -> None:
    """If an earlier `paid` moves the award, claw it back in the lot or pool it is in; it is awarded anew (E7)."""
    booked_under = posting.programs.by_number[order.booked_under]
    pooled = booked_under.order.cap is not None or cause.program.order.cap is not None
    same_pool = (order.booked_day, order.booked_under) == (cause.day, cause.program.number)
    if order.lot_day == lot_day and (same_pool or not pooled):
        return
    cause = cause._replace(day=order.booked_day, program=booked_under)
    _book_points(posting, order, order.lot_day, (0, 0), cause)


def _book_points_used(posting: Posting, order: Order, assessment: OrderAssessment, cause: Cause) -> None:
    """Book the points used less those that came back, as the facts now are (P1, P2, P7, O4)."""
    ref, net = cause.ref, assessment.used - assessment.returned
    if order.funding_keys and posting.paying == ref:
        # The hold is captured first, whatever has come back since: that follows in the same input (O5).
        uncovered = max(assessment.used - order.counted_points, 0)
        posting.spend(ref, order, net, cause, uncovered=uncovered)
    elif net > order.used:
        posting.spend(ref, order, net, cause)
    elif net < order.used:
        posting.give_back(ref, order, order.used - net, cause)
    order.counted_points = assessment.used
