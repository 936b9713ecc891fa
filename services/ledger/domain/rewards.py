"""What points buy from the program's catalogue, and what is known of its stock.

A reward of which there are only so many is kept on an account of its own (`Reward.account`): its stock, and the codes
of its pool. That account's lock is what makes "sold out" exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple

import msgspec

from services.ledger.domain.refs import REWARD

RewardKind = Literal["gift", "coupon", "points_cash", "free_shipping", "lottery", "tier", "privilege"]

GRANT: Final = "grant:"
CODES: Final = "codes"


@dataclass(frozen=True, slots=True)
class Prize:
    """What a draw may give: points, a reward of the catalogue, or, without either, nothing but its name."""

    name: str
    chance: Fraction
    reward: str | None
    points: int


@dataclass(frozen=True, slots=True)
class Reward:
    """A row of the catalogue. `stock` None: there is always one more; `codes` names the pool of a coupon's codes."""

    name: str
    kind: RewardKind
    points: int
    stock: int | None
    codes: str | None
    prizes: tuple[Prize, ...]
    document: Mapping[str, Any]
    """All that the program says of it."""

    @property
    def account(self) -> str | None:
        """The account that keeps its stock or codes; None if there is nothing to count."""
        if self.codes is not None:
            return pool_account(self.codes)
        return None if self.stock is None else REWARD + self.name

    def drawn(self, nonce: str, redemption_id: str) -> Prize | None:
        """The prize of a draw: anyone who knows the nonce can draw again.

        The first 8 bytes of SHA-256 over `nonce:redemption_id`, as a fraction of 2^64, fall into the chance of one
        prize, in the order written, or beyond all of them.
        """
        number = Fraction(int.from_bytes(sha256(f"{nonce}:{redemption_id}".encode()).digest()[:8]), 2**64)
        upto = Fraction(0)
        for prize in self.prizes:
            upto += prize.chance
            if number < upto:
                return prize
        return None


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


def pool_account(pool: str) -> str:
    """The account that keeps a pool of codes."""
    return REWARD + pool


def stock_key(reward: str) -> str:
    """The key of a reward's stock among its account's facts."""
    return f"stock:{reward}"


def code_key(number: int) -> str:
    """The key of the n-th code of a pool, from 0."""
    return f"code:{number}"


def compile_rewards(document: Mapping[str, Any]) -> dict[str, Reward]:
    """The catalogue of a validated document, by name."""
    return {row["reward"]: _reward(row) for row in (document.get("redeem") or {}).get("rewards") or ()}


def _reward(row: Mapping[str, Any]) -> Reward:
    return Reward(
        name=row["reward"],
        kind=row["kind"],
        points=row["points"],
        stock=row.get("stock"),
        codes=row.get("codes"),
        prizes=tuple(
            Prize(prize["prize"], Fraction(prize["chance"]), prize.get("reward"), prize.get("points") or 0)
            for prize in row.get("prizes") or ()
        ),
        document=row,
    )
