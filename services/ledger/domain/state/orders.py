"""An order: the facts known so far, and what has been booked for them.

Each event adds facts. What is booked is always the difference between what the facts now earn and what is booked
already, so neither the order in which events arrive nor a repeat matters (O2, O6). Lines are immutable, in a row of
their own, and are read only when parts of an order matter: refunds, part shipments, points used.
"""

from __future__ import annotations

from typing import Final

import msgspec

from services.kit.calendar import NO_DAY, NOT_YET, Day, Micros
from services.ledger.domain.state.account import NO_PROGRAM
from services.ledger.domain.state.alarms import Alarm, AlarmKind
from services.ledger.domain.state.inputs import Line
from services.ledger.domain.state.lots import LotAllocation

AmountByGoods = tuple[tuple[str, ...], int]
"""A part of an amount (minor units), and the campaigns for some goods alone whose goods it is."""

LineEvent = tuple[str, str | None, Micros]
"""(line, quantity or None for all of it, business time)."""

NO_REVISION: Final = -1
"""The revision of an order of which no `paid` is known: less than any that a shop may state."""

NO_LINES: Final = 0
"""The version of an order's lines where there is none: real ones count from 1."""


class Refund(msgspec.Struct, array_like=True):
    """A refund as its event says; capped only when the order is assessed (R11).

    A refund that comes before `paid` waits for it since `arrived_at` (O3).
    """

    at: Micros
    source: str
    id: str
    refund_id: str
    lines: list[tuple[str, int]]
    shipping: int
    tax: int
    arrived_at: Micros


class PaidEvent(msgspec.Struct, frozen=True, array_like=True):
    """A `paid` beside the one that counts; `contents` is a digest of all that it says."""

    revision: int
    at: Micros
    source: str
    id: str
    contents: bytes


class RevisedLines(msgspec.Struct, frozen=True, array_like=True):
    """The lines of an order before its last revision, as (line, amount), and the event that says so."""

    event: PaidEvent
    lines: list[tuple[str, int]]


class Share(msgspec.Struct, array_like=True):
    """What an order has of a campaign's budget, which the campaign's `account` keeps (N6).

    The order's facts earn `wanted` points by the campaign, `ready` of them confirmed; `granted` of them are booked.
    `asked` and `answered` are versions of this account: with which it last asked, and which question was last answered.
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


class Order(msgspec.Struct, array_like=True):
    """Facts first, then what is booked. Times are business times, `NOT_YET` if not known. Fields are only appended."""

    # Facts. `paid_at` is the least counted time of all `paid` events. The event named by (revision, revision_at,
    # revision_source, revision_id) is the one whose lines, amounts and points count; `lines_version` numbers the row
    # that holds its lines. `eligible` is the sum of the lines that earn, under program version `eligible_under`.
    paid_at: Micros = NOT_YET
    revision: int = NO_REVISION
    revision_at: Micros = NOT_YET
    revision_source: str = ""
    revision_id: str = ""
    lines_version: int = NO_LINES
    eligible: int = 0
    eligible_under: int = NO_PROGRAM
    shipping: int = 0
    tax: int = 0
    points_used: int = 0
    points_value: int | None = 0
    shipped_at: Micros = NOT_YET
    completed_at: Micros = NOT_YET
    cancelled_at: Micros = NOT_YET
    shipped_lines: list[LineEvent] = []
    completed_lines: list[LineEvent] = []
    refunds: list[Refund] = []
    # Booked. `used` is net of returns. `pending` and `confirmed` are what this order's facts earn before a cap. A line
    # once confirmed stays so for its points: those in `confirmed_lines`, and all lines of version `all_confirmed`.
    # `older_alarms` are the kinds of alarms that an older release found, until the order is booked again.
    pending: int = 0
    confirmed: int = 0
    lot_day: Day = NO_DAY
    booked_day: Day = NO_DAY
    booked_under: int = NO_PROGRAM
    all_confirmed: int = NO_LINES
    confirmed_lines: list[str] = []
    used: int = 0
    allocations: list[LotAllocation] = []
    success_from: Micros = NOT_YET
    success_until: Micros = NOT_YET
    due: Micros = NOT_YET
    older_alarms: list[AlarmKind] = []
    # `funding_keys`, a fact: the keys of all holds, then of all redemptions that its `paid` events name.
    # `counted_points`, booked: how many of the points used count (P2); 0 in rows of an older release.
    funding_keys: tuple[str, ...] = ()
    counted_points: int = 0
    # `channel` is a fact. `by_goods` is the eligible sum by the campaigns whose goods its parts are, kept like it.
    # `shares` are of the budgets of campaigns, and are not in `pending` and `confirmed`.
    channel: str = ""
    by_goods: list[AmountByGoods] = []
    shares: list[Share] = []
    # Booked: what the rewards cost in points that it took over with their redemptions. So many it uses at least.
    reward_points: int = 0
    # Facts. `cancellations` are all that no later reinstatement has undone, sorted: the first is `cancelled_at` (R13).
    # `failed_refunds` are the ids of refunds that never happened, told before the failure or after it (R12).
    cancellations: list[Micros] = []
    reinstated_at: Micros = NOT_YET
    failed_refunds: list[str] = []
    # `continued_at`, a fact, is the date of the latest `shipped`, `completed` or revision (O10). Of several `paid`
    # events are kept: those that say otherwise of the revision that counts (O10), the lines of the revision before it,
    # and the ids of all lines that any of them names (O11). `alarms`, booked, are those that stand.
    continued_at: Micros = NOT_YET
    told_otherwise: list[PaidEvent] = []
    revised: RevisedLines | None = None
    named_lines: list[str] = []
    alarms: list[Alarm] = []
    # Booked: when it fell below the least spend of the bonus, and of a referral, while successful; `NOT_YET` where the
    # rule asks for none or it did not. At `success_from` it always was.
    bonus_until: Micros = NOT_YET
    referral_until: Micros = NOT_YET
    # Booked: the reviewed goods that the member keeps with this order (N8).
    kept_goods: list[str] = []

    @property
    def waits_since(self) -> Micros:
        """When the first refund arrived that waits for the order to be paid (O3); `NOT_YET`: none does."""
        waiting = [refund.arrived_at for refund in self.refunds if refund.refund_id not in self.failed_refunds]
        return NOT_YET if self.paid_at else min(waiting, default=NOT_YET)

    @property
    def is_simple(self) -> bool:
        """Whether all lines have one status, so that no line needs to be read."""
        return not (
            self.refunds
            or self.shipped_lines
            or self.completed_lines
            or self.points_used
            or self.reward_points
            or self.used
            or self.confirmed_lines
            or self.told_otherwise
            or self.revised
        )

    @property
    def confirms_by_version(self) -> bool:
        """Whether no line was confirmed yet, or all lines of the version that counts were."""
        return self.all_confirmed in (NO_LINES, self.lines_version)


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
    """The canonical bytes of a version of an order's lines."""
    return _encoder.encode(lines)


def decode_lines(raw: bytes) -> tuple[Line, ...]:
    """The lines that `encode_lines` wrote."""
    return _lines_decoder.decode(raw)
