"""One order as the ledger knows it: the facts told so far, what is booked for them, and what they amount to."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.kit.calendar import Day, Micros, rfc3339
from services.kit.money import decimal_string
from services.kit.problem import UNAVAILABLE, Problem, kind, responses
from services.ledger.api.context import MEMBER_UNKNOWN, Context, MemberPath, answer, iso_day
from services.ledger.domain.program.multipliers import campaign_of
from services.ledger.domain.program.program import Program
from services.ledger.domain.rules.assessment import assess
from services.ledger.domain.rules.order_parts import points_value
from services.ledger.domain.rules.refunds import standing_refunds
from services.ledger.domain.state.inputs import Line
from services.ledger.domain.state.orders import LineEvent, Order, Share
from services.ledger.domain.state.outcome import TimelineChange
from services.ledger.domain.state.refs import order_ref
from services.ledger.reads.view import order_in

ORDER_UNKNOWN: Final = kind("order-unknown", "No such order", 404)

Status = Literal["parked", "paid", "completed", "cancelled"]


class LineOut(BaseModel):
    """A line of the telling that counts. Amounts are after discounts, before points."""

    line_id: str
    sku: str
    category: str | None
    quantity: str
    amount: str
    earns: bool = Field(description="False for what the program excludes.")


class PartOut(BaseModel):
    """A line of which something was told by name."""

    line_id: str
    quantity: str | None = None
    at: str


class RefundOut(BaseModel):
    """A refund as told; beyond what is left of a line it takes nothing."""

    refund_id: str
    at: str
    lines: list[dict[str, str]]
    shipping: str
    tax: str


class Facts(BaseModel):
    """What was told, in business times. Null: not told."""

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
    cancelled_at: str | None
    shipped_lines: list[PartOut]
    completed_lines: list[PartOut]
    refunds: list[RefundOut]


class ShareOut(BaseModel):
    """What the order has of the budget of a campaign."""

    rule: str
    wanted: int = Field(description="What the campaign would give it if its budget had no end.")
    pending: int
    confirmed: int
    state: Literal["asked", "given", "waits"] = Field(
        description="asked: the budget has not answered yet; given: all of it; waits: the budget is spent, and what "
        "others give up comes here."
    )


class Booked(BaseModel):
    """What is booked for these facts, before a cap, and by campaigns with a budget."""

    pending: int
    confirmed: int
    budgets: list[ShareOut]
    expires_on: str | None = Field(description="The last day of the lot its points are in.")
    points_used: int = Field(description="Net of what was returned.")
    program_version: str | None


class TimelineChangeOut(BaseModel):
    """A change of the qualifying amount, or of the number of successful orders."""

    at: str
    amount: str
    orders: int
    cause: str


class OrderOut(BaseModel):
    """An order. `parked`: facts of it wait for its `paid` event."""

    order_id: str
    shop: str
    status: Status
    currency: str
    facts: Facts
    booked: Booked
    timeline: list[TimelineChangeOut] = Field(
        description="What it counts for in the member's growth, in business time."
    )
    successful: bool
    due: str | None = Field(description="When lines that are not completed count as completed.")
    parked_at: str | None = Field(description="When the first refund that waits for the order arrived.")
    alarms: list[str] = Field(description="What a person should look at.")
    as_of: str


def routes(context: Context) -> APIRouter:
    """GET /v1/members/{member_id}/orders/{order_id}"""
    router = APIRouter(tags=["members"])
    reader = context.reader()

    @router.get(
        "/v1/members/{member_id}/orders/{order_id:path}",
        response_model=OrderOut,
        responses=responses(MEMBER_UNKNOWN, ORDER_UNKNOWN, UNAVAILABLE),
        summary="One order's facts, points and timeline",
    )
    async def order(
        member_id: MemberPath,
        order_id: str,
        caller: Caller = reader,
        shop: Annotated[str, Query(description="The shop's name, where there is more than one.")] = "",
    ) -> Response:
        """What falls due by now is done in the answer, booked or not."""
        now = context.clock()
        async with context.reads.snapshot() as tx:
            shard, programs, view = await context.view(tx, member_id, now)
            found = await order_in(tx, shard, view, order_ref(shop, order_id))
        if found is None:
            raise Problem(ORDER_UNKNOWN, f"Nothing is known of this order of member {member_id}; check `shop` too.")
        told, lines = found
        program = programs.at(told.paid_at or now)
        booked_under = programs.by_number.get(told.booked_under)
        last_day = view.member.lots.last_day(told.lot_day)
        body = shown(told, lines, program, None if booked_under is None else booked_under.version, last_day, now)
        return answer({"order_id": order_id, "shop": shop, **body, "as_of": rfc3339(now)})

    return router


def shown(
    order: Order, lines: tuple[Line, ...], program: Program, booked_under: str | None, last_day: Day, now: Micros
) -> dict[str, Any]:
    """An order's state as the contract has it."""
    timeline = assess(order, lines, program, now).timeline if order.paid_at else []
    return {
        "status": status_of(order),
        "currency": program.currency,
        "facts": _facts(order, lines, program),
        "booked": {
            "pending": order.pending,
            "confirmed": order.confirmed,
            "budgets": [_share(share) for share in order.shares if share.wanted],
            "expires_on": iso_day(last_day),
            "points_used": order.used,
            "program_version": booked_under,
        },
        "timeline": [_turn(turn, program.decimals) for turn in timeline],
        "successful": bool(order.success_from and not order.success_until),
        "due": _time(order.due),
        "parked_at": None if order.paid_at else _time(min((told.arrived_at for told in order.refunds), default=0)),
        "alarms": order.alarms,
    }


