"""A member's entries, the newest first: every point that moved, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.kit.calendar import Calendar, Day, Micros, rfc3339
from services.kit.problem import INVALID, Problem
from services.ledger.answers import order_json
from services.ledger.api.context import READ_ANSWERS, Context, MemberPath, instant_or_day, iso_day, json_response
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.entries import EntryKind, last_day
from services.ledger.reads import history
from services.ledger.reads.rows import EntryRow

MAX_ENTRIES: Final = 500
"""Of one page."""
_BALANCE: Final = ("pending", "available", "held", "debt")


class Lot(BaseModel):
    """The lot of the points: points that expire together."""

    expires_on: str | None = Field(description="The last local day; null if they never expire.")
    grace_of: str | None = Field(
        None, description="Set for returned points with grace: the last day of the lot they came from."
    )


class EntryOut(BaseModel):
    """Points of one lot that moved from one account (`debit`) to another (`credit`)."""

    entry: str = Field(description="`version.line`: its place in the ledger, and in the path of its explanation.")
    version: int
    line: int
    kind: EntryKind
    points: int = Field(description="How many moved; always positive.")
    debit: str
    credit: str
    change: dict[str, int] = Field(
        description="How it changed the member's figures: pending, available, held, debt.",
        examples=[{"pending": -1800, "available": 1800}],
    )
    rule: str = Field(
        description="The program's rule, or the ledger's own: expiry, points-used, tier-true-up, birthday-true-up."
    )
    ref: str = Field(description="What it is about: `shop/order_id`, `review:5`, `sign-in:2026-03-01`.")
    order_id: str | None = None
    shop: str | None = None
    day: str = Field(description="The local day of the business time.")
    booked_at: str
    lot: Lot | None = Field(description="Null where debt alone moved.")
    program_version: str


class EntriesOut(BaseModel):
    """A page of entries."""

    entries: list[EntryOut]
    next_cursor: str | None = Field(
        description="Send it as `cursor` for the older entries; null at the end. Of a kind with few entries a "
        "page may have fewer than `limit` or none, though more follow."
    )


def routes(context: Context) -> APIRouter:
    """GET /v1/members/{member_id}/entries"""
    router = APIRouter(tags=["members"])
    reader = context.reader()

    @router.get(
        "/v1/members/{member_id}/entries",
        response_model=EntriesOut,
        responses=READ_ANSWERS,
        summary="A member's entries, the newest first",
    )
    async def entries(
        member_id: MemberPath,
        *,
        caller: Caller = reader,
        cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_ENTRIES)] = 50,
        kind: Annotated[EntryKind | None, Query(description="Only entries of this kind.")] = None,
        booked_from: Annotated[
            str | None,
            Query(alias="from", description="Booked at or after this: an RFC 3339 time, or a local date."),
        ] = None,
        booked_until: Annotated[
            str | None,
            Query(alias="to", description="Booked before this time (RFC 3339), or up to the end of this local date."),
        ] = None,
    ) -> Response:
        """Entries are final: a mistake is corrected by another entry, and never by a change."""
        async with context.reads.snapshot() as tx:
            shard, account = await context.account(tx, member_id)
            programs = await context.reads.programs.read(tx)
            calendar = programs.at(context.clock()).calendar
            page = await history.entries(
                tx, shard, account.number, before=position_of(cursor), kind=kind, limit=limit,
                **_booked_within(booked_from, booked_until, calendar),
            )  # fmt: skip
        return json_response(_page_json(page, programs, account.details.sliding_last_days))

    return router


def _page_json(page: history.Entries, programs: ProgramVersions, slid: Sequence[Day]) -> dict[str, Any]:
    """A page; the cursor is null unless there may be more."""
    return {
        "entries": [entry_json(row, programs, slid) for row in page.rows],
        "next_cursor": None if page.more_behind is None else "{}.{}".format(*page.more_behind),
    }


def position_of(cursor: str | None) -> tuple[int, int]:
    """(version, line) of a cursor; without one the position above every entry. Raises Problem 422."""
    if cursor is None:
        return history.NEWEST
    version, _, line = cursor.partition(".")
    if not (version.isascii() and version.isdigit() and line.isascii() and line.isdigit()) or len(cursor) > 24:
        raise Problem(INVALID, "Not a cursor of this list; begin without one.", field="query.cursor")
    return min(int(version), history.NEWEST[0]), min(int(line), history.NEWEST[1])


def _booked_within(booked_from: str | None, booked_until: str | None, calendar: Calendar) -> dict[str, Micros]:
    span = {}
    if booked_from is not None:
        span["booked_from"] = instant_or_day(booked_from, "from", calendar, end=False)
    if booked_until is not None:
        span["booked_until"] = instant_or_day(booked_until, "to", calendar, end=True)
    return span


def entry_json(row: EntryRow, programs: ProgramVersions, slid: Sequence[Day]) -> dict[str, Any]:
    """An entry as the contract has it. `slid` are the last days of the account's lots that slide (E3)."""
    return {
        "entry": f"{row.version}.{row.line}",
        "version": row.version,
        "line": row.line,
        "kind": row.kind,
        "points": row.points,
        "debit": row.debit,
        "credit": row.credit,
        "change": balance_changes(row),
        "rule": row.rule,
        "ref": row.ref,
        "day": iso_day(row.day),
        "booked_at": rfc3339(row.booked_at),
        "lot": _lot_json(row, slid),
        "program_version": programs.by_number[row.program].version,
        **order_json(row.ref),
    }


def _lot_json(row: EntryRow, slid: Sequence[Day]) -> dict[str, Any] | None:
    if not row.lot_day:
        return None
    lot = {"expires_on": iso_day(last_day(row.lot_day, slid))}
    if row.lot_parent:
        lot["grace_of"] = iso_day(last_day(row.lot_parent, slid))
    return lot


def balance_changes(row: EntryRow) -> dict[str, int]:
    """How an entry changed the member's figures. `debt` is what is owed, so points that leave `debt` add to it."""
    changes: dict[str, int] = {}
    for name, sign in ((row.debit, -1), (row.credit, 1)):
        if name in _BALANCE:
            changes[name] = row.points * (-sign if name == "debt" else sign)
    return changes
