"""What an order's facts amount to at an instant: what is left of its lines, what is completed, its timeline.

A pure function of the facts, in business time (O5), so the order in which they arrived cannot matter. Nothing
here knows what was booked, but for lines that were confirmed once and stay so for their points (O8).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from services.kit.calendar import Micros
from services.ledger.domain.program.earning import ByGoods, sum_by_goods
from services.ledger.domain.program.program import Program
from services.ledger.domain.rules.refunds import standing_refunds
from services.ledger.domain.state.inputs import Line
from services.ledger.domain.state.orders import LineEvent, Order
from services.ledger.domain.state.outcome import TimelineCause, TimelineChange

_COMPLETED: Final[TimelineCause] = "completed"


@dataclass(slots=True)
class OrderAssessment:
    """An order judged. Amounts in minor units, points as integers, times in µs (0 = never).

    `earning` is the amount that earns, at the rate of `basis`: itself, or under proportional refunds what it was
    before any (R3). `confirmed` is the part of it that is completed;
    `all_confirmed` says that nothing that earns is left to confirm; `confirmed_lines` are the
    lines that stay confirmed, None where all share one fate. `used` and `returned` are points. `by_goods` and
    `confirmed_by_goods` are `basis` and `confirmed` by the campaigns whose goods they are, where there are such.
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
    alarms: list[str]
    by_goods: ByGoods
    confirmed_by_goods: ByGoods


def assess_simple(order: Order, program: Program, now: Micros) -> OrderAssessment:
    """`judge` for an order whose lines share one fate (`Order.is_simple`): no line is read."""
    paid_at, cancelled_at = order.paid_at, order.cancelled_at
    if cancelled_at and cancelled_at < paid_at:
        cancelled_at = paid_at
    due = program.due_after(order.shipped_at if order.shipped_at > paid_at else paid_at)
    at, cause = _completion(max(order.completed_at, paid_at) if order.completed_at else 0, due, now)
    if at and cancelled_at and cancelled_at <= at:
        at = 0
    timeline: list[TimelineChange] = []
    since = until = 0
    if at:
        eligible = order.eligible
        if eligible:
            since = at
            timeline.append(TimelineChange(at, eligible, 1, cause))
            if cancelled_at:
                until = cancelled_at
                timeline.append(TimelineChange(cancelled_at, -eligible, -1, "cancelled"))
    done = order.all_confirmed == order.lines_version or at != 0
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
        due=0 if at or cancelled_at else due,
        alarms=[],
        by_goods=order.by_goods,
        confirmed_by_goods=order.by_goods,
    )


@dataclass(slots=True)
class _Part:
    """A line, the shipping or the tax of an order, and what happened to it in business time."""

    line_id: str
    amount: int
    eligible: bool
    points: int = 0
    value: int = 0
    refunded: int = 0
    refunds: list[tuple[Micros, int]] = field(default_factory=list)
    completed_at: Micros = 0
    cause: TimelineCause = "completed"
    due: Micros = 0
    campaigns: tuple[str, ...] = ()

    def net_after(self, refunded: int) -> int:
        """What is left of the amount net of points, once so much of it is refunded; an integer >= 0 (P2)."""
        return self.amount - refunded - (self.value - self.share(self.value, refunded))

    def earning(self, net: bool) -> int:
        """The amount left that earns, net of points or not (P1)."""
        if not self.eligible:
            return 0
        return self.net_after(self.refunded) if net else self.amount - self.refunded

    def bought(self, net: bool) -> int:
        """The amount that would earn had nothing been refunded."""
        if not self.eligible:
            return 0
        return self.amount - self.value if net else self.amount

    def share(self, whole: int, refunded: int) -> int:
        """The part of points or value that goes with a cumulative refund; the last part takes the rest (P2)."""
        if refunded >= self.amount:
            return whole
        return whole * refunded // self.amount

    def refunded_by(self, instant: Micros) -> int:
        """How much was refunded up to an instant, that instant included."""
        return sum(amount for at, amount in self.refunds if at <= instant)

    def refunded_in_full_at(self) -> Micros:
        """When nothing was left of it; 0 = something is, or there was nothing to refund."""
        return self.refunds[-1][0] if self.amount and self.refunded == self.amount else 0


