"""One realistic factory of the shop's events for every test: structured CloudEvents as plain dicts.

Each function is one type of the contract. `at` is the business time, RFC 3339 with offset. An id is made
of what the event is about, so the same event again has the same id; pass `id=` for another report of it.
Money is a decimal string. Fields that are None or empty are left out, as a publisher would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.kit.calendar import Micros

Event = dict[str, Any]
Line = dict[str, Any]

MEMBER = "m1"
ORDERS = "/shop/orders"
MEMBERS = "/shop/members"


@dataclass(frozen=True)
class Arrival:
    """An event and when it came in: the broker's append time."""

    event: Event
    now: Micros


@dataclass(frozen=True)
class Timer:
    """The clock moved to `now`, and everything due by then is done."""

    now: Micros


def d(day: int, clock: str = "10:00:00", *, zone: str = "+08:00") -> str:
    """The time `clock` on day `day`, counted from 1 March 2026 as day 1 (0 and below lie before it)."""
    date = datetime(2026, 3, 1) + timedelta(days=day - 1)  # noqa: DTZ001 (the offset is appended)
    return f"{date:%Y-%m-%d}T{clock if clock.count(':') == 2 else clock + ':00'}{zone}"


def event(type_: str, data: Mapping[str, Any], *, id: str, at: str, member: str, source: str) -> Event:
    """A CloudEvent in structured mode."""
    return {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": type_,
        "subject": member,
        "time": at,
        "datacontenttype": "application/json",
        "data": {key: value for key, value in data.items() if value is not None},
    }


def line(
    line_id: str,
    amount: str,
    *,
    sku: str | None = None,
    category: str | None = "apparel",
    quantity: int | str = 1,
) -> Line:
    """A line of an order: `amount` is what is owed for it after discounts, before points."""
    made = {"line_id": line_id, "sku": sku or f"sku-{line_id}", "quantity": quantity, "amount": amount}
    return made if category is None else made | {"category": category}


def gift_card(line_id: str, amount: str) -> Line:
    """A line of a category that the default program neither rewards nor lets points pay for."""
    return line(line_id, amount, sku="gift-card-100", category="gift-card")


def part(line_id: str, amount: str | None = None, *, quantity: int | str | None = None) -> Line:
    """A part of a line in a `refunded`, `shipped` or `completed`."""
    named: Line = {"line_id": line_id}
    if quantity is not None:
        named["quantity"] = quantity
    if amount is not None:
        named["amount"] = amount
    return named


def hold_id(member: str, reference: str) -> str:
    """The id of the hold that a member made under this reference."""
    return f"hold:{reference}"


def redemption_id(member: str, reference: str) -> str:
    """The id of the redemption that a member made under this reference."""
    return f"redemption:{reference}"


def paid(
    order: str = "o1",
    at: str = "2026-03-01T10:00:00+08:00",
    lines: Sequence[Line] | str = "900",
    *,
    shipping: str | None = None,
    tax: str | None = None,
    points_used: int = 0,
    points_value: str | None = None,
    hold: str | None = None,
    redemption: str | None = None,
    revision: int = 0,
    shop: str | None = None,
    channel: str | None = None,
    id: str | None = None,
    member: str = MEMBER,
    source: str = ORDERS,
) -> Event:
    """`commerce.order.paid.v1`; `lines` may be an amount, for an order of the one line l1.

    `hold` and `redemption` are references; the event has the ids that follow from them.
    """
    data = {
        "order_id": order,
        "shop": shop,
        "revision": revision or None,
        "currency": "CNY",
        "lines": [line("l1", lines)] if isinstance(lines, str) else list(lines),
        "shipping": shipping,
        "tax": tax,
        "points_used": points_used or None,
        "points_value": points_value,
        "hold_id": None if hold is None else hold_id(member, hold),
        "redemption_id": None if redemption is None else redemption_id(member, redemption),
        "channel": channel,
    }
    made = id or f"{order}:paid:{revision}"
    return event("commerce.order.paid.v1", data, id=made, at=at, member=member, source=source)


def _order_step(step: str, order: str, at: str, more: Mapping[str, Any], **envelope: Any) -> Event:
    shop, id_, member, source = (envelope[key] for key in ("shop", "id", "member", "source"))
    data = {"order_id": order, "shop": shop, **more}
    return event(f"commerce.order.{step}.v1", data, id=id_, at=at, member=member, source=source)


