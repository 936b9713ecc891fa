"""What a clawback does not find: `negative: debt | clamp | review` (R6, R2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from tests.model.commands import Decide
from tests.model.wallet import Wallet


@dataclass
class Review:
    """Points that a person decides about, by the lot days they were claimed from."""

    claims: list[tuple[date, int]]
    state: Literal["open", "taken", "forgiven"] = "open"

    @property
    def points(self) -> int:
        """How many they are."""
        return sum(points for _, points in self.claims)


@dataclass
class Shortfalls:
    """What was claimed and not there, so far as it is not debt."""

    wallet: Wallet
    written_off: int = 0
    reviews: dict[str, Review] = field(default_factory=dict)
    """By number, from 1: one for each input that fell short."""

    def claim(self, claims: list[tuple[date, int]], negative: str) -> None:
        """R6: take these points back; what is not there is owed, written off, or waits for a decision."""
        short = [(day, self.wallet.claim(day, points)) for day, points in claims]
        short = [(day, points) for day, points in short if points]
        total = sum(points for _, points in short)
        if negative == "clamp":
            self.written_off += total
        elif negative == "review" and short:
            self.reviews[str(len(self.reviews) + 1)] = Review(short)
        else:
            for _, points in short:
                self.wallet.owe(points)

    def decide(self, command: Decide) -> str:
        """A review ends: it is written off, or taken as if it were claimed now, and owed where it is not there."""
        review = self.reviews.get(command.reference)
        if review is None:
            return "review_unknown"
        if review.state != "open":
            return "review_over"
        if command.decision == "forgive":
            review.state = "forgiven"
            self.written_off += review.points
        else:
            review.state = "taken"
            self.claim(review.claims, "debt")
        return "booked"

    def under_review(self) -> int:
        """Points that wait for a decision."""
        return sum(review.points for review in self.reviews.values() if review.state == "open")
