"""The notifier over HTTP: a member's inbox, preferences, and every decision about what to tell them."""

# Without `from __future__ import annotations`: FastAPI could not see the guard of a closure in a text.

from collections.abc import Sequence
from typing import Annotated, Any, Final

import asyncpg
import orjson
from fastapi import APIRouter, Path, Query, Response, Security
from pydantic import BaseModel, ConfigDict, Field

from services.kit.auth import Caller, Guard
from services.kit.calendar import rfc3339, to_micros
from services.kit.clock import Clock, now
from services.kit.dead_letter import Refused
from services.kit.executor import Executor
from services.kit.kafka import shard_of
from services.kit.postgres import Pool
from services.kit.problem import Problem, kind, responses
from services.kit.program import ProgramFollower
from services.notifier import store
from services.notifier.domain.decision import WithheldReason
from services.notifier.domain.inputs import InboxRead, Input, PreferencesPut
from services.notifier.domain.member import CHANNELS, CLASSES, Channel, Member, MessageClass
from services.notifier.domain.policy import Policy, Reader, context
from services.notifier.domain.touchpoint import SAMPLES, Touchpoint
from services.notifier.events.outbound import key_of, message_id
from services.notifier.executor import Marked, Outcome, Preferences
from services.notifier.rendering import MissingTextError, TemplateError, Text, Texts
from services.notifier.settings import NotifierSettings

CHOICE_FORBIDDEN: Final = kind("choice-forbidden", "This token may not choose for this member", 403)
MESSAGE_ID_INVALID: Final = kind("message-id-invalid", "Not a message id", 422)
CONSENT_TWICE: Final = kind("consent-twice", "One consent is named twice", 422)
TEXT_MISSING: Final = kind("text-missing", "There is no such text", 404)
TEXT_BROKEN: Final = kind("text-broken", "The text cannot be made of these parameters", 422)

_NEWEST: Final = 2**62
_HEADERS: Final = {"Cache-Control": "private, no-cache"}

MemberPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="The member's id.")]
Cursor = Annotated[
    str | None,
    Query(pattern=r"^[0-9a-f]{1,15}$", description="`next_cursor` of the page before; the newest if absent."),
]
Limit = Annotated[int, Query(ge=1, le=100, description="Most messages in the answer.")]
MessageId = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class InboxMessage(BaseModel):
    """A message in the app, in the language the member reads now."""

    message_id: str
    touchpoint: str
    at: str = Field(description="When it happened, in business time.")
    received_at: str
    read_at: str | None
    locale: str
    title: str
    text: str


class Inbox(BaseModel):
    """A page of an inbox, the newest first."""

    member_id: str
    unread: int = Field(description="Of the whole inbox.")
    messages: list[InboxMessage]
    next_cursor: str | None = Field(description="For the page after this one; null at the end.")


class ReadBody(BaseModel):
    """Which messages were read."""

    model_config = ConfigDict(extra="forbid")

    message_ids: list[MessageId] = Field(default=[], max_length=100)
    through: MessageId | None = Field(None, description="This message and all that came before it.")


class ReadAnswer(BaseModel):
    """What is left."""

    marked: int = Field(description="How many were unread and are read now.")
    unread: int


class ConsentOut(BaseModel):
    """One cell of a member's preferences."""

    model_config = ConfigDict(populate_by_name=True)

    channel: Channel
    message_class: MessageClass = Field(alias="class")
    granted: bool = Field(description="Whether messages of this class may be sent over this channel.")
    recorded_at: str | None = Field(description="When the member said so; null: nothing was said, the default holds.")


class PreferencesOut(BaseModel):
    """What a member wants to hear, and in which language."""

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


class DecisionOut(BaseModel):
    """A decision to send a message, or not to."""

    model_config = ConfigDict(populate_by_name=True)

    message_id: str
    touchpoint: str
    occasion: str = Field(description="What it was about, in business terms: once for ever.")
    channel: str = Field(description="`none` where the program knows no way.")
    message_class: str = Field(alias="class")
    decision: str = Field(description="`sent` or `withheld`.")
    reason: WithheldReason | None = Field(description="Why it was withheld.")
    attempts: int = Field(description="Requests made to a gateway; none is needed in the app.")
    program_version: str
    at: str = Field(description="When it happened, in business time.")
    decided_at: str


