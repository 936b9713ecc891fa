"""An order: the facts known so far, and what has been booked for them.

Each event adds facts; what is booked is always the difference between what the facts now earn and what is
booked already, which makes order and duplicates harmless (O2, O6). Lines are immutable in a row of their own
and are read only when parts of an order matter: refunds, part shipments, points used.
"""

from __future__ import annotations

import msgspec

from services.kit.calendar import Day, Micros
from services.ledger.domain.inputs import Cancelled, Completed, Line, LinePart, OrderInput, Paid, Refunded, Shipped
from services.ledger.domain.refs import hold_key, redemption_key


class Refund(msgspec.Struct, array_like=True):
    """A refund as told; capped only when it is judged (R11). Before `paid` it is parked since `arrived_at` (O3)."""

    at: Micros
    source: str
    id: str
    refund_id: str
    lines: list[tuple[str, int]]
    shipping: int
    tax: int
    arrived_at: Micros


class Taken(msgspec.Struct, array_like=True):
    """Points that an order used out of one lot, and has not given back."""

    lot_day: Day
    parent: Day
    points: int


class Share(msgspec.Struct, array_like=True):
    """What an order has of a campaign's budget, which the campaign's `account` keeps (N6).

    `wanted` points, `ready` of them confirmed, are what the order's facts earn by the campaign; `granted` of them are
    booked. `asked` and `answered` are the versions of this account with which it last asked, and was last answered.
    """

    account: str
    wanted: int = 0
    ready: int = 0
    granted: int = 0
    asked: int = 0
    answered: int = 0

    @property
    def booked(self) -> tuple[int, int]:
        """What is booked of it: (pending, confirmed)."""
        confirmed = min(self.ready, self.granted)
        return self.granted - confirmed, confirmed


PartTold = tuple[str, str | None, Micros]
"""(line, quantity or None for all of it, business time)."""


class Order(msgspec.Struct, array_like=True):
    """Facts first, then what is booked. Times are business times in µs, 0 = not told; fields are only appended."""

    # Facts. `paid_at` is the least counted time of all `paid` events; (revision, told_at, source, id) name the
    # one whose lines, amounts and points count, and `telling` numbers the row that holds those lines.
    paid_at: Micros = 0
    revision: int = -1
    told_at: Micros = 0
    told_source: str = ""
    told_id: str = ""
    telling: int = 0
    eligible: int = 0
    eligible_under: int = 0
    shipping: int = 0
    tax: int = 0
    points_used: int = 0
    points_value: int | None = 0
    shipped_at: Micros = 0
    completed_at: Micros = 0
    cancelled_at: Micros = 0
    shipped_lines: list[PartTold] = []
    completed_lines: list[PartTold] = []
    refunds: list[Refund] = []
    # Booked. `used` is net of returns. `pending` and `confirmed` are what this order's facts earn before a cap; a
    # line once confirmed stays so for its points: those in `confirmed_lines`, and all lines of `all_confirmed`.
    pending: int = 0
    confirmed: int = 0
    lot_day: Day = 0
    booked_day: Day = 0
    booked_under: int = 0
    all_confirmed: int = 0
    confirmed_lines: list[str] = []
    used: int = 0
    taken: list[Taken] = []
    success_from: Micros = 0
    success_until: Micros = 0
    due: Micros = 0
    alarms: list[str] = []
    # `names` is a fact: the keys of the hold and the redemption that are to pay `points_used`, and `room` how many of
    # them: those that are not booked yet.
    names: tuple[str, ...] = ()
    room: int = 0
    # `channel` is a fact; `by_goods` is the eligible sum by the campaigns whose goods its parts are, kept like it.
    # `shares` are of the budgets of campaigns, and not in `pending` and `confirmed`.
    channel: str = ""
    by_goods: list[tuple[tuple[str, ...], int]] = []
    shares: list[Share] = []

    @property
    def is_simple(self) -> bool:
        """Whether all lines share one fate, so that no line needs to be read."""
        return not (
            self.refunds
            or self.shipped_lines
            or self.completed_lines
            or self.points_used
            or self.used
            or self.confirmed_lines
        )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Order)
_lines_decoder = msgspec.msgpack.Decoder(tuple[Line, ...])


