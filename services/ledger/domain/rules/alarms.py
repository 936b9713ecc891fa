"""The alarms that stand on an order: what its facts contradict, and what was found when it was booked (O10).

Most alarms are a function of the facts, so they are the same in any order of arrival, and go when a later fact resolves
them. Two tell of what was met in booking, and stay.
"""

from __future__ import annotations

from typing import Final

import msgspec

from services.kit.calendar import Micros, rfc3339
from services.kit.money import decimal_string
from services.ledger.domain.posting.posting import POINTS_SHORT, UNDER_REVIEW, Posting
from services.ledger.domain.rules import revisions
from services.ledger.domain.rules.refunds import standing_refunds
from services.ledger.domain.state.alarms import Alarm
from services.ledger.domain.state.inputs import Line
from services.ledger.domain.state.orders import Order, Refund

_encode = msgspec.msgpack.Encoder().encode
_MET_IN_BOOKING: Final = (POINTS_SHORT, UNDER_REVIEW)


def settle_alarms(posting: Posting, ref: str, order: Order, found: list[Alarm]) -> None:
    """Let an order have the alarms that its facts amount to now, and raise those that it had not."""
    if found or order.alarms or order.older_alarms:
        before = order.alarms
        order.alarms, order.older_alarms = standing_alarms(order, found), []
        posting.report_alarms(ref, [alarm for alarm in found if alarm not in before])


def standing_alarms(order: Order, found: list[Alarm]) -> list[Alarm]:
    """All alarms of an order whose facts amount to those that were found."""
    kept = [alarm for alarm in order.alarms if alarm.kind in _MET_IN_BOOKING]
    if POINTS_SHORT in order.older_alarms:
        kept.append(Alarm(POINTS_SHORT, "points that the order used were not there", order.paid_at))
    return [*found, *kept]


def contradictions(order: Order, lines: tuple[Line, ...], decimals: int) -> list[Alarm]:
    """What events about an order say against each other (O10, O11)."""
    alarms = [*going_on(order), *_refunds_told_differently(order, decimals), *revisions.told_differently(order)]
    if order.revised:
        alarms += revisions.lowered_lines(order, lines, _refunded_when_revised(order), decimals)
    return alarms


def going_on(order: Order) -> list[Alarm]:
    """O10: whether an order went on after the cancellation that holds."""
    if not (order.cancelled_at and order.continued_at > order.cancelled_at):
        return []
    detail = f"cancelled at {rfc3339(order.cancelled_at)}, and shipped, completed or revised after that"
    return [Alarm("cancelled_but_going_on", detail, order.continued_at)]


def _refunds_told_differently(order: Order, decimals: int) -> list[Alarm]:
    """O10: of each refund the events that say otherwise than the one that holds, once for each contents."""
    if len(order.refunds) < 2:
        return []
    holding = standing_refunds(order)
    different: dict[tuple[str, bytes], Refund] = {}
    for other in sorted(order.refunds, key=lambda each: (each.refund_id, each.at, each.source, each.id)):
        holds = holding.get(other.refund_id)
        if holds is not None and holds is not other and (contents := _contents(other)) != _contents(holds):
            different.setdefault((other.refund_id, contents), other)
    return [
        Alarm(
            "told_differently",
            f"refund {id_}: {_words(holding[id_], decimals)} holds, {_words(other, decimals)} says otherwise",
            other.at,
        )
        for (id_, _), other in different.items()
    ]


def _contents(refund: Refund) -> bytes:
    """What a refund says, so that two can be compared; neither the order of its lines nor one of 0 matters."""
    return _encode((sorted(line for line in refund.lines if line[1]), refund.shipping, refund.tax))


def _words(refund: Refund, decimals: int) -> str:
    amount = sum(amount for _, amount in refund.lines) + refund.shipping + refund.tax
    return f"{refund.id} of {refund.source} ({decimal_string(amount, decimals)})"


def _refunded_when_revised(order: Order) -> dict[str, int]:
    """What refunds told until the revision that counts, by line; those after a cancellation are ignored (R11)."""
    until: Micros = order.revision_at
    if order.cancelled_at:
        until = min(until, max(order.cancelled_at, order.paid_at))
    refunded: dict[str, int] = {}
    for refund in standing_refunds(order).values():
        if max(refund.at, order.paid_at) <= until:
            for line_id, amount in refund.lines:
                refunded[line_id] = refunded.get(line_id, 0) + amount
    return refunded
