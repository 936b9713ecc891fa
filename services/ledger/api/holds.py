"""Holds: points reserved for a checkout, then captured or released."""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.ledger.answers import hold_json
from services.ledger.api.commands import (
    Body,
    Commands,
    Origin,
    Points,
    PointsOut,
    Reference,
    public_id,
    refusals,
    unknown,
)
from services.ledger.api.context import READ_ANSWERS, Context, MemberPath, json_response
from services.ledger.api.pages import Cursor, Limit, next_version, page_json, version_of
from services.ledger.domain.state.fact_keys import hold_key
from services.ledger.domain.state.holds import decode_hold
from services.ledger.domain.state.inputs import CaptureHold, HoldPoints, ReleaseHold
from services.ledger.reads import lists

DEFAULT_TTL_SECONDS = 900
MAX_TTL_SECONDS = 30 * 86_400

HoldPath = Annotated[str, Path(pattern="^[0-9a-f]{24}$", description="The hold's id.")]


class HoldIn(Body):
    """Points to reserve."""

    points: Points
    reference: Reference
    ttl_seconds: int = Field(
        default=DEFAULT_TTL_SECONDS, ge=1, le=MAX_TTL_SECONDS, description="After this time the hold ends by itself."
    )


class CaptureIn(Body):
    """How much of a hold to redeem; without `points` all of it."""

    points: Points | None = None


class HoldOut(BaseModel):
    """A hold. It ends once: its `captured` points are redeemed then, and the others available again."""

    hold_id: str
    member_id: str
    reference: str
    points: int
    state: Literal["open", "captured", "released", "timed_out"]
    captured: int
    returned: int = Field(
        description="Of those captured by command, what came back because the order that has them uses fewer. What "
        "comes back later comes back with the order."
    )
    made_at: str
    expires_at: str
    ended_at: str | None = None
    shop: str | None = Field(default=None, description="With `order_id`: the order that has its points.")
    order_id: str | None = None


class HoldsOut(BaseModel):
    """A page of holds."""

    holds: list[HoldOut]
    next_cursor: str | None = Field(description="Send it as `cursor` for the older ones; null at the end.")


class HoldDone(HoldOut):
    """A hold after a command, with the member's points after it."""

    balance: PointsOut
    version: int


def routes(context: Context, commands: Commands) -> APIRouter:
    """The hold's paths."""
    router = APIRouter(tags=["holds"])
    _add_hold(router, commands)
    _add_list(router, context)
    _add_look(router, context, commands)
    _add_capture(router, commands)
    _add_release(router, commands)
    return router


def _add_hold(router: APIRouter, commands: Commands) -> None:
    spender = commands.writer()

    @router.post(
        "/v1/members/{member_id}/holds",
        status_code=201,
        response_model=HoldDone,
        responses=refusals("insufficient_points", "below_minimum", "off_step", "reference_used", "too_many_holds"),
        summary="Hold points",
    )
    async def hold(member_id: MemberPath, body: HoldIn, origin: Origin = spender) -> Response:
        """Held points can be neither spent elsewhere nor clawed back.

        An order that names the hold captures what it uses of it, and the rest is free again. What was captured by
        command before and the order does not use returns in the same way.
        """
        make = partial(
            HoldPoints,
            hold=public_id("hold", member_id, body.reference),
            reference=body.reference,
            points=body.points,
            ttl_seconds=body.ttl_seconds,
        )
        return await commands.execute(origin, member_id, body, make)


def _add_list(router: APIRouter, context: Context) -> None:
    reader = context.reader()

    @router.get(
        "/v1/members/{member_id}/holds",
        response_model=HoldsOut,
        responses=READ_ANSWERS,
        summary="A member's holds, the newest first",
    )
    async def holds(
        member_id: MemberPath, caller: Caller = reader, cursor: Cursor = None, limit: Limit = 50
    ) -> Response:
        """Each as it is now. It is timed out from its `expires_at` on, whether or not that was booked yet."""
        before, now = version_of(cursor), context.present(member_id)
        async with context.reads.snapshot() as tx:
            shard, account = await context.account(tx, member_id)
            listed, more = await lists.listed_with_facts(
                tx, shard, account.number, "hold", before, key_of=_key_of, limit=limit
            )
        found = [hold_json(member_id, made.hold, decode_hold(fact), now) for made, fact in listed]
        return json_response(page_json("holds", found, next_version(more)))


def _key_of(made: HoldPoints) -> str:
    return hold_key(made.hold)


def _add_look(router: APIRouter, context: Context, commands: Commands) -> None:
    reader = context.reader()

    @router.get(
        "/v1/holds/{hold_id}",
        response_model=HoldOut,
        responses=unknown("hold_unknown"),
        summary="One hold",
    )
    async def look(hold_id: HoldPath, caller: Caller = reader) -> Response:
        """A hold as it is now. It is timed out from its `expires_at` on, whether or not that was booked yet."""
        member_id, raw = await commands.find(caller, hold_key(hold_id), hold_id, "hold_unknown")
        return json_response(hold_json(member_id, hold_id, decode_hold(raw), context.present(member_id)))


def _add_capture(router: APIRouter, commands: Commands) -> None:
    spender = commands.writer()

    @router.post(
        "/v1/holds/{hold_id}/capture",
        response_model=HoldDone,
        responses=refusals("hold_unknown", "hold_over", "more_than_held"),
        summary="Capture a hold",
    )
    async def capture(hold_id: HoldPath, body: CaptureIn | None = None, origin: Origin = spender) -> Response:
        """All its points are redeemed, or `points` of them and the rest is released."""
        member_id, _ = await commands.find(origin.caller, hold_key(hold_id), hold_id, "hold_unknown")
        points = body.points if body is not None else None
        return await commands.execute(origin, member_id, body, partial(CaptureHold, hold=hold_id, points=points))


def _add_release(router: APIRouter, commands: Commands) -> None:
    spender = commands.writer()

    @router.post(
        "/v1/holds/{hold_id}/release",
        response_model=HoldDone,
        responses=refusals("hold_unknown", "hold_over"),
        summary="Release a hold",
    )
    async def release(hold_id: HoldPath, origin: Origin = spender) -> Response:
        """The points are available again, in the lots they came from."""
        member_id, _ = await commands.find(origin.caller, hold_key(hold_id), hold_id, "hold_unknown")
        return await commands.execute(origin, member_id, None, partial(ReleaseHold, hold=hold_id))
