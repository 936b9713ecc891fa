"""The parts of an order (its lines, the shipping, the tax), and the points that pay for them (P1, P2, P8)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from services.kit.calendar import NOT_YET, Micros
from services.kit.money import decimal_string
from services.ledger.domain.program.program import Program
from services.ledger.domain.state.alarms import Alarm, AlarmKind
from services.ledger.domain.state.inputs import Line
from services.ledger.domain.state.orders import Order
from services.ledger.domain.state.outcome import TimelineCause


@dataclass(slots=True)
class OrderPart:
    """A line, the shipping or the tax of an order, and what happened to it in business time.

    Amounts and the `value` of the points that pay for it are minor units; `points` is how many points these are.
    """

    line_id: str
    amount: int
    eligible: bool
    points: int = 0
    value: int = 0
    refunded: int = 0
    refunds: list[tuple[Micros, int]] = field(default_factory=list)
    completed_at: Micros = NOT_YET
    cause: TimelineCause = "completed"
    due: Micros = NOT_YET
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
        """When nothing was left of it; `NOT_YET`: something is left, or there was nothing to refund."""
        return self.refunds[-1][0] if self.amount and self.refunded == self.amount else NOT_YET


@dataclass(frozen=True, slots=True)
class OrderParts:
    """All parts of an order: its goods, line by line, the shipping and the tax; and the points that it uses (P2)."""

    goods: list[OrderPart]
    shipping: OrderPart
    tax: OrderPart
    points_used: int = 0

    @property
    def all(self) -> list[OrderPart]:
        """The goods, then shipping and tax."""
        return [*self.goods, self.shipping, self.tax]


def parts_of(order: Order, lines: tuple[Line, ...], program: Program, alarms: list[Alarm]) -> OrderParts:
    """An order's parts, with the points that pay for each; `lines` are those of the version that counts."""
    rule = program.order
    goods = [OrderPart(line.line_id, line.amount, not rule.excludes.has(line)) for line in lines]
    if rule.limited:
        for part, line in zip(goods, lines, strict=True):
            part.campaigns = rule.campaigns_of(line)
    parts = OrderParts(goods, OrderPart("", order.shipping, False), OrderPart("", order.tax, False))
    if order.points_used or order.reward_points:
        excludes = program.points_cannot_pay
        payable = [part for part, line in zip(goods, lines, strict=True) if not excludes.has(line)]
        used = _apportion_points(order, program, [*payable, parts.shipping, parts.tax], alarms)
        return replace(parts, points_used=used)
    return parts


def points_value(order: Order, program: Program) -> int:
    """The worth in minor units of the points that an order used: as its shop says, else as the program does (P1)."""
    return program.worth(order.points_used) if order.points_value is None else order.points_value


def _apportion_points(order: Order, program: Program, parts: list[OrderPart], alarms: list[Alarm]) -> int:
    """P2: points and their value over the parts they can pay for, by largest remainder, ties to the earlier.

    How many points that are is returned: of a value beyond these parts nothing counts, so the points it stood for are
    not used. What a reward cost in points is used whatever is said of it.
    """
    used, value = order.points_used, points_value(order, program)
    weights = [part.amount for part in parts]
    whole = sum(weights)
    if not order.reward_points and _is_beyond_program(order, value, whole, program):
        alarms.append(_alarm("points_beyond_program", order, value, whole, program.decimals))
    if value > whole:
        alarms.append(_alarm("value_beyond_order", order, value, whole, program.decimals))
        used, value = used * whole // value, whole
    used = max(used, order.reward_points)
    shares = zip(parts, _largest_remainder(used, weights), _largest_remainder(value, weights), strict=True)
    for part, points, worth in shares:
        part.points, part.value = points, worth
    return used


def _alarm(kind: AlarmKind, order: Order, value: int, payable: int, decimals: int) -> Alarm:
    """An alarm about the points used, of this value, where points can pay `payable` minor units."""
    worth, most = decimal_string(value, decimals), decimal_string(payable, decimals)
    return Alarm(kind, f"{order.points_used} points worth {worth}, where points can pay {most}", order.revision_at)


def _is_beyond_program(order: Order, value: int, payable: int, program: Program) -> bool:
    """P8: whether the points used, of this value, are beyond what the program offers for `payable` minor units."""
    offset = program.cash_offset
    return offset is not None and not offset.covers(order.points_used, value, payable, program.decimals)


def _largest_remainder(whole: int, weights: list[int]) -> list[int]:
    total = sum(weights)
    if not total:
        return [0] * len(weights)
    shares = [whole * weight // total for weight in weights]
    remainders = [(whole * weight % total, -index) for index, weight in enumerate(weights)]
    for _, index in sorted(remainders, reverse=True)[: whole - sum(shares)]:
        shares[-index] += 1
    return shares
