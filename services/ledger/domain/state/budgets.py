"""What the account of a campaign's budget knows: how much is granted, to which orders, and which orders wait (N6)."""

from __future__ import annotations

from typing import Final

import msgspec

NO_PLACE: Final = -1
"""The place of an order that does not wait."""


class Budget(msgspec.Struct, array_like=True):
    """The points granted of a budget, and its queue: the first place in it and the next one that is free.

    `spent`: the alarm that the budget is spent was raised.
    """

    granted: int = 0
    first: int = 0
    next: int = 0
    spent: bool = False


class Allotment(msgspec.Struct, array_like=True):
    """What an order wants and has of a budget, as of its newest question (`asked`), and its place in the queue."""

    asked: int = 0
    wanted: int = 0
    granted: int = 0
    place: int = NO_PLACE


_encode = msgspec.msgpack.Encoder().encode
_decode_budget = msgspec.msgpack.Decoder(Budget).decode
_decode_allotment = msgspec.msgpack.Decoder(Allotment).decode
_decode_waiting = msgspec.msgpack.Decoder(str).decode


def encode(fact: Budget | Allotment | str) -> bytes:
    """The canonical bytes of a fact of the budget's account; text is the key of the allotment that waits at a place."""
    return _encode(fact)


def decode_budget(raw: bytes | None) -> Budget:
    """The budget that `encode` wrote; of one that has no fact nothing is granted."""
    return Budget() if raw is None else _decode_budget(raw)


def decode_allotment(raw: bytes) -> Allotment:
    """The allotment that `encode` wrote."""
    return _decode_allotment(raw)


def decode_waiting(raw: bytes) -> str:
    """The key of the allotment that waits at a place."""
    return _decode_waiting(raw)
