"""What all commands share: the key that makes them safe to repeat, the way to the write path, and their answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Any, Final

import orjson
from fastapi import Depends, Header, Request, Response, Security
from pydantic import BaseModel, ConfigDict, Field

from services.kit.auth import Caller, Guard
from services.kit.calendar import Micros
from services.kit.clock import Clock
from services.kit.dead_letter import Refused
from services.kit.executor import Executor
from services.kit.kafka import Shard, murmur2, shard_of
from services.kit.postgres import Pool
from services.kit.problem import MEDIA_TYPE, UNAVAILABLE, Kind, Problem, kind, responses
from services.ledger.answers import KEY_REUSED, REFUSALS, Answer, key_reused_problem
from services.ledger.api.context import PRIVATE
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.rules.refusals import Refusal
from services.ledger.domain.state.inputs import Command
from services.ledger.inputs import MemberCommand
from services.ledger.reads.history import fact_by_public_id
from services.ledger.store import bind_key, keep_refusal

TIMEOUT_SECONDS: Final = 2.0
"""How long a request waits for what another shard books of it."""
POLL_SECONDS: Final = 0.05

MAX_POINTS: Final = 2**53
"""Up to here every JSON reader has whole numbers exactly."""

KEY_MISSING: Final = kind("idempotency-key-missing", "An Idempotency-Key is needed", 400)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=128,
        pattern=r"^[\x20-\x7e]+$",
        description="Names this request of this client on this path for 30 days: the same again gets the same answer.",
    ),
]
Points = Annotated[int, Field(gt=0, lt=MAX_POINTS, strict=True, description="A whole number of points.")]
Reference = Annotated[
    str,
    Field(min_length=1, max_length=100, description="Your own name for it: a cart, a checkout. Unique for the member."),
]

_Make = Callable[[str, str, Micros], Command]
"""Makes the command of (source, id, at): what the request asks for is in it already."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a command comes from: who sends it, on which path, and under which Idempotency-Key."""

    caller: Caller
    path: str
    key: str | None


class PointsOut(BaseModel):
    """The member's points after the command."""

    available: int
    pending: int
    held: int
    debt: int


