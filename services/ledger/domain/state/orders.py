"""An order: the facts known so far, and what has been booked for them.

Each event adds facts; what is booked is always the difference between what the facts now earn and what is
booked already, which makes order and duplicates harmless (O2, O6). Lines are immutable in a row of their own
and are read only when parts of an order matter: refunds, part shipments, points used.
"""

from __future__ import annotations

import msgspec

from services.kit.calendar import Day, Micros
from services.ledger.domain.state.inputs import (
    Line,
)
from services.ledger.domain.state.lots import LotAllocation


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


LineEvent = tuple[str, str | None, Micros]
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
    lines_version: int = 0
    eligible: int = 0
    eligible_under: int = 0
    shipping: int = 0
    tax: int = 0
    points_used: int = 0
    points_value: int | None = 0
    shipped_at: Micros = 0
    completed_at: Micros = 0
    cancelled_at: Micros = 0
    shipped_lines: list[LineEvent] = []
    completed_lines: list[LineEvent] = []
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
    taken: list[LotAllocation] = []
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
