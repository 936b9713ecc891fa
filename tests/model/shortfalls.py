"""What a clawback does not find: `negative: debt | clamp | review` (R6, R2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.commands import Decide
from tests.model.wallet import Wallet


@dataclass
class Shortfalls:
    """What clawbacks did not find, so far as it is not debt."""

    wallet: Wallet
    written_off: int = 0
    under_review: dict[str, int] = field(default_factory=dict)
    """Points that wait for a decision, by what the clawback was for: an order or another fact."""

    def fall_short(self, about: str, points: int, negative: str) -> None:
        """R6: what a clawback did not find is owed, written off, or waits for a decision."""
        match negative:
            case "clamp":
                self.written_off += points
            case "review" if points:
                self.under_review[about] = self.under_review.get(about, 0) + points
            case _:
                self.wallet.owe(points)

    def decide(self, command: Decide) -> str:
        """A review ends: it is written off, or taken from what is there by now, and the rest is owed."""
        points = self.under_review.pop(command.reference, None)
        if points is None:
            return "shortfall_unknown"
        if command.decision == "write_off":
            self.written_off += points
        else:
            self.wallet.owe(self.wallet.take_back(points))
        return "booked"