def assess(order: Order, lines: tuple[Line, ...], program: Program, now: Micros) -> OrderAssessment:
    """Judge an order line by line. `lines` are those of the telling that counts."""
    rule = program.order
    paid_at = order.paid_at
    cancelled_at = max(order.cancelled_at, paid_at) if order.cancelled_at else 0
    goods = [_Part(line.line_id, line.amount, not rule.excludes.has(line)) for line in lines]
    if rule.limited:
        for part, line in zip(goods, lines, strict=True):
            part.campaigns = rule.campaigns_of(line)
    shipping, tax = _Part("", order.shipping, False), _Part("", order.tax, False)
    alarms: list[str] = []
    if order.points_used:
        excludes = program.points_cannot_pay
        payable = [part for part, line in zip(goods, lines, strict=True) if not excludes.has(line)]
        _apportion_points(order.points_used, points_value(order, program), [*payable, shipping, tax], alarms)
    _refund(order, goods, shipping, tax, cancelled_at, alarms)
    _complete(order, lines, goods, program, cancelled_at, now)
    confirmed, confirmed_lines, done = _confirmed(order, goods, rule.net_of_points)
    since, until = _success(goods, cancelled_at)
    if cancelled_at:
        earning, confirmed, returned = 0, 0, order.points_used
    else:
        earning = sum(part.earning(rule.net_of_points) for part in goods)
        returned = sum(part.share(part.points, part.refunded) for part in (*goods, shipping, tax) if part.points)
    open_dues = [part.due for part in goods if part.due > now and not part.completed_at]
    by_goods: ByGoods = []
    confirmed_by_goods: ByGoods = []
    if rule.limited:
        net, stays = rule.net_of_points, set(confirmed_lines)
        whole = _Part.bought if program.proportional else _Part.earning
        by_goods = sum_by_goods((part.campaigns, whole(part, net)) for part in goods)
        confirmed_by_goods = sum_by_goods(
            (part.campaigns, part.earning(net)) for part in goods if part.line_id in stays
        )
    return OrderAssessment(
        earning=earning,
        basis=sum(part.bought(rule.net_of_points) for part in goods) if program.proportional else earning,
        confirmed=earning if done and not cancelled_at else confirmed,
        all_confirmed=done,
        confirmed_lines=confirmed_lines,
        used=order.points_used,
        returned=returned,
        timeline=_timeline(goods, cancelled_at, since, until),
        success_from=since,
        success_until=until,
        due=min(open_dues, default=0) if not cancelled_at else 0,
        alarms=alarms,
        by_goods=by_goods,
        confirmed_by_goods=confirmed_by_goods,
    )


def points_value(order: Order, program: Program) -> int:
    """What the points an order used are worth in minor units: as its shop told, else as the program has it (P1)."""
    return program.worth(order.points_used) if order.points_value is None else order.points_value


def _completion(told_at: Micros, due: Micros, now: Micros) -> tuple[Micros, TimelineCause]:
    """The earlier of being told and falling due; what is due later than `now` has not happened (O8)."""
    if due <= now and (not told_at or due < told_at):
        return due, "due"
    return told_at, "completed"


def _apportion_points(used: int, value: int, parts: list[_Part], alarms: list[str]) -> None:
    """P2: points and their value over the parts they can pay for, by largest remainder, ties to the earlier."""
    whole = sum(part.amount for part in parts)
    if value > whole:
        value = whole
        alarms.append("value_beyond_order")
    weights = [part.amount for part in parts]
    for part, points, worth in zip(
        parts, _largest_remainder(used, weights), _largest_remainder(value, weights), strict=True
    ):
        part.points, part.value = points, worth


