"""The outcome of an event (booked, known already, parked) and the entries it made."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.kit.calendar import rfc3339
from services.kit.problem import INVALID, UNAVAILABLE, Problem, kind, responses
from services.ledger.api.context import MEMBER_ID, Context, json_response
from services.ledger.api.entries import EntryOut, entry_json
from services.ledger.domain.chain import decode_record
from services.ledger.domain.state.inputs import AnyInput, ProfileUpdated, decode_input
from services.ledger.domain.state.outcome import OutcomeKind
from services.ledger.events.inbound import TYPES
from services.ledger.reads import history, view
from services.ledger.reads.rows import JournalRow

INPUT_UNKNOWN: Final = kind("input-unknown", "No such input", 404)


class InputOut(BaseModel):
    """An event with its business time, and its outcome."""

    member_id: str
    source: str
    id: str
    type: str
    time: str = Field(description="Business time: part of an event's identity.")
    arrived_at: str
    outcome: OutcomeKind
    detail: str = Field(description="The reason, where the outcome alone does not say it.")
    alarms: list[str]
    version: int = Field(description="The version of the account after it.")
    entries: list[EntryOut]


class InputsOut(BaseModel):
    """The event, once for each business time that came with its id, the earliest first."""

    inputs: list[InputOut]


def routes(context: Context) -> APIRouter:
    """GET /v1/inputs"""
    router = APIRouter(tags=["inputs"])
    reader = context.reader()

    @router.get(
        "/v1/inputs",
        response_model=InputsOut,
        responses=responses(INPUT_UNKNOWN, UNAVAILABLE),
        summary="The outcome of an event",
    )
    async def inputs(
        source: Annotated[str, Query(min_length=1, max_length=128, description="The event's `source`.")],
        event_id: Annotated[str, Query(alias="id", min_length=1, max_length=128, description="The event's `id`.")],
        caller: Caller = reader,
        member_id: Annotated[
            str | None,
            Query(
                pattern=f"^{MEMBER_ID.pattern}$", description="The event's `subject`; not needed with a member's token."
            ),
        ] = None,
    ) -> Response:
        """Subject, source, id and time together identify an event."""
        subject = member_id or caller.member
        if subject is None:
            raise Problem(INVALID, "Name the member: the event's `subject`.", field="query.member_id")
        caller.require_member(subject)
        return json_response({"inputs": await _inputs_json(context, subject, source, event_id)})

    return router


async def _inputs_json(context: Context, member_id: str, source: str, event_id: str) -> list[dict[str, Any]]:
    """An event's inputs with their entries. Raises Problem 404 if none was booked."""
    shard = context.shard(member_id)
    async with context.reads.snapshot() as tx:
        rows = await history.journal_of_event(tx, shard, member_id, source, event_id)
        if not rows:
            raise Problem(
                INPUT_UNKNOWN,
                "No such event was booked for this member. It may not have arrived yet; if it was refused, its record "
                "is a dead letter on loyalty.dead_letters.v1, with the reason.",
            )
        programs = await context.reads.programs.read(tx)
        known = await view.account_of(tx, shard, member_id)
        entries = [await history.entries_of(tx, shard, row.account, [row.version]) for row in rows]
    slid = known.details.sliding_last_days if known is not None else []
    return [
        input_json(member_id, row) | {"entries": [entry_json(entry, programs, slid) for entry in booked]}
        for row, booked in zip(rows, entries, strict=True)
    ]


def input_json(member_id: str, row: JournalRow) -> dict[str, Any]:
    """A journal row as the contract has it, without its entries."""
    input_, record = decode_input(row.input_), decode_record(row.record)
    return {
        "member_id": member_id,
        "source": input_.source,
        "id": input_.id,
        "type": type_of_event(row.type, input_),
        "time": rfc3339(row.at),
        "arrived_at": rfc3339(row.now),
        "outcome": record.kind,
        "detail": record.detail,
        "alarms": record.alarms,
        "version": row.version,
    }


def type_of_event(tag: str, input_: AnyInput) -> str:
    """The type of the event that an input was made of."""
    if isinstance(input_, ProfileUpdated) and input_.registers:
        return "commerce.member.registered.v1"
    return TYPES[tag]
