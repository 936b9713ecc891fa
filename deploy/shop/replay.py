"""The Online Retail CSV format as events: invoices paid, shipped and completed, cancellations refunded.

Dates are moved by whole weeks, so that the file ends in the last full week and weekdays stay. A year of
invoices and its lags fits `max_event_age` (400 days). Amounts are read as the program's currency.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from deploy.shop.day import POINTS_PER_UNIT
from deploy.shop.events import Event, cloud_event
from deploy.shop.online_retail import Invoice, Refund, Shop
from services.kit.calendar import Micros, to_micros
from services.kit.money import decimal_string, exponent

ZONE = ZoneInfo("Europe/London")
SOURCE = "/shop/online-retail"
SHIPPED_AFTER = timedelta(days=1)
COMPLETED_AFTER = SHIPPED_AFTER + timedelta(days=3)
PART = timedelta(weeks=4)


@dataclass(frozen=True, slots=True)
class Replay:
    """The events of a file, and how many are left out because they lie in the future."""

    events: list[Event]
    left_to_due_time: int
    """Shipments and completions after `now`: the order's due time completes it (O8)."""


@dataclass(frozen=True, slots=True)
class PointsUsed:
    """The points that pay a part of an order, out of a hold."""

    hold_id: str
    points: int

    def data(self, decimals: int) -> dict[str, Any]:
        """What `commerce.order.paid.v1` carries of it."""
        return {
            "points_used": self.points,
            "points_value": decimal_string(self.points * 10**decimals // POINTS_PER_UNIT, decimals),
            "hold_id": self.hold_id,
        }


def member_id(customer: str) -> str:
    """The member that stands for a customer of the file."""
    return f"retail-{customer}"


def weeks_moved(last_at: datetime, now: datetime) -> timedelta:
    """The whole weeks that bring the file's last day into the ISO week before `now`'s (both local)."""
    last_monday = last_at.date() - timedelta(days=last_at.weekday())
    this_monday = now.date() - timedelta(days=now.weekday())
    return this_monday - timedelta(weeks=1) - last_monday


def parts(shop: Shop) -> Iterator[Shop]:
    """The file in parts of four weeks: orders and refunds by their times. An order's shipment and completion
    belong to its part, so that its points can be spent in the next one."""
    times = [invoice.at for invoice in shop.invoices] + [refund.at for refund in shop.refunds]
    start, last = min(times, default=shop.last_at), max(times, default=shop.last_at)
    while start <= last:
        end = start + PART
        yield replace(
            shop,
            invoices=[invoice for invoice in shop.invoices if start <= invoice.at < end],
            refunds=[refund for refund in shop.refunds if start <= refund.at < end],
        )
        start = end


def replay(
    shop: Shop,
    *,
    currency: str,
    now: datetime,
    shuffle: int | None = None,
    used: Mapping[str, PointsUsed] | None = None,
) -> Replay:
    """The events of a file in business-time order, or in an order drawn from the seed `shuffle`.

    `now` is an aware time: events after it are left out. `used` are the points used, by order. The same file,
    week, currency and points give the same events.
    """
    moved = weeks_moved(shop.last_at, now.astimezone(ZONE))
    latest = to_micros(now)
    all_events = list(_events_of(shop, moved, currency, used or {}))
    events = sorted((event for event in all_events if event.at <= latest), key=lambda event: event.at)
    if shuffle is not None:
        random.Random(shuffle).shuffle(events)
    return Replay(events, len(all_events) - len(events))


def _events_of(shop: Shop, moved: timedelta, currency: str, used: Mapping[str, PointsUsed]) -> Iterator[Event]:
    decimals = exponent(currency)
    for invoice in shop.invoices:
        points = used.get(invoice.number)
        yield from _order(invoice, moved, currency, decimals, points.data(decimals) if points else {})
    for refund in shop.refunds:
        yield _refund(refund, moved, decimals)


def _order(
    invoice: Invoice, moved: timedelta, currency: str, decimals: int, points: Mapping[str, Any]
) -> Iterator[Event]:
    member = member_id(invoice.customer)
    lines = [
        {
            "line_id": str(line.line_id),
            "sku": line.sku,
            "quantity": line.quantity,
            "amount": decimal_string(line.amount, decimals),
        }
        for line in invoice.lines
    ]
    order = {"order_id": invoice.number}
    for step, after, data in (
        ("paid", timedelta(0), {**order, "currency": currency, "lines": lines, **points}),
        ("shipped", SHIPPED_AFTER, order),
        ("completed", COMPLETED_AFTER, order),
    ):
        yield cloud_event(
            source=SOURCE,
            event_id=f"{invoice.number}:{step}",
            event_type=f"commerce.order.{step}.v1",
            member_id=member,
            at=_instant(invoice.at + moved + after),
            data=data,
        )


def _refund(refund: Refund, moved: timedelta, decimals: int) -> Event:
    # What matches no purchase belongs to an order that never comes: it waits parked, as in a shop whose order
    # was sold before the program began (O3).
    order = refund.order or f"unknown-{refund.number}"
    refund_id = f"{refund.number}:{order}"
    return cloud_event(
        source=SOURCE,
        event_id=f"{refund_id}:refunded",
        event_type="commerce.order.refunded.v1",
        member_id=member_id(refund.customer),
        at=_instant(refund.at + moved),
        data={
            "order_id": order,
            "refund_id": refund_id,
            "lines": [
                {
                    "line_id": str(line_id),
                    "quantity": quantity,
                    "amount": decimal_string(amount, decimals),
                }
                for line_id, (quantity, amount) in refund.lines.items()
            ],
        },
    )


def _instant(local: datetime) -> Micros:
    return to_micros(local.replace(tzinfo=ZONE))
