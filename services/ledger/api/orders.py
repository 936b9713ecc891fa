"""Orders as the ledger knows them: their facts so far, what is booked for them, and their qualifying timeline."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from schemas.events.fields import Id, Shop
from services.kit.auth import Caller
from services.kit.calendar import Day, Micros, rfc3339
from services.kit.money import decimal_string
from services.kit.problem import UNAVAILABLE, Problem, kind, responses
from services.ledger.api.context import MEMBER_UNKNOWN, READ_ANSWERS, Context, MemberPath, iso_day, json_response
from services.ledger.api.pages import Cursor, Limit, cursor_of, page, page_json, place_of
from services.ledger.domain.program.multipliers import campaign_of
from services.ledger.domain.program.program import Program, ProgramVersions
from services.ledger.domain.rules.alarms import standing_alarms
from services.ledger.domain.rules.assessment import assess
from services.ledger.domain.rules.order_parts import points_value
from services.ledger.domain.rules.refunds import standing_refunds
from services.ledger.domain.state.alarms import Alarm
from services.ledger.domain.state.inputs import Line
from services.ledger.domain.state.orders import LineEvent, Order, Refund, Share
from services.ledger.domain.state.outcome import TimelineChange
from services.ledger.domain.state.refs import order_of, order_ref
from services.ledger.reads import lists
from services.ledger.reads.lists import OrderRow
from services.ledger.reads.view import View, order_in

ORDER_UNKNOWN: Final = kind("order-unknown", "No such order", 404)

Status = Literal["parked", "paid", "completed", "cancelled"]


class LineOut(BaseModel):
    """A line of the revision that counts. Amounts are after discounts, before points."""

    line_id: str
    sku: str
    category: str | None
    quantity: str
    amount: str
    earns: bool = Field(description="False for what the program excludes.")


class PartOut(BaseModel):
    """A line that an event named, such as a shipment of some lines."""

    line_id: str
    quantity: str | None = None
    at: str


class RefundOut(BaseModel):
    """A refund as its event states it. What it states beyond the rest of a line has no effect."""

    refund_id: str
    at: str
    lines: list[dict[str, str]]
    shipping: str
    tax: str


class Facts(BaseModel):
    """What the events stated, in business times. Null: no event did."""

    paid_at: str | None
    revision: int | None
    lines: list[LineOut]
    shipping: str
    tax: str
    channel: str | None
    points_used: int
    points_value: str
    shipped_at: str | None
    completed_at: str | None
    cancelled_at: str | None = Field(description="Null also of an order that was reinstated since.")
    reinstated_at: str | None
    shipped_lines: list[PartOut]
    completed_lines: list[PartOut]
    refunds: list[RefundOut]
    failed_refunds: list[str] = Field(description="The ids of refunds that never happened.")


class ShareOut(BaseModel):
    """The order's share of the budget of a campaign."""

    rule: str
    wanted: int = Field(description="What the campaign would give the order without a budget.")
    pending: int
    confirmed: int
    state: Literal["asked", "given", "waits"] = Field(
        description="asked: the budget has not answered yet; given: the order has all of it; waits: the budget is "
        "spent, and the order gets what other orders give back."
    )


class Booked(BaseModel):
    """What is booked for these facts: before a cap, and from the budgets of campaigns."""

    pending: int
    confirmed: int
    budgets: list[ShareOut]
    expires_on: str | None = Field(description="The last day of the lot its points are in.")
    points_used: int = Field(
        description="Net of what was returned. Points that stood for a value beyond what they can pay are not in it."
    )
    program_version: str | None


class TimelineChangeOut(BaseModel):
    """A change of the qualifying amount, or of the number of successful orders."""

    at: str
    amount: str
    orders: int
    cause: str


class AlarmOut(BaseModel):
    """Something odd about the order."""

    kind: str = Field(description="A stable name; the runbook says what each means.")
    detail: str
    at: str = Field(description="The business time of what made it so.")


class OrderOut(BaseModel):
    """An order. `parked`: facts of it wait for its `paid` event."""

    order_id: str
    shop: str
    status: Status
    currency: str
    facts: Facts
    booked: Booked
    timeline: list[TimelineChangeOut] = Field(
        description="What it counts for in the member's growth value, by business time."
    )
    successful: bool
    due: str | None = Field(description="When the lines that are not completed yet will count as completed.")
    parked_at: str | None = Field(description="When the first refund that waits for the order arrived.")
    alarms: list[AlarmOut] = Field(description="What a person should look at.")
    as_of: str


