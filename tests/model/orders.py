"""What the facts of one order come to, in business time (P1, P2, R11, O2, O5, O8).

`Facts` holds every report, in any order. `read` makes an `Order` of them: a pure function, which knows
nothing of points, of tiers or of what has been booked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from math import floor
from typing import Any

from services.kit.calendar import Micros
from tests.model.contradictions import contradictions
from tests.model.days import local_day, midnight_after, minor
from tests.model.order_facts import Facts, Report, amounts_of, revision
from tests.model.program import Program

TimelineEntry = tuple[Micros, int, int]
"""(at, change of the qualifying amount in minor units, change of the number of successful orders)."""


@dataclass(frozen=True)
class Line:
    """A line of the newest revision, with its share of the points used and of their value (P2)."""

    line_id: str
    sku: str
    category: str
    quantity: Fraction
    amount: int
    points: int
    value: int


@dataclass
class Order:
    """One order as its facts say it is."""

    facts: Facts
    program: Program
    paid_at: Micros
    lines: list[Line]
    points_used: int
    """Those whose value counts (P2)."""
    cancelled_at: Micros | None
    refunds: list[tuple[Micros, str, int]]
    """(when it counts from, line id, minor units taken of the line), as far as the line goes (R11)."""
    alarms: set[str]
    holding: Report
    """The `paid` that holds: of the highest revision the least (O2)."""

    @property
    def key(self) -> str:
        """The order's name in results: its id, after its shop's where it has one."""
        return order_key(self.facts.shop, self.facts.order_id)

    @property
    def date(self) -> Any:
        """D1: the local date it was paid on."""
        return local_day(self.paid_at, self.program["timezone"])

    def cancelled(self, at: Micros) -> bool:
        """Whether it is cancelled at this instant; the cancellation comes before all else of it (R11)."""
        return self.cancelled_at is not None and self.cancelled_at <= at

    def refunded(self, line: Line, at: Micros) -> int:
        """How much of a line's amount is refunded by then."""
        return sum(taken for when, line_id, taken in self.refunds if line_id == line.line_id and when <= at)

    def left(self, line: Line, at: Micros) -> int:
        """What is left of a line's amount, before points."""
        return line.amount - self.refunded(line, at)

    def is_sent_back(self, line: Line, at: Micros) -> bool:
        """O8: a line refunded in full counts as completed for the order's success."""
        return line.amount > 0 and self.left(line, at) == 0

    def net_left(self, line: Line, at: Micros) -> int:
        """What is left of a line without the part that points paid (P1, P2)."""
        return self.left(line, at) - (line.value - part_of(line.value, self.refunded(line, at), line.amount))

    def points_back(self) -> int:
        """How many of the points used come back (P2): all with a cancellation (O4)."""
        if self.cancelled_at is not None:
            return self.points_used
        taken = {line.line_id: sum(n for _, name, n in self.refunds if name == line.line_id) for line in self.lines}
        return sum(part_of(line.points, taken[line.line_id], line.amount) for line in self.lines)

    def goods(self) -> list[Line]:
        """The lines a customer bought, without shipping and tax."""
        return [line for line in self.lines if line.line_id not in (SHIPPING, TAX)]

    def eligible(self, rule: dict[str, Any]) -> list[Line]:
        """The lines a rule looks at (N5)."""
        return [line for line in self.goods() if not excluded(line.sku, line.category, rule.get("exclude"))]

    def due_at(self, line: Line) -> Micros | None:
        """O8: the local midnight that ends the day `auto_after_days` after it was shipped, or else paid."""
        days = self.program["points"]["pending"].get("auto_after_days")
        if days is None:
            return None
        reported = [t.rank(self.paid_at)[0] for t in self.facts.shipped if covers(t, line)]
        zone = self.program["timezone"]
        start = local_day(min(reported, default=self.paid_at), zone)
        return midnight_after(start + timedelta(days=days), zone)

    def completed_at(self, line: Line, now: Micros) -> Micros | None:
        """O8: the earlier of the reported time and the due time, once that has passed."""
        reported = [t.rank(self.paid_at)[0] for t in self.facts.completed if covers(t, line)]
        due = self.due_at(line)
        times = reported + ([due] if due is not None and due <= now else [])
        return min(times, default=None)

    def timeline(self, rule: dict[str, Any], now: Micros) -> list[TimelineEntry]:
        """How the qualifying amount and the success changed, instant by instant, as known at `now`.

        Both are read at each business instant and the differences kept (O5, O8, R8).
        """
        eligible, goods = self.eligible(rule), self.goods()
        done = {line.line_id: self.completed_at(line, now) for line in goods}

        def is_done(line: Line, at: Micros) -> bool:
            when = done[line.line_id]
            return when is not None and when <= at

        instants = {when for when in done.values() if when is not None}
        instants |= {when for when, _, _ in self.refunds}
        if self.cancelled_at is not None:
            instants.add(self.cancelled_at)
        entries: list[TimelineEntry] = []
        amount = success = 0
        for at in sorted(instants):
            standing = not self.cancelled(at)
            new_amount = sum(self.net_left(line, at) for line in eligible if standing and is_done(line, at))
            new_success = int(
                standing
                and all(is_done(line, at) or self.is_sent_back(line, at) for line in goods)
                and any(self.left(line, at) > 0 for line in eligible)
            )
            if (new_amount, new_success) != (amount, success):
                entries.append((at, new_amount - amount, new_success - success))
            amount, success = new_amount, new_success
        return entries


SHIPPING, TAX = "(shipping)", "(tax)"
# They carry a share of the points used as a line does (P2), and earn nothing (R10).


