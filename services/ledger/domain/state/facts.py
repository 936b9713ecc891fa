"""What is known of a review or an activity. It is kept for ever under its key, so the same fact under another event id
books nothing (O2)."""

from __future__ import annotations

import msgspec

from services.kit.calendar import NO_DAY, NOT_YET, Day, Micros
from services.ledger.domain.state.account import NO_PROGRAM


class FactState(msgspec.Struct, array_like=True):
    """A review or an activity: the event that holds (`at`, `source`, `id`), and what it awards before any cap.

    Of several events about one fact, the one that counts from the least time holds (O2). `at` is `NOT_YET` while there
    is none. `removed`: the review was removed or the activity withdrawn, and that is final (N3, N7). `item` is the
    key of what has the award instead: the thing that an activity is about, if its rule gives one award for each, or the
    goods that a review is about, if its rule asks for their being kept (N8).
    """

    at: Micros = NOT_YET
    source: str = ""
    id: str = ""
    removed: bool = False
    points: int = 0
    day: Day = NO_DAY
    program: int = NO_PROGRAM
    item: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(FactState).decode


def encode_fact(state: FactState) -> bytes:
    """The canonical bytes."""
    return _encode(state)


def decode_fact(raw: bytes | None) -> FactState:
    """The state that `encode_fact` wrote; an empty one if there is none."""
    return FactState() if raw is None else _decode(raw)
