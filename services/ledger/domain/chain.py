"""The chain: each journal row's hash covers the row before it, so no row can change without all later ones.

`hash = SHA-256(format, previous hash, digest, version, at, now, input, outcome, entries)` as one msgpack array,
which is length-prefixed and, with the smallest form of every integer, canonical. Neither the shard nor the
account number is in it: they are placement.
"""

from __future__ import annotations

from hashlib import blake2b, sha256

import msgspec

from services.kit.calendar import Micros
from services.ledger.domain.state.entries import Entry
from services.ledger.domain.state.outcome import AwardReason, Outcome

FORMAT = "loyalty.journal.v1"
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


def next_head(head: bytes, link: Link) -> bytes:
    """The hash of a journal row, given the hash of the account's row before it."""
    return sha256(_encoder.encode((FORMAT, head, *link))).digest()
