"""What an order's facts amount to at an instant: what is left of its lines, what is completed, its timeline (O8).

A pure function of the facts, in business time (O5), so the order in which they arrived cannot matter. It knows nothing
of what is booked, except which lines were confirmed once: these stay confirmed for their points (O8).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from services.kit.calendar import NOT_YET, Micros
from services.ledger.domain.program.earning import ByGoods, sum_by_goods
from services.ledger.domain.program.program import Program
from services.ledger.domain.rules.alarms import contradictions, going_on
from services.ledger.domain.rules.order_parts import OrderPart, parts_of
from services.ledger.domain.rules.refunds import apply_refunds
from services.ledger.domain.state.alarms import Alarm
from services.ledger.domain.state.inputs import Line
from services.ledger.domain.state.orders import LineEvent, Order
from services.ledger.domain.state.outcome import TimelineCause, TimelineChange

_COMPLETED: Final[TimelineCause] = "completed"


@dataclass(slots=True)
class OrderAssessment:
    """An order as assessed. Amounts in minor units, points as integers, times in µs (`NOT_YET` = never).

    `earning` is the amount that earns, at the rate of `basis`: of itself or, under proportional refunds, of what it was
    before any refund (R3). `confirmed` is the completed part of it; with `all_confirmed` nothing that earns is left to
    confirm. `confirmed_lines` are the lines that stay confirmed, None where all lines have one status. `used` are the
    points used that count (P2), `returned` how many of them came back. `by_goods` and `confirmed_by_goods` are `basis`
    and `confirmed` by the campaigns whose goods they are, where there are such campaigns.
    """

    earning: int
    basis: int
    confirmed: int
    all_confirmed: bool
    confirmed_lines: list[str] | None
    used: int
    returned: int
    timeline: list[TimelineChange]
    success_from: Micros
    success_until: Micros
    due: Micros
    alarms: list[Alarm]
    by_goods: ByGoods
    confirmed_by_goods: ByGoods


def assess_simple(order: Order, program: Program, now: Micros) -> OrderAssessment:
    """`assess` for an order whose lines have one status (`Order.is_simple`): no line is read.

    It is written in one piece because most events of orders come through here.
    """
    paid_at, cancelled_at = order.paid_at, order.cancelled_at
    if cancelled_at and cancelled_at < paid_at:
        cancelled_at = paid_at
    due = program.due_after(order.shipped_at if order.shipped_at > paid_at else paid_at)
    at, cause = _completion(max(order.completed_at, paid_at) if order.completed_at else NOT_YET, due, now)
    if at and cancelled_at and cancelled_at <= at:
        at = NOT_YET
    timeline: list[TimelineChange] = []
    since = until = NOT_YET
    if at and order.eligible:
        since = at
        timeline.append(TimelineChange(at, order.eligible, 1, cause))
        if cancelled_at:
            until = cancelled_at
            timeline.append(TimelineChange(cancelled_at, -order.eligible, -1, "cancelled"))
    done = order.all_confirmed == order.lines_version or at != NOT_YET
    earning = 0 if cancelled_at else order.eligible
    return OrderAssessment(
        earning=earning,
        basis=earning,
        confirmed=earning if done else 0,
        all_confirmed=done,
        confirmed_lines=None,
        used=0,
        returned=0,
        timeline=timeline,
        success_from=since,
        success_until=until,
        due=NOT_YET if at or cancelled_at else due,
        alarms=going_on(order) if cancelled_at else [],
        by_goods=order.by_goods,
        confirmed_by_goods=order.by_goods,
    )


def assess(order: Order, lines: tuple[Line, ...], program: Program, now: Micros) -> OrderAssessment:
    """Assess an order line by line. `lines` are those of the version that counts."""
    net = program.order.net_of_points
    cancelled_at = max(order.cancelled_at, order.paid_at) if order.cancelled_at else NOT_YET
    alarms: list[Alarm] = []
    parts = parts_of(order, lines, program, alarms)
    goods = parts.goods
    apply_refunds(order, parts, cancelled_at, program.decimals, alarms)
    alarms += contradictions(order, lines, program.decimals)
    _complete(order, lines, goods, program, now)
    if cancelled_at:
        _undo_completions(goods, cancelled_at)
    confirmed, confirmed_lines, done = _confirmed(order, goods, net)
    success = _success(goods, cancelled_at)
    earning = sum(part.earning(net) for part in goods)
    returned = sum(part.share(part.points, part.refunded) for part in parts.all if part.points)
    due = min([part.due for part in goods if part.due > now and not part.completed_at], default=NOT_YET)
    if cancelled_at:
        earning, confirmed, returned, due = 0, 0, parts.points_used, NOT_YET
    by_goods, confirmed_by_goods = _by_goods(goods, program, confirmed_lines)
    return OrderAssessment(
        earning=earning,
        basis=sum(part.bought(net) for part in goods) if program.proportional else earning,
        confirmed=earning if done and not cancelled_at else confirmed,
        all_confirmed=done,
        confirmed_lines=confirmed_lines,
        used=parts.points_used,
        returned=returned,
        timeline=_timeline(goods, cancelled_at, success),
        success_from=success[0],
        success_until=success[1],
        due=due,
        alarms=alarms,
        by_goods=by_goods,
        confirmed_by_goods=confirmed_by_goods,
    )


def kept_goods(order: Order, lines: tuple[Line, ...], program: Program, now: Micros) -> list[str]:
    """The goods of an order's completed lines that are not refunded in full; none of a cancelled order (N8)."""
    if order.cancelled_at:
        return []
    parts = parts_of(order, lines, program, [])
    apply_refunds(order, parts, NOT_YET, program.decimals, [])
    _complete(order, lines, parts.goods, program, now)
    each = zip(parts.goods, lines, strict=True)
    return sorted({line.sku for part, line in each if part.completed_at and not part.refunded_in_full_at()})


