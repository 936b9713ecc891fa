"""A transfer: points that one member gives to another, as the accounts of both know it."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.kit.calendar import NOT_YET, Micros

TransferState = Literal["in_transit", "done"]


class Transfer(msgspec.Struct, array_like=True):
    """What the sender's account knows of a transfer; it is done once the receiver's half is booked."""

    reference: str
    to: str
    points: int
    made_at: Micros
    state: TransferState = "in_transit"
    arrived_at: Micros = NOT_YET


class Arrived(msgspec.Struct, array_like=True):
    """What the receiver's account knows of a transfer: who sent it, how many points, and when they were booked."""

    sender: str
    points: int
    at: Micros


_encode = msgspec.msgpack.Encoder().encode
_decode_transfer = msgspec.msgpack.Decoder(Transfer).decode
_decode_arrived = msgspec.msgpack.Decoder(Arrived).decode


def encode(fact: Transfer | Arrived) -> bytes:
    """The canonical bytes."""
    return _encode(fact)


def decode_transfer(raw: bytes) -> Transfer:
    """The transfer that `encode` wrote on its sender's account."""
    return _decode_transfer(raw)


def decode_arrived(raw: bytes) -> Arrived:
    """The transfer that `encode` wrote on its receiver's account."""
    return _decode_arrived(raw)
