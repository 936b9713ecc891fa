"""The member's points: lots and debts, and the four ways points move (R6, R7, P3, P4, P6, P7, E1, E6).

Everything here goes by arrival: `now` is the account's, and never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta

from tests.model.days import NEVER, Micros, is_over, local_day

LotKey = tuple[date, date | None]
"""(last day, the parent lot's last day if this is a grace lot)."""


@dataclass
class Lot:
    """Points of one last day. `expired` has been what it is, `forgiven` is what of that was taken back."""

    pending: int = 0
    available: int = 0
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
    now: Micros = 0
    lots: dict[LotKey, Lot] = field(default_factory=dict)
    debts: list[Debt] = field(default_factory=list)
    uses: dict[str, list[tuple[LotKey, int]]] = field(default_factory=dict)

    def lot(self, key: LotKey) -> Lot:
        """The lot of a key, made where there is none."""
        return self.lots.setdefault(key, Lot())

    def is_over(self, key: LotKey) -> bool:
        """E1: whether the lot's day has ended."""
        return is_over(key[0], self.now, self.zone)

    def spending_order(self) -> list[LotKey]:
        """E6: earliest expiry first, of one day plain before grace, never-expiring last (its day is last)."""
        return sorted(self.lots, key=lambda key: (key[0], key[1] is not None, key[1] or NEVER))

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

    def claim(self, day: date, points: int) -> None:
        """R6, R7: take back what went to the lot of `day`: forgive, take there, take elsewhere, owe."""
        family = [key for key in self.spending_order() if key == (day, None) or key[1] == day]
        family.sort(key=lambda key: key[1] is not None)  # the lot, then its grace lots
        for key in family:
            lot = self.lots[key]
            forgiven = min(points, lot.expired - lot.forgiven)
            lot.forgiven += forgiven
            points -= forgiven
        points = self._take([*family, *self.spending_order()], points, order=None)
        if points:
            self.debts.append(Debt(None, points))

    def spend(self, order: str, points: int) -> int:
        """P7: debit an order's points in spending order; the shortfall is debt, and is returned."""
        shortfall = self._take(self.spending_order(), points, order)
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
        used = self.uses.get(order, [])
        while points:
            key, most = used.pop()
            back = min(points, most)
            if back < most:
                used.append((key, most - back))
            points -= back
            last_day, parent = key
            if self.is_over(key) and parent is None and grace_days is not None:
                key = (local_day(self.now, self.zone) + timedelta(days=grace_days), last_day)
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

    def _take(self, keys: Iterable[LotKey], points: int, order: str | None) -> int:
        """Take available points from these lots in turn; what could not be taken is returned."""
        for key in keys:
            lot = self.lots[key]
            taken = min(points, lot.available)
            lot.available -= taken
            points -= taken
            if order is not None and taken:
                self.uses.setdefault(order, []).append((key, taken))
        return points