def _completion(known_at: Micros, due: Micros, now: Micros) -> tuple[Micros, TimelineCause]:
    """The earlier of a known completion and the due time; what is due later than `now` has not happened (O8)."""
    if due <= now and (not known_at or due < known_at):
        return due, "due"
    return known_at, "completed"


def _complete(order: Order, lines: tuple[Line, ...], goods: list[OrderPart], program: Program, now: Micros) -> None:
    """O8: each line completes at the earlier of `completed` and its due time."""
    one_status = not (order.shipped_lines or order.completed_lines)
    due, at, cause = NOT_YET, NOT_YET, _COMPLETED
    for number, (part, line) in enumerate(zip(goods, lines, strict=True)):
        if number == 0 or not one_status:
            times = _times(order.shipped_at, order.shipped_lines, line)
            due = program.due_after(max(min(times), order.paid_at) if times else order.paid_at)
            times = _times(order.completed_at, order.completed_lines, line)
            at, cause = _completion(max(min(times), order.paid_at) if times else NOT_YET, due, now)
        part.due, part.completed_at, part.cause = due, at, cause


def _undo_completions(goods: list[OrderPart], cancelled_at: Micros) -> None:
    """A cancellation comes before a completion at the same instant or later (R11)."""
    for part in goods:
        if cancelled_at <= part.completed_at:
            part.completed_at = NOT_YET


def _times(whole_order_at: Micros, parts: list[LineEvent], line: Line) -> list[Micros]:
    """When a line was shipped or completed; parts of its quantity never add up (O8)."""
    times = [at for line_id, quantity, at in parts if line_id == line.line_id and _is_whole(quantity, line.quantity)]
    return [*times, whole_order_at] if whole_order_at else times


def _is_whole(quantity: str | None, whole: str) -> bool:
    return quantity is None or quantity == whole or Fraction(quantity) >= Fraction(whole)


def _confirmed(order: Order, goods: list[OrderPart], net: bool) -> tuple[int, list[str], bool]:
    """The confirmed amount, the lines confirmed, and whether nothing is left to confirm.

    A line once confirmed stays so for its points, also when a late `shipped` moves its completion.
    """
    before = set(order.confirmed_lines)
    all_before = order.all_confirmed == order.lines_version
    confirmed, confirmed_lines, done = 0, [], True
    for part in goods:
        if part.completed_at or all_before or part.line_id in before:
            confirmed_lines.append(part.line_id)
            confirmed += part.earning(net)
        elif part.earning(net):
            done = False
    return confirmed, sorted(before.union(confirmed_lines)), done


