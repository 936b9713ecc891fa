"""A member's lots during a batch: what was read of them, and what the batch changes."""

from __future__ import annotations

from services.kit.calendar import Calendar, Day, Micros
from services.ledger.domain.state.entries import SLIDING, LotKey, last_day, slides
from services.ledger.domain.state.loaded import Loaded, Missing, Needs
from services.ledger.domain.state.lots import AVAILABLE, EXPIRED, FORGIVEN, NO_POINTS, LotColumns


class MemberLots:
    """The lots of one member.

    Earning writes a change without reading; only spending, clawbacks and what falls due read the lots themselves.
    """

    __slots__ = ("_last_days", "_loaded", "changes")

    def __init__(self, loaded: Loaded, sliding_last_days: list[Day]) -> None:
        """`sliding_last_days` are the last days of the lots that slide, by number; `slide` changes them."""
        self._loaded = loaded
        self._last_days = sliding_last_days
        self.changes: dict[LotKey, LotColumns] = {}

    def last_day(self, day: Day) -> Day:
        """The last day on which points of a lot can be spent, as of now."""
        return last_day(day, self._last_days)

    def end_of(self, lot: LotKey) -> Day | None:
        """The last day of a lot that slides; None for a lot that ends on its own day, or that is not begun."""
        return self.last_day(lot.day) if lot.day != SLIDING and slides(lot.day) else None

    @property
    def open(self) -> LotKey:
        """The lot to which sliding points go (E3)."""
        return LotKey(Day(SLIDING + len(self._last_days)))

    def slide(self, day: Day, now: Micros, calendar: Calendar) -> None:
        """Keep the open lot until a day, for an activity of the member (E3).

        A lot whose last day is past stays as it is, and the activity begins another.
        """
        last_days = self._last_days
        if last_days and calendar.end_of(last_days[-1]) > now:
            if day <= last_days[-1]:
                return
            last_days[-1] = day
        elif not last_days or calendar.end_of(day) > now:
            last_days.append(day)
        else:
            return
        self.changes.setdefault(self.open, [*NO_POINTS])

    def change(self, lot: LotKey, column: int, points: int) -> None:
        """Add points to a lot's column or, negative, take them from it."""
        changes = self.changes.get(lot)
        if changes is None:
            changes = self.changes[lot] = [*NO_POINTS]
        changes[column] += points

    def spendable(self) -> list[tuple[LotKey, int]]:
        """Lots with available points in spending order: earliest expiry first, plain before grace (E6)."""
        if self._loaded.spendable is None:
            raise Missing(Needs(spendable=True))
        available = {row.lot: row.available for row in self._loaded.spendable}
        for lot, changes in self.changes.items():
            if changes[AVAILABLE]:
                available[lot] = available.get(lot, 0) + changes[AVAILABLE]
        lots = sorted((lot, points) for lot, points in available.items() if points > 0)
        return sorted(lots, key=self._rank) if self._last_days else lots

    def _rank(self, lot: tuple[LotKey, int]) -> tuple[Day, Day]:
        (day, parent), _ = lot
        return self.last_day(day), self.last_day(parent)

    def unforgiven(self, day: Day) -> list[tuple[LotKey, int]]:
        """Expired points of a lot, then of its grace lots, that no clawback has forgiven yet (R7)."""
        rows = self._loaded.families.get(day)
        if rows is None:
            raise Missing(Needs(families={day}, spendable=self._loaded.spendable is None))
        left = {row.lot: row.expired - row.forgiven for row in rows}
        for lot, changes in self.changes.items():
            if lot == LotKey(day) or lot.parent == day:
                left[lot] = left.get(lot, 0) + changes[EXPIRED] - changes[FORGIVEN]
        # The lot itself has no parent and so comes first.
        return sorted(
            ((lot, points) for lot, points in left.items() if points > 0), key=lambda kv: (kv[0].parent, kv[0].day)
        )