class OrderListed(BaseModel):
    """An order in a list. Its facts and its timeline are at `/orders/{order_id}`."""

    order_id: str
    shop: str
    status: Status
    paid_at: str | None
    pending: int
    confirmed: int
    points_used: int
    expires_on: str | None = Field(description="The last day of the lot its points are in.")
    successful: bool
    due: str | None
    alarms: list[AlarmOut]


class OrdersOut(BaseModel):
    """A page of orders, the one paid last first; those that wait for their `paid` event come after all others."""

    orders: list[OrderListed]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null at the end.")
    as_of: str


def routes(context: Context) -> APIRouter:
    """The paths of a member's orders."""
    router = APIRouter(tags=["members"])
    _add_list(router, context)
    _add_look(router, context)
    return router


def _add_list(router: APIRouter, context: Context) -> None:
    reader = context.reader()

    @router.get(
        "/v1/members/{member_id}/orders",
        response_model=OrdersOut,
        responses=READ_ANSWERS,
        summary="A member's orders, the newest first",
    )
    async def orders(
        member_id: MemberPath, caller: Caller = reader, cursor: Cursor = None, limit: Limit = 50
    ) -> Response:
        """What is due by now is in the figures, whether or not it was booked yet."""
        now, after = context.present(member_id), place_of(cursor)
        async with context.reads.snapshot() as tx:
            shard, _, view = await context.view(tx, member_id, now)
            rows = await lists.orders_after(tx, shard, view.account.number, after, limit=limit + 1)
        listed, more = page(rows, limit)
        next_cursor = cursor_of(listed[-1].place) if more else None
        return json_response(
            page_json("orders", [_listed_json(row, view) for row in listed], next_cursor) | {"as_of": rfc3339(now)}
        )


def _listed_json(row: OrderRow, view: View) -> dict[str, Any]:
    order = view.as_stored(row.place.ref, row.state)
    # An older release has kept the kinds alone; the order itself, read by its lines, says more.
    alarms = order.alarms or [Alarm(kind, "", order.paid_at) for kind in order.older_alarms]
    shop, order_id = order_of(row.place.ref) or ("", row.place.ref)
    return {
        "order_id": order_id,
        "shop": shop,
        "status": status_of(order),
        "paid_at": _time(order.paid_at),
        "pending": order.pending,
        "confirmed": order.confirmed,
        "points_used": order.used,
        "expires_on": iso_day(view.member.lots.last_day(order.lot_day)),
        "successful": _is_successful(order),
        "due": _time(order.due),
        "alarms": [_alarm_json(alarm) for alarm in alarms],
    }


def _add_look(router: APIRouter, context: Context) -> None:
    reader = context.reader()

    @router.get(
        "/v1/members/{member_id}/orders/{order_id:path}",
        response_model=OrderOut,
        responses=responses(MEMBER_UNKNOWN, ORDER_UNKNOWN, UNAVAILABLE),
        summary="One order's facts, points and timeline",
    )
    async def order(
        member_id: MemberPath,
        order_id: Annotated[Id, Path(description="The shop's name for the order.")],
        caller: Caller = reader,
        shop: Annotated[Shop, Query(description="The shop's name, where there is more than one.")] = "",
    ) -> Response:
        """What is due by now is in the figures, whether or not it was booked yet."""
        now = context.present(member_id)
        async with context.reads.snapshot() as tx:
            shard, programs, view = await context.view(tx, member_id, now)
            found = await order_in(tx, shard, view, order_ref(shop, order_id))
        if found is None:
            raise Problem(ORDER_UNKNOWN, f"Nothing is known of this order of member {member_id}; check `shop` too.")
        known, lines = found
        body = order_state_json(known, lines, view.member.lots.last_day(known.lot_day), programs, now)
        return json_response({"order_id": order_id, "shop": shop, **body, "as_of": rfc3339(now)})