def status_of(order: Order) -> Status:
    """Where an order is on its way."""
    if not order.paid_at:
        return "parked"
    if order.cancelled_at:
        return "cancelled"
    return "completed" if order.all_confirmed == order.lines_version else "paid"


def _facts(order: Order, lines: tuple[Line, ...], program: Program) -> dict[str, Any]:
    decimals, excludes = program.decimals, program.order.excludes
    return {
        "paid_at": _time(order.paid_at),
        "revision": order.revision if order.lines_version else None,
        "lines": [
            {
                "line_id": line.line_id,
                "sku": line.sku,
                "category": line.category,
                "quantity": line.quantity,
                "amount": decimal_string(line.amount, decimals),
                "earns": not excludes.has(line),
            }
            for line in lines
        ],
        "shipping": decimal_string(order.shipping, decimals),
        "tax": decimal_string(order.tax, decimals),
        "channel": order.channel or None,
        "points_used": order.points_used,
        "points_value": decimal_string(points_value(order, program), decimals),
        "shipped_at": _time(order.shipped_at),
        "completed_at": _time(order.completed_at),
        "cancelled_at": _time(order.cancelled_at),
        "shipped_lines": [_part(told) for told in order.shipped_lines],
        "completed_lines": [_part(told) for told in order.completed_lines],
        "refunds": [
            {
                "refund_id": refund.refund_id,
                "at": rfc3339(refund.at),
                "lines": [
                    {"line_id": line_id, "amount": decimal_string(amount, decimals)} for line_id, amount in refund.lines
                ],
                "shipping": decimal_string(refund.shipping, decimals),
                "tax": decimal_string(refund.tax, decimals),
            }
            for refund in standing_refunds(order).values()
        ],
    }


def _share(share: Share) -> dict[str, Any]:
    pending, confirmed = share.booked
    waits = "waits" if share.answered == share.asked else "asked"
    return {
        "rule": campaign_of(share.account),
        "wanted": share.wanted,
        "pending": pending,
        "confirmed": confirmed,
        "state": "given" if share.granted == share.wanted else waits,
    }


def _part(told: LineEvent) -> dict[str, Any]:
    line_id, quantity, at = told
    return {"line_id": line_id, "quantity": quantity, "at": rfc3339(at)}


def _turn(turn: TimelineChange, decimals: int) -> dict[str, Any]:
    return {
        "at": rfc3339(turn.at),
        "amount": decimal_string(turn.amount, decimals),
        "orders": turn.orders,
        "cause": turn.cause,
    }


def _time(instant: Micros) -> str | None:
    return rfc3339(instant) if instant else None
