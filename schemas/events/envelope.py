"""What every event has around its data: the attributes of CloudEvents 1.0."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import StringConstraints
from typing_extensions import TypedDict

from schemas.events.fields import Count, Id, Instant, MemberId, Shop, Token, Version

JsonContentType = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]+/([A-Za-z0-9.+-]+\+)?[Jj][Ss][Oo][Nn]( *;.*)?$")]
"""A media type of JSON, with or without parameters."""


class Envelope(TypedDict):
    """The CloudEvents attributes. An event is (subject, source, id, time)."""

    specversion: Literal["1.0"]
    id: Id
    """Chosen by the publisher; the same event told again has the same id and time."""
    source: Id
    """Who publishes, as a URI reference."""
    subject: MemberId
    """The member (and the record's key), except where the type says otherwise."""
    time: Instant
    """Business time: when it happened, not when it was sent."""
    datacontenttype: NotRequired[JsonContentType]


class Numbered(TypedDict):
    """What lets a consumer drop the repeated and the outdated: keep the last (epoch, member_version, event_no) a member
    and source."""

    epoch: NotRequired[Count]
    """How often the service was restored from a backup; 0 if absent. All of an epoch is newer than the one before."""

    member_version: Count
    """The member's version after the input that caused this event; one sequence a service and member."""
    event_no: Count
    """Place among the events of that version, from 0."""


class Cause(TypedDict):
    """The event, command or due time that made an outcome, and the rule and program it was made by."""

    type: Token
    """The causing event's type; `loyalty.timer.due.v1` for what fell due."""
    source: Id
    id: Id
    time: Instant
    order_id: NotRequired[Id]
    shop: NotRequired[Shop]
    rule: NotRequired[Token]
    """The program's rule, or the ledger's own where no rule of the program is meant (`tier-true-up`)."""
    program_version: Version
