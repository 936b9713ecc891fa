"""Refunds of an order: which event of each holds (O2), and what they leave of the order's parts (R11).

What is left earns anew, and the difference is clawed back (R1). Refunds of shipping or tax change no line, so they take
no points, and neither does a refund without lines (R10).
"""

from __future__ import annotations

from services.kit.calendar import Micros
from services.kit.money import decimal_string
from services.ledger.domain.rules.order_parts import OrderParts
from services.ledger.domain.state.alarms import Alarm
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


def apply_refunds(order: Order, parts: OrderParts, cancelled_at: Micros, decimals: int, alarms: list[Alarm]) -> None:
    """R11: refunds in the order (time, refund_id), capped at what is left; none after a cancellation."""
    by_line = {part.line_id: part for part in parts.goods}
    refunds = sorted(standing_refunds(order).values(), key=lambda each: (max(each.at, order.paid_at), each.refund_id))
    for refund in refunds:
        at = max(refund.at, order.paid_at)
        if cancelled_at and at > cancelled_at:
            continue
        unknown = [line_id for line_id, _ in refund.lines if line_id not in by_line]
        amounts = [(by_line[line_id], amount) for line_id, amount in refund.lines if line_id in by_line]
        amounts += [(parts.shipping, refund.shipping), (parts.tax, refund.tax)]
        beyond = 0
        for part, amount in amounts:
            refunded = min(amount, part.amount - part.refunded)
            beyond += amount - refunded
            if refunded:
                part.refunded += refunded
                part.refunds.append((at, refunded))
        if unknown and (unknown := sorted({*unknown} - {*order.named_lines})):
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            alarms.append(Alarm("unknown_line", f"refund {refund.refund_id} is of line {unknown[0]}{more}", at))
        if beyond:
            detail = f"refund {refund.refund_id} is {decimal_string(beyond, decimals)} more than was left"
            alarms.append(Alarm("refund_beyond_line", detail, at))
