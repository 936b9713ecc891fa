"""Points that go from one member to another, each lot with its expiry (E5, E6, P6): the half that is this member's."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from math import inf

from tests.model.commands import Receive, Send
from tests.model.days import NEVER, local_day
from tests.model.program import Program
from tests.model.wallet import LotAllocations, Wallet, total


@dataclass
class Transfers:
    """What was sent and what was received, by reference."""

    wallet: Wallet
    sent: dict[str, LotAllocations] = field(default_factory=dict)
    """As of then: the last days of the lots, and those of their parents."""
    received: dict[str, int] = field(default_factory=dict)
    given: dict[date, int] = field(default_factory=dict)
    """How many were sent on each local day."""

    def do(self, command: Send | Receive, program: Program) -> str:
        """Book this member's half, or say why not; `program` is the version in force."""
        return self._send(command, program) if isinstance(command, Send) else self._receive(command)

    def _send(self, command: Send, program: Program) -> str:
        if command.points <= 0:
            return "points_not_positive"
        if command.reference in self.sent:
            return "reference_used"
        if (refused := self._beyond(command.points, program)) is not None:
            return refused
        if command.points > self.wallet.available():
            return "insufficient_points"
        today = local_day(self.wallet.now, program["timezone"])
        self.given[today] = self.given.get(today, 0) + command.points
        taken = self.wallet.redeem(command.points)
        last_day = self.wallet.last_day
        self.sent[command.reference] = [
            ((last_day(day), None if parent is None else last_day(parent)), points) for (day, parent), points in taken
        ]
        return "booked"

    def _beyond(self, points: int, program: Program) -> str | None:
        """X1: whether the program lets a member give so many more today, and this month."""
        limits, today = program.get("transfers", {}), local_day(self.wallet.now, program["timezone"])
        this_month = [day for day in self.given if (day.year, day.month) == (today.year, today.month)]
        if not limits.get("allowed", True):
            return "transfers_not_allowed"
        if points < limits.get("minimum", 1):
            return "transfer_below_minimum"
        if self.given.get(today, 0) + points > limits.get("per_day", inf):
            return "beyond_day_limit"
        if sum(self.given[day] for day in this_month) + points > limits.get("per_month", inf):
            return "beyond_month_limit"
        return None

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
