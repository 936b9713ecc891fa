"""What an event adds to the facts of an order, and which of several events about one fact holds (O2)."""

from __future__ import annotations

from services.kit.calendar import Micros
from services.ledger.domain.rules.cancellations import apply_cancellation, apply_reinstatement
from services.ledger.domain.rules.refunds import standing_refunds
from services.ledger.domain.state.account import NO_PROGRAM
from services.ledger.domain.state.fact_keys import hold_key, redemption_key
from services.ledger.domain.state.inputs import (
    Cancelled,
    Completed,
    LinePart,
    OrderInput,
    Paid,
    Refunded,
    RefundFailed,
    Reinstated,
    Shipped,
)
from services.ledger.domain.state.orders import LineEvent, Order, Refund


def apply_fact(order: Order, input_: OrderInput, counted_at: Micros, now: Micros) -> bool:
    """Add an event's fact to an order; False if nothing in it is new (O2).

    `counted_at` is the time from which a `paid` counts (O9), for the other facts their own; `now` is the arrival.
    """
    match input_:
        case Paid():
            return _apply_paid(order, input_, counted_at)
        case Shipped():
            order.continued_at = max(order.continued_at, input_.at)
            return _apply_shipped(order, input_)
        case Completed():
            order.continued_at = max(order.continued_at, input_.at)
            return _apply_completed(order, input_)
        case Refunded():
            return _apply_refunded(order, input_, now)
        case Cancelled():
            return apply_cancellation(order, input_.at)
        case Reinstated():
            return apply_reinstatement(order, input_.at)
        case RefundFailed():
            return _apply_failure(order, input_.refund_id)


def _apply_paid(order: Order, paid: Paid, counted_at: Micros) -> bool:
    """The least time holds; the highest revision replaces lines, amounts and points (O2).

    What any of them names is the order's, so that it does not matter which came first (P7).
    """
    changed = False
    if paid.revision > 0:
        order.continued_at = max(order.continued_at, paid.at)
    if not order.paid_at or counted_at < order.paid_at:
        order.paid_at = counted_at
        changed = True
    named = funding_keys_of(paid)
    if named and not set(named).issubset(order.funding_keys):
        order.funding_keys = tuple(sorted({*order.funding_keys, *named}))
        changed = True
    newer = paid.revision > order.revision
    known = (order.revision_at, order.revision_source, order.revision_id)
    earlier = paid.revision == order.revision and (counted_at, paid.source, paid.id) < known
    if not (newer or earlier):
        return changed
    order.revision = paid.revision
    order.revision_at, order.revision_source, order.revision_id = counted_at, paid.source, paid.id
    order.lines_version += 1
    order.eligible_under = NO_PROGRAM
    order.channel = paid.channel
    order.shipping, order.tax = paid.shipping, paid.tax
    order.points_used, order.points_value = paid.points_used, paid.points_value
    return True


def funding_keys_of(paid: Paid) -> tuple[str, ...]:
    """The keys of the hold and the redemption that a `paid` names; sorted, a hold comes before a redemption."""
    if not (paid.hold_id or paid.redemption_id):
        return ()
    hold = (hold_key(paid.hold_id),) if paid.hold_id else ()
    return (*hold, redemption_key(paid.redemption_id)) if paid.redemption_id else hold


def _apply_shipped(order: Order, shipped: Shipped) -> bool:
    if shipped.lines is None:
        if order.shipped_at and order.shipped_at <= shipped.at:
            return False
        order.shipped_at = shipped.at
        return True
    lines = _earliest(order.shipped_lines, shipped.lines, shipped.at)
    changed, order.shipped_lines = lines != order.shipped_lines, lines
    return changed


def _apply_completed(order: Order, completed: Completed) -> bool:
    if completed.lines is None:
        if order.completed_at and order.completed_at <= completed.at:
            return False
        order.completed_at = completed.at
        return True
    lines = _earliest(order.completed_lines, completed.lines, completed.at)
    changed, order.completed_lines = lines != order.completed_lines, lines
    return changed


def _earliest(known: list[LineEvent], parts: tuple[LinePart, ...], at: Micros) -> list[LineEvent]:
    """What is known of parts of lines, each with the least of its times (O2)."""
    times = {(line_id, quantity): known_at for line_id, quantity, known_at in known}
    for part in parts:
        key = (part.line_id, part.quantity)
        times[key] = min(times.get(key, at), at)
    return sorted(
        ((line_id, quantity, known_at) for (line_id, quantity), known_at in times.items()),
        key=lambda each: (each[0], each[1] or "", each[2]),
    )


def _apply_refunded(order: Order, refunded: Refunded, now: Micros) -> bool:
    """Keep a refund, also before its order is paid: it then waits for `paid` since `now` (O3)."""
    refund = Refund(
        at=refunded.at,
        source=refunded.source,
        id=refunded.id,
        refund_id=refunded.refund_id,
        lines=[(line.line_id, line.amount) for line in refunded.lines],
        shipping=refunded.shipping,
        tax=refunded.tax,
        arrived_at=now,
    )
    before = standing_refunds(order).get(refunded.refund_id)
    order.refunds.append(refund)
    return standing_refunds(order).get(refunded.refund_id) is not before


def _apply_failure(order: Order, refund_id: str) -> bool:
    """R12: the refund never happened, whichever is told first."""
    if refund_id in order.failed_refunds:
        return False
    order.failed_refunds = sorted([*order.failed_refunds, refund_id])
    return True
