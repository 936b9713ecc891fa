"""A member's lots: points that expire together, and where they are: pending, available, held, expired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.kit.calendar import Day, rfc3339
from services.ledger.api.context import READ_ANSWERS, Context, MemberPath, iso_day, json_response
from services.ledger.domain.state.entries import last_day
from services.ledger.domain.state.lots import LotRow


class LotOut(BaseModel):
    """Points with one last day. A lot with `grace_of` holds points that were returned after their own lot's day."""

    expires_on: str | None = Field(
        description="The last local day on which they can be spent; null: never expires. Where the "
        "program extends validity, activities of the member move it."
    )
    grace_of: str | None
    pending: int
    available: int
    held: int
    expired: int = Field(description="Expired in all; a clawback that came later forgave `forgiven` of them.")
    forgiven: int


class LotsOut(BaseModel):
    """All lots in spending order: the earliest expiry first, of one day the plain before the grace lots (E6)."""

    lots: list[LotOut]
    version: int
    as_of: str


def routes(context: Context) -> APIRouter:
    """GET /v1/members/{member_id}/lots"""
    router = APIRouter(tags=["members"])
    reader = context.reader()

    @router.get(
        "/v1/members/{member_id}/lots",
        response_model=LotsOut,
        responses=READ_ANSWERS,
        summary="A member's lots in spending order",
    )
    async def lots(
        member_id: MemberPath,
        caller: Caller = reader,
        spent: Annotated[bool, Query(description="Also the lots of which nothing is left.")] = False,
    ) -> Response:
        """What is due by now is in the figures, whether or not it was booked yet."""
        now = context.present(member_id)
        async with context.reads.snapshot() as tx:
            _, _, view = await context.view(tx, member_id, now)
        slid = view.account.details.sliding_last_days
        lots = sorted(view.lots, key=lambda lot: (last_day(lot.day, slid), last_day(lot.parent, slid)))
        listed = [_lot_json(lot, slid) for lot in lots if spent or lot.pending or lot.available or lot.held]
        return json_response({"lots": listed, "version": view.account.version, "as_of": rfc3339(now)})

    return router


def _lot_json(lot: LotRow, slid: Sequence[Day]) -> dict[str, Any]:
    return {
        "expires_on": iso_day(last_day(lot.day, slid)),
        "grace_of": iso_day(last_day(lot.parent, slid)),
        "pending": lot.pending,
        "available": lot.available,
        "held": lot.held,
        "expired": lot.expired,
        "forgiven": lot.forgiven,
    }
