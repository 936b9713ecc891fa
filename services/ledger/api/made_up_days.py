"""Days of a streak that a member missed and buys."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.ledger.api.commands import Body, Commands, IdempotencyKey, PointsOut, refusals
from services.ledger.api.context import MemberPath
from services.ledger.domain.inputs import MakeUpDay


class MadeUpDayIn(Body):
    """A missed day."""

    day: Annotated[date, Field(description="The local date that was missed, before today.")]


class MadeUpDayDone(BaseModel):
    """A day that counts for the streak as if the member had signed in, with the member's points then."""

    member_id: str
    day: str
    balance: PointsOut
    version: int


def routes(commands: Commands) -> APIRouter:
    """POST /v1/members/{member_id}/made-up-days"""
    router = APIRouter(tags=["members"])
    spender = commands.spender()

    @router.post(
        "/v1/members/{member_id}/made-up-days",
        status_code=201,
        response_model=MadeUpDayDone,
        responses=refusals("make_up_not_offered", "day_out_of_reach", "day_not_missed", "insufficient_points"),
        summary="Buy a missed day of the streak",
    )
    async def make_up(
        member_id: MemberPath,
        body: MadeUpDayIn,
        request: Request,
        key: IdempotencyKey = None,
        caller: Caller = spender,
    ) -> Response:
        """For the price that the program names, as long after the day as it allows, once for each day."""

        def make(source: str, name: str, at: int) -> MakeUpDay:
            return MakeUpDay(source, name, at, body.day.toordinal())

        return await commands.do(caller, request.url.path, key, member_id, body, make)

    return router
