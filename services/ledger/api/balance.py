"""A member's balance: the most frequent request, answered with all that is due by now, and never from a cache."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from hashlib import blake2b
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from pydantic import BaseModel, Field

from services.kit.calendar import rfc3339
from services.kit.problem import INVALID, Problem, responses
from services.ledger.api.context import (
    MEMBER_ID,
    PRIVATE,
    READ_ANSWERS,
    Context,
    instant_of,
    iso_day,
    unknown_member,
)
from services.ledger.reads import balances


class Lifetime(BaseModel):
    """What has become of all points so far.

    earned = available + held - debt + redeemed + expired + written_off - transferred.
    """

    earned: int = Field(description="Net of clawbacks; pending points are not in it.")
    redeemed: int = Field(description="Net of what was returned.")
    expired: int = Field(description="Net of what a clawback forgave.")
    written_off: int | None = Field(
        default=None, description="Below 0: clawed back, not there any more, and let go. Left out where it is 0."
    )
    transferred: int | None = Field(
        default=None,
        description="Received from other members less given to them: negative for who gave more, as the `points` of "
        "`loyalty.points.transferred.v1`. Left out where it is 0.",
    )


class Expiring(BaseModel):
    """Available points that can be spent until the end of a local day, and not after it."""

    on: str = Field(examples=["2027-02-28"])
    points: int


class BalanceOut(BaseModel):
    """A member's points, with all that is due by `as_of`."""

    member_id: str
    available: int = Field(description="Can be spent now.")
    pending: int = Field(description="Of orders that are not completed yet.")
    held: int = Field(description="Reserved by holds.")
    debt: int = Field(description="Owed: clawed back after it was spent. The next points pay it first.")
    lifetime: Lifetime
    expiring: list[Expiring] = Field(
        description="All available points that have a last day, by that day, the first to expire first."
    )
    version: int = Field(description="The account's version: one more with each input that was booked.")
    as_of: str = Field(description="The moment that the figures are of.")


_PARAMETERS: Final = [
    {
        "name": "member_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": f"^{MEMBER_ID.pattern}$"},
        "description": "The member's id.",
    },
    {
        "name": "at",
        "in": "query",
        "schema": {"type": "string"},
        "description": "RFC 3339: the balance as the entries booked up to then add up (booking time).",
    },
    {"name": "if-none-match", "in": "header", "schema": {"type": "string"}},
]


class HotRoute(APIRoute):
    """Calls its endpoint with the request alone: to solve a signature costs FastAPI as much as all the rest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself, which guards its path and reads its parameters."""
        return self.endpoint


def routes(context: Context) -> APIRouter:
    """GET /v1/members/{member_id}/balance"""
    reader = context.reader()
    scopes = SecurityScopes(reader.scopes)
    router = APIRouter(tags=["members"], route_class=HotRoute)

    @router.get(
        "/v1/members/{member_id}/balance",
        dependencies=[reader],
        response_model=BalanceOut,
        responses={
            **READ_ANSWERS,
            **responses(INVALID),
            304: {"description": "The answer is the one that `If-None-Match` names."},
        },
        summary="A member's points",
        openapi_extra={"parameters": _PARAMETERS},
    )
    async def balance(request: Request) -> Response:
        """What is due by now (confirmations, expiries) is in the figures, whether or not it was booked yet.

        The ETag is weak: it changes when any figure does, and at local midnight; `as_of` alone may differ.
        """
        member_id: str = request.path_params["member_id"]
        if MEMBER_ID.fullmatch(member_id) is None:
            raise Problem(INVALID, "Not a member id.", field="path.member_id")
        await context.guard(request, scopes)
        if_none_match = request.headers.get("if-none-match")
        if request.scope["query_string"] and (at := request.query_params.get("at")) is not None:
            return await _balance_at(context, member_id, at, if_none_match)
        return await _balance_now(context, member_id, if_none_match)

    return router


async def _balance_now(context: Context, member_id: str, if_none_match: str | None) -> Response:
    now = context.present(member_id)
    found = await context.reads.balance(context.shard(member_id), member_id, now)
    if found is None:
        raise unknown_member(member_id)
    points, programs = found
    tag = f'W/"{points.head[:8].hex()}-{programs.at(now).calendar.day_of(now)}"'
    if if_none_match is not None and matches(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag, **PRIVATE})
    return Response(
        orjson.dumps(balance_json(member_id, points, rfc3339(now))),
        media_type="application/json",
        headers={"ETag": tag, **PRIVATE},
    )


async def _balance_at(context: Context, member_id: str, at: str, if_none_match: str | None) -> Response:
    instant = instant_of(at, "at")
    if instant > context.clock():
        raise Problem(
            INVALID,
            "What will be booked later is not known yet. For the balance of now leave `at` out.",
            field="query.at",
        )
    async with context.reads.snapshot() as tx:
        shard, account = await context.account(tx, member_id)
        points = await balances.balance_booked_until(tx, shard, account, instant)
    content = orjson.dumps(balance_json(member_id, points, rfc3339(instant)))
    headers = {"ETag": f'"{blake2b(content, digest_size=12).hexdigest()}"', **PRIVATE}
    if if_none_match is not None and matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)


def balance_json(member_id: str, points: balances.Balance, as_of: str) -> dict[str, Any]:
    """A balance as the contract has it."""
    lifetime = {"earned": points.earned, "redeemed": points.redeemed, "expired": points.expired}
    if points.written_off:
        lifetime["written_off"] = points.written_off
    if points.in_transit:
        lifetime["transferred"] = -points.in_transit
    return {
        "member_id": member_id,
        "available": points.available,
        "pending": points.pending,
        "held": points.held,
        "debt": points.debt,
        "lifetime": lifetime,
        "expiring": [{"on": iso_day(day), "points": left} for day, left in points.expiring],
        "version": points.version,
        "as_of": as_of,
    }


def matches(if_none_match: str, tag: str) -> bool:
    """Whether an `If-None-Match` has a tag. The comparison is weak: a tag is the same with and without its W/."""
    bare = tag.removeprefix("W/")
    return any(each.strip().removeprefix("W/") in (bare, "*") for each in if_none_match.split(","))
