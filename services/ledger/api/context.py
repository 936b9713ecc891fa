"""What all paths share: the reading side, the token check, the time, and the forms of parameters and answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Final

import orjson
from fastapi import Path, Response, Security

from services.kit.auth import Guard
from services.kit.calendar import NEVER, NOT_YET, Calendar, Day, Micros, day_from, from_micros, parse_rfc3339
from services.kit.clock import Clock
from services.kit.kafka import Shard, shard_of
from services.kit.postgres import Connection
from services.kit.problem import INVALID, NOT_FOUND, UNAVAILABLE, Problem, kind, responses
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.account import Account
from services.ledger.horizon import Limit, without_limit
from services.ledger.reads.balances import Reads
from services.ledger.reads.history import FOREVER
from services.ledger.reads.view import View, account_of, view_of

MEMBER_UNKNOWN: Final = kind("member-unknown", "No such member", 404)

READ_ANSWERS: Final = responses(MEMBER_UNKNOWN, NOT_FOUND, UNAVAILABLE)
"""The problems that every path of one member may answer."""

PRIVATE: Final = {"Cache-Control": "private, no-cache"}
"""A member's figures are for that member alone, and a cache has to ask again each time (with their ETag)."""

MEMBER_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
MemberPath = Annotated[str, Path(pattern=f"^{MEMBER_ID.pattern}$", description="The member's id.")]


@dataclass(frozen=True)
class Context:
    """What all paths of the ledger need."""

    reads: Reads
    guard: Guard
    shards: int
    clock: Clock
    limit: Limit = without_limit

    def present(self, member_id: str) -> Micros:
        """The present of a member: while its shard waits, the end of the last day that may be closed (C2)."""
        return self.limit(self.shard(member_id), self.clock())

    def reader(self) -> Any:
        """The dependency of a reading path: a token with `ledger:read`. A member's token is for its member."""
        return Security(self.guard, scopes=["ledger:read"])

    def shard(self, member_id: str) -> Shard:
        """The shard of a member's account."""
        return shard_of(member_id, self.shards)

    async def account(self, tx: Connection, member_id: str) -> tuple[Shard, Account]:
        """(shard, account) of a member, as last booked. Raises Problem 404 if nothing is known of the member."""
        shard = self.shard(member_id)
        account = await account_of(tx, shard, member_id)
        if account is None:
            raise unknown_member(member_id)
        return shard, account

    async def view(self, tx: Connection, member_id: str, now: Micros) -> tuple[Shard, ProgramVersions, View]:
        """(shard, programs, the member with all that is due by `now`). Raises Problem 404, NoProgram."""
        shard = self.shard(member_id)
        programs = await self.reads.programs.read(tx)
        view = await view_of(tx, programs, shard, member_id, now)
        if view is None:
            raise unknown_member(member_id)
        return shard, programs, view


def unknown_member(member_id: str) -> Problem:
    """The problem of a member for whom nothing was ever booked."""
    return Problem(MEMBER_UNKNOWN, f"Nothing is known of member {member_id}.")


def json_response(body: Any) -> Response:
    """A JSON answer about a member."""
    return Response(orjson.dumps(body), media_type="application/json", headers=PRIVATE)


def iso_day(day: Day) -> str | None:
    """A local day as a date; None for `NEVER` and for 0, which is no day."""
    return None if day in (0, NEVER) else date.fromordinal(day).isoformat()


def instant_of(text: str, field: str) -> Micros:
    """An RFC 3339 time of a query. Raises Problem 422.

    A `+` that was not escaped arrives as a space, and is read as `+`.
    """
    try:
        instant = parse_rfc3339(text.replace(" ", "+"))
        from_micros(instant)  # at an offset the first year begins, or the last one ends, beyond what UTC can name
    except (ValueError, OverflowError):
        raise Problem(
            INVALID, "Not an RFC 3339 time with offset, such as 2026-03-01T00:00:00Z.", field=f"query.{field}"
        ) from None
    return instant


def instant_or_day(text: str, field: str, calendar: Calendar, *, end: bool) -> Micros:
    """An RFC 3339 time, or a local date: its first instant, or with `end` the one after it. Raises Problem 422.

    The first and the last day that a date can name stand for all time before and after.
    """
    try:
        day = day_from(date.fromisoformat(text)) if len(text) == 10 else None
    except ValueError:
        day = None
    match day:
        case None:
            return instant_of(text, field)
        case 1:
            return NOT_YET
        case int() if day == NEVER:
            return FOREVER
        case _:
            return calendar.end_of(day) if end else calendar.start_of(day)
