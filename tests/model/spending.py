"""Points spent by command: holds and redemptions, and what of them an order makes its own (P5, P7, E2).

A command is refused or booked as a whole. What an order takes over from a hold or a redemption is the order's
from then on: its revisions, refunds and cancellation say what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from services.kit.calendar import Micros, later
from tests.model.commands import Capture, GiveBack, Hold, Redeem, Release
from tests.model.events import MEMBER, hold_id, redemption_id
from tests.model.orders import Order
from tests.model.wallet import LotAllocations, Wallet, split, total

T = TypeVar("T")

SpendingCommand = Hold | Capture | Release | Redeem | GiveBack
HoldState = Literal["open", "captured", "released", "timed_out"]


@dataclass
class HeldPoints:
    """A hold: what it took, in the order taken, and how it ended."""

    points: int
    expires_at: Micros
    taken: LotAllocations
    state: HoldState = "open"
    captured: int = 0
    own: LotAllocations = field(default_factory=list)
    """What was captured by command and no order has."""
    surplus: int = 0
    """What came back of a capture by command, because the order that has it uses fewer (P7)."""
    order: str | None = None
    """The first order that named it (P5)."""


@dataclass
class SpentPoints:
    """A redemption: what is left of it and no order has, in the order taken."""

    points: int
    own: LotAllocations
    returned: int = 0
    surplus: int = 0
    """What came back, because the order that has it uses fewer (P7)."""
    handed_over: int = 0
    """Points that an order has."""
    order: str | None = None


class Spending:
    """The holds and redemptions of one member, by reference."""

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self.holds: dict[str, HeldPoints] = {}
        self.redemptions: dict[str, SpentPoints] = {}
        self.paid = 0

    # By command

    def do(self, command: SpendingCommand, grace_days: int | None) -> str:
        """Book a command, or say why not: then nothing has changed."""
        match command:
            case Hold():
                return self._hold(command)
            case Capture():
                return self._capture(command)
            case Release():
                return self._release(command)
            case Redeem():
                return self._redeem(command)
            case GiveBack():
                return self._give_back(command, grace_days)

    def _hold(self, command: Hold) -> str:
        if (refused := self._refused(command.points, command.reference in self.holds)) is not None:
            return refused
        taken = self.wallet.hold(command.points)
        self.holds[command.reference] = HeldPoints(command.points, later(self.wallet.now, command.ttl), taken)
        return "booked"

    def _redeem(self, command: Redeem) -> str:
        if (refused := self._refused(command.points, command.reference in self.redemptions)) is not None:
            return refused
        self.redemptions[command.reference] = SpentPoints(command.points, self.wallet.redeem(command.points))
        return "booked"

    def pay(self, cost: int) -> None:
        """Spend points for good."""
        self.wallet.redeem(cost)
        self.paid += cost

    def _refused(self, points: int, known: bool) -> str | None:
        if points <= 0:
            return "points_not_positive"
        if known:
            return "reference_used"
        return "insufficient_points" if points > self.wallet.available() else None

    def _capture(self, command: Capture) -> str:
        if command.points is not None and command.points <= 0:
            return "points_not_positive"
        hold = self.holds.get(command.reference)
        if hold is None:
            return "hold_unknown"
        if hold.state != "open":
            return "hold_over"
        points = hold.points if command.points is None else command.points
        if points > hold.points:
            return "more_than_held"
        hold.own = self._end_by_capture(hold, points)
        return "booked"

    def _release(self, command: Release) -> str:
        hold = self.holds.get(command.reference)
        if hold is None:
            return "hold_unknown"
        if hold.state != "open":
            return "hold_over"
        hold.state = "released"
        self.wallet.release(hold.taken)
        return "booked"

    def _give_back(self, command: GiveBack, grace_days: int | None) -> str:
        if command.points is not None and command.points <= 0:
            return "points_not_positive"
        redemption = self.redemptions.get(command.reference)
        if redemption is None:
            return "redemption_unknown"
        if redemption.order is not None:
            return "redemption_in_order"
        left = total(redemption.own)
        points = left if command.points is None else command.points
        if points > left or left == 0:
            return "more_than_left"
        self.wallet.put_back(redemption.own, points, grace_days)
        redemption.returned += points
        return "booked"

    # By the clock

    def next_timeout(self) -> Micros | None:
        """When the next open hold is over."""
        return min((hold.expires_at for hold in self.holds.values() if hold.state == "open"), default=None)

    def time_out(self) -> None:
        """Release the holds that are over, the one made first first; what belongs to a lot that is over expires."""
        over = [hold for hold in self.holds.values() if hold.state == "open" and hold.expires_at <= self.wallet.now]
        for hold in sorted(over, key=lambda hold: hold.expires_at):
            hold.state = "timed_out"
            self.wallet.release(hold.taken)

    # By an order

    def take_over(self, order: Order, uncovered: int, grace_days: int | None) -> int:
        """P7: give an order what it may have of all that its `paid` events name, at most `uncovered` points.

        Holds go before redemptions. The first order to name one has it, and a hold that is open ends (P5). What a
        capture by command or a redemption has beyond that returns at once.
        """
        names = sorted({name for report in order.facts.paid if (name := report.data.get("hold_id"))})
        names += sorted({name for report in order.facts.paid if (name := report.data.get("redemption_id"))})
        had = 0
        for name in names:
            taken: LotAllocations = []
            hold = _named(self.holds, hold_id, name)
            if hold is not None and hold.order is None:
                hold.order = order.key
                taken = self._of_hold(hold, order.holding.at, uncovered - had, grace_days)
            redemption = _named(self.redemptions, redemption_id, name)
            if redemption is not None and redemption.order is None:
                redemption.order = order.key
                taken, rest = split(redemption.own, uncovered - had)
                redemption.own = []
                redemption.handed_over, redemption.surplus = total(taken), total(rest)
                self.wallet.put_back(rest, redemption.surplus, grace_days)
            self.wallet.uses.setdefault(order.key, []).extend(taken)
            had += total(taken)
        return had

    def _of_hold(self, hold: HeldPoints, paid_at: Micros, uncovered: int, grace_days: int | None) -> LotAllocations:
        match hold.state:
            case "open":
                return self._end_by_capture(hold, min(uncovered, hold.points))
            case "captured":
                taken, rest = split(hold.own, uncovered)
                hold.own, hold.surplus = [], total(rest)
                self.wallet.put_back(rest, hold.surplus, grace_days)
                return taken
            case "timed_out" if paid_at <= hold.expires_at:
                return self.wallet.honour(hold.taken, uncovered)
            case _:
                return []

    def _end_by_capture(self, hold: HeldPoints, points: int) -> LotAllocations:
        first, rest = split(hold.taken, points)
        self.wallet.capture(first)
        self.wallet.release(rest)
        hold.state, hold.captured = "captured", points
        return first

    # What no order has

    def redeemed(self) -> int:
        """Points redeemed by command that no order has had, before what was given back by command."""
        captured = sum(total(hold.own) for hold in self.holds.values())
        redeemed = sum(spent.points - spent.handed_over - spent.surplus for spent in self.redemptions.values())
        return captured + redeemed + self.paid

    def returned(self) -> int:
        """What came back of them."""
        return sum(spent.returned for spent in self.redemptions.values())


def _named(by_reference: Mapping[str, T], id_of: Callable[[str, str], str], id_: str | None) -> T | None:
    return next((one for reference, one in by_reference.items() if id_of(MEMBER, reference) == id_), None)
