"""Refunds of an order: which telling of each holds, and what is left of the lines after them (O2, R11)."""

from __future__ import annotations

from services.kit.calendar import Micros
from services.ledger.domain.state.orders import Order, Refund


def standing_refunds(order: Order) -> dict[str, Refund]:
    """Of several tellings of a refund, the one that holds: the least of the times they count from (O2, R11).

    All are kept, because a paid time that is told later can make a tie of them.
    """
    holding: dict[str, Refund] = {}
    for refund in order.refunds:
        known = holding.get(refund.refund_id)
        if known is None or _rank(refund, order.paid_at) < _rank(known, order.paid_at):
            holding[refund.refund_id] = refund
    return holding


def _rank(refund: Refund, paid_at: Micros) -> tuple[Micros, str, str]:
    return max(refund.at, paid_at), refund.source, refund.id
