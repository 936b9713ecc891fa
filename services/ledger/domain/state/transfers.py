"""Points given by one member to another: what the accounts of both know of it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from services.kit.calendar import Micros

TRANSFER: Final = "transfer:"
ARRIVAL: Final = "arrival:"

TransferState = Literal["in_transit", "done"]


class Transfer(msgspec.Struct, array_like=True):
    """What the sender's account knows of a transfer; it is done once the receiver's half is booked."""

    reference: str
    to: str
    points: int
    made_at: Micros
    state: TransferState = "in_transit"
    arrived_at: Micros = 0


class Arrived(msgspec.Struct, array_like=True):
    """What the receiver's account knows of a transfer: who sent it, and when it was booked."""

    sender: str
    points: int
    at: Micros


_encode = msgspec.msgpack.Encoder().encode
_decode_transfer = msgspec.msgpack.Decoder(Transfer).decode
_decode_arrived = msgspec.msgpack.Decoder(Arrived).decode


def transfer_key(transfer_id: str) -> str:
    """The key of a transfer among its sender's facts."""
    return TRANSFER + transfer_id


def arrival_key(transfer_id: str) -> str:
    """The key of a transfer among its receiver's facts."""
    return ARRIVAL + transfer_id


def decode_transfer(raw: bytes) -> Transfer:
    """A transfer as its sender's fact."""
    return _decode_transfer(raw)


def decode_arrived(raw: bytes) -> Arrived:
    """A transfer as its receiver's fact."""
    return _decode_arrived(raw)


def encode(known: Transfer | Arrived) -> bytes:
    """The canonical bytes."""
    return _encode(known)
