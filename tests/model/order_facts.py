"""Every report about one order, in any order, and which of several reports of a fact holds (O2, R12, R13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from services.kit.calendar import NOT_YET, Micros
from tests.model.days import minor


@dataclass(frozen=True)
class Report:
    """One report of a fact: the time it counts from (O9), its source and id, its data; and the time that it states."""

    at: Micros
    source: str
    id: str
    data: dict[str, Any]
    dated: Micros = NOT_YET

    def rank(self, not_before: Micros = NOT_YET) -> tuple[Micros, str, str]:
        """O2: of two reports the least of these holds; an order's facts count from its paid time (R11)."""
        return max(self.at, not_before), self.source, self.id


@dataclass
class Facts:
    """Every report about one order."""

    order_id: str
    shop: str = ""
    paid: list[Report] = field(default_factory=list)
    shipped: list[Report] = field(default_factory=list)
    completed: list[Report] = field(default_factory=list)
    refunded: list[Report] = field(default_factory=list)
    cancelled: list[Report] = field(default_factory=list)
    reinstated: list[Report] = field(default_factory=list)
    refund_failed: list[Report] = field(default_factory=list)

    def cancelled_at(self) -> Micros | None:
        """R13: of cancellations and reinstatements the latest holds, at one instant the cancellation.

        They are compared by their own times; of several cancellations since then the earliest holds (O2).
        """
        reinstated = max((report.at for report in self.reinstated), default=NOT_YET)
        return min((report.at for report in self.cancelled if report.at >= reinstated), default=None)

    def refunds(self, paid_at: Micros) -> dict[str, Report]:
        """O2: of each refund that did not fail the report that holds."""
        holding: dict[str, Report] = {}
        for report in self.refunded:
            refund_id = report.data["refund_id"]
            known = holding.get(refund_id)
            if refund_id not in self.failed() and (known is None or report.rank(paid_at) < known.rank(paid_at)):
                holding[refund_id] = report
        return holding

    def revised(self) -> list[Report]:
        """The `paid` of revisions that a higher one has replaced."""
        newest = max(revision(report) for report in self.paid)
        return [report for report in self.paid if revision(report) < newest]

    def failed(self) -> set[str]:
        """R12: the refunds that never happened."""
        return {report.data["refund_id"] for report in self.refund_failed}


def revision(paid: Report) -> int:
    """A `paid` without one is revision 0."""
    return int(paid.data.get("revision") or 0)


def amounts_of(report: Report, currency: str) -> dict[str, int]:
    """The amounts of a report's lines, in minor units."""
    return {one["line_id"]: minor(one["amount"], currency) for one in report.data.get("lines") or []}


def contents(report: Report, currency: str) -> Any:
    """What a `paid` or a refund says, besides when: the same in any order of lines and any spelling of numbers."""
    data = report.data
    extra = {name: minor(data.get(name), currency) for name in ("shipping", "tax")}
    if "refund_id" in data:
        return extra, {line_id: amount for line_id, amount in amounts_of(report, currency).items() if amount}
    used, value = int(data.get("points_used") or 0), data.get("points_value")
    worth = minor(value, currency) if value is not None or not used else None
    goods = {
        one["line_id"]: (
            one["sku"],
            one.get("category"),
            Fraction(str(one["quantity"])),
            minor(one["amount"], currency),
        )
        for one in data["lines"]
    }
    return extra, goods, used, worth, data.get("channel") or ""
