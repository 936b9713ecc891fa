"""The greeter's paths. No `from __future__ import annotations` here: FastAPI must find the guard, a parameter."""

from typing import Annotated

from fastapi import APIRouter, Security
from pydantic import BaseModel, Field

from services.kit.auth import Caller, Guard
from services.kit.executor import Executor
from services.kit.kafka import shard_of
from tests.greeter.hello import Hello

SHARDS = 4


class Said(BaseModel):
    """A hello over HTTP."""

    n: int = Field(ge=0)


def routes(executor: Executor[Hello, str], guard: Guard) -> APIRouter:
    """The greeter's paths."""
    router = APIRouter()

    @router.post("/v1/members/{member_id}/hellos")
    async def say(
        member_id: str, said: Said, caller: Annotated[Caller, Security(guard, scopes=["ledger:spend"])]
    ) -> dict[str, str]:
        outcome = await executor.submit(shard_of(member_id, SHARDS), Hello(member_id, said.n))
        return {"outcome": str(outcome)}

    @router.get("/v1/members/{member_id}/hellos")
    async def heard(
        member_id: str, caller: Annotated[Caller, Security(guard, scopes=["ledger:read"])]
    ) -> dict[str, str]:
        return {"member": member_id, "actor": caller.subject}

    @router.get("/v1/break")
    async def broken() -> None:
        raise RuntimeError("with a secret: hunter2")

    return router