def _largest_remainder(whole: int, weights: list[int]) -> list[int]:
    total = sum(weights)
    if not total:
        return [0] * len(weights)
    shares = [whole * weight // total for weight in weights]
    remainders = [(whole * weight % total, -index) for index, weight in enumerate(weights)]
    for _, index in sorted(remainders, reverse=True)[: whole - sum(shares)]:
        shares[-index] += 1
    return shares


def _refund(
    order: Order, goods: list[_Part], shipping: _Part, tax: _Part, cancelled_at: Micros, alarms: list[str]
) -> None:
    """R11: refunds in the order (time, refund_id), capped at what is left; none after a cancellation."""
    by_line = {part.line_id: part for part in goods}
    for refund in sorted(
        standing_refunds(order).values(), key=lambda told: (max(told.at, order.paid_at), told.refund_id)
    ):
        at = max(refund.at, order.paid_at)
        if cancelled_at and at > cancelled_at:
            continue
        wanted = [(by_line.get(line_id), amount) for line_id, amount in refund.lines]
        wanted += [(shipping, refund.shipping), (tax, refund.tax)]
        for part, amount in wanted:
            if part is None:
                _alarm(alarms, "unknown_line")
                continue
            taken = min(amount, part.amount - part.refunded)
            if taken < amount:
                _alarm(alarms, "refund_beyond_line")
            if taken:
                part.refunded += taken
                part.refunds.append((at, taken))


def _alarm(alarms: list[str], alarm: str) -> None:
    if alarm not in alarms:
        alarms.append(alarm)


def _complete(
    order: Order, lines: tuple[Line, ...], goods: list[_Part], program: Program, cancelled_at: Micros, now: Micros
) -> None:
    """O8: each line at the earlier of `completed` and its due time, unless cancelled by then."""
    one_fate = not (order.shipped_lines or order.completed_lines)
    due, at, cause = 0, 0, _COMPLETED
    for number, (part, line) in enumerate(zip(goods, lines, strict=True)):
        if number == 0 or not one_fate:
            told = _told(order.shipped_at, order.shipped_lines, line)
            due = program.due_after(max(min(told), order.paid_at) if told else order.paid_at)
            told = _told(order.completed_at, order.completed_lines, line)
            at, cause = _completion(max(min(told), order.paid_at) if told else 0, due, now)
            if cancelled_at and cancelled_at <= at:
                at = 0
        part.due, part.completed_at, part.cause = due, at, cause


def _told(whole_order_at: Micros, parts: list[LineEvent], line: Line) -> list[Micros]:
    """When a line was told shipped or completed; parts of its quantity never add up (O8)."""
    told = [at for line_id, quantity, at in parts if line_id == line.line_id and _is_whole(quantity, line.quantity)]
    return [*told, whole_order_at] if whole_order_at else told


def _is_whole(quantity: str | None, whole: str) -> bool:
    return quantity is None or quantity == whole or Fraction(quantity) >= Fraction(whole)


def _confirmed(order: Order, goods: list[_Part], net: bool) -> tuple[int, list[str], bool]:
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


def _success(goods: list[_Part], cancelled_at: Micros) -> tuple[Micros, Micros]:
    """When the order became successful and when it ceased to be (0, 0 = never).

    It is once each line is completed and an eligible one has something left of its amount, before points. A line that
    was refunded before counts as completed like any other, at its due time if nobody confirms its receipt.
    """
    if not all(part.completed_at for part in goods):
        return 0, 0
    since = max(part.completed_at for part in goods)
    ends = [part.refunded_in_full_at() for part in goods if part.eligible and part.amount]
    if not ends:
        return 0, 0
    until = 0 if 0 in ends else max(ends)
    if cancelled_at and (not until or cancelled_at < until):
        until = cancelled_at
    return (0, 0) if until and until <= since else (since, until)


def _timeline(goods: list[_Part], cancelled_at: Micros, since: Micros, until: Micros) -> list[TimelineChange]:
    """The changes of the qualifying amount and of success, in business time, summed by instant and cause."""
    turns: dict[tuple[Micros, TimelineCause], list[int]] = {}

    def turn(at: Micros, cause: TimelineCause, amount: int, orders: int) -> None:
        sums = turns.setdefault((at, cause), [0, 0])
        sums[0] += amount
        sums[1] += orders

    for part in goods:
        if not part.eligible or not part.completed_at:
            continue
        refunded = part.refunded_by(part.completed_at)
        left = part.net_after(refunded)
        turn(part.completed_at, part.cause, left, 0)
        for at, amount in part.refunds:
            if at > part.completed_at:
                refunded += amount
                after = part.net_after(refunded)
                turn(at, "refund", after - left, 0)
                left = after
        if cancelled_at:
            turn(cancelled_at, "cancelled", -left, 0)
    if since:
        completing: TimelineCause = "completed" if (since, "completed") in turns else "due"
        turn(since, completing, 0, 1)
    if until:
        turn(until, "cancelled" if until == cancelled_at else "refund", 0, -1)
    return [
        TimelineChange(at, amount, orders, cause)
        for (at, cause), (amount, orders) in sorted(turns.items())
        if amount or orders
    ]
