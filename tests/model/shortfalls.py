"""What a clawback does not find: `negative: debt | clamp | review` (R6, R2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from tests.model.commands import Decide
from tests.model.wallet import Wallet

Claim = tuple[date, int]
"""Points claimed from the lot of a day."""


@dataclass
class Shortfalls:
    """What was claimed and not there, so far as it is not debt."""

    wallet: Wallet
    written_off: int = 0
    reviews: dict[str, list[Claim]] = field(default_factory=dict)
    """What waits for a person's decision, by whose points they were: an order's, a day's, a review's."""

    def claim(self, owner: str, claims: list[Claim], negative: str) -> None:
        """R6: take these points back; what is not there is owed, written off, or waits for a decision."""
        short = [(day, self.wallet.claim(day, points)) for day, points in claims]
        for day, points in short:
            if points and negative == "clamp":
                self.written_off += points
            elif points and negative == "review":
                self.reviews.setdefault(owner, []).append((day, points))
            elif points:
                self.wallet.owe(points)

    def decide(self, command: Decide) -> str:
        """A review ends: it is written off, or taken as if it were claimed now, and owed where it is not there."""
        if command.reference not in self.reviews:
            return "shortfall_unknown"
        claims = self.reviews.pop(command.reference)
        if command.decision == "forgive":
            self.written_off += sum(points for _, points in claims)
        else:
            self.claim(command.reference, claims, "debt")
        return "booked"

    def under_review(self) -> dict[str, int]:
        """Points that wait for a decision."""
        return {owner: sum(points for _, points in claims) for owner, claims in self.reviews.items()}
