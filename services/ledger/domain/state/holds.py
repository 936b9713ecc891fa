"""A hold: points set aside by command. It is a fact of the member; an order that names it takes its points (P7)."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from services.kit.calendar import NOT_YET, Micros
from services.ledger.domain.state.lots import LotAllocation

MAX_OPEN: Final = 100
"""Holds of one member that may be open at the same time."""

HoldState = Literal["open", "captured", "released", "timed_out"]


class Hold(msgspec.Struct, array_like=True):
    """Points set aside until the hold ends: by capture, release or timeout, once (P5).

    `allocations` say from which lots the points came, in that order, also after the hold's end: an order that was paid
    in time is honoured from them (P7). The first `captured` points of them were redeemed. `order` is the order that has
    the points. `surplus` is how many of those captured by command came back, because that order uses fewer.
    """

    reference: str
    points: int
    made_at: Micros
    expires_at: Micros
    allocations: list[LotAllocation]
    state: HoldState = "open"
    ended_at: Micros = NOT_YET
    captured: int = 0
    order: str = ""
    surplus: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Hold).decode


def encode_hold(hold: Hold) -> bytes:
    """The canonical bytes."""
    return _encode(hold)


def decode_hold(raw: bytes) -> Hold:
    """The hold that `encode_hold` wrote."""
    return _decode(raw)
