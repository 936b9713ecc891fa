"""What all paths share: the reading and the writing side, the token check, the texts, and the forms of pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import asyncpg
import orjson
from fastapi import Path, Query, Response, Security

from services.kit.auth import Caller, Guard
from services.kit.calendar import Micros
from services.kit.clock import Clock, now
from services.kit.dead_letter import Refused
from services.kit.executor import Executor
from services.kit.kafka import Shard, shard_of
from services.kit.postgres import Pool
from services.kit.problem import Problem, kind
from services.kit.program import ProgramFollower
from services.notifier import store
from services.notifier.domain.inputs import InboxRead, Input, PreferencesPut
from services.notifier.domain.member import Member
from services.notifier.domain.occasions import Parameters
from services.notifier.domain.policy import Policy, Reader, context
from services.notifier.executor import Outcome
from services.notifier.settings import NotifierSettings
from services.notifier.texts.rendering import Text, Texts

CHOICE_FORBIDDEN: Final = kind("choice-forbidden", "This token may not choose for this member", 403)

_NEWEST: Final = 2**62
"""The page before this message number is the newest."""
_PRIVATE: Final = {"Cache-Control": "private, no-cache"}

MemberPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="The member's id.")]
Cursor = Annotated[
    str | None,
    Query(pattern=r"^[0-9a-f]{1,15}$", description="`next_cursor` of the page before; the newest if absent."),
]
Limit = Annotated[int, Query(ge=1, le=100, description="Most messages in the answer.")]


@dataclass(frozen=True)
class Context:
    """What the paths of the notifier are made of."""

    settings: NotifierSettings
    pool: Pool
    executor: Executor[Input, Outcome]
    guard: Guard
    programs: ProgramFollower[Policy]
    texts: Texts
    clock: Clock = now

    def reader(self) -> Any:
        """The dependency of every path of a member: a token with `notify:read`, a member's for that member alone."""
        return Security(self.guard, scopes=["notify:read"])

    def shard(self, member_id: str) -> Shard:
        """Where a member's rows are."""
        return shard_of(member_id, self.settings.shards)

    async def member(self, member_id: str) -> Member:
        """What is known of a member; a blank one for an unknown id."""
        return (await store.read_members(self.pool, self.shard(member_id), [member_id]))[member_id].member

    async def submit(self, command: InboxRead | PreferencesPut) -> Outcome:
        """Book a command, and wait for its outcome."""
        outcome = await self.executor.submit(self.shard(command.member_id), command)
        assert not isinstance(outcome, Refused), "a well-formed command of this service is never refused"
        return outcome

    def policy(self, version: str) -> Policy:
        """The policy of a program version; that of the version in force now when this worker does not know it."""
        known = next((each.program for each in self.programs.versions if each.version == version), None)
        return known or self.programs.current_at(self.clock()).program

    def render(
        self,
        policy: Policy,
        touchpoint: str,
        channel: str,
        parameters: Parameters,
        at: Micros,
        *,
        wanted_locale: str | None,
        name: str | None = None,
    ) -> Text:
        """The text of an occasion at `at`. Raises MissingTextError or TemplateError."""
        default = self.settings.default_locale
        locale = self.texts.locale_for(touchpoint, channel, wanted_locale, default)
        reader = Reader(locale, default, self.settings.shop_name, name)
        return self.texts.render(touchpoint, channel, locale, context(policy, touchpoint, parameters, at, reader))


def check_may_choose(caller: Caller) -> None:
    """A member's own token chooses for its member; anybody else needs `notify:admin`. Raises Problem 403."""
    if caller.member is None and "notify:admin" not in caller.scopes:
        raise Problem(CHOICE_FORBIDDEN, "To choose for a member takes the scope notify:admin.")


def before_number(cursor: str | None) -> int:
    """The message number that a page ends before."""
    return _NEWEST if cursor is None else int(cursor, 16)


def next_cursor(rows: Sequence[asyncpg.Record], limit: int) -> str | None:
    """The cursor of the next page, from rows of which one more was read than the page has; None at the end."""
    return f"{rows[limit - 1]['message_no']:x}" if len(rows) > limit else None


def answer(body: dict[str, Any]) -> Response:
    """A JSON answer about a member."""
    return Response(orjson.dumps(body), media_type="application/json", headers=_PRIVATE)
