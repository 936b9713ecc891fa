"""Tiers over HTTP: where a member stands, joining, and the ladder itself."""

# Without `from __future__ import annotations`: FastAPI could not see the guard of a closure in a text.

from collections.abc import Callable
from hashlib import blake2b
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Header, Path, Query, Response, Security
from pydantic import BaseModel, ConfigDict, Field

from schemas.events.reasons import Refused
from services.kit.auth import Caller, Guard
from services.kit.calendar import Micros, rfc3339
from services.kit.clock import Clock, now
from services.kit.executor import Executor
from services.kit.kafka import shard_of
from services.kit.money import decimal_string, minor_units
from services.kit.postgres import Pool
from services.kit.problem import FORBIDDEN, INVALID, NOT_FOUND, UNAVAILABLE, Problem, kind, responses
from services.tiering import store
from services.tiering.domain.ladder import LadderStep, Way
from services.tiering.domain.member import Cause, Enrolment, Input, Member
from services.tiering.domain.program import Program, Versions
from services.tiering.events import outbound
from services.tiering.executor import Outcome

ENROLMENT: Final = "loyalty.member.enrolment.v1"
"""The cause of an enrolment by call, in the journal and in the facts."""

MEMBER_UNKNOWN: Final = kind("member-unknown", "No such member", 404)

MemberPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="The member's id.")]
_PRIVATE: Final = {"Cache-Control": "private, no-cache"}
_NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "The answer is the one that `If-None-Match` names."}
}


class Gap(BaseModel):
    """What is missing for a step: all that is named must be met."""

    growth: str | None = Field(None, description="Growth value still missing, in the program's currency.")
    orders: int | None = Field(None, description="Successful orders still missing.")


class Next(BaseModel):
    """The step above the tier held."""

    tier: str
    names: dict[str, str] = Field(description="What the tier is called, by locale.")
    gap: Gap = Field(description="What is missing by the first way the program names.")
    ways: list[Gap] = Field(description="What is missing by each way; any one of them is enough.")


class Since(BaseModel):
    """A tier reached in business time."""

    tier: str
    effective_at: str


class Standing(BaseModel):
    """Where a member stands. Under `with`, the tier, the figures and the next step are those after such an order."""

    model_config = ConfigDict(populate_by_name=True)

    member_id: str
    tier: str = Field(description="`none` before the first tier.")
    names: dict[str, str]
    since: str | None = Field(description="Business time from which the tier counts; null before it does.")
    valid_until: str | None = Field(description="Null: a tier reached stays.")
    enrolled_at: str | None = Field(description="Null for who only ordered.")
    growth_value: str
    orders: int = Field(description="Successful orders.")
    keep: None = Field(description="Null: a tier reached stays.")
    next: Next | None = Field(description="Null at the top.")
    benefits: list[str]
    history: list[Since]
    program_version: str = Field(description="The version whose ladder the gaps are read from.")
    with_: str | None = Field(None, alias="with", description="The amount that was asked about.")


class Enrolled(BaseModel):
    """The answer to an enrolment."""

    member_id: str
    enrolled_at: str
    tier: str


class LadderStepOut(BaseModel):
    """One tier of the ladder."""

    tier: str
    rank: int = Field(description="1 is the lowest.")
    names: dict[str, str]
    ways: list[Gap] = Field(description="Any one of them is enough; all that one names must be met.")


class LadderOut(BaseModel):
    """The ladder in force now, the lowest tier first."""

    program: str
    version: str
    currency: str
    mode: str
    tiers: list[LadderStepOut]


