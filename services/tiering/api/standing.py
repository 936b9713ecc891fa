"""`GET /v1/members/{id}/tier`: where a member stands, and what is missing for the next tier."""

# Without `from __future__ import annotations`: FastAPI cannot resolve a closure's guard from a string annotation.

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from services.kit.auth import Caller
from services.kit.calendar import Micros, rfc3339
from services.kit.money import decimal_string, minor_units
from services.kit.problem import INVALID, NOT_FOUND, UNAVAILABLE, Problem, kind, responses
from services.tiering import store
from services.tiering.api.context import (
    NOT_MODIFIED,
    Context,
    Gap,
    IfNoneMatch,
    MemberPath,
    gap_json,
    tagged_answer,
)
from services.tiering.domain.ladder import Tier
from services.tiering.domain.member import Member
from services.tiering.domain.program import Program

MEMBER_UNKNOWN: Final = kind("member-unknown", "No such member", 404)


class Next(BaseModel):
    """The tier above the one held."""

    tier: str
    names: dict[str, str] = Field(description="What the tier is called, by locale.")
    gap: Gap = Field(description="What is missing by the first way the program names.")
    ways: list[Gap] = Field(description="What is missing by each way; any one of them is enough.")


class Since(BaseModel):
    """A tier reached in business time."""

    tier: str
    effective_at: str


class Standing(BaseModel):
    """Where a member stands. Under `with`, the tier, the figures and the next tier are those after such an order."""

    model_config = ConfigDict(populate_by_name=True)

    member_id: str
    tier: str = Field(description="`none` before the first tier.")
    names: dict[str, str]
    since: str | None = Field(description="Business time from which the tier counts; null before the first tier.")
    valid_until: str | None = Field(description="Null: a tier reached stays.")
    enrolled_at: str | None = Field(description="Null for a member who only ordered.")
    growth_value: str
    orders: int = Field(description="Successful orders.")
    keep: None = Field(description="Null: a tier reached stays.")
    next: Next | None = Field(description="Null at the top.")
    benefits: list[str]
    history: list[Since]
    program_version: str = Field(description="The version whose ladder the gaps are read from.")
    with_: str | None = Field(None, alias="with", description="The amount that was asked about.")


def routes(context: Context) -> APIRouter:
    """The path of a member's standing."""
    router = APIRouter()

    @router.get(
        "/v1/members/{member_id}/tier",
        response_model=Standing,
        response_model_by_alias=True,
        responses={**responses(MEMBER_UNKNOWN, NOT_FOUND, UNAVAILABLE), **NOT_MODIFIED},
        summary="Where a member stands",
    )
    async def tier(
        member_id: MemberPath,
        _: Annotated[Caller, context.reader()],
        amount: Annotated[
            str | None, Query(alias="with", description="Answer as after a successful order of this amount.")
        ] = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        member = await store.standing(context.pool, context.shard(member_id), member_id)
        if member is None:
            raise Problem(MEMBER_UNKNOWN, f"Nothing is known of member {member_id}.")
        program = context.program()
        order_amount = None if amount is None else _amount(amount, program)
        return tagged_answer(standing_json(member_id, member, program, order_amount), if_none_match)

    return router


def standing_json(member_id: str, member: Member, program: Program, order_amount: int | None = None) -> dict[str, Any]:
    """A member's standing as the contract has it; with `order_amount`, as after a successful order of that amount.

    Amounts are minor units. The ladder is that of the program version given, so a gap is what is missing by the
    rules of now, while the tier held is the last of the member's history (T1, T3).
    """
    position, ladder = member.position, program.ladder
    growth, orders = position.growth, position.orders
    tier, since = position.tier, position.since
    rank = ladder.rank_of(tier, position.reached[-1].rank) if position.reached else 0
    if order_amount is not None:
        growth, orders = growth + order_amount, orders + 1
        earned_rank = ladder.earned_rank(growth, orders)
        if earned_rank > rank:
            rank, tier, since = earned_rank, ladder.code_at(earned_rank), None
    above = ladder.above(rank)
    body = {
        "member_id": member_id,
        "tier": tier,
        "names": ladder.names_of(tier),
        "since": _time(since),
        "valid_until": None,
        "enrolled_at": _time(member.enrolled_at),
        "growth_value": decimal_string(max(0, growth), program.decimals),
        "orders": max(0, orders),
        "keep": None,
        "next": None if above is None else _next_json(above, growth, orders, program.decimals),
        "benefits": [],
        "history": [
            {"tier": reached.tier, "effective_at": rfc3339(reached.effective_at)} for reached in position.reached
        ],
        "program_version": program.version,
    }
    if order_amount is not None:
        body["with"] = decimal_string(order_amount, program.decimals)
    return body


def _next_json(tier: Tier, growth: int, orders: int, decimals: int) -> dict[str, Any]:
    ways = [gap_json(way.gap(growth, orders), decimals) for way in tier.ways]
    return {"tier": tier.code, "names": tier.names, "gap": ways[0], "ways": ways}


def _amount(text: str, program: Program) -> int:
    """The amount in `with`, in minor units. Raises Problem 422."""
    try:
        amount = minor_units(text, program.decimals)
        if amount >= 0:
            return amount
    except ValueError:
        pass
    raise Problem(
        INVALID,
        f"`with` is an amount in {program.currency} with at most {program.decimals} decimals, not negative.",
        field="with",
    )


def _time(instant: Micros | None) -> str | None:
    return None if instant is None else rfc3339(instant)
