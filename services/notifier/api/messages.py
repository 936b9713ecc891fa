"""`GET /v1/members/{id}/messages`: every decision about a member's messages, also those not to send."""

# Without `from __future__ import annotations`: FastAPI cannot resolve a closure's guard from a string annotation.

from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from services.kit.auth import Caller
from services.kit.calendar import rfc3339, to_micros
from services.notifier import store
from services.notifier.api.context import Context, Cursor, Limit, MemberPath, answer, before_number, next_cursor
from services.notifier.domain.decision import WithheldReason
from services.notifier.events.outbound import message_id


class DecisionOut(BaseModel):
    """A decision to send a message, or not to."""

    model_config = ConfigDict(populate_by_name=True)

    message_id: str
    touchpoint: str
    occasion: str = Field(description="What it was about, in business terms; each occasion is decided once for ever.")
    channel: str = Field(description="`none` where the program has no channel for it.")
    message_class: str = Field(alias="class")
    decision: str = Field(description="`sent` or `withheld`.")
    reason: WithheldReason | None = Field(description="Why it was withheld.")
    attempts: int = Field(description="Requests made to a gateway; none is needed in the app.")
    program_version: str
    at: str = Field(description="When it happened, in business time.")
    decided_at: str


class Decisions(BaseModel):
    """A page of decisions, the newest first."""

    member_id: str
    messages: list[DecisionOut]
    next_cursor: str | None


def routes(context: Context) -> APIRouter:
    """The path of decisions."""
    router = APIRouter()

    @router.get("/v1/members/{member_id}/messages", response_model=Decisions, summary="Each decision, also not to send")
    async def messages(
        member_id: MemberPath, _: Annotated[Caller, context.reader()], cursor: Cursor = None, limit: Limit = 20
    ) -> Response:
        shard = context.shard(member_id)
        rows = await store.decisions(context.pool, shard, member_id, before_number(cursor), limit + 1)
        decisions = [_decision_json(row, member_id) for row in rows[:limit]]
        return answer({"member_id": member_id, "messages": decisions, "next_cursor": next_cursor(rows, limit)})

    return router


def _decision_json(row: asyncpg.Record, member_id: str) -> dict[str, Any]:
    return {
        "message_id": message_id(member_id, row["key"]),
        "touchpoint": row["touchpoint"],
        "occasion": row["occasion"],
        "channel": row["channel"],
        "class": row["class"],
        "decision": "sent" if row["reason"] is None else "withheld",
        "reason": row["reason"],
        "attempts": row["attempts"],
        "program_version": row["program_version"],
        "at": rfc3339(to_micros(row["at"])),
        "decided_at": rfc3339(to_micros(row["decided_at"])),
    }
