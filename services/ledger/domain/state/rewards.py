"""What a reward's own account knows: how many are out, the codes of its pool, and what each redemption was granted."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec

RewardKind = Literal["gift", "coupon", "points_cash", "free_shipping", "lottery", "tier", "privilege"]

GRANT: Final = "grant:"

CODES: Final = "codes"


class Issue(NamedTuple):
    """A reward that is to be handed out, by the version `program` of the program."""

    redemption: str
    reward: str
    kind: RewardKind
    points: int
    code: str
    prize: str
    program: int


class Stock(msgspec.Struct, array_like=True):
    """How many of a reward were granted and not given back."""

    granted: int = 0


class Pool(msgspec.Struct, array_like=True):
    """How many codes a pool was given, and how many of them are out, in the order they came."""

    added: int = 0
    taken: int = 0


class Grant(msgspec.Struct, array_like=True):
    """What a redemption was answered."""

    reward: str
    granted: bool
    given_back: bool = False


_encode = msgspec.msgpack.Encoder().encode

_decode_stock = msgspec.msgpack.Decoder(Stock).decode

_decode_pool = msgspec.msgpack.Decoder(Pool).decode

_decode_grant = msgspec.msgpack.Decoder(Grant).decode

_decode_code = msgspec.msgpack.Decoder(str).decode


def encode(known: Stock | Pool | Grant | str) -> bytes:
    """The canonical bytes of a fact of the reward's account; text is a code."""
    return _encode(known)


def decode_stock(raw: bytes | None) -> Stock:
    """The stock that `encode` wrote; none was granted of what has no fact."""
    return Stock() if raw is None else _decode_stock(raw)


def decode_pool(raw: bytes | None) -> Pool:
    """The pool that `encode` wrote, empty if there is none."""
    return Pool() if raw is None else _decode_pool(raw)


def decode_grant(raw: bytes) -> Grant:
    """The grant that `encode` wrote."""
    return _decode_grant(raw)


def decode_code(raw: bytes) -> str:
    """The code that `encode` wrote."""
    return _decode_code(raw)


def stock_key(reward: str) -> str:
    """The key of a reward's stock among its account's facts."""
    return f"stock:{reward}"


def code_key(number: int) -> str:
    """The key of the n-th code of a pool, from 0."""
    return f"code:{number}"
