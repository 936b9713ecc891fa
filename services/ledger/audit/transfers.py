"""Whether each transfer that was sent has arrived once, or is in transit. `verify` reads shard by shard. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.ledger.domain.state.fact_keys import ARRIVAL, REDEMPTION, TRANSFER
from services.ledger.domain.state.redemptions import decode_redemption
from services.ledger.domain.state.transfers import decode_arrived, decode_transfer

MAX_FAULTS = 20
"""Faults that are named; there may be more."""


class Transit(msgspec.Struct):
    """Points sent less points arrived, by transfer; a difference of 0 is dropped, others are in transit or wrong.

    The points of a redemption that waits for its reward are in transit as well.
    """

    left: dict[str, int] = {}
    done: set[str] = set()
    """The transfers in `left` that are done for their sender."""

    def read(self, facts: Mapping[str, bytes]) -> None:
        """Add an account's transfers. Facts that cannot be read are skipped: another check reports them."""
        for key, raw in facts.items():
            try:
                if key.startswith(TRANSFER):
                    transfer = decode_transfer(raw)
                    self.count(key.removeprefix(TRANSFER), transfer.points, transfer.state == "done")
                elif key.startswith(ARRIVAL):
                    self.count(key.removeprefix(ARRIVAL), -decode_arrived(raw).points, False)
                elif key.startswith(REDEMPTION) and (redemption := decode_redemption(raw)).state == "asked":
                    self.count(key.removeprefix(REDEMPTION), redemption.points, False)
            except msgspec.DecodeError:
                continue

    def add(self, other: Transit) -> None:
        """Add the transfers of other accounts."""
        for name, points in other.left.items():
            self.count(name, points, name in other.done)

    def count(self, name: str, points: int, done: bool) -> None:
        """Add what an account sent of a transfer, or, as a negative number, what arrived."""
        left = self.left.pop(name, 0) + points
        if left:
            self.left[name] = left
            if done:
                self.done.add(name)
        else:
            self.done.discard(name)

    def differs_from(self, in_transit: int) -> list[str]:
        """What does not hold; `in_transit` are the points in transit of the same accounts by their entries."""
        on_its_way = sum(self.left.values())
        if on_its_way == in_transit:
            return []
        return [f"{in_transit} points are in transit by the entries, {on_its_way} by the transfers"]

    def faults(self) -> list[str]:
        """What does not hold of the transfers of all accounts."""
        wrong = []
        for name, points in sorted(self.left.items()):
            if points < 0:
                wrong.append(f"transfer {name}: {-points} points arrived that were not sent")
            elif name in self.done:
                wrong.append(f"transfer {name} is done, and {points} points of it did not arrive")
        return wrong[:MAX_FAULTS]