class Decisions(BaseModel):
    """A page of decisions, the newest first."""

    member_id: str
    messages: list[DecisionOut]
    next_cursor: str | None


class PreviewBody(BaseModel):
    """What to preview. Parameters that are not given are those of an example."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel
    locale: str = Field("zh-CN", max_length=35)
    name: str | None = Field(None, max_length=200, description="The member's name, where the text says it.")
    parameters: dict[str, int | str] = Field(default={}, max_length=50)


class Preview(BaseModel):
    """A text as it would be sent."""

    locale: str
    title: str
    text: str
    html: str | None


def routes(
    settings: NotifierSettings,
    pool: Pool,
    executor: Executor[Input, Outcome],
    guard: Guard,
    programs: ProgramFollower[Policy],
    texts: Texts,
    *,
    clock: Clock = now,
) -> APIRouter:
    """The paths of the notifier."""
    router = APIRouter()
    reading = Security(guard, scopes=["notify:read"])

    @router.get("/v1/members/{member_id}/inbox", response_model=Inbox, summary="A member's messages in the app")
    async def inbox(
        member_id: MemberPath, _: Annotated[Caller, reading], cursor: Cursor = None, limit: Limit = 20
    ) -> Response:
        shard = shard_of(member_id, settings.shards)
        rows = await store.inbox(pool, shard, member_id, _before(cursor), limit + 1)
        member = (await store.read_members(pool, shard, [member_id]))[member_id].member
        shown = [_inbox_message(row, member_id, member) for row in rows[:limit]]
        return _json(
            {
                "member_id": member_id,
                "unread": await store.unread(pool, shard, member_id),
                "messages": shown,
                "next_cursor": _cursor(rows, limit),
            }
        )

    @router.post(
        "/v1/members/{member_id}/inbox/read",
        response_model=ReadAnswer,
        summary="Mark messages as read",
        responses=responses(CHOICE_FORBIDDEN, MESSAGE_ID_INVALID),
    )
    async def read(member_id: MemberPath, body: ReadBody, caller: Annotated[Caller, reading]) -> Response:
        _may_choose(caller)
        keys = tuple(_key(identifier) for identifier in body.message_ids)
        through = None if body.through is None else _key(body.through)
        outcome = await _submit(InboxRead(member_id, clock(), keys, through))
        assert isinstance(outcome, Marked)
        return _json({"marked": outcome.marked, "unread": outcome.unread})

    @router.get("/v1/members/{member_id}/preferences", response_model=PreferencesOut, summary="Consents and language")
    async def preferences(member_id: MemberPath, _: Annotated[Caller, reading]) -> Response:
        known = await store.read_members(pool, shard_of(member_id, settings.shards), [member_id])
        return _json(_preferences(member_id, known[member_id].member))

    @router.put(
        "/v1/members/{member_id}/preferences",
        response_model=PreferencesOut,
        summary="Choose consents and language",
        responses=responses(CHOICE_FORBIDDEN, CONSENT_TWICE),
    )
    async def choose(member_id: MemberPath, body: PreferencesIn, caller: Annotated[Caller, reading]) -> Response:
        _may_choose(caller)
        cells = [(consent.channel, consent.message_class, consent.granted) for consent in body.consents]
        if len({cell[:2] for cell in cells}) != len(cells):
            raise Problem(CONSENT_TWICE, "Each channel and class may be named once.", field="consents")
        outcome = await _submit(PreferencesPut(member_id, clock(), caller.subject, tuple(cells), body.locale))
        assert isinstance(outcome, Preferences)
        return _json(_preferences(member_id, outcome.member))

    @router.get("/v1/members/{member_id}/messages", response_model=Decisions, summary="Each decision, also not to send")
    async def messages(
        member_id: MemberPath, _: Annotated[Caller, reading], cursor: Cursor = None, limit: Limit = 20
    ) -> Response:
        shard = shard_of(member_id, settings.shards)
        rows = await store.decisions(pool, shard, member_id, _before(cursor), limit + 1)
        shown = [_decision(row, member_id) for row in rows[:limit]]
        return _json({"member_id": member_id, "messages": shown, "next_cursor": _cursor(rows, limit)})

    @router.post(
        "/v1/templates/{code}/preview",
        response_model=Preview,
        summary="A text as it would be sent",
        responses=responses(TEXT_MISSING, TEXT_BROKEN),
    )
    async def preview(
        code: Annotated[Touchpoint, Path(description="A touchpoint.")],
        body: PreviewBody,
        _: Annotated[Caller, Security(guard, scopes=["notify:admin"])],
    ) -> Response:
        at = clock()
        try:
            text = _render(
                programs.current_at(at).program,
                code,
                body.channel,
                {**SAMPLES[code], **body.parameters},
                at,
                wanted=body.locale,
                name=body.name,
            )
        except MissingTextError as missing:
            raise Problem(TEXT_MISSING, f"{missing}.") from None
        except TemplateError as broken:
            raise Problem(TEXT_BROKEN, f"{broken}.", field="parameters") from None
        return _json({"locale": text.locale, "title": text.title, "text": text.body, "html": text.html})

    async def _submit(command: InboxRead | PreferencesPut) -> Outcome:
        outcome = await executor.submit(shard_of(command.member_id, settings.shards), command)
        assert not isinstance(outcome, Refused), "no command of this service is refused once it is well formed"
        return outcome

    def _policy(version: str) -> Policy:
        known = next((each.program for each in programs.versions if each.version == version), None)
        return known or programs.current_at(clock()).program

    def _render(
        policy: Policy,
        touchpoint: str,
        channel: str,
        parameters: dict[str, str | int],
        at: int,
        *,
        wanted: str | None,
        name: str | None = None,
    ) -> Text:
        locale = texts.locale_for(touchpoint, channel, wanted, settings.default_locale)
        reader = Reader(locale, settings.default_locale, settings.shop_name, name)
        return texts.render(touchpoint, channel, locale, context(policy, touchpoint, parameters, at, reader))

    def _inbox_message(row: asyncpg.Record, member_id: str, member: Member) -> dict[str, Any]:
        parameters, at = store.parameters_of(row["parameters"]), to_micros(row["at"])
        text = _render(
            _policy(row["program_version"]),
            row["touchpoint"],
            "inapp",
            parameters,
            at,
            wanted=member.value("locale"),
        )
        return {
            "message_id": message_id(member_id, row["key"]),
            "touchpoint": row["touchpoint"],
            "at": rfc3339(at),
            "received_at": rfc3339(to_micros(row["decided_at"])),
            "read_at": None if row["read_at"] is None else rfc3339(to_micros(row["read_at"])),
            "locale": text.locale,
            "title": text.title,
            "text": text.body,
        }

    return router


def _may_choose(caller: Caller) -> None:
    """A member's own token chooses for its member; anybody else needs the right to."""
    if caller.member is None and "notify:admin" not in caller.scopes:
        raise Problem(CHOICE_FORBIDDEN, "Choosing for a member takes the scope notify:admin.")


def _key(identifier: str) -> bytes:
    key = key_of(identifier)
    if key is None:
        raise Problem(MESSAGE_ID_INVALID, "A message id is 40 hexadecimal digits.", field="message_ids")
    return key


def _preferences(member_id: str, member: Member) -> dict[str, Any]:
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


def _decision(row: asyncpg.Record, member_id: str) -> dict[str, Any]:
    return {
        "message_id": message_id(member_id, row["key"]),
        "touchpoint": row["touchpoint"],
        "occasion": row["occasion"],
        "channel": row["channel"],
        "class": row["class"],
        "decision": "sent" if row["reason"] is None else "withheld",
        "reason": row["reason"],
        "attempts": row["attempts"],
        "program_version": row["program_version"],
        "at": rfc3339(to_micros(row["at"])),
        "decided_at": rfc3339(to_micros(row["decided_at"])),
    }


def _before(cursor: str | None) -> int:
    return _NEWEST if cursor is None else int(cursor, 16)


def _cursor(rows: Sequence[asyncpg.Record], limit: int) -> str | None:
    return f"{rows[limit - 1]['message_no']:x}" if len(rows) > limit else None


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json", headers=_HEADERS)
