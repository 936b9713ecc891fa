"""`/v1/members/{id}/inbox`: a member's messages in the app, and marking them as read."""

# Without `from __future__ import annotations`: FastAPI cannot resolve a closure's guard from a string annotation.

from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from services.kit.auth import Caller
from services.kit.calendar import rfc3339, to_micros
from services.kit.problem import Problem, kind, responses
from services.notifier import store
from services.notifier.api.context import (
    CHOICE_FORBIDDEN,
    Context,
    Cursor,
    Limit,
    MemberPath,
    answer,
    before_number,
    check_may_choose,
    next_cursor,
)
from services.notifier.domain.inputs import InboxRead
from services.notifier.domain.member import Member
from services.notifier.events.outbound import key_of, message_id
from services.notifier.executor import Marked

MESSAGE_ID_INVALID: Final = kind("message-id-invalid", "Not a message id", 422)

MessageId = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class InboxMessage(BaseModel):
    """A message in the app, in the language the member reads now."""

    message_id: str
    touchpoint: str
    at: str = Field(description="When it happened, in business time.")
    received_at: str
    read_at: str | None
    locale: str
    title: str
    text: str


class Inbox(BaseModel):
    """A page of an inbox, the newest first."""

    member_id: str
    unread: int = Field(description="Of the whole inbox.")
    messages: list[InboxMessage]
    next_cursor: str | None = Field(description="For the page after this one; null at the end.")


class ReadBody(BaseModel):
    """Which messages were read."""

    model_config = ConfigDict(extra="forbid")

    message_ids: list[MessageId] = Field(default=[], max_length=100)
    through: MessageId | None = Field(None, description="This message and all that came before it.")


class ReadAnswer(BaseModel):
    """How many messages were marked, and how many are left."""

    marked: int = Field(description="How many were unread and are read now.")
    unread: int


def routes(context: Context) -> APIRouter:
    """The paths of the inbox."""
    router = APIRouter()

    @router.get("/v1/members/{member_id}/inbox", response_model=Inbox, summary="A member's messages in the app")
    async def inbox(
        member_id: MemberPath, _: Annotated[Caller, context.reader()], cursor: Cursor = None, limit: Limit = 20
    ) -> Response:
        shard = context.shard(member_id)
        rows = await store.inbox(context.pool, shard, member_id, before_number(cursor), limit + 1)
        member = await context.member(member_id)
        return answer(
            {
                "member_id": member_id,
                "unread": await store.unread(context.pool, shard, member_id),
                "messages": [_message_json(context, row, member_id, member) for row in rows[:limit]],
                "next_cursor": next_cursor(rows, limit),
            }
        )

    @router.post(
        "/v1/members/{member_id}/inbox/read",
        response_model=ReadAnswer,
        summary="Mark messages as read",
        responses=responses(CHOICE_FORBIDDEN, MESSAGE_ID_INVALID),
    )
    async def read(member_id: MemberPath, body: ReadBody, caller: Annotated[Caller, context.reader()]) -> Response:
        check_may_choose(caller)
        keys = tuple(_key(identifier) for identifier in body.message_ids)
        through = None if body.through is None else _key(body.through)
        outcome = await context.submit(InboxRead(member_id, context.clock(), keys, through))
        assert isinstance(outcome, Marked)
        return answer({"marked": outcome.marked, "unread": outcome.unread})

    return router


def _message_json(context: Context, row: asyncpg.Record, member_id: str, member: Member) -> dict[str, Any]:
    """A message as the contract has it. Its text is made now, so it is in the member's language of now."""
    at = to_micros(row["at"])
    text = context.render(
        context.policy(row["program_version"]),
        row["touchpoint"],
        "inapp",
        store.parameters_of(row["parameters"]),
        at,
        wanted_locale=member.value("locale"),
    )
    return {
        "message_id": message_id(member_id, row["key"]),
        "touchpoint": row["touchpoint"],
        "at": rfc3339(at),
        "received_at": rfc3339(to_micros(row["decided_at"])),
        "read_at": None if row["read_at"] is None else rfc3339(to_micros(row["read_at"])),
        "locale": text.locale,
        "title": text.title,
        "text": text.body,
    }


def _key(identifier: str) -> bytes:
    """The business key in a message id. Raises Problem 422."""
    key = key_of(identifier)
    if key is None:
        raise Problem(MESSAGE_ID_INVALID, "A message id is 40 hexadecimal digits.", field="message_ids")
    return key
