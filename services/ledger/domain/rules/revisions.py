"""Revisions of an order: the `paid` events beside the one that counts, and what of them is odd.

A revision says what was ordered, before refunds, which stand beside it. A shop that lowers a line by what it has
refunded may have told one deduction twice: both are booked, and somebody should look (O11). So should they where two
events about one revision have different contents (O10).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from services.kit.calendar import Micros
from services.kit.money import decimal_string, plain_decimal
from services.ledger.domain.state.alarms import Alarm
from services.ledger.domain.state.inputs import Line, Paid
from services.ledger.domain.state.orders import Order, PaidEvent, RevisedLines

_encode = msgspec.msgpack.Encoder().encode


def keep_paid_event(order: Order, lines: Sequence[Line], paid: Paid, counted_at: Micros) -> None:
    """Keep what a further `paid` of an order says, or what the one said that counted until now; to be called before it
    is applied. `lines` are those that counted until now."""
    counting = PaidEvent(
        order.revision,
        order.revision_at,
        order.revision_source,
        order.revision_id,
        _contents(lines, order.shipping, order.tax, order.points_used, order.points_value, order.channel),
    )
    further = PaidEvent(
        paid.revision,
        counted_at,
        paid.source,
        paid.id,
        _contents(paid.lines, paid.shipping, paid.tax, paid.points_used, paid.points_value, paid.channel),
    )
    _keep_told_otherwise(order, counting, further)
    _keep_revised(order, (counting, lines), (further, paid.lines))
    if order.told_otherwise or order.revised:
        order.named_lines = sorted({*order.named_lines, *(line.line_id for line in (*lines, *paid.lines))})


def _keep_told_otherwise(order: Order, *events: PaidEvent) -> None:
    """Of the highest revision keep the earliest event of each contents, but for the one that counts."""
    newest = max(event.revision for event in events)
    earliest: dict[bytes, PaidEvent] = {}
    for event in sorted([*order.told_otherwise, *events], key=_rank):
        if event.revision == newest:
            earliest.setdefault(event.contents, event)
    _, *order.told_otherwise = earliest.values()


def _keep_revised(order: Order, *events: tuple[PaidEvent, Sequence[Line]]) -> None:
    """Keep the amounts of the revision before the one that counts, as the earliest event about it says (O2)."""
    newest = max(event.revision for event, _ in events)
    for event, lines in events:
        before = order.revised
        if event.revision < newest and (
            before is None
            or before.event.revision < event.revision
            or (before.event.revision == event.revision and _rank(event) < _rank(before.event))
        ):
            order.revised = RevisedLines(event, [(line.line_id, line.amount) for line in lines])


def _contents(lines: Sequence[Line], *others: int | str | None) -> bytes:
    """A digest of what a `paid` says; neither the order of its lines nor how an older release spelled a quantity
    matters."""
    named = sorted((line.line_id, line.sku, line.category, plain_decimal(line.quantity), line.amount) for line in lines)
    return blake2b(_encode((named, others)), digest_size=16).digest()


def _rank(event: PaidEvent) -> tuple[Micros, str, str]:
    return event.at, event.source, event.id


def told_differently(order: Order) -> list[Alarm]:
    """O10: the events that say otherwise of the revision that counts."""
    counts = f"{order.revision_id} of {order.revision_source}"
    return [
        Alarm(
            "told_differently",
            f"revision {order.revision}: {counts} holds, {event.id} of {event.source} says otherwise",
            event.at,
        )
        for event in order.told_otherwise
    ]


def lowered_lines(order: Order, lines: Sequence[Line], refunded: dict[str, int], decimals: int) -> list[Alarm]:
    """O11: the revision that counts lowers lines by at most what was refunded of them when it was made.

    `refunded` is what refunds told until then, by line, in minor units. It is compared with the revision before.
    """
    if order.revised is None:
        return []
    amounts = dict(order.revised.lines)
    lowered = [
        line for line in lines if 0 < amounts.get(line.line_id, 0) - line.amount <= refunded.get(line.line_id, 0)
    ]
    if not lowered:
        return []
    line = lowered[0]
    was, now, back = (
        decimal_string(units, decimals) for units in (amounts[line.line_id], line.amount, refunded[line.line_id])
    )
    more = f", and {len(lowered) - 1} more so" if len(lowered) > 1 else ""
    detail = f"revision {order.revision} lowers line {line.line_id} from {was} to {now}, and {back} of it are refunded"
    return [Alarm("revised_after_refund", f"{detail} too{more}", order.revision_at)]
