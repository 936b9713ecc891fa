"""Sums of an account's entries, and milestones: the sums up to a version, from which later ones begin. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from services.kit.calendar import Day

Moved = tuple[str, str, Day, int]
"""Points moved from an account (debit) to another (credit), of the lot of a day."""


class Sums(msgspec.Struct, array_like=True):
    """What entries add up to: the points of each account, and the available points by the day of their lot."""

    at: dict[str, int] = {}
    lots: dict[Day, int] = {}

    def add(self, moves: Iterable[Any]) -> None:
        """Add entries, or sums of entries; each is a `Moved`. What is 0 is left out."""
        for debit, credit, lot_day, points in moves:
            _add(self.at, debit, -points)
            _add(self.at, credit, points)
            if lot_day and "available" in (debit, credit):
                _add(self.lots, lot_day, points if credit == "available" else -points)


def _add(sums: dict[Any, int], key: Any, points: int) -> None:
    total = sums.get(key, 0) + points
    if total:
        sums[key] = total
    else:
        sums.pop(key, None)


encode_sums = msgspec.msgpack.Encoder().encode
"""The stored bytes of sums."""
decode_sums = msgspec.msgpack.Decoder(Sums).decode
"""The sums that `encode_sums` wrote."""
