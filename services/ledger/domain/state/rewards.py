"""What a reward's own account knows: how many are out, the codes of its pool, and what each redemption was granted."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

RewardKind = Literal["gift", "coupon", "points_cash", "free_shipping", "lottery", "tier", "privilege"]


class Issue(NamedTuple):
    """A reward that is to be handed out, under the version `program` of the program."""

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


class CodePool(msgspec.Struct, array_like=True):
    """How many codes were added to a pool, and how many of them are out, in the order in which they were added."""

    added: int = 0
    taken: int = 0


class Grant(msgspec.Struct, array_like=True):
    """How a redemption was answered."""

    reward: str
    granted: bool
    given_back: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode_stock = msgspec.msgpack.Decoder(Stock).decode
_decode_pool = msgspec.msgpack.Decoder(CodePool).decode
_decode_grant = msgspec.msgpack.Decoder(Grant).decode
_decode_code = msgspec.msgpack.Decoder(str).decode


def encode(fact: Stock | CodePool | Grant | str) -> bytes:
    """The canonical bytes of a fact of the reward's account; text is a code."""
    return _encode(fact)


def decode_stock(raw: bytes | None) -> Stock:
    """The stock that `encode` wrote; of a reward that has no fact none was granted."""
    return Stock() if raw is None else _decode_stock(raw)


def decode_pool(raw: bytes | None) -> CodePool:
    """The pool that `encode` wrote, empty if there is none."""
    return CodePool() if raw is None else _decode_pool(raw)


def decode_grant(raw: bytes) -> Grant:
    """The grant that `encode` wrote."""
    return _decode_grant(raw)


def decode_code(raw: bytes) -> str:
    """The code that `encode` wrote."""
    return _decode_code(raw)