class Body(BaseModel):
    """A command's body. A field that is not known is refused, because it is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Commands:
    """Sends commands into the write path, and answers them."""

    def __init__(self, pool: Pool, executor: Executor[Any, Any], guard: Guard, shards: int, clock: Clock) -> None:
        self._pool = pool
        self._executor = executor
        self._guard = guard
        self._shards = shards
        self._clock = clock

    def writer(self, scope: str = "ledger:spend") -> Any:
        """The dependency of a command's path: a key and a token with the scope. A member's token is for its member."""
        guarded = Security(self._guard, scopes=[scope])

        async def origin(request: Request, key: IdempotencyKey = None, caller: Caller = guarded) -> Origin:
            return Origin(caller, request.url.path, key)

        return Depends(origin)

    async def execute(self, origin: Origin, member_id: str, body: Body | None, make: _Make) -> Response:
        """Book a command; repeated, it has its first answer. Raises Problem 400 without a key, DatabaseUnavailable."""
        return response(await self.submit(origin, member_id, body, make))

    async def submit(self, origin: Origin, member_id: str, body: Body | None, make: _Make) -> Answer:
        """`execute`, for a path that adds to the answer. Raises the same."""
        key, now = _required_key(origin), self._clock()
        digest = _digest_of_key(member_id, origin)
        command = MemberCommand(
            member_id=member_id,
            arrival=Arrival(digest, make(origin.caller.subject, key, now), now),
            request=_digest_of_body(body),
        )
        outcome = await self._executor.submit(shard_of(member_id, self._shards), command)
        if isinstance(outcome, Refused):
            raise RuntimeError(f"a command failed: {outcome.detail}")
        assert isinstance(outcome, Answer)
        return outcome

    async def bind_key(self, origin: Origin, body: Body) -> Answer | None:
        """Bind the key of a request whose path names no member to its body; the refusal that it had before, if any.

        The answer is kept with the member that the body names, so with another member in it no answer is found.
        Raises Problem 400 without a key, 422 if the key was used with another body.
        """
        digest, shard = self._bound(origin)
        request = _digest_of_body(body)
        bound = await bind_key(self._pool, shard, digest, request, self._clock())
        if bound["request"] != request:
            raise key_reused_problem()
        return Answer(bound["status"], bound["body"]) if bound["status"] else None

    async def refuse(self, origin: Origin, problem: Problem) -> Response:
        """Refuse a request whose key is bound, before it becomes a command; repeated, it has the same answer."""
        answer = Answer(problem.kind.status, orjson.dumps(problem.document()))
        digest, shard = self._bound(origin)
        await keep_refusal(self._pool, shard, digest, answer.status, answer.body)
        return response(answer)

    def _bound(self, origin: Origin) -> tuple[bytes, Shard]:
        """Where the binding of a key is kept: with no member, and on a shard of its own choosing."""
        digest = _digest_of_key("", origin)
        return digest, Shard(int.from_bytes(digest[:4], "big") % self._shards)

    async def wait_for(self, key: str, public_id: str, is_done: Callable[[bytes], bool]) -> bytes | None:
        """The state of a fact once another shard has answered about it; None if that takes too long.

        It only polls: no lock and no connection is held, and the answer is booked whether or not somebody waits.
        """
        ends = time.monotonic() + TIMEOUT_SECONDS
        while True:
            found = await fact_by_public_id(self._pool, self._shard_of(public_id), key)
            if found is not None and is_done(found[1]):
                return found[1]
            if time.monotonic() > ends:
                return None
            await asyncio.sleep(POLL_SECONDS)

    async def find(self, caller: Caller, key: str, public_id: str, unknown: Refusal) -> tuple[str, bytes]:
        """(member, state) of a hold, redemption or transfer by its id. Raises Problem 404, also to another member."""
        found = None
        try:
            shard = self._shard_of(public_id)
        except ValueError:
            pass
        else:
            found = await fact_by_public_id(self._pool, shard, key)
        if found is None or (caller.member is not None and caller.member != found[0]):
            of, detail = REFUSALS[unknown]
            raise Problem(of, detail)
        return found

    def _shard_of(self, public_id: str) -> Shard:
        return Shard((int(public_id[:8], 16) & 0x7FFFFFFF) % self._shards)


def _required_key(origin: Origin) -> str:
    if not origin.key:
        detail = "Send an Idempotency-Key header, a new one for each command."
        raise Problem(KEY_MISSING, detail, field="Idempotency-Key")
    return origin.key


def _digest_of_key(member_id: str, origin: Origin) -> bytes:
    return digest_of(member_id, f"{origin.caller.subject} {origin.path}", _required_key(origin))


def _digest_of_body(body: Body | None) -> bytes:
    content = orjson.dumps(body.model_dump() if body is not None else None, option=orjson.OPT_SORT_KEYS)
    return blake2b(content, digest_size=16).digest()


def response(answer: Answer) -> Response:
    """An answer as an HTTP response."""
    media_type = MEDIA_TYPE if answer.status >= 400 else "application/json"
    return Response(answer.body, answer.status, media_type=media_type, headers=PRIVATE)


def accepted(booked: Answer, path: str) -> Response:
    """202: the command is booked, and another shard has not answered yet. `path` is where the result will be."""
    accepted = response(Answer(202, booked.body))
    accepted.headers["Location"] = path
    return accepted


def created(booked: Answer, changes: dict[str, Any]) -> Response:
    """201: the command is booked, and so is the answer of another shard, with what that has changed."""
    return response(Answer(201, orjson.dumps(orjson.loads(booked.body) | changes)))


def public_id(what: str, member_id: str, reference: str) -> str:
    """The id of a member's hold, redemption or transfer with a reference, and always the same id.

    It begins with the hash of the member id, so its shard is known without the member.
    """
    name = orjson.dumps([what, member_id, reference])
    return f"{murmur2(member_id.encode()):08x}{blake2b(name, digest_size=8).hexdigest()}"


def refusals(*whys: Refusal) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of a command that may be refused for these reasons."""
    kinds: list[Kind] = [KEY_MISSING, KEY_REUSED, UNAVAILABLE, *(REFUSALS[why][0] for why in (*whys, "member_erased"))]
    return responses(*kinds)


def unknown(why: Refusal) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of a path that reads something by its id."""
    return responses(REFUSALS[why][0], UNAVAILABLE)
