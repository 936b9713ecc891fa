"""What the account of a campaign's budget knows: how much is granted, to which orders, and who waits (N6)."""

from __future__ import annotations

from typing import Final

import msgspec

BUDGET: Final = "budget"

ALLOTMENT: Final = "allotment:"

NOWHERE: Final = -1


class Budget(msgspec.Struct, array_like=True):
    """What is given of a budget, and the numbers of the first place in the queue and of the next to be taken."""

    granted: int = 0
    first: int = 0
    next: int = 0
    spent: bool = False


class Allotment(msgspec.Struct, array_like=True):
    """What an order wants and has of a budget, as of its newest question; its place in the queue, -1 = none."""

    asked: int = 0
    wanted: int = 0
    granted: int = 0
    place: int = NOWHERE


_encode = msgspec.msgpack.Encoder().encode

_decode_budget = msgspec.msgpack.Decoder(Budget).decode

_decode_allotment = msgspec.msgpack.Decoder(Allotment).decode

_decode_name = msgspec.msgpack.Decoder(str).decode


def decode_budget(raw: bytes | None) -> Budget:
    """The state of a budget as stored; nothing is given of one that has no fact."""
    return Budget() if raw is None else _decode_budget(raw)


def decode_allotment(raw: bytes) -> Allotment:
    """What an order has, as stored."""
    return _decode_allotment(raw)


def allotment_key(member_id: str, order: str) -> str:
    """The key of what an order has; a member's id has no slash."""
    return f"{ALLOTMENT}{member_id}/{order}"


def decode_name(raw: bytes) -> str:
    """The key of the order that waits at a place."""
    return _decode_name(raw)


def encode(known: Budget | Allotment | str) -> bytes:
    """The canonical bytes; text is the key of an order that waits."""
    return _encode(known)
