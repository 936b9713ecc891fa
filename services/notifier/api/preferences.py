"""`/v1/members/{id}/preferences`: what a member wants to receive, and in which language."""

# Without `from __future__ import annotations`: FastAPI cannot resolve a closure's guard from a string annotation.

from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from services.kit.auth import Caller
from services.kit.calendar import rfc3339
from services.kit.problem import Problem, kind, responses
from services.notifier.api.context import CHOICE_FORBIDDEN, Context, MemberPath, answer, check_may_choose
from services.notifier.domain.inputs import PreferencesPut
from services.notifier.domain.member import CHANNELS, CLASSES, Channel, Member, MessageClass
from services.notifier.executor import Preferences

CONSENT_TWICE: Final = kind("consent-twice", "One consent is named twice", 422)


class ConsentOut(BaseModel):
    """One cell of a member's preferences."""

    model_config = ConfigDict(populate_by_name=True)

    channel: Channel
    message_class: MessageClass = Field(alias="class")
    granted: bool = Field(description="Whether messages of this class may be sent over this channel.")
    recorded_at: str | None = Field(description="When the member chose; null: no choice is known, the default holds.")


class PreferencesOut(BaseModel):
    """What a member wants to receive, and in which language."""

    member_id: str
    locale: str | None = Field(description="As the member chose it; null: the shop's default.")
    consents: list[ConsentOut]


class ConsentIn(BaseModel):
    """A choice about one cell."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    channel: Channel
    message_class: Annotated[MessageClass, Field(alias="class")]
    granted: Annotated[bool, Field(strict=True)]


class PreferencesIn(BaseModel):
    """What changes; what is not named stays."""

    model_config = ConfigDict(extra="forbid")

    locale: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8}){0,3}$")] | None = None
    consents: list[ConsentIn] = Field(default=[], max_length=len(CHANNELS) * len(CLASSES))


def routes(context: Context) -> APIRouter:
    """The paths of preferences."""
    router = APIRouter()

    @router.get("/v1/members/{member_id}/preferences", response_model=PreferencesOut, summary="Consents and language")
    async def preferences(member_id: MemberPath, _: Annotated[Caller, context.reader()]) -> Response:
        return answer(_preferences_json(member_id, await context.member(member_id)))

    @router.put(
        "/v1/members/{member_id}/preferences",
        response_model=PreferencesOut,
        summary="Choose consents and language",
        responses=responses(CHOICE_FORBIDDEN, CONSENT_TWICE),
    )
    async def choose(
        member_id: MemberPath, body: PreferencesIn, caller: Annotated[Caller, context.reader()]
    ) -> Response:
        check_may_choose(caller)
        consents = tuple((consent.channel, consent.message_class, consent.granted) for consent in body.consents)
        if len({(channel, message_class) for channel, message_class, _ in consents}) != len(consents):
            raise Problem(CONSENT_TWICE, "Each channel and class may be named once.", field="consents")
        outcome = await context.submit(
            PreferencesPut(member_id, context.clock(), caller.subject, consents, body.locale)
        )
        assert isinstance(outcome, Preferences)
        return answer(_preferences_json(member_id, outcome.member))

    return router


def _preferences_json(member_id: str, member: Member) -> dict[str, Any]:
    """A member's preferences as the contract has them: a cell for every channel and class."""
    cells = []
    for channel in CHANNELS:
        for message_class in CLASSES:
            recorded = member.consents.get((channel, message_class))
            cells.append(
                {
                    "channel": channel,
                    "class": message_class,
                    "granted": member.allows(channel, message_class),
                    "recorded_at": None if recorded is None else rfc3339(recorded.at),
                }
            )
    return {"member_id": member_id, "locale": member.value("locale"), "consents": cells}