def order_key(shop: str, order_id: str) -> str:
    """An order is (subject, shop, order_id)."""
    return f"{shop}/{order_id}" if shop else order_id


def excluded(sku: str, category: str, exclude: dict[str, Any] | None) -> bool:
    """Whether a program's `exclude` names this line."""
    exclude = exclude or {}
    return sku in exclude.get("skus", []) or category in exclude.get("categories", [])


def covers(report: Report, line: Line) -> bool:
    """Whether a `shipped` or `completed` speaks of the whole line: parts of a quantity never add up (O8)."""
    named = report.data.get("lines")
    if not named:
        return True
    return any(
        one["line_id"] == line.line_id and ("quantity" not in one or Fraction(str(one["quantity"])) >= line.quantity)
        for one in named
    )


def part_of(share: int, part: int, amount: int) -> int:
    """P2: what belongs to the first `part` of an amount; the last part takes the rest."""
    return share if part == amount else floor(Fraction(share * part, amount))


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """P2: shares of a whole by largest remainder, ties to the earlier; nothing to share over is nothing."""
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    exact = [Fraction(total * weight, whole) for weight in weights]
    shares = [floor(quota) for quota in exact]
    largest_first = sorted(range(len(weights)), key=lambda i: (shares[i] - exact[i], i))
    for i in largest_first[: total - sum(shares)]:
        shares[i] += 1
    return shares


def read(facts: Facts, program_at: Callable[[Micros], Program]) -> Order | None:
    """The order as its facts say, or None while no `paid` is known (O3)."""
    if not facts.paid:
        return None
    paid_at = min(report.at for report in facts.paid)
    program = program_at(paid_at)
    newest = max(revision(report) for report in facts.paid)
    holding = min((t for t in facts.paid if revision(t) == newest), key=lambda t: t.rank())
    alarms: set[str] = set()

    lines, used = _lines(holding.data, program, alarms)
    cancelled = facts.cancelled_at()
    cancelled_at = None if cancelled is None else max(cancelled, paid_at)
    refunds = _refunds(facts, lines, paid_at, cancelled_at, program["currency"], alarms)
    alarms |= contradictions(facts, holding, paid_at, cancelled_at, program["currency"])
    return Order(facts, program, paid_at, lines, used, cancelled_at, refunds, alarms, holding)


def _lines(data: dict[str, Any], program: Program, alarms: set[str]) -> tuple[list[Line], int]:
    """P2: the lines, shipping and tax with their shares of the points used and of their value; and the points used.

    Of a value that nothing is there for, the points are not used.
    """
    used = int(data.get("points_used") or 0)
    currency = program["currency"]
    offset = program.get("redeem", {}).get("cash_offset", {})
    raw = [
        (one["line_id"], one["sku"], one.get("category") or "", one["quantity"], minor(one["amount"], currency))
        for one in data["lines"]
    ]
    raw.append((SHIPPING, "", "", 1, minor(data.get("shipping"), currency)))
    raw.append((TAX, "", "", 1, minor(data.get("tax"), currency)))

    if data.get("points_value") is None:
        value = floor(Fraction(used * 100, offset.get("points_per_unit", 100)))
    else:
        value = minor(data["points_value"], currency)
    weights = [0 if excluded(sku, category, offset.get("exclude")) else amount for _, sku, category, _, amount in raw]
    if used and offset and is_beyond_program(used, value, sum(weights), offset):
        alarms.add("points_beyond_program")
    if value > sum(weights):
        alarms.add("value_beyond_order")
        used = floor(Fraction(used * sum(weights), value))
        value = sum(weights)
    points_shares, value_shares = apportion(used, weights), apportion(value, weights)
    return [
        Line(line_id, sku, category, Fraction(str(quantity)), amount, points, value)
        for (line_id, sku, category, quantity, amount), points, value in zip(
            raw, points_shares, value_shares, strict=True
        )
    ], used


def is_beyond_program(used: int, value: int, payable: int, offset: dict[str, Any]) -> bool:
    """P8: whether points, worth `value` as told, pay more or other than a program lets them of what they may pay for.

    Of `payable` they pay at most the largest share, in whole minor units, at what the program says they are worth.
    """
    worth = Fraction(used * 100, offset["points_per_unit"])
    return (
        used < offset.get("minimum", 0)
        or used % offset.get("step", 1) != 0
        or worth > floor(Fraction(offset.get("max_share", "1")) * payable)
        or value > worth
    )


def _refunds(
    facts: Facts,
    lines: list[Line],
    paid_at: Micros,
    cancelled_at: Micros | None,
    currency: str,
    alarms: set[str],
) -> list[tuple[Micros, str, int]]:
    """R11: refunds in the order (time, refund_id), each as far as its line goes."""
    named = {line_id for report in facts.paid for line_id in amounts_of(report, currency)}
    left = {line.line_id: line.amount for line in lines}
    taken: list[tuple[Micros, str, int]] = []
    for at, _, report in sorted((t.rank(paid_at)[0], refund_id, t) for refund_id, t in facts.refunds(paid_at).items()):
        if cancelled_at is not None and at > cancelled_at:
            continue
        asked = [(one["line_id"], minor(one["amount"], currency)) for one in report.data.get("lines") or []]
        asked += [(SHIPPING, minor(report.data.get("shipping"), currency))]
        asked += [(TAX, minor(report.data.get("tax"), currency))]
        for line_id, amount in asked:
            if line_id not in left:
                alarms |= set() if line_id in named else {"unknown_line"}
                continue
            take = min(amount, left[line_id])
            if take < amount:
                alarms.add("refund_beyond_line")
            if take:
                left[line_id] -= take
                taken.append((at, line_id, take))
    return taken