def shipped(
    order: str = "o1",
    at: str = "2026-03-02T10:00:00+08:00",
    lines: Sequence[Line] | None = None,
    *,
    carrier: str | None = "SF",
    shop: str | None = None,
    id: str | None = None,
    member: str = MEMBER,
    source: str = ORDERS,
) -> Event:
    """`commerce.order.shipped.v1`; without lines, all of them."""
    more = {"carrier": carrier, "lines": lines}
    return _order_step("shipped", order, at, more, shop=shop, id=id or f"{order}:shipped", member=member, source=source)


def completed(
    order: str = "o1",
    at: str = "2026-03-05T10:00:00+08:00",
    lines: Sequence[Line] | None = None,
    *,
    shop: str | None = None,
    id: str | None = None,
    member: str = MEMBER,
    source: str = ORDERS,
) -> Event:
    """`commerce.order.completed.v1`: receipt confirmed; without lines, of all of them."""
    suffix = "" if lines is None else ":" + ",".join(str(named["line_id"]) for named in lines)
    made = id or f"{order}:completed{suffix}"
    return _order_step("completed", order, at, {"lines": lines}, shop=shop, id=made, member=member, source=source)


def refunded(
    order: str = "o1",
    at: str = "2026-03-10T10:00:00+08:00",
    lines: Sequence[Line] | str | None = None,
    *,
    refund: str = "r1",
    shipping: str | None = None,
    tax: str | None = None,
    shop: str | None = None,
    id: str | None = None,
    member: str = MEMBER,
    source: str = ORDERS,
) -> Event:
    """`commerce.order.refunded.v1`; `lines` may be an amount, for that part of the line l1."""
    more = {
        "refund_id": refund,
        "lines": [part("l1", lines)] if isinstance(lines, str) else lines,
        "shipping": shipping,
        "tax": tax,
    }
    made = id or f"{order}:refunded:{refund}"
    return _order_step("refunded", order, at, more, shop=shop, id=made, member=member, source=source)


def cancelled(
    order: str = "o1",
    at: str = "2026-03-03T10:00:00+08:00",
    *,
    reason: str | None = "customer",
    shop: str | None = None,
    id: str | None = None,
    member: str = MEMBER,
    source: str = ORDERS,
) -> Event:
    """`commerce.order.cancelled.v1`."""
    made = id or f"{order}:cancelled"
    return _order_step("cancelled", order, at, {"reason": reason}, shop=shop, id=made, member=member, source=source)


def reinstated(
    order: str = "o1",
    at: str = "2026-03-04T10:00:00+08:00",
    *,
    reason: str | None = "in stock after all",
    shop: str | None = None,
    id: str | None = None,
    member: str = MEMBER,
    source: str = ORDERS,
) -> Event:
    """`commerce.order.reinstated.v1`."""
    made = id or f"{order}:reinstated"
    return _order_step("reinstated", order, at, {"reason": reason}, shop=shop, id=made, member=member, source=source)


def refund_failed(
    order: str = "o1",
    at: str = "2026-03-12T10:00:00+08:00",
    *,
    refund: str = "r1",
    shop: str | None = None,
    id: str | None = None,
    member: str = MEMBER,
    source: str = ORDERS,
) -> Event:
    """`commerce.order.refund_failed.v1`."""
    made = id or f"{order}:refund_failed:{refund}"
    more = {"refund_id": refund}
    return _order_step("refund_failed", order, at, more, shop=shop, id=made, member=member, source=source)


def signed_in(at: str, *, id: str | None = None, member: str = MEMBER, device: str | None = "ios") -> Event:
    """`commerce.member.signed_in.v1`."""
    made = id or f"signed-in:{at}"
    return event("commerce.member.signed_in.v1", {"device": device}, id=made, at=at, member=member, source=MEMBERS)


def review(
    review_id: str,
    at: str,
    *,
    order: str | None = "o1",
    sku: str = "sku-l1",
    rating: int = 5,
    id: str | None = None,
    member: str = MEMBER,
) -> Event:
    """`commerce.review.published.v1`."""
    data = {"review_id": review_id, "order_id": order, "sku": sku, "rating": rating, "scale": 5}
    made = id or f"{review_id}:published"
    return event("commerce.review.published.v1", data, id=made, at=at, member=member, source=MEMBERS)


