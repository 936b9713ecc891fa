"""Redemptions: points spent by command, and given back."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.ledger.answers import redemption_shown
from services.ledger.api.commands import (
    Body,
    Commands,
    IdempotencyKey,
    Points,
    PointsOut,
    Reference,
    given_id,
    refusals,
)
from services.ledger.api.context import Context, MemberPath, answer
from services.ledger.domain.holds import decode_redemption, redemption_key
from services.ledger.domain.inputs import RedeemPoints, ReturnRedemption

RedemptionPath = Annotated[str, Path(pattern="^[0-9a-f]{24}$", description="The redemption's id.")]


class RedemptionIn(Body):
    """Points to spend."""

    points: Points
    reference: Reference


class ReturnIn(Body):
    """How much of a redemption to give back; what is left of it if nothing is said."""

    points: Points | None = None


class RedemptionOut(BaseModel):
    """A redemption, with how much of it was given back."""

    redemption_id: str
    member_id: str
    reference: str
    points: int
    returned: int
    made_at: str
    shop: str | None = Field(default=None, description="With `order_id`: the order that has its points.")
    order_id: str | None = None


class RedemptionDone(RedemptionOut):
    """A redemption after a command, with the member's points then."""

    balance: PointsOut
    version: int


def routes(context: Context, commands: Commands) -> APIRouter:
    """The redemption's paths."""
    router = APIRouter(tags=["redemptions"])
    reader, spender = context.reader(), commands.spender()

    @router.post(
        "/v1/members/{member_id}/redemptions",
        status_code=201,
        response_model=RedemptionDone,
        responses=refusals("insufficient_points", "below_minimum", "off_step", "reference_used"),
        summary="Spend points",
    )
    async def redeem(
        member_id: MemberPath,
        body: RedemptionIn,
        request: Request,
        key: IdempotencyKey = None,
        caller: Caller = spender,
    ) -> Response:
        """What expires first is spent first. An order that names the redemption has its points."""
        redemption_id = given_id("redemption", member_id, body.reference)

        def make(source: str, name: str, at: int) -> RedeemPoints:
            return RedeemPoints(source, name, at, redemption_id, body.reference, body.points)

        return await commands.do(caller, request.url.path, key, member_id, body, make)

    @router.get(
        "/v1/redemptions/{redemption_id}",
        response_model=RedemptionOut,
        responses=refusals("redemption_unknown"),
        summary="One redemption",
    )
    async def look(redemption_id: RedemptionPath, caller: Caller = reader) -> Response:
        """A redemption as it is now."""
        member_id, raw = await commands.find(caller, redemption_key(redemption_id), redemption_id, "redemption_unknown")
        return answer(redemption_shown(member_id, redemption_id, decode_redemption(raw)))

    @router.post(
        "/v1/redemptions/{redemption_id}/return",
        response_model=RedemptionDone,
        responses=refusals("redemption_unknown", "redemption_in_order", "more_than_left"),
        summary="Give redeemed points back",
    )
    async def give_back(
        redemption_id: RedemptionPath,
        request: Request,
        body: ReturnIn | None = None,
        key: IdempotencyKey = None,
        caller: Caller = spender,
    ) -> Response:
        """To the lots they came from, the last spent first; where a lot is over, with the program's grace."""
        member_id, _ = await commands.find(caller, redemption_key(redemption_id), redemption_id, "redemption_unknown")
        points = body.points if body is not None else None

        def make(source: str, name: str, at: int) -> ReturnRedemption:
            return ReturnRedemption(source, name, at, redemption_id, points)

        return await commands.do(caller, request.url.path, key, member_id, body, make)

    return router
