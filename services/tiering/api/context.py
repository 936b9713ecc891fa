"""What all paths share: the pool, the token check, the program and the time, and the forms of answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Any, Final

import orjson
from fastapi import Header, Path, Response, Security
from pydantic import BaseModel, Field

from services.kit.auth import Guard
from services.kit.clock import Clock, now
from services.kit.kafka import Shard, shard_of
from services.kit.money import decimal_string
from services.kit.postgres import Pool
from services.tiering.domain.ladder import Way
from services.tiering.domain.program import Program, ProgramVersions

MemberPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="The member's id.")]
IfNoneMatch = Annotated[str | None, Header()]

NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "The answer is the one that `If-None-Match` names."}
}
_PRIVATE: Final = {"Cache-Control": "private, no-cache"}


@dataclass(frozen=True)
class Context:
    """What the paths of tiering are made of. `versions` raises NoProgram before a program is known."""

    pool: Pool
    guard: Guard
    versions: Callable[[], ProgramVersions]
    shards: int
    clock: Clock = now

    def reader(self) -> Any:
        """The dependency of every path: a token with `tiering:read`, a member's for that member alone."""
        return Security(self.guard, scopes=["tiering:read"])

    def shard(self, member_id: str) -> Shard:
        """Where a member's row is."""
        return shard_of(member_id, self.shards)

    def program(self) -> Program:
        """The version in force now."""
        return self.versions().at(self.clock())


class Gap(BaseModel):
    """What is missing for a tier: all that is named must be met."""

    growth: str | None = Field(None, description="Growth value still missing, in the program's currency.")
    orders: int | None = Field(None, description="Successful orders still missing.")


def gap_json(way: Way, decimals: int) -> dict[str, Any]:
    """A way, or the gap to it, as the contract has it."""
    return {
        "growth": None if way.growth is None else decimal_string(way.growth, decimals),
        "orders": way.orders,
    }


def answer(body: dict[str, Any], *, status: int = 200) -> Response:
    """A JSON answer about a member."""
    return Response(orjson.dumps(body), status, media_type="application/json", headers=_PRIVATE)


def tagged_answer(body: dict[str, Any], if_none_match: str | None) -> Response:
    """The answer with an ETag that changes exactly when the answer does; 304 to a client that has it already."""
    content = orjson.dumps(body)
    tag = f'"{blake2b(content, digest_size=12).hexdigest()}"'
    headers = {**_PRIVATE, "ETag": tag}
    if if_none_match is not None:
        known = [candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")]
        if tag in known or "*" in known:
            return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)
