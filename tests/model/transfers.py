"""Points that go from one member to another, each lot with its expiry (E5, E6, P6): the half that is this member's."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from tests.model.commands import Receive, Send
from tests.model.days import NEVER
from tests.model.wallet import LotAllocations, Wallet, total


@dataclass
class Transfers:
    """What was sent and what was received, by reference."""

    wallet: Wallet
    sent: dict[str, LotAllocations] = field(default_factory=dict)
    """As of then: the last days of the lots, and those of their parents."""
    received: dict[str, int] = field(default_factory=dict)

    def do(self, command: Send | Receive) -> str:
        """Book this member's half, or say why not."""
        return self._send(command) if isinstance(command, Send) else self._receive(command)

    def _send(self, command: Send) -> str:
        if command.points <= 0:
            return "points_not_positive"
        if command.reference in self.sent:
            return "reference_used"
        if command.points > self.wallet.available():
            return "insufficient_points"
        taken = self.wallet.redeem(command.points)
        last_day = self.wallet.last_day
        self.sent[command.reference] = [
            ((last_day(day), None if parent is None else last_day(parent)), points) for (day, parent), points in taken
        ]
        return "booked"

    def _receive(self, command: Receive) -> str:
        """The other half was booked before this arrives: it is never refused, and the second time it is known."""
        if command.reference in self.received:
            return "known"
        lots = [((_day(day), None if parent is None else _day(parent)), points) for day, parent, points in command.lots]
        for lot, points in lots:
            self.wallet.come_in(lot, points)
        self.received[command.reference] = total(lots)
        return "booked"

    def in_transit(self) -> int:
        """Points sent less points received: of all members together 0, at rest."""
        return sum(total(taken) for taken in self.sent.values()) - sum(self.received.values())


def _day(text: str) -> date:
    return NEVER if text == "never" else date.fromisoformat(text)
