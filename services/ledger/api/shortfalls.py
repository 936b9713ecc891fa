"""Points that clawbacks did not find, and what is decided about them, where the program says `negative: review`."""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.kit.calendar import rfc3339
from services.ledger.answers import order_json
from services.ledger.api.commands import Asked, Body, Commands, PointsOut, refusals
from services.ledger.api.context import READ_ANSWERS, Context, MemberPath, answer
from services.ledger.domain.state.inputs import DecideShortfall


class ShortfallOut(BaseModel):
    """Points to be taken back that the member had no more. They count as taken, and wait for a decision."""

    ref: str = Field(description="What it is about, as its entries have it.")
    points: int
    shop: str | None = Field(default=None, description="With `order_id`: the order it is about.")
    order_id: str | None = None


class ShortfallsOut(BaseModel):
    """All that waits for a decision, the oldest first."""

    shortfalls: list[ShortfallOut]
    version: int
    as_of: str


class DecisionIn(Body):
    """What becomes of a shortfall."""

    ref: Annotated[str, Field(min_length=1, max_length=300)]
    decision: Literal["take", "write_off"] = Field(
        description="`take` it from what the member has by now, and the rest is owed; or `write_off`: let it go."
    )


class DecisionDone(BaseModel):
    """A shortfall decided, with the member's points then."""

    member_id: str
    ref: str
    balance: PointsOut
    version: int


def routes(context: Context, commands: Commands) -> APIRouter:
    """GET and POST /v1/members/{member_id}/shortfalls"""
    router = APIRouter(tags=["members"])
    reader, adjusting = context.reader(), commands.asked("ledger:adjust")

    @router.get(
        "/v1/members/{member_id}/shortfalls",
        response_model=ShortfallsOut,
        responses=READ_ANSWERS,
        summary="Clawbacks that wait for a decision",
    )
    async def waiting(member_id: MemberPath, caller: Caller = reader) -> Response:
        """What is due by now is done in the figures, booked or not."""
        now = context.clock()
        async with context.reads.snapshot() as tx:
            _, _, view = await context.view(tx, member_id, now)
        listed = [
            {"ref": each.ref, "points": each.points, **order_json(each.ref)} for each in view.account.details.shortfalls
        ]
        return answer({"shortfalls": listed, "version": view.account.version, "as_of": rfc3339(now)})

    @router.post(
        "/v1/members/{member_id}/shortfalls",
        response_model=DecisionDone,
        responses=refusals("shortfall_unknown"),
        summary="Decide about a clawback that found too little",
    )
    async def decide(member_id: MemberPath, body: DecisionIn, asked: Asked = adjusting) -> Response:
        """Booked under the rule `clawback-review`, with who decided in the journal."""
        make = partial(DecideShortfall, ref=body.ref, write_off=body.decision == "write_off")
        return await commands.do(asked, member_id, body, make)

    return router
