"""Cancellations of an order, and their undoing: of both the latest in business time holds, at one instant the
cancellation (R13).

They are compared as they are dated, also before the paid time: a shop that cancels and reinstates an order before
it is paid wants it. Of several cancellations that no reinstatement has undone the earliest holds (O2).
"""

from __future__ import annotations

from services.kit.calendar import NOT_YET, Micros
from services.ledger.domain.state.orders import Order


def apply_cancellation(order: Order, at: Micros) -> bool:
    """Add a cancellation to what is known; False if that changes nothing."""
    before = order.cancelled_at
    # An older release has kept `cancelled_at` alone.
    _keep_cancellations(order, {*order.cancellations, before, at} - {NOT_YET})
    return order.cancelled_at != before


def apply_reinstatement(order: Order, at: Micros) -> bool:
    """Add a reinstatement to what is known; False if a later one is."""
    if at <= order.reinstated_at:
        return False
    order.reinstated_at = at
    _keep_cancellations(order, {*order.cancellations, order.cancelled_at} - {NOT_YET})
    return True


def _keep_cancellations(order: Order, told: set[Micros]) -> None:
    order.cancellations = sorted(at for at in told if at >= order.reinstated_at)
    order.cancelled_at = order.cancellations[0] if order.cancellations else NOT_YET