def _by_goods(goods: list[OrderPart], program: Program, confirmed_lines: list[str]) -> tuple[ByGoods, ByGoods]:
    """The basis and its confirmed part by the campaigns whose goods they are; empty without such campaigns."""
    if not program.order.limited:
        return [], []
    net, stays = program.order.net_of_points, set(confirmed_lines)
    whole = OrderPart.bought if program.proportional else OrderPart.earning
    return (
        sum_by_goods((part.campaigns, whole(part, net)) for part in goods),
        sum_by_goods((part.campaigns, part.earning(net)) for part in goods if part.line_id in stays),
    )


def _success(goods: list[OrderPart], cancelled_at: Micros) -> tuple[Micros, Micros, TimelineCause]:
    """When the order became successful and when it ceased to be (`NOT_YET` = never), and what made it successful (O8).

    It is successful once each line counts as completed and an eligible one has something left of its amount, before
    points.
    """
    completions = [_counts_as_completed(part) for part in goods]
    since = max(at for at, _ in completions)
    cause = min(cause for at, cause in completions if at == since)  # what was reported before what fell due
    ends = [part.refunded_in_full_at() for part in goods if part.eligible and part.amount]
    if not ends or not all(at for at, _ in completions):
        return NOT_YET, NOT_YET, cause
    until = NOT_YET if NOT_YET in ends else max(ends)
    if cancelled_at and (not until or cancelled_at < until):
        until = cancelled_at
    return (NOT_YET, NOT_YET, cause) if until and until <= since else (since, until, cause)


def _counts_as_completed(part: OrderPart) -> tuple[Micros, TimelineCause]:
    """When a line counts as completed for the order's success (`NOT_YET`: not yet), and why.

    There is nothing to wait for of a line refunded in full: it counts from when its last part was refunded (O8).
    """
    refunded_at = part.refunded_in_full_at()
    if refunded_at and (not part.completed_at or refunded_at < part.completed_at):
        return refunded_at, "refund"
    return part.completed_at, part.cause


class _Changes:
    """Changes of the qualifying amount and of the number of successful orders, summed by instant and cause."""

    def __init__(self) -> None:
        self.sums: dict[tuple[Micros, TimelineCause], list[int]] = {}

    def add(self, at: Micros, cause: TimelineCause, amount: int = 0, orders: int = 0) -> None:
        """Add a change."""
        sums = self.sums.setdefault((at, cause), [0, 0])
        sums[0] += amount
        sums[1] += orders

    def timeline(self) -> list[TimelineChange]:
        """The changes in business time, without those that sum to nothing."""
        return [
            TimelineChange(at, amount, orders, cause)
            for (at, cause), (amount, orders) in sorted(self.sums.items())
            if amount or orders
        ]


def _timeline(
    goods: list[OrderPart], cancelled_at: Micros, success: tuple[Micros, Micros, TimelineCause]
) -> list[TimelineChange]:
    """The changes of the qualifying amount and of success; refunds lower both at once (R8)."""
    changes = _Changes()
    for part in goods:
        if part.eligible and part.completed_at:
            _add_part(changes, part, cancelled_at)
    since, until, cause = success
    if since:
        changes.add(since, cause, orders=1)
    if until:
        changes.add(until, "cancelled" if until == cancelled_at else "refund", orders=-1)
    return changes.timeline()


def _add_part(changes: _Changes, part: OrderPart, cancelled_at: Micros) -> None:
    """A completed line counts with what is left of it, less its later refunds, until the order is cancelled."""
    refunded = part.refunded_by(part.completed_at)
    left = part.net_after(refunded)
    changes.add(part.completed_at, part.cause, left)
    for at, amount in part.refunds:
        if at > part.completed_at:
            refunded += amount
            after = part.net_after(refunded)
            changes.add(at, "refund", after - left)
            left = after
    if cancelled_at:
        changes.add(cancelled_at, "cancelled", -left)