def encode_order(order: Order) -> bytes:
    """The order's canonical bytes."""
    return _encoder.encode(order)


def decode_order(raw: bytes) -> Order:
    """The order that `encode_order` wrote."""
    return _decoder.decode(raw)


def encode_lines(lines: tuple[Line, ...]) -> bytes:
    """The canonical bytes of a telling's lines."""
    return _encoder.encode(lines)


def decode_lines(raw: bytes) -> tuple[Line, ...]:
    """The lines that `encode_lines` wrote."""
    return _lines_decoder.decode(raw)


def tell(order: Order, given: OrderInput, counted_at: Micros, now: Micros) -> bool:
    """Add a fact to an order; False if nothing in it is new (O2).

    `counted_at` is the time a `paid` counts from (O9), for the other facts their own; `now` is the arrival.
    """
    match given:
        case Paid():
            return _tell_paid(order, given, counted_at)
        case Shipped():
            return _tell_shipped(order, given)
        case Completed():
            return _tell_completed(order, given)
        case Refunded():
            return _tell_refunded(order, given, now)
        case Cancelled():
            if order.cancelled_at and order.cancelled_at <= given.at:
                return False
            order.cancelled_at = given.at
            return True


def _tell_paid(order: Order, given: Paid, counted_at: Micros) -> bool:
    changed = False
    if not order.paid_at or counted_at < order.paid_at:
        order.paid_at = counted_at
        changed = True
    newer = given.revision > order.revision
    same_but_earlier = given.revision == order.revision and (counted_at, given.source, given.id) < (
        order.told_at,
        order.told_source,
        order.told_id,
    )
    if not (newer or same_but_earlier):
        return changed
    order.revision = given.revision
    order.told_at, order.told_source, order.told_id = counted_at, given.source, given.id
    order.telling += 1
    order.eligible_under = 0
    order.channel = given.channel
    order.shipping, order.tax = given.shipping, given.tax
    order.room = max(given.points_used - order.points_used, 0)
    order.points_used, order.points_value = given.points_used, given.points_value
    order.names = named_by(given)
    return True


def named_by(given: Paid) -> tuple[str, ...]:
    """The keys of the hold and the redemption that an order names for its points."""
    if not (given.hold_id or given.redemption_id):
        return ()
    hold = (hold_key(given.hold_id),) if given.hold_id else ()
    return (*hold, redemption_key(given.redemption_id)) if given.redemption_id else hold


def _tell_shipped(order: Order, given: Shipped) -> bool:
    if given.lines is None:
        if order.shipped_at and order.shipped_at <= given.at:
            return False
        order.shipped_at = given.at
        return True
    told = _earliest(order.shipped_lines, given.lines, given.at)
    changed, order.shipped_lines = told != order.shipped_lines, told
    return changed


def _tell_completed(order: Order, given: Completed) -> bool:
    if given.lines is None:
        if order.completed_at and order.completed_at <= given.at:
            return False
        order.completed_at = given.at
        return True
    told = _earliest(order.completed_lines, given.lines, given.at)
    changed, order.completed_lines = told != order.completed_lines, told
    return changed


def _earliest(known: list[PartTold], parts: tuple[LinePart, ...], at: Micros) -> list[PartTold]:
    """What was told of parts of lines, each with the least of its times (O2)."""
    times = {(line_id, quantity): told_at for line_id, quantity, told_at in known}
    for part in parts:
        key = (part.line_id, part.quantity)
        times[key] = min(times.get(key, at), at)
    return sorted(
        ((line_id, quantity, told_at) for (line_id, quantity), told_at in times.items()),
        key=lambda told: (told[0], told[1] or "", told[2]),
    )


def _tell_refunded(order: Order, given: Refunded, now: Micros) -> bool:
    told = Refund(
        at=given.at,
        source=given.source,
        id=given.id,
        refund_id=given.refund_id,
        lines=[(line.line_id, line.amount) for line in given.lines],
        shipping=given.shipping,
        tax=given.tax,
        arrived_at=now,
    )
    before = holding_refunds(order).get(given.refund_id)
    order.refunds.append(told)
    return holding_refunds(order)[given.refund_id] is not before


def holding_refunds(order: Order) -> dict[str, Refund]:
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
