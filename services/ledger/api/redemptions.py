"""Redemptions: a member spends points, alone or on a reward of the catalogue, and may have them returned."""

from functools import partial
from secrets import token_hex
from typing import Annotated, Literal, Self

import orjson
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field, model_validator

from services.kit.auth import Caller
from services.kit.problem import FORBIDDEN, Problem
from services.ledger.answers import REFUSALS, redemption_json
from services.ledger.api.commands import (
    Body,
    Commands,
    Origin,
    Points,
    PointsOut,
    Reference,
    accepted,
    created,
    public_id,
    refusals,
    response,
    unknown,
)
from services.ledger.api.context import READ_ANSWERS, Context, MemberPath, json_response
from services.ledger.api.pages import Cursor, Limit, next_version, page_json, version_of
from services.ledger.domain.state.fact_keys import redemption_key
from services.ledger.domain.state.inputs import RedeemPoints, RedeemReward, ReturnRedemption
from services.ledger.domain.state.redemptions import decode_redemption
from services.ledger.reads import lists

RedemptionPath = Annotated[str, Path(pattern="^[0-9a-f]{24}$", description="The redemption's id.")]


class RedemptionIn(Body):
    """Points to spend, or a reward to buy."""

    points: Points | None = None
    reward: Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,63}$", description="One of /v1/rewards.")] | None = None
    reference: Reference

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.points is None) == (self.reward is None):
            raise ValueError("give `points` or a `reward`")
        return self


class ReturnIn(Body):
    """How much of a redemption to return; without `points` all that was not returned yet."""

    points: Points | None = None


class Draw(BaseModel):
    """A draw that anyone can repeat.

    The first 8 bytes of SHA-256 over `nonce:redemption_id`, divided by 2^64, are a number from 0 to 1. The prizes share
    that range by their chances, in the order of the catalogue; what is left of it wins nothing.
    """

    nonce: str
    prize: str | None = Field(description="Null: nothing was won.")
    reward: str | None = Field(description="The reward that is handed out, if the prize is one.")


class RedemptionOut(BaseModel):
    """A redemption, and how much of it was returned."""

    redemption_id: str
    member_id: str
    reference: str
    points: int
    returned: int = Field(
        description="What came back by command, or because the order that has its points uses fewer. What comes back "
        "later comes back with the order."
    )
    made_at: str
    shop: str | None = Field(default=None, description="With `order_id`: the order that has its points.")
    order_id: str | None = None
    reward: str | None = Field(default=None, description="The reward that was bought; the fields below are about it.")
    kind: str | None = None
    state: Literal["asked", "issued", "returned", "sold_out", "cancelled"] | None = Field(
        default=None,
        description="`returned`: all its points came back by command. `cancelled`: with the order that has its points, "
        "and they return with that order.",
    )
    code: str | None = Field(default=None, description="The coupon's code.")
    draw: Draw | None = None


class RedemptionsOut(BaseModel):
    """A page of redemptions."""

    redemptions: list[RedemptionOut]
    next_cursor: str | None = Field(description="Send it as `cursor` for the older ones; null at the end.")


class RedemptionDone(RedemptionOut):
    """A redemption after a command, with the member's points after it."""

    balance: PointsOut
    version: int


def routes(context: Context, commands: Commands) -> APIRouter:
    """The redemption's paths."""
    router = APIRouter(tags=["redemptions"])
    _add_redeem(router, commands)
    _add_list(router, context)
    _add_look(router, context, commands)
    _add_give_back(router, commands)
    return router


def _add_redeem(router: APIRouter, commands: Commands) -> None:
    spender = commands.writer()

    @router.post(
        "/v1/members/{member_id}/redemptions",
        status_code=201,
        response_model=RedemptionDone,
        responses={
            202: {"model": RedemptionDone, "description": "The stock has not answered yet: `Location` has the result."},
            **refusals(
                "insufficient_points", "below_minimum", "off_step", "reference_used", "reward_unknown", "sold_out"
            ),
        },
        summary="Spend points",
    )
    async def redeem(member_id: MemberPath, body: RedemptionIn, origin: Origin = spender) -> Response:
        """Points that expire first are spent first. An order that names the redemption is paid with its points, and
        what it does not use of them returns at once; a reward's price it uses in full.

        Where a reward has a stock, the stock has to grant it: 201 once it is issued, 409 if it is sold out (the points
        are back), 202 if that takes more than two seconds.
        """
        redemption_id = public_id("redemption", member_id, body.reference)
        if body.reward is None:
            assert body.points is not None
            make = partial(RedeemPoints, redemption=redemption_id, reference=body.reference, points=body.points)
            return await commands.execute(origin, member_id, body, make)
        return await _buy(commands, origin, member_id, redemption_id, body)


