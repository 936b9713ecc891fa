"""Transfers: points that one member gives to another."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.kit.calendar import rfc3339
from services.kit.problem import Problem
from services.ledger.answers import REFUSALS, transfer_json
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
from services.ledger.api.context import MEMBER_ID, READ_ANSWERS, Context, MemberPath, json_response
from services.ledger.api.pages import Cursor, Limit, next_version, page_json, version_of
from services.ledger.domain.state.fact_keys import arrival_key, transfer_key
from services.ledger.domain.state.inputs import SendPoints
from services.ledger.domain.state.messages import ReceivePoints
from services.ledger.domain.state.refs import OWN
from services.ledger.domain.state.transfers import decode_arrived, decode_transfer
from services.ledger.reads import lists
from services.ledger.reads.view import account_of

TransferPath = Annotated[str, Path(pattern="^[0-9a-f]{24}$", description="The transfer's id.")]
_MemberId = Annotated[str, Field(pattern=f"^{MEMBER_ID.pattern}$")]


class TransferIn(Body):
    """Points to give to another member."""

    sender: _MemberId = Field(alias="from", description="The member who gives.")
    to: _MemberId = Field(description="The member who gets.")
    points: Points
    reference: Reference


class TransferOut(BaseModel):
    """A transfer. It is `in_transit` until the receiver has the points, then `done`."""

    transfer_id: str
    sender: str = Field(alias="from")
    to: str
    reference: str
    points: int
    state: Literal["in_transit", "done"]
    made_at: str
    arrived_at: str | None = None


class TransferListed(BaseModel):
    """A transfer in the list of its sender or of its receiver."""

    transfer_id: str
    sender: str = Field(alias="from")
    to: str
    reference: str | None = Field(None, description="The sender's own name for it; only in the sender's list.")
    points: int
    state: Literal["in_transit", "done"]
    made_at: str
    arrived_at: str | None = None


class TransfersOut(BaseModel):
    """A page of transfers, those that the member sent and those that came."""

    transfers: list[TransferListed]
    next_cursor: str | None = Field(description="Send it as `cursor` for the older ones; null at the end.")


class TransferDone(TransferOut):
    """A transfer after the command, with the sender's points after it."""

    balance: PointsOut
    version: int


def routes(context: Context, commands: Commands) -> APIRouter:
    """The transfer's paths."""
    router = APIRouter(tags=["transfers"])
    _add_send(router, context, commands)
    _add_list(router, context)
    _add_look(router, context, commands)
    return router


def _add_send(router: APIRouter, context: Context, commands: Commands) -> None:
    spender = commands.writer()

    @router.post(
        "/v1/transfers",
        status_code=201,
        response_model=TransferDone,
        responses={
            202: {"model": TransferDone, "description": "In transit: `Location` has the result."},
            **refusals(
                "insufficient_points", "reference_used", "same_member", "receiver_unknown", "transfers_not_allowed",
                "transfer_below_minimum", "beyond_day_limit", "beyond_month_limit",
            ),
        },
        summary="Give points to another member",
    )  # fmt: skip
    async def send(body: TransferIn, origin: Origin = spender) -> Response:
        """The points keep their last days. 201 once the receiver has them, 202 if that takes more than two seconds."""
        origin.caller.require_member(body.sender)
        if (refused := await commands.bind_key(origin, body)) is not None:
            return response(refused)
        if body.sender == body.to:
            return await commands.refuse(origin, _problem("same_member", "to"))
        if not await _is_known(context, body.to):
            return await commands.refuse(origin, _problem("receiver_unknown", "to"))
        transfer_id = public_id("transfer", body.sender, body.reference)
        make = partial(SendPoints, transfer=transfer_id, reference=body.reference, to=body.to, points=body.points)
        sent = await commands.submit(origin, body.sender, body, make)
        if sent.status >= 400:
            return response(sent)
        done = await commands.wait_for(transfer_key(transfer_id), transfer_id, _is_done)
        if done is None:
            return accepted(sent, f"/v1/transfers/{transfer_id}")
        return created(sent, transfer_json(body.sender, transfer_id, decode_transfer(done)))


def _add_list(router: APIRouter, context: Context) -> None:
    reader = context.reader()

    @router.get(
        "/v1/members/{member_id}/transfers",
        response_model=TransfersOut,
        responses=READ_ANSWERS,
        summary="A member's transfers, sent and received, the newest first",
    )
    async def transfers(
        member_id: MemberPath, caller: Caller = reader, cursor: Cursor = None, limit: Limit = 50
    ) -> Response:
        """Those that came are there once their points are booked."""
        before = version_of(cursor)
        async with context.reads.snapshot() as tx:
            shard, account = await context.account(tx, member_id)
            listed, more = await lists.listed_with_facts(
                tx, shard, account.number, "send", before, key_of=_key_of, limit=limit
            )
        found = [_listed_json(member_id, made, fact) for made, fact in listed]
        return json_response(page_json("transfers", found, next_version(more)))


def _key_of(input_: SendPoints | ReceivePoints) -> str:
    return transfer_key(input_.transfer) if isinstance(input_, SendPoints) else arrival_key(input_.transfer)


def _listed_json(member_id: str, input_: SendPoints | ReceivePoints, state: bytes) -> dict[str, Any]:
    if isinstance(input_, SendPoints):
        return transfer_json(member_id, input_.transfer, decode_transfer(state))
    arrived = decode_arrived(state)
    return {
        "transfer_id": input_.transfer,
        "from": arrived.sender,
        "to": member_id,
        "points": arrived.points,
        "state": "done",
        "made_at": rfc3339(input_.at),
        "arrived_at": rfc3339(arrived.at),
    }


def _add_look(router: APIRouter, context: Context, commands: Commands) -> None:
    reader = context.reader()

    @router.get(
        "/v1/transfers/{transfer_id}",
        response_model=TransferOut,
        responses=unknown("transfer_unknown"),
        summary="One transfer",
    )
    async def look(transfer_id: TransferPath, caller: Caller = reader) -> Response:
        """A transfer as it is now. A member's token reads the transfers that this member sent."""
        member_id, raw = await commands.find(caller, transfer_key(transfer_id), transfer_id, "transfer_unknown")
        return json_response(transfer_json(member_id, transfer_id, decode_transfer(raw)))


def _is_done(raw: bytes) -> bool:
    return decode_transfer(raw).state == "done"


async def _is_known(context: Context, member_id: str) -> bool:
    """Whether anything is known of a receiver; if not, the points would be lost."""
    if member_id.startswith(OWN):
        return False
    async with context.reads.snapshot() as tx:
        return await account_of(tx, context.shard(member_id), member_id) is not None


def _problem(why: Literal["same_member", "receiver_unknown"], field: str) -> Problem:
    of, detail = REFUSALS[why]
    return Problem(of, detail, field=field)
