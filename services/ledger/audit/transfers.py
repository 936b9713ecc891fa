"""Whether the halves of what went between accounts belong together, as `verify` sees them shard by shard. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.ledger.domain.state.fact_keys import ARRIVAL, REDEMPTION, TRANSFER
from services.ledger.domain.state.redemptions import decode_redemption
from services.ledger.domain.state.transfers import decode_arrived, decode_transfer

MAX_FAULTS = 20
"""Named of all; there may be more."""


class Transit(msgspec.Struct):
    """Points by transfer, as sent less arrived: what is paired is dropped, what is left is on its way or wrong.

    What a redemption waits with for its reward is on its way too.
    """

    left: dict[str, int] = {}
    done: set[str] = set()
    """Of those, the ones that their sender takes for done."""

    def read(self, facts: Mapping[str, bytes]) -> None:
        """Take in what an account knows of its transfers; what cannot be read is another check's fault."""
        for key, raw in facts.items():
            try:
                if key.startswith(TRANSFER):
                    transfer = decode_transfer(raw)
                    self._count(key.removeprefix(TRANSFER), transfer.points, transfer.state == "done")
                elif key.startswith(ARRIVAL):
                    self._count(key.removeprefix(ARRIVAL), -decode_arrived(raw).points, False)
                elif key.startswith(REDEMPTION) and (redemption := decode_redemption(raw)).state == "asked":
                    self._count(key.removeprefix(REDEMPTION), redemption.points, False)
            except msgspec.DecodeError:
                continue

    def add(self, other: Transit) -> None:
        """Take in what other accounts know."""
        for name, points in other.left.items():
            self._count(name, points, name in other.done)

    def _count(self, name: str, points: int, done: bool) -> None:
        left = self.left.pop(name, 0) + points
        if left:
            self.left[name] = left
            if done:
                self.done.add(name)
        else:
            self.done.discard(name)

    def faults(self, in_transit: int) -> list[str]:
        """What does not hold, given the points in transit that all entries add up to."""
        on_its_way = sum(self.left.values())
        wrong = [] if on_its_way == in_transit else [f"{in_transit} points are in transit, {on_its_way} on their way"]
        for name, points in sorted(self.left.items()):
            if points < 0:
                wrong.append(f"transfer {name}: {-points} points arrived that were not sent")
            elif name in self.done:
                wrong.append(f"transfer {name} is done, and {points} points of it did not arrive")
        return wrong[:MAX_FAULTS]
