"""The member's points: lots and debts, and the ways points move (R6, R7, P3, P4, P5, P6, P7, E1, E2, E6).

Everything here goes by arrival: `now` is the account's, and never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta

from services.kit.calendar import NOT_YET, Micros
from tests.model.days import NEVER, is_over, local_day

LotKey = tuple[date, date | None]
"""(last day, the parent lot's last day if this is a grace lot)."""

LotAllocations = list[tuple[LotKey, int]]
"""Points taken from lots, in order of consumption (P3)."""


@dataclass
class Lot:
    """Points of one last day. `expired` has been what it is, `forgiven` is what of that was taken back."""

    pending: int = 0
    available: int = 0
    held: int = 0
    expired: int = 0
    forgiven: int = 0


@dataclass
class Debt:
    """Points owed: by the order whose `points_used` fell short, or by nobody in particular (a clawback)."""

    order: str | None
    points: int


@dataclass
class Wallet:
    """Lots, debts, and which lots each order's points came from, in order of consumption (P3)."""

    zone: str
    now: Micros = NOT_YET
    lots: dict[LotKey, Lot] = field(default_factory=dict)
    debts: list[Debt] = field(default_factory=list)
    uses: dict[str, LotAllocations] = field(default_factory=dict)
    last_days: dict[date, date] = field(default_factory=dict)
    """Of lots that are not named by their last day (E3)."""

    def lot(self, key: LotKey) -> Lot:
        """The lot of a key, made where there is none."""
        return self.lots.setdefault(key, Lot())

    def is_over(self, key: LotKey) -> bool:
        """E1: whether the lot's day has ended."""
        return is_over(self.last_day(key[0]), self.now, self.zone)

    def last_day(self, lot: date) -> date:
        """Until when a lot's points can be spent."""
        return self.last_days.get(lot, lot)

    def spending_order(self) -> list[LotKey]:
        """E6: earliest expiry first, of one day plain before grace, never-expiring last (its day is last)."""

        def rank(key: LotKey) -> tuple[date, bool, date]:
            day, parent = key
            return self.last_day(day), parent is not None, NEVER if parent is None else self.last_day(parent)

        return sorted(self.lots, key=rank)

    def come_in(self, key: LotKey, points: int) -> None:
        """P6: points for a lot. What is over expires; else the oldest debts are paid first."""
        if self.is_over(key):
            self.lot(key).expired += points
            return
        for debt in self.debts:
            paid = min(points, debt.points)
            debt.points -= paid
            points -= paid
            if debt.order is not None and paid:
                self.uses.setdefault(debt.order, []).append((key, paid))  # P3: it counts as used by it
        self.debts = [debt for debt in self.debts if debt.points]
        self.lot(key).available += points

    def claw_back(self, day: date, points: int) -> int:
        """R6, R7: take back what went to the lot of `day`: forgive, take there, take elsewhere.

        What is nowhere to be found is returned.
        """
        family = [key for key in self.spending_order() if key == (day, None) or key[1] == day]
        family.sort(key=lambda key: key[1] is not None)  # the lot, then its grace lots
        for key in family:
            lot = self.lots[key]
            forgiven = min(points, lot.expired - lot.forgiven)
            lot.forgiven += forgiven
            points -= forgiven
        return points - total(self._take([*family, *self.spending_order()], points))

    def take_back(self, points: int) -> int:
        """Take back what was granted, from whichever lot has it; what is nowhere to be found is returned."""
        return points - total(self._take(self.spending_order(), points))

    def owe(self, points: int) -> None:
        """R6: a debt of nobody in particular."""
        if points:
            self.debts.append(Debt(None, points))

    def available(self) -> int:
        """What can be spent."""
        return sum(lot.available for lot in self.lots.values())

    def redeem(self, points: int) -> LotAllocations:
        """Spend available points in spending order (E6)."""
        assert points <= self.available()
        return self._take(self.spending_order(), points)

    def hold(self, points: int) -> LotAllocations:
        """P5: set available points aside, in spending order."""
        taken = self.redeem(points)
        for key, held in taken:
            self.lots[key].held += held
        return taken

    def capture(self, taken: LotAllocations) -> None:
        """What a hold took is redeemed, also from a lot whose day is over (E2)."""
        for key, points in taken:
            self.lots[key].held -= points

    def release(self, taken: LotAllocations) -> None:
        """What a hold took comes in again, last taken first (P6); without grace where the day is over (E2)."""
        for key, points in reversed(taken):
            self.lots[key].held -= points
            self.come_in(key, points)

    def honour(self, released: LotAllocations, points: int) -> LotAllocations:
        """P7: take again what a hold let go: from each of its lots what is available, then what expired, undone."""
        taken: LotAllocations = []
        for key, most in released:
            lot = self.lots[key]
            wanted = min(most, points)
            available = min(wanted, lot.available)
            undone = min(wanted - available, lot.expired - lot.forgiven)
            lot.available -= available
            lot.expired -= undone
            points -= available + undone
            if available + undone:
                taken.append((key, available + undone))
        return taken

    def spend(self, order: str, points: int) -> int:
        """P7: debit an order's points in spending order; the shortfall is debt, and is returned."""
        taken = self._take(self.spending_order(), points)
        self.uses.setdefault(order, []).extend(taken)
        shortfall = points - total(taken)
        if shortfall:
            self.debts.append(Debt(order, shortfall))
        return shortfall

    def give_back(self, order: str, points: int, grace_days: int | None) -> None:
        """P3, P4: return an order's points: first what it owes, then to the lots, last used first.

        `grace_days` is None where what returns to an expired lot expires at once.
        """
        for debt in self.debts:
            if debt.order == order:
                cancelled = min(points, debt.points)
                debt.points -= cancelled
                points -= cancelled
        self.debts = [debt for debt in self.debts if debt.points]
        self.put_back(self.uses.get(order, []), points, grace_days)

    def put_back(self, used: LotAllocations, points: int, grace_days: int | None) -> None:
        """P3, P4: return the last points of what was used to their lots; `used` keeps the rest."""
        for key, back in unwind(used, points):
            last_day, parent = key
            if self.is_over(key) and parent is None and grace_days is not None:
                grace_key = (local_day(self.now, self.zone) + timedelta(days=grace_days), last_day)
                self.come_in(grace_key, back)
            else:
                self.come_in(key, back)

    def expire(self) -> None:
        """E1: what is still available in a lot whose day is over is so no longer."""
        for key, lot in self.lots.items():
            if self.is_over(key):
                lot.expired += lot.available
                lot.available = 0

    def owed(self, order: str) -> int:
        """What an order's points used still fall short of (P3)."""
        return sum(debt.points for debt in self.debts if debt.order == order)

    def _take(self, keys: Iterable[LotKey], points: int) -> LotAllocations:
        """Take available points from these lots in turn, as far as they go."""
        taken: LotAllocations = []
        for key in keys:
            lot = self.lots[key]
            part = min(points, lot.available)
            lot.available -= part
            points -= part
            if part:
                taken.append((key, part))
        return taken


def total(taken: LotAllocations) -> int:
    """How many points these are."""
    return sum(points for _, points in taken)


def split(taken: LotAllocations, points: int) -> tuple[LotAllocations, LotAllocations]:
    """The first of these points in the order taken, and the rest."""
    first: LotAllocations = []
    rest: LotAllocations = []
    for key, most in taken:
        part = min(points, most)
        points -= part
        first += [(key, part)] if part else []
        rest += [(key, most - part)] if most > part else []
    return first, rest


def unwind(taken: LotAllocations, points: int) -> LotAllocations:
    """Remove the last points from what was taken, and say what they were, the last first."""
    removed: LotAllocations = []
    while points:
        key, most = taken.pop()
        part = min(points, most)
        removed.append((key, part))
        if part < most:
            taken.append((key, most - part))
        points -= part
    return removed
