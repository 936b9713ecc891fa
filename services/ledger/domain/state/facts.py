"""What is known of a review or an activity, kept for ever under its own key."""

from __future__ import annotations

import msgspec

from services.kit.calendar import Day, Micros


class FactState(msgspec.Struct, array_like=True):
    """A fact as the least of its tellings told it (O2), and what was awarded for it before any cap."""

    at: Micros = 0
    source: str = ""
    id: str = ""
    removed: bool = False
    points: int = 0
    day: Day = 0
    program: int = 0


decode_fact = msgspec.msgpack.Decoder(FactState).decode
_encode = msgspec.msgpack.Encoder().encode


def encode_fact(state: FactState) -> bytes:
    """The canonical bytes."""
    return _encode(state)
