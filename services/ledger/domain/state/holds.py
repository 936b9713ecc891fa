"""Points set aside or spent by command: what is known of a hold and of a redemption.

Both are facts of the member under their id's key. An order that names one has its points from it (P7).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from services.kit.calendar import Micros
from services.ledger.domain.state.lots import LotAllocation

MAX_OPEN: Final = 100
"""Holds of one member that may be open at the same time."""

HoldState = Literal["open", "captured", "released", "timed_out"]


class Hold(msgspec.Struct, array_like=True):
    """Points set aside until it ends: by capture, release or timeout, once (P5).

    `taken` says out of which lots, in that order, also after its end: a late order is honoured from them (P7). Of them
    the first `captured` points were redeemed. `order` is the one that has them.
    """

    reference: str
    points: int
    made_at: Micros
    expires_at: Micros
    taken: list[LotAllocation]
    state: HoldState = "open"
    ended_at: Micros = 0
    captured: int = 0
    order: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode_hold = msgspec.msgpack.Decoder(Hold).decode


def encode_hold(hold: Hold) -> bytes:
    """The canonical bytes."""
    return _encode(hold)


def decode_hold(raw: bytes) -> Hold:
    """The hold that `encode` wrote."""
    return _decode_hold(raw)
