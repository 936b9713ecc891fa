"""Streak repairs: a member buys a day that was missed, and the streak goes on (D4)."""

from datetime import date
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from services.kit.calendar import day_from
from services.ledger.api.commands import Body, Commands, Origin, PointsOut, refusals
from services.ledger.api.context import MemberPath
from services.ledger.domain.state.inputs import RepairStreak


class StreakRepairIn(Body):
    """A missed day to buy."""

    day: Annotated[date, Field(description="The local date that was missed, before today.")]


class StreakRepairDone(BaseModel):
    """The day, which now counts as if the member had signed in, with the member's points after it."""

    member_id: str
    day: str
    balance: PointsOut
    version: int


def routes(commands: Commands) -> APIRouter:
    """POST /v1/members/{member_id}/streak-repairs"""
    router = APIRouter(tags=["members"])
    spender = commands.writer()

    @router.post(
        "/v1/members/{member_id}/streak-repairs",
        status_code=201,
        response_model=StreakRepairDone,
        responses=refusals(
            "make_up_not_offered", "day_out_of_reach", "day_not_missed", "insufficient_points", "out_of_range"
        ),
        summary="Buy a missed day of the streak",
    )
    async def repair_streak(member_id: MemberPath, body: StreakRepairIn, origin: Origin = spender) -> Response:
        """The program names the price, and for how many days after a missed day it can be bought; each is sold once."""
        return await commands.execute(origin, member_id, body, partial(RepairStreak, day=day_from(body.day)))

    return router
