"""The catalogue: what points buy under the program.

A reward of which there are only so many has an account of its own (`Reward.account`), which keeps its stock and the
codes of its pool. That account's lock makes "sold out" exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from typing import Any

from services.ledger.domain.state.refs import REWARD
from services.ledger.domain.state.rewards import RewardKind


@dataclass(frozen=True, slots=True)
class Prize:
    """What a draw may give: points, a reward of the catalogue, or nothing but its name."""

    name: str
    chance: Fraction
    reward: str | None
    points: int


@dataclass(frozen=True, slots=True)
class Reward:
    """A row of the catalogue. `stock` None: there is no limit. `codes` names the pool of a coupon's codes."""

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


def pool_account(pool: str) -> str:
    """The account that keeps a pool of codes."""
    return REWARD + pool


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