def routes(
    pool: Pool,
    executor: Executor[Input, Outcome],
    guard: Guard,
    versions: Callable[[], Versions],
    *,
    shards: int,
    clock: Clock = now,
) -> APIRouter:
    """The paths of tiering. `versions` raises NoProgram before a program is known."""
    router = APIRouter()

    @router.get(
        "/v1/members/{member_id}/tier",
        response_model=Standing,
        response_model_by_alias=True,
        responses={**responses(MEMBER_UNKNOWN, NOT_FOUND, UNAVAILABLE), **_NOT_MODIFIED},
        summary="Where a member stands",
    )
    async def tier(
        member_id: MemberPath,
        _: Annotated[Caller, Security(guard, scopes=["tiering:read"])],
        amount: Annotated[
            str | None, Query(alias="with", description="Answer as after a successful order of this amount.")
        ] = None,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        member = await store.standing(pool, shard_of(member_id, shards), member_id)
        if member is None:
            raise Problem(MEMBER_UNKNOWN, f"Nothing is known of member {member_id}.")
        program = versions().at(clock())
        more = None if amount is None else _amount(amount, program)
        return _tagged(standing(member_id, member, program, more), if_none_match)

    @router.post(
        "/v1/members/{member_id}/enrolment",
        response_model=Enrolled,
        responses={
            **responses(NOT_FOUND, FORBIDDEN, UNAVAILABLE),
            201: {"model": Enrolled, "description": "Joined now"},
        },
        summary="Join the program; again is a no-op",
    )
    async def enrol(
        member_id: MemberPath,
        caller: Annotated[Caller, Security(guard, scopes=["tiering:read"])],
    ) -> Response:
        # A member joins on wish with a token of their own; anybody else needs the right to enrol others.
        if caller.member is None and "tiering:admin" not in caller.scopes:
            raise Problem(FORBIDDEN, "Enrolling another takes the scope tiering:admin.")
        versions()
        at = clock()
        cause = Cause(ENROLMENT, outbound.SOURCE, f"{member_id}:{at}", at, actor=caller.subject)
        outcome = await executor.submit(shard_of(member_id, shards), Enrolment(member_id, cause))
        assert not isinstance(outcome, Refused), "open membership refuses nobody"
        assert outcome.enrolled_at is not None
        body = {"member_id": member_id, "enrolled_at": rfc3339(outcome.enrolled_at), "tier": outcome.tier}
        return _json(body, status=201 if outcome.enrolled_at == at else 200)

    @router.get(
        "/v1/tiers",
        response_model=LadderOut,
        responses={**responses(UNAVAILABLE), **_NOT_MODIFIED},
        summary="The ladder",
    )
    async def tiers(
        _: Annotated[Caller, Security(guard, scopes=["tiering:read"])],
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        return _tagged(ladder(versions().at(clock())), if_none_match)

    return router


def standing(member_id: str, member: Member, program: Program, more: int | None = None) -> dict[str, Any]:
    """A member's standing as the contract shows it; with `more`, as after a successful order of that amount.

    Amounts are minor units. The ladder is that of the program version given, so a gap is what is missing by the
    rules of now, while the tier held is what the history says (T1, T3).
    """
    position, steps = member.position, program.ladder
    growth, orders, since = position.growth, position.orders, position.since
    held = steps.rank_of(position.tier, position.reached[-1].rank) if position.reached else 0
    rank, tier = held, position.tier
    if more is not None:
        growth, orders = growth + more, orders + 1
        rank = max(held, steps.rank(growth, orders))
        if rank > held:
            tier, since = steps.tier(rank), None
    above = steps.next(rank)
    shown = {
        "member_id": member_id,
        "tier": tier,
        "names": next((step.names for step in steps.steps if step.tier == tier), {}),
        "since": _time(since),
        "valid_until": None,
        "enrolled_at": _time(member.enrolled_at),
        "growth_value": decimal_string(max(0, growth), program.decimals),
        "orders": max(0, orders),
        "keep": None,
        "next": None if above is None else _next(above, growth, orders, program.decimals),
        "benefits": [],
        "history": [
            {"tier": reached.tier, "effective_at": rfc3339(reached.effective_at)} for reached in position.reached
        ],
        "program_version": program.version,
    }
    if more is not None:
        shown["with"] = decimal_string(more, program.decimals)
    return shown


def ladder(program: Program) -> dict[str, Any]:
    """A program version's ladder as the contract shows it."""
    return {
        "program": program.name,
        "version": program.version,
        "currency": program.currency,
        "mode": "upgrade_only",
        "tiers": [
            {
                "tier": step.tier,
                "rank": rank,
                "names": step.names,
                "ways": [_gap(way, program.decimals) for way in step.ways],
            }
            for rank, step in enumerate(program.ladder.steps, start=1)
        ],
    }


def _next(step: LadderStep, growth: int, orders: int, decimals: int) -> dict[str, Any]:
    ways = [_gap(way.gap(growth, orders), decimals) for way in step.ways]
    return {"tier": step.tier, "names": step.names, "gap": ways[0], "ways": ways}


def _gap(way: Way, decimals: int) -> dict[str, Any]:
    return {
        "growth": None if way.growth is None else decimal_string(way.growth, decimals),
        "orders": way.orders,
    }


def _amount(text: str, program: Program) -> int:
    try:
        amount = minor_units(text, program.decimals)
    except ValueError:
        amount = -1
    if amount < 0:
        raise Problem(
            INVALID,
            f"`with` is an amount in {program.currency} with at most {program.decimals} decimals, not negative.",
            field="with",
        )
    return amount


def _time(instant: Micros | None) -> str | None:
    return None if instant is None else rfc3339(instant)


def _json(body: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json", headers=_PRIVATE)


def _tagged(body: dict[str, Any], if_none_match: str | None) -> Response:
    """The answer with an ETag that changes exactly when the answer does; 304 to who has it already."""
    content = orjson.dumps(body)
    tag = f'"{blake2b(content, digest_size=12).hexdigest()}"'
    headers = {**_PRIVATE, "ETag": tag}
    if if_none_match is not None:
        known = [candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")]
        if tag in known or "*" in known:
            return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)
