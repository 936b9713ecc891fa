"""Who did what to a service: an append-only table, written in the transaction of what was done, and its path."""

# No `from __future__ import annotations` here: FastAPI must find the guard, a parameter.

import getpass
from typing import Annotated, Final, Literal, NamedTuple

import orjson
from fastapi import APIRouter, Query, Response, Security
from pydantic import BaseModel, Field

from services.kit.auth import Caller, Guard
from services.kit.postgres import Connection, Pool, Queries
from services.kit.problem import UNAVAILABLE, responses
from services.kit.settings import Settings

_SQL: Final = Queries.load("services.kit", "sql/audit.sql", require=("add", "page"))
_NEWEST: Final = 2**63 - 1
_PRIVATE: Final = {"Cache-Control": "private, no-cache"}

Action = Literal["program.published", "dead_letter.redriven"]
"""What was done; `object` says to what: a program and its version, the place of a record."""


class By(NamedTuple):
    """Who does something, and why. Of a command, `ACTOR` or the system's user says who."""

    actor: str
    reason: str = ""


def operator(settings: Settings, reason: str = "") -> By:
    """Who runs a command of this service here."""
    if settings.actor is not None:
        return By(settings.actor, reason)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "somebody"
    return By(f"{user}@{settings.instance}", reason)


async def record(connection: Connection, by: By, action: Action, thing: str) -> None:
    """Adds a row, in the caller's transaction."""
    await connection.execute(_SQL.add, by.actor, action, thing, by.reason)


class AuditRow(BaseModel):
    """Something that somebody did."""

    id: int
    at: str = Field(description="When, by the database's clock.")
    actor: str = Field(description="Who: the subject of a token, or of a command its ACTOR.")
    action: str = Field(examples=["program.published", "dead_letter.redriven"])
    object: str = Field(description="To what.", examples=["example-shop 2026.1", "commerce.orders.v1:3:120"])
    reason: str = Field(description="Why, as they said; empty where they said nothing.")


class AuditOut(BaseModel):
    """A page of the audit."""

    audit: list[AuditRow] = Field(description="The newest first.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the older rows; null at the end.")


def routes(pool: Pool, guard: Guard) -> APIRouter:
    """GET /v1/audit"""
    router = APIRouter(tags=["operation"])

    @router.get(
        "/v1/audit",
        response_model=AuditOut,
        responses=responses(UNAVAILABLE),
        summary="Who published programs and drove dead letters again",
    )
    async def audit(
        caller: Annotated[Caller, Security(guard, scopes=["audit:read"])],
        cursor: Annotated[int, Query(ge=1, le=_NEWEST, description="`next_cursor` of the page before.")] = _NEWEST,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """Commands about members are in the journal, with their actors; here is what operators do beside it."""
        rows = [dict(row) for row in await pool.fetch(_SQL.page, cursor, limit + 1)]
        more = len(rows) > limit
        page = rows[:limit]
        body = {"audit": page, "next_cursor": str(page[-1]["id"]) if more else None}
        return Response(orjson.dumps(body), media_type="application/json", headers=_PRIVATE)

    return router
