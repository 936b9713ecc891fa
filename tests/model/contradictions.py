"""O10, O11: what the reports of an order say against each other."""

from __future__ import annotations

from services.kit.calendar import Micros
from tests.model.order_facts import Facts, Report, amounts_of, contents, revision

AGAINST_EACH_OTHER = frozenset({"told_differently", "cancelled_but_going_on", "revised_after_refund"})
"""The alarms that say so. They do not make a report new that changes nothing else (O2)."""


def contradictions(
    facts: Facts, holding: Report, paid_at: Micros, cancelled_at: Micros | None, currency: str
) -> set[str]:
    """O10, O11: what the reports of an order say against each other."""
    alarms: set[str] = set()
    again = [report for report in facts.paid if revision(report) == revision(holding)]
    pairs = [(holding, report) for report in again]
    refunds = facts.refunds(paid_at)
    pairs += [(refunds[t.data["refund_id"]], t) for t in facts.refunded if t.data["refund_id"] in refunds]
    if any(contents(one, currency) != contents(other, currency) for one, other in pairs):
        alarms.add("told_differently")

    cancelled = facts.cancelled_at()
    steps = facts.shipped + facts.completed + [report for report in facts.paid if revision(report) > 0]
    if cancelled is not None and any(step.dated > cancelled for step in steps):
        alarms.add("cancelled_but_going_on")

    if facts.revised():
        before = max(map(revision, facts.revised()))
        was = amounts_of(min((t for t in facts.paid if revision(t) == before), key=lambda t: t.rank()), currency)
        until = holding.at if cancelled_at is None else min(holding.at, cancelled_at)
        told = [amounts_of(report, currency) for report in refunds.values() if report.rank(paid_at)[0] <= until]
        for line_id, amount in amounts_of(holding, currency).items():
            lowered = was.get(line_id, 0) - amount
            if 0 < lowered <= sum(amounts.get(line_id, 0) for amounts in told):
                alarms.add("revised_after_refund")
    return alarms