def _add_list(router: APIRouter, context: Context) -> None:
    reader = context.reader()

    @router.get(
        "/v1/members/{member_id}/redemptions",
        response_model=RedemptionsOut,
        responses=READ_ANSWERS,
        summary="A member's redemptions, the newest first",
    )
    async def redemptions(
        member_id: MemberPath, caller: Caller = reader, cursor: Cursor = None, limit: Limit = 50
    ) -> Response:
        """Each as it is now. Points that an order used without naming a redemption are with that order."""
        before = version_of(cursor)
        async with context.reads.snapshot() as tx:
            shard, account = await context.account(tx, member_id)
            listed, more = await lists.listed_with_facts(
                tx, shard, account.number, "redeem", before, key_of=_key_of, limit=limit
            )
        found = [redemption_json(member_id, made.redemption, decode_redemption(fact)) for made, fact in listed]
        return json_response(page_json("redemptions", found, next_version(more)))


def _key_of(made: RedeemPoints | RedeemReward) -> str:
    return redemption_key(made.redemption)


def _add_look(router: APIRouter, context: Context, commands: Commands) -> None:
    reader = context.reader()

    @router.get(
        "/v1/redemptions/{redemption_id}",
        response_model=RedemptionOut,
        responses=unknown("redemption_unknown"),
        summary="One redemption",
    )
    async def look(redemption_id: RedemptionPath, caller: Caller = reader) -> Response:
        """A redemption as it is now."""
        member_id, raw = await commands.find(caller, redemption_key(redemption_id), redemption_id, "redemption_unknown")
        return json_response(redemption_json(member_id, redemption_id, decode_redemption(raw)))


def _add_give_back(router: APIRouter, commands: Commands) -> None:
    spender = commands.writer()

    @router.post(
        "/v1/redemptions/{redemption_id}/return",
        response_model=RedemptionDone,
        responses=refusals(
            "redemption_unknown", "redemption_in_order", "more_than_left", "reward_asked", "reward_drawn"
        ),
        summary="Return redeemed points",
    )
    async def give_back(
        redemption_id: RedemptionPath, body: ReturnIn | None = None, origin: Origin = spender
    ) -> Response:
        """Points return to their lots, the last spent first; to an expired lot with the program's grace."""
        member_id, raw = await commands.find(
            origin.caller, redemption_key(redemption_id), redemption_id, "redemption_unknown"
        )
        if origin.caller.member is not None and decode_redemption(raw).reward:
            raise Problem(FORBIDDEN, "Only the shop takes a reward back.")
        points = body.points if body is not None else None
        make = partial(ReturnRedemption, redemption=redemption_id, points=points)
        return await commands.execute(origin, member_id, body, make)


async def _buy(commands: Commands, origin: Origin, member_id: str, redemption_id: str, body: RedemptionIn) -> Response:
    """Redeem points for a reward, and wait for its stock where it has one."""
    assert body.reward is not None
    buy = partial(
        RedeemReward,
        redemption=redemption_id,
        reference=body.reference,
        reward=body.reward,
        nonce=token_hex(16),
    )
    bought = await commands.submit(origin, member_id, body, buy)
    if bought.status >= 400 or orjson.loads(bought.body)["state"] != "asked":
        return response(bought)
    settled = await commands.wait_for(redemption_key(redemption_id), redemption_id, _is_settled)
    if settled is None:
        return accepted(bought, f"/v1/redemptions/{redemption_id}")
    redemption = decode_redemption(settled)
    if redemption.state == "sold_out":
        raise Problem(*REFUSALS["sold_out"])
    return created(bought, redemption_json(member_id, redemption_id, redemption))


def _is_settled(raw: bytes) -> bool:
    return decode_redemption(raw).state != "asked"
