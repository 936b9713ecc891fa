"""`GET /v1/tiers`: the ladder in force now."""

# Without `from __future__ import annotations`: FastAPI cannot resolve a closure's guard from a string annotation.

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.kit.problem import UNAVAILABLE, responses
from services.tiering.api.context import NOT_MODIFIED, Context, Gap, IfNoneMatch, gap_json, tagged_answer
from services.tiering.domain.program import Program


class TierOut(BaseModel):
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
    tiers: list[TierOut]


def routes(context: Context) -> APIRouter:
    """The path of the ladder."""
    router = APIRouter()

    @router.get(
        "/v1/tiers",
        response_model=LadderOut,
        responses={**responses(UNAVAILABLE), **NOT_MODIFIED},
        summary="The ladder",
    )
    async def tiers(_: Annotated[Caller, context.reader()], if_none_match: IfNoneMatch = None) -> Response:
        return tagged_answer(ladder_json(context.program()), if_none_match)

    return router


def ladder_json(program: Program) -> dict[str, Any]:
    """A program version's ladder as the contract has it."""
    return {
        "program": program.name,
        "version": program.version,
        "currency": program.currency,
        "mode": "upgrade_only",
        "tiers": [
            {
                "tier": tier.code,
                "rank": rank,
                "names": tier.names,
                "ways": [gap_json(way, program.decimals) for way in tier.ways],
            }
            for rank, tier in enumerate(program.ladder.tiers, start=1)
        ],
    }
