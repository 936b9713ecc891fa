"""What an event adds to the facts of an order, and which of several tellings of one fact holds (O2)."""

from __future__ import annotations

from services.kit.calendar import Micros
from services.ledger.domain.rules.refunds import standing_refunds
from services.ledger.domain.state.inputs import Cancelled, Completed, LinePart, OrderInput, Paid, Refunded, Shipped
from services.ledger.domain.state.orders import LineEvent, Order, Refund
from services.ledger.domain.state.refs import hold_key, redemption_key


def apply_fact(order: Order, input_: OrderInput, counted_at: Micros, now: Micros) -> bool:
    """Add a fact to an order; False if nothing in it is new (O2).

    `counted_at` is the time a `paid` counts from (O9), for the other facts their own; `now` is the arrival.
    """
    match input_:
        case Paid():
            return _apply_paid(order, input_, counted_at)
        case Shipped():
            return _apply_shipped(order, input_)
        case Completed():
            return _apply_completed(order, input_)
        case Refunded():
            return _apply_refunded(order, input_, now)
        case Cancelled():
            if order.cancelled_at and order.cancelled_at <= input_.at:
                return False
            order.cancelled_at = input_.at
            return True


def _apply_paid(order: Order, input_: Paid, counted_at: Micros) -> bool:
    changed = False
    if not order.paid_at or counted_at < order.paid_at:
        order.paid_at = counted_at
        changed = True
    newer = input_.revision > order.revision
    same_but_earlier = input_.revision == order.revision and (counted_at, input_.source, input_.id) < (
        order.told_at,
        order.told_source,
        order.told_id,
    )
    if not (newer or same_but_earlier):
        return changed
    order.revision = input_.revision
    order.told_at, order.told_source, order.told_id = counted_at, input_.source, input_.id
    order.lines_version += 1
    order.eligible_under = 0
    order.channel = input_.channel
    order.shipping, order.tax = input_.shipping, input_.tax
    order.room = max(input_.points_used - order.points_used, 0)
    order.points_used, order.points_value = input_.points_used, input_.points_value
    order.names = funding_keys_of(input_)
    return True


def funding_keys_of(input_: Paid) -> tuple[str, ...]:
    """The keys of the hold and the redemption that an order names for its points."""
    if not (input_.hold_id or input_.redemption_id):
        return ()
    hold = (hold_key(input_.hold_id),) if input_.hold_id else ()
    return (*hold, redemption_key(input_.redemption_id)) if input_.redemption_id else hold


def _apply_shipped(order: Order, input_: Shipped) -> bool:
    if input_.lines is None:
        if order.shipped_at and order.shipped_at <= input_.at:
            return False
        order.shipped_at = input_.at
        return True
    told = _earliest(order.shipped_lines, input_.lines, input_.at)
    changed, order.shipped_lines = told != order.shipped_lines, told
    return changed


def _apply_completed(order: Order, input_: Completed) -> bool:
    if input_.lines is None:
        if order.completed_at and order.completed_at <= input_.at:
            return False
        order.completed_at = input_.at
        return True
    told = _earliest(order.completed_lines, input_.lines, input_.at)
    changed, order.completed_lines = told != order.completed_lines, told
    return changed


def _earliest(known: list[LineEvent], parts: tuple[LinePart, ...], at: Micros) -> list[LineEvent]:
    """What was told of parts of lines, each with the least of its times (O2)."""
    times = {(line_id, quantity): told_at for line_id, quantity, told_at in known}
    for part in parts:
        key = (part.line_id, part.quantity)
        times[key] = min(times.get(key, at), at)
    return sorted(
        ((line_id, quantity, told_at) for (line_id, quantity), told_at in times.items()),
        key=lambda told: (told[0], told[1] or "", told[2]),
    )


def _apply_refunded(order: Order, input_: Refunded, now: Micros) -> bool:
    told = Refund(
        at=input_.at,
        source=input_.source,
        id=input_.id,
        refund_id=input_.refund_id,
        lines=[(line.line_id, line.amount) for line in input_.lines],
        shipping=input_.shipping,
        tax=input_.tax,
        arrived_at=now,
    )
    before = standing_refunds(order).get(input_.refund_id)
    order.refunds.append(told)
    return standing_refunds(order)[input_.refund_id] is not before
