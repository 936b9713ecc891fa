"""Shortfalls: points that clawbacks could not take, where a person decides about them (`negative: review`)."""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.kit.calendar import rfc3339
from services.ledger.answers import order_json
from services.ledger.api.commands import Body, Commands, Origin, PointsOut, refusals
from services.ledger.api.context import READ_ANSWERS, Context, MemberPath, json_response
from services.ledger.domain.state.inputs import DecideShortfall


class ShortfallOut(BaseModel):
    """Points that a clawback could not take, because the member had spent them. They wait for a decision."""

    ref: str = Field(description="What it is about: the `ref` of its entries.")
    points: int
    shop: str | None = Field(default=None, description="With `order_id`: the order it is about.")
    order_id: str | None = None


class ShortfallsOut(BaseModel):
    """All shortfalls that wait for a decision, the oldest first."""

    shortfalls: list[ShortfallOut]
    version: int
    as_of: str


class DecisionIn(Body):
    """The decision about a shortfall."""

    ref: Annotated[str, Field(min_length=1, max_length=300)]
    decision: Literal["take", "write_off"] = Field(
        description="`take`: from what the member has now, and the rest is owed. `write_off`: the points are given up."
    )


class DecisionDone(BaseModel):
    """A shortfall that was decided, with the member's points after it."""

    member_id: str
    ref: str
    balance: PointsOut
    version: int


def routes(context: Context, commands: Commands) -> APIRouter:
    """GET and POST /v1/members/{member_id}/shortfalls"""
    router = APIRouter(tags=["members"])
    reader, adjuster = context.reader(), commands.writer("ledger:adjust")

    @router.get(
        "/v1/members/{member_id}/shortfalls",
        response_model=ShortfallsOut,
        responses=READ_ANSWERS,
        summary="Shortfalls that wait for a decision",
    )
    async def waiting(member_id: MemberPath, caller: Caller = reader) -> Response:
        """What is due by now is in the figures, whether or not it was booked yet."""
        now = context.present(member_id)
        async with context.reads.snapshot() as tx:
            _, _, view = await context.view(tx, member_id, now)
        listed = [
            {"ref": each.ref, "points": each.points, **order_json(each.ref)} for each in view.account.details.shortfalls
        ]
        return json_response({"shortfalls": listed, "version": view.account.version, "as_of": rfc3339(now)})

    @router.post(
        "/v1/members/{member_id}/shortfalls",
        response_model=DecisionDone,
        responses=refusals("shortfall_unknown", "out_of_range"),
        summary="Decide about a shortfall",
    )
    async def decide(member_id: MemberPath, body: DecisionIn, origin: Origin = adjuster) -> Response:
        """It is booked under the rule `clawback-review`; the journal has who decided."""
        make = partial(DecideShortfall, ref=body.ref, write_off=body.decision == "write_off")
        return await commands.execute(origin, member_id, body, make)

    return router
