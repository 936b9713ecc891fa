"""The chain: each journal row's hash covers the row before it, so no row can change without all later ones.

`hash = SHA-256(format, previous hash, digest, version, at, now, input, outcome, entries)` as one msgpack array,
which is length-prefixed and, with the smallest form of every integer, canonical. Neither the shard nor the
account number is in it: they are placement.

A row says in which format it was written (K4). A release that books the same inputs otherwise than the release before
it writes a format of its own: the hashes of older rows still hold, but only rows of this format can be folded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b, sha256
from typing import Final, NewType

import msgspec

from services.kit.calendar import Micros
from services.ledger.domain.state.entries import Entry
from services.ledger.domain.state.outcome import AwardReason, Outcome

Format = NewType("Format", int)
"""The number of a journal format."""
FORMATS: Final[Mapping[Format, str]] = {Format(1): "loyalty.journal.v1", Format(2): "loyalty.journal.v2"}
"""All formats that a release has written, by number, with what stands in the hashes of their rows."""
FORMAT: Final = max(FORMATS)
"""The format that this release writes."""
_NAME: Final = FORMATS[FORMAT]
_encoder = msgspec.msgpack.Encoder()


class Record(msgspec.Struct, frozen=True, array_like=True):
    """An outcome as journalled: everything but its entries, which have rows of their own."""

    kind: str
    detail: str
    reasons: list[AwardReason]
    alarms: list[str]


_record_decoder = msgspec.msgpack.Decoder(Record)


def digest_of(subject: str, source: str, event_id: str) -> bytes:
    """The 16 bytes that name an event, besides its time: BLAKE2b over the length-prefixed parts."""
    return blake2b(_encoder.encode((subject, source, event_id)), digest_size=16).digest()


def encode_record(outcome: Outcome) -> bytes:
    """The canonical bytes of an outcome without its entries."""
    return _encoder.encode((outcome.kind, outcome.detail, outcome.reasons, outcome.alarms))


def decode_record(raw: bytes) -> Record:
    """What `encode_record` wrote."""
    return _record_decoder.decode(raw)


Link = tuple[bytes, int, Micros, Micros, bytes, bytes, list[Entry]]
"""What a journal row adds to the chain: its digest, version, `at`, `now`, input, outcome and entries."""


def next_head(head: bytes, link: Link, name: str = _NAME) -> bytes:
    """The hash of a journal row, given the hash of the account's row before it and the name of the row's format."""
    return sha256(_encoder.encode((name, head, *link))).digest()
