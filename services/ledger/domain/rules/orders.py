"""Booking an order: the difference between what its facts now earn, use and return, and what is booked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from msgspec import structs

from services.kit.calendar import Day, Micros
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.caps import change_pool, rebalance
from services.ledger.domain.posting.posting import POINTS_SHORT, Posting
from services.ledger.domain.program.earning import OrderRule, sum_by_goods
from services.ledger.domain.program.program import Program, ProgramVersions
from services.ledger.domain.rules.assessment import OrderAssessment, assess, assess_simple
from services.ledger.domain.rules.bonus import SuccessChange, settle_bonus
from services.ledger.domain.rules.shares import book_shares
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.orders import Order
from services.ledger.domain.state.outcome import AwardReason, OrderQualified


def book_orders(
    member: Member,
    programs: ProgramVersions,
    moves: Posting,
    refs: Sequence[str],
    now: Micros,
    label: str | None = None,
) -> list[tuple[OrderQualified, list[AwardReason]]]:
    """Judge paid orders and ask `moves` for the difference to what is booked.

    `label` names the rule of the entries where it is not the order rule itself (`true_up`).
    """
    booked: list[tuple[OrderQualified, list[AwardReason]]] = []
    changes: list[SuccessChange] = []
    for ref in refs:
        booked.append(_book_order(member, programs, moves, ref, now, label, changes))
    settle_bonus(member, programs, moves, changes)
    return booked


def true_up(
    member: Member, programs: ProgramVersions, moves: Posting, refs: Sequence[str], now: Micros, label: str
) -> list[AwardReason]:
    """Book orders anew that may earn something else than is booked; why, for those that do (T1, B2)."""
    member.want(refs)
    before_each = [_earned(order) for order in map(member.order, refs)]
    booked = book_orders(member, programs, moves, refs, now, label)
    after_each = [_earned(order) for order in map(member.order, refs)]
    changes = zip(booked, before_each, after_each, strict=True)
    return [reason for (_, reasons), before, after in changes if before != after for reason in reasons]


def _earned(order: Order) -> list[tuple[int, int]]:
    """What an order earns: before a cap, and by campaigns with a budget as if they had no end."""
    return [(order.pending, order.confirmed), *[(share.wanted, share.ready) for share in order.shares]]


def _book_order(
    member: Member,
    programs: ProgramVersions,
    moves: Posting,
    ref: str,
    now: Micros,
    label: str | None,
    changes: list[SuccessChange],
) -> tuple[OrderQualified, list[AwardReason]]:
    order = member.order(ref)
    program = programs.at(order.paid_at)
    _know_eligible(member, ref, order, program)
    if order.is_simple and order.all_confirmed in (0, order.lines_version):
        assessment = assess_simple(order, program, now)
    else:
        _keep_confirmed_lines(member, ref, order)
        assessment = assess(order, member.lines(ref, order.lines_version), program, now)
    day = program.calendar.day_of(order.paid_at)
    changes.append(SuccessChange(ref, (order.success_from, order.success_until), order.booked_day not in (0, day)))
    order.success_from, order.success_until = assessment.success_from, assessment.success_until
    reasons = _book_award(
        member,
        programs,
        moves,
        order,
        program,
        assessment,
        Cause(label or program.order.name, ref, day, program, award=f"order:{ref}"),
    )
    _book_used(moves, ref, order, assessment, Cause("points-used", ref, day, program))
    if assessment.due:
        member.account.due_by(assessment.due)
    order.due = assessment.due
    # That points were missing once stays said; the other alarms are what the facts amount to now.
    order.alarms = assessment.alarms + [alarm for alarm in order.alarms if alarm == POINTS_SHORT]
    member.touched.add(ref)
    return OrderQualified(ref, order.paid_at, assessment.timeline, program.decimals), reasons


def _know_eligible(member: Member, ref: str, order: Order, program: Program) -> None:
    """The eligible sum is kept with the order, so that events on whole orders need not read its lines."""
    if order.eligible_under != program.number:
        rule, lines = program.order, member.lines(ref, order.lines_version)
        order.eligible = rule.excludes.rest(lines)
        order.by_goods = []
        if rule.limited:
            eligible = [line for line in lines if not rule.excludes.has(line)]
            order.by_goods = sum_by_goods((rule.campaigns_of(line), line.amount) for line in eligible)
        order.eligible_under = program.number


def _keep_confirmed_lines(member: Member, ref: str, order: Order) -> None:
    """A revision replaced the lines after all were confirmed: remember by name which those were (O8)."""
    if order.all_confirmed not in (0, order.lines_version):
        confirmed = {line.line_id for line in member.lines(ref, order.all_confirmed)}
        order.confirmed_lines = sorted(confirmed.union(order.confirmed_lines))
        order.all_confirmed = 0


def _book_award(
    member: Member,
    programs: ProgramVersions,
    moves: Posting,
    order: Order,
    program: Program,
    assessment: OrderAssessment,
    cause: Cause,
) -> list[AwardReason]:
    """Book what an order earns by its rule, and by campaigns that give from a budget; how all that came about."""
    rule = program.order
    tier = member.account.tier_at(order.paid_at)
    met = _met(rule, member, order, assessment) if rule.multipliers else ()
    always = tuple([name for name in met if name not in rule.budgeted]) if rule.budgeted else met
    points, confirmed = _points(rule, tier, always, assessment)
    pending = points - confirmed
    lot_day = program.order_lot_day(cause.day)
    was_in = order.lot_day
    _leave(member, programs, moves, order, lot_day, cause)
    if rule.cap is None:
        rebalance(moves, lot_day, (order.pending, order.confirmed), (pending, confirmed), cause)
    else:
        change_pool(
            member, moves, rule=rule.name, cap=rule.cap, program=program.number, day=cause.day, lot_day=lot_day,
            total=points - order.pending - order.confirmed, confirmed=confirmed - order.confirmed, cause=cause,
        )  # fmt: skip
    order.pending, order.confirmed = pending, confirmed
    order.lot_day, order.booked_day, order.booked_under = lot_day, cause.day, program.number
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
    book_shares(member, moves, order, wants, (was_in or lot_day, lot_day), cause)
    granted = {share.account: share.granted for share in order.shares}
    return [
        reason,
        *[
            structs.replace(
                reason, rule=extra.campaign, points=extra.points, cap=None, multipliers=extra.met,
                granted=granted.get(rule.budgeted[extra.campaign].account, 0),
            )
            for extra in extras
        ],
    ]  # fmt: skip


def _met(rule: OrderRule, member: Member, order: Order, assessment: OrderAssessment) -> tuple[str, ...]:
    """The multipliers that an order met beside its tier's, those for some goods alone only if it has such goods."""
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

    `met` are the multipliers that make it, the campaign the last of them that has a budget.
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


