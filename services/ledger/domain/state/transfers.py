"""A transfer: points that one member gives to another, as the accounts of both know it."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.kit.calendar import NO_DAY, NOT_YET, Day, Micros

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


class Given(msgspec.Struct, array_like=True):
    """How many points an account gave away on the newest local day, and in the newest month, on which it gave any."""

    day: Day = NO_DAY
    on_day: int = 0
    month: Day = NO_DAY
    """The month's first day."""
    in_month: int = 0

    def add(self, points: int, day: Day, month: Day) -> None:
        """Count points that are given on a day; an earlier day's, and an earlier month's, are over."""
        if self.day != day:
            self.day, self.on_day = day, 0
        if self.month != month:
            self.month, self.in_month = month, 0
        self.on_day += points
        self.in_month += points


_encode = msgspec.msgpack.Encoder().encode
_decode_transfer = msgspec.msgpack.Decoder(Transfer).decode
_decode_arrived = msgspec.msgpack.Decoder(Arrived).decode
_decode_given = msgspec.msgpack.Decoder(Given).decode


def encode(fact: Transfer | Arrived | Given) -> bytes:
    """The canonical bytes."""
    return _encode(fact)


def decode_transfer(raw: bytes) -> Transfer:
    """The transfer that `encode` wrote on its sender's account."""
    return _decode_transfer(raw)


def decode_arrived(raw: bytes) -> Arrived:
    """The transfer that `encode` wrote on its receiver's account."""
    return _decode_arrived(raw)


def decode_given(raw: bytes | None) -> Given:
    """What `encode` wrote; nothing was given if there is none."""
    return Given() if raw is None else _decode_given(raw)
