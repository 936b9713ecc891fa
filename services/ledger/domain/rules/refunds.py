"""Refunds of an order: which event of each holds (O2), and what they leave of the order's parts (R11).

What is left earns anew, and the difference is clawed back (R1). Refunds of shipping or tax change no line, so they take
no points, and neither does a refund without lines (R10).
"""

from __future__ import annotations

from services.kit.calendar import Micros
from services.ledger.domain.rules.order_parts import OrderParts
from services.ledger.domain.state.orders import Order, Refund


def standing_refunds(order: Order) -> dict[str, Refund]:
    """Of several events about a refund, the one that holds: the least of the times they count from (O2, R11).

    All are kept, because a paid time that becomes known later can make a tie of them. Of a refund that failed none
    holds (R12).
    """
    standing: dict[str, Refund] = {}
    for refund in order.refunds:
        if refund.refund_id in order.failed_refunds:
            continue
        known = standing.get(refund.refund_id)
        if known is None or _rank(refund, order.paid_at) < _rank(known, order.paid_at):
            standing[refund.refund_id] = refund
    return standing


def _rank(refund: Refund, paid_at: Micros) -> tuple[Micros, str, str]:
    return max(refund.at, paid_at), refund.source, refund.id


def apply_refunds(order: Order, parts: OrderParts, cancelled_at: Micros, alarms: list[str]) -> None:
    """R11: refunds in the order (time, refund_id), capped at what is left; none after a cancellation."""
    by_line = {part.line_id: part for part in parts.goods}
    refunds = sorted(standing_refunds(order).values(), key=lambda each: (max(each.at, order.paid_at), each.refund_id))
    for refund in refunds:
        at = max(refund.at, order.paid_at)
        if cancelled_at and at > cancelled_at:
            continue
        amounts = [(by_line.get(line_id), amount) for line_id, amount in refund.lines]
        amounts += [(parts.shipping, refund.shipping), (parts.tax, refund.tax)]
        for part, amount in amounts:
            if part is None:
                _raise_alarm(alarms, "unknown_line")
                continue
            refunded = min(amount, part.amount - part.refunded)
            if refunded < amount:
                _raise_alarm(alarms, "refund_beyond_line")
            if refunded:
                part.refunded += refunded
                part.refunds.append((at, refunded))


def _raise_alarm(alarms: list[str], alarm: str) -> None:
    if alarm not in alarms:
        alarms.append(alarm)