def order_state_json(
    order: Order, lines: tuple[Line, ...], last_day: Day, programs: ProgramVersions, now: Micros
) -> dict[str, Any]:
    """An order's state as the contract has it; `last_day` is that of the lot its points are in."""
    program = programs.at(order.paid_at or now)
    booked_under = programs.by_number.get(order.booked_under)
    assessment = assess(order, lines, program, now) if order.paid_at else None
    return {
        "status": status_of(order),
        "currency": program.currency,
        "facts": _facts_json(order, lines, program),
        "booked": {
            "pending": order.pending,
            "confirmed": order.confirmed,
            "budgets": [_share_json(share) for share in order.shares if share.wanted],
            "expires_on": iso_day(last_day),
            "points_used": order.used,
            "program_version": None if booked_under is None else booked_under.version,
        },
        "timeline": [_change_json(change, program.decimals) for change in assessment.timeline] if assessment else [],
        "successful": _is_successful(order),
        "due": _time(order.due),
        "parked_at": _time(order.waits_since),
        "alarms": [_alarm_json(alarm) for alarm in standing_alarms(order, assessment.alarms)] if assessment else [],
    }


def status_of(order: Order) -> Status:
    """How far an order has come."""
    if not order.paid_at:
        return "parked"
    if order.cancelled_at:
        return "cancelled"
    return "completed" if order.all_confirmed == order.lines_version else "paid"


def _is_successful(order: Order) -> bool:
    return bool(order.success_from and not order.success_until)


def _facts_json(order: Order, lines: tuple[Line, ...], program: Program) -> dict[str, Any]:
    decimals = program.decimals
    return {
        "paid_at": _time(order.paid_at),
        "revision": order.revision if order.lines_version else None,
        "lines": [_line_json(line, program) for line in lines],
        "shipping": decimal_string(order.shipping, decimals),
        "tax": decimal_string(order.tax, decimals),
        "channel": order.channel or None,
        "points_used": order.points_used,
        "points_value": decimal_string(points_value(order, program), decimals),
        "shipped_at": _time(order.shipped_at),
        "completed_at": _time(order.completed_at),
        "cancelled_at": _time(order.cancelled_at),
        "reinstated_at": _time(order.reinstated_at),
        "shipped_lines": [_part_json(part) for part in order.shipped_lines],
        "completed_lines": [_part_json(part) for part in order.completed_lines],
        "refunds": [_refund_json(refund, decimals) for refund in standing_refunds(order).values()],
        "failed_refunds": order.failed_refunds,
    }


def _line_json(line: Line, program: Program) -> dict[str, Any]:
    return {
        "line_id": line.line_id,
        "sku": line.sku,
        "category": line.category,
        "quantity": line.quantity,
        "amount": decimal_string(line.amount, program.decimals),
        "earns": not program.order.excludes.has(line),
    }


def _refund_json(refund: Refund, decimals: int) -> dict[str, Any]:
    return {
        "refund_id": refund.refund_id,
        "at": rfc3339(refund.at),
        "lines": [{"line_id": line_id, "amount": decimal_string(amount, decimals)} for line_id, amount in refund.lines],
        "shipping": decimal_string(refund.shipping, decimals),
        "tax": decimal_string(refund.tax, decimals),
    }


def _share_json(share: Share) -> dict[str, Any]:
    pending, confirmed = share.booked
    missing = "waits" if share.answered == share.asked else "asked"
    return {
        "rule": campaign_of(share.account),
        "wanted": share.wanted,
        "pending": pending,
        "confirmed": confirmed,
        "state": "given" if share.granted == share.wanted else missing,
    }


def _part_json(part: LineEvent) -> dict[str, Any]:
    line_id, quantity, at = part
    return {"line_id": line_id, "quantity": quantity, "at": rfc3339(at)}


def _change_json(change: TimelineChange, decimals: int) -> dict[str, Any]:
    return {
        "at": rfc3339(change.at),
        "amount": decimal_string(change.amount, decimals),
        "orders": change.orders,
        "cause": change.cause,
    }


def _alarm_json(alarm: Alarm) -> dict[str, Any]:
    return {"kind": alarm.kind, "detail": alarm.detail, "at": rfc3339(alarm.at)}


def _time(instant: Micros) -> str | None:
    return rfc3339(instant) if instant else None