def review_removed(review_id: str, at: str, *, id: str | None = None, member: str = MEMBER) -> Event:
    """`commerce.review.removed.v1`."""
    made = id or f"{review_id}:removed"
    data = {"review_id": review_id}
    return event("commerce.review.removed.v1", data, id=made, at=at, member=member, source=MEMBERS)


def registered(
    at: str = "2026-03-01T09:00:00+08:00",
    *,
    id: str | None = None,
    member: str = MEMBER,
    **fields: str | None,
) -> Event:
    """`commerce.member.registered.v1`, with whatever profile fields are known."""
    return _profile("commerce.member.registered.v1", id or "registered", at, member, fields)


def erased(at: str, *, id: str | None = None, member: str = MEMBER) -> Event:
    """`commerce.member.erased.v1`."""
    return event("commerce.member.erased.v1", {}, id=id or f"erased:{at}", at=at, member=member, source=MEMBERS)


def profile(at: str, *, id: str | None = None, member: str = MEMBER, **fields: str | None) -> Event:
    """`commerce.profile.updated.v1`: None deletes a field, a field that is not named stays."""
    return _profile("commerce.profile.updated.v1", id or f"profile:{at}", at, member, fields)


def _profile(type_: str, id_: str, at: str, member: str, fields: Mapping[str, str | None]) -> Event:
    made = event(type_, {}, id=id_, at=at, member=member, source=MEMBERS)
    made["data"] = dict(fields)  # null is a word here: it deletes
    return made


def activity(
    kind: str,
    activity_id: str,
    at: str,
    *,
    units: int | str | None = None,
    sku: str | None = None,
    id: str | None = None,
    member: str = MEMBER,
) -> Event:
    """`commerce.activity.recorded.v1`."""
    data = {"activity": kind, "activity_id": activity_id, "units": units, "sku": sku}
    made = id or f"{kind}:{activity_id}"
    return event("commerce.activity.recorded.v1", data, id=made, at=at, member=member, source=MEMBERS)


def activity_withdrawn(kind: str, activity_id: str, at: str, *, id: str | None = None, member: str = MEMBER) -> Event:
    """`commerce.activity.withdrawn.v1`."""
    data = {"activity": kind, "activity_id": activity_id}
    made = id or f"{kind}:{activity_id}:withdrawn"
    return event("commerce.activity.withdrawn.v1", data, id=made, at=at, member=member, source=MEMBERS)


def favourite(
    activity_id: str, at: str, *, sku: str | None = "sku-l1", id: str | None = None, member: str = MEMBER
) -> Event:
    """Goods marked as a favourite; the shop itself, without a `sku`."""
    return activity("favourite", activity_id, at, sku=sku, id=id, member=member)


def game(activity_id: str, at: str, units: int | str = 1, *, id: str | None = None) -> Event:
    """A game played, with the units it is rewarded by."""
    return activity("game", activity_id, at, units=units, id=id)


def tier(
    history: Sequence[tuple[str, str]],
    *,
    version: int,
    at: str | None = None,
    kind: str = "upgraded",
    growth: str = "0.00",
    orders: int = 0,
    member: str = MEMBER,
) -> Event:
    """`loyalty.tier.<kind>.v1` of tiering: `history` is [(effective_at, tier)], the whole of it."""
    names = ["none", *(name for _, name in history)]
    effective_at = at or history[-1][0]
    data = {
        "member_version": version,
        "event_no": 0,
        "tier": names[-1],
        "previous_tier": names[-2] if len(names) > 1 else "none",
        "effective_at": effective_at,
        "history": [{"tier": name, "effective_at": since} for since, name in history],
        "growth_value": growth,
        "orders": orders,
        "program_version": "2026.1",
        "cause": {"type": "loyalty.order.qualified.v1", "source": "/loyalty/ledger", "id": f"{member}:1:0"},
    }
    return event(
        f"loyalty.tier.{kind}.v1",
        data,
        id=f"{member}:{version}:0",
        at=effective_at,
        member=member,
        source="/loyalty/tiering",
    )