def _leave(member: Member, programs: ProgramVersions, moves: Posting, order: Order, lot_day: Day, cause: Cause) -> None:
    """An earlier telling of `paid` moves the award: claimed in the lot or pool it is in, awarded anew (E7)."""
    if not order.booked_under:
        return
    then, now = programs.by_number[order.booked_under].order, cause.program.order
    pooled = then.cap is not None or now.cap is not None
    same_pool = (order.booked_day, order.booked_under) == (cause.day, cause.program.number)
    if order.lot_day == lot_day and (same_pool or not pooled):
        return
    cause = replace(cause, day=order.booked_day, program=programs.by_number[order.booked_under])
    if then.cap is None:
        rebalance(moves, order.lot_day, (order.pending, order.confirmed), (0, 0), cause)
    else:
        change_pool(
            member, moves, rule=then.name, cap=then.cap, program=order.booked_under, day=order.booked_day,
            lot_day=order.lot_day, total=-order.pending - order.confirmed, confirmed=-order.confirmed, cause=cause,
        )  # fmt: skip
    order.pending = order.confirmed = 0


def _book_used(moves: Posting, ref: str, order: Order, assessment: OrderAssessment, cause: Cause) -> None:
    """Points used less what came back, as the facts now tell (P1, P2, P7, O4)."""
    net = assessment.used - assessment.returned
    if order.names and moves.paying == ref:
        # The hold is captured first, whatever came back since: that follows in the same input (O5).
        moves.spend(ref, order, net, cause, takes_over=True)
    elif net > order.used:
        moves.spend(ref, order, net, cause)
    elif net < order.used:
        moves.give_back(ref, order, order.used - net, cause)
    order.room = 0
