"""`POST /v1/members/{id}/enrolment`: a member joins the program (T10)."""

# Without `from __future__ import annotations`: FastAPI cannot resolve a closure's guard from a string annotation.

from typing import Annotated, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel

from schemas.events.reasons import Refused
from services.kit.auth import Caller
from services.kit.calendar import rfc3339
from services.kit.executor import Executor
from services.kit.problem import FORBIDDEN, MEMBER_ERASED, NOT_FOUND, UNAVAILABLE, Problem, responses
from services.tiering.api.context import Context, MemberPath, answer
from services.tiering.domain.member import Cause, Enrolment, Input
from services.tiering.events import outbound
from services.tiering.executor import Outcome

CAUSE_TYPE: Final = "loyalty.member.enrolment.v1"
"""The type of the cause of an enrolment by call, in the journal and in the facts."""


class Enrolled(BaseModel):
    """The answer to an enrolment."""

    member_id: str
    enrolled_at: str
    tier: str


def routes(context: Context, executor: Executor[Input, Outcome]) -> APIRouter:
    """The path of enrolments."""
    router = APIRouter()

    @router.post(
        "/v1/members/{member_id}/enrolment",
        response_model=Enrolled,
        responses={
            **responses(NOT_FOUND, FORBIDDEN, MEMBER_ERASED, UNAVAILABLE),
            201: {"model": Enrolled, "description": "Joined now"},
        },
        summary="Join the program; again is a no-op",
    )
    async def enrol(member_id: MemberPath, caller: Annotated[Caller, context.reader()]) -> Response:
        # A member joins with a token of their own; anybody else needs the right to enrol others.
        if caller.member is None and "tiering:admin" not in caller.scopes:
            raise Problem(FORBIDDEN, "To enrol somebody else takes the scope tiering:admin.")
        context.versions()
        at = context.clock()
        cause = Cause(CAUSE_TYPE, outbound.SOURCE, f"{member_id}:{at}", at, actor=caller.subject)
        outcome = await executor.submit(context.shard(member_id), Enrolment(member_id, cause, is_command=True))
        assert not isinstance(outcome, Refused), "open membership refuses nobody"
        if outcome.is_refused:
            raise Problem(MEMBER_ERASED, "The member asked to be forgotten; the shop has to register them anew.")
        assert outcome.enrolled_at is not None
        body = {"member_id": member_id, "enrolled_at": rfc3339(outcome.enrolled_at), "tier": outcome.tier}
        return answer(body, status=201 if outcome.enrolled_at == at else 200)

    return router
