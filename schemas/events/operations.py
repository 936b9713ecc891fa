"""Events of running the system: programs, checkpoints and dead letters."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from schemas.events.envelope import Envelope
from schemas.events.fields import Base64, Count, Instant, Sha256, Text, Token, Version
from schemas.events.reasons import RefusalReason


class ProgramPublishedData(TypedDict):
    """One version of the program, whole."""

    program: Token
    version: Version
    content_hash: Sha256
    """Of the document's canonical JSON."""
    effective_from: Instant
    published_at: Instant
    document: dict[str, Any]
    """The program document; its own schema is `program.schema.json`."""


class ProgramPublished(Envelope):
    """A program version was published. The subject is the program's name, the record's key the version."""

    type: Literal["loyalty.program.published.v1"]
    data: ProgramPublishedData


class LedgerCheckpointData(TypedDict):
    """What binds the ledger's past to a signature."""

    root: Sha256
    previous_root: NotRequired[Sha256]
    """Absent in the first checkpoint."""
    shard_roots: list[Sha256]
    """By shard, from 0."""
    accounts: Count
    """How many accounts changed since the last one."""
    key_id: Token
    signature: Base64


class LedgerCheckpoint(Envelope):
    """The ledger's state at a moment, signed. The subject names the ledger."""

    type: Literal["loyalty.ledger.checkpoint.v1"]
    data: LedgerCheckpointData


class Origin(TypedDict):
    """Where a record came from."""

    topic: Annotated[str, Field(max_length=249)]
    partition: Count
    offset: Count
    appended_at: NotRequired[Instant]
    """The broker's append time: the arrival that the record's handling goes by."""


class Header(TypedDict):
    """A record's header."""

    name: str
    value: Base64


class RawRecord(TypedDict):
    """A record as it was."""

    key: NotRequired[Base64]
    value: NotRequired[Base64]
    headers: list[Header]


class DeadLetterData(TypedDict):
    """A record that was not processed, why, and where it came from."""

    service: Literal["ledger", "tiering", "notifier"]
    """Who refused it."""
    origin: Origin
    reason: RefusalReason
    field: NotRequired[Text]
    """The field that is broken, `data.lines[0].amount`."""
    detail: NotRequired[Text]
    """What is wrong, in words, without the field's value."""
    size: Count
    """Bytes of the value."""
    record: NotRequired[RawRecord]
    """The record itself, to be driven again; absent where it has personal data or is too large."""


class DeadLetterRecorded(Envelope):
    """A record was refused or failed. The subject is its `topic:partition:offset`."""

    type: Literal["loyalty.dead_letter.recorded.v1"]
    data: DeadLetterData


OperationsEvent = ProgramPublished | LedgerCheckpoint | DeadLetterRecorded
"""Events that tell of the system, not of a member."""
