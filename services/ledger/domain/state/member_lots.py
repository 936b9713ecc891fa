"""A member's lots: what was read of them, and the changes of this batch."""

from __future__ import annotations

from services.kit.calendar import Calendar, Day, Micros
from services.ledger.domain.state.entries import SLIDING, LotKey, last_day, slides
from services.ledger.domain.state.loaded import Loaded, Missing, Needs
from services.ledger.domain.state.lots import AVAILABLE, EXPIRED, FORGIVEN


class MemberLots:
    """A member's lots: what was read of them, and the changes of this batch.

    Earning writes a change without reading; only spends, claims and what is due need the lots themselves.
    """

    __slots__ = ("_loaded", "_slid", "changes")

    def __init__(self, loaded: Loaded, slid: list[Day]) -> None:
        self._loaded = loaded
        self._slid = slid
        self.changes: dict[LotKey, list[int]] = {}

    def last_day(self, day: Day) -> Day:
        """Until when points of a lot can be spent, as of now."""
        return last_day(day, self._slid)

    def end_of(self, lot: LotKey) -> Day | None:
        """The last day of a lot that slides; None for one that ends on its own day, or is not begun."""
        return self.last_day(lot[0]) if lot[0] != SLIDING and slides(lot[0]) else None

    @property
    def open(self) -> LotKey:
        """The lot to which what slides goes (E3)."""
        return SLIDING + len(self._slid), 0

    def slide(self, day: Day, now: Micros, calendar: Calendar) -> None:
        """The member did something that keeps points until a day (E3). What is over is over: it begins another lot."""
        slid = self._slid
        if slid and calendar.end_of(slid[-1]) > now:
            if day <= slid[-1]:
                return
            slid[-1] = day
        elif not slid or calendar.end_of(day) > now:
            slid.append(day)
        else:
            return
        self.changes.setdefault(self.open, [0, 0, 0, 0, 0])

    def change(self, lot: LotKey, column: int, points: int) -> None:
        """Add (or, negative, take) points of a lot in one of its columns."""
        changes = self.changes.get(lot)
        if changes is None:
            changes = self.changes[lot] = [0, 0, 0, 0, 0]
        changes[column] += points

    def spendable(self) -> list[tuple[LotKey, int]]:
        """Lots with available points in spending order: earliest expiry first, plain before grace (E6)."""
        if self._loaded.spendable is None:
            raise Missing(Needs(spendable=True))
        available = {(row.day, row.parent): row.available for row in self._loaded.spendable}
        for lot, changes in self.changes.items():
            if changes[AVAILABLE]:
                available[lot] = available.get(lot, 0) + changes[AVAILABLE]
        lots = sorted((lot, points) for lot, points in available.items() if points > 0)
        return sorted(lots, key=self._rank) if self._slid else lots

    def _rank(self, lot: tuple[LotKey, int]) -> tuple[Day, Day]:
        (day, parent), _ = lot
        return self.last_day(day), self.last_day(parent)

    def unforgiven(self, day: Day) -> list[tuple[LotKey, int]]:
        """Expired points of a lot, then of its grace lots, that no clawback has forgiven yet (R7)."""
        rows = self._loaded.families.get(day)
        if rows is None:
            raise Missing(Needs(families={day}, spendable=self._loaded.spendable is None))
        left = {(row.day, row.parent): row.expired - row.forgiven for row in rows}
        for lot, changes in self.changes.items():
            if (lot[1] == 0 and lot[0] == day) or lot[1] == day:
                left[lot] = left.get(lot, 0) + changes[EXPIRED] - changes[FORGIVEN]
        # The lot itself has no parent and so comes first.
        return sorted(
            ((lot, points) for lot, points in left.items() if points > 0), key=lambda kv: (kv[0][1], kv[0][0])
        )
