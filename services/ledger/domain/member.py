"""What the fold knows of one member while it books a batch: what was read, and what it has changed.

The store reads what an input surely needs before the fold starts. Where the fold finds that it needs more, it
raises `Missing` with the keys; the store reads them for all members of the batch at once and the fold of that
member starts again. So the fold stays pure, reads only what matters, and no guess about needs can be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from services.kit.calendar import NEVER, Calendar, Day, Micros
from services.ledger.domain.account import Account
from services.ledger.domain.entries import SLIDING, LotKey, last_day, slides
from services.ledger.domain.inputs import Line
from services.ledger.domain.orders import Order, decode_lines, decode_order


@dataclass(slots=True)
class Needs:
    """Keys of one account that have to be read."""

    orders: set[str] = field(default_factory=set)
    lines: set[tuple[str, int]] = field(default_factory=set)
    facts: set[str] = field(default_factory=set)
    spendable: bool = False
    families: set[Day] = field(default_factory=set)
    due_until: Micros | None = None
    successes: bool = False
    paid_after: Micros | None = None


class Missing(Exception):
    """The fold needs keys that were not read yet."""

    def __init__(self, needs: Needs) -> None:
        super().__init__(needs)
        self.needs = needs


class LotRow(msgspec.Struct, array_like=True):
    """A lot as stored: points by where they are. `forgiven` are expired points that a clawback let go (R7).

    `ends` is the last day of a lot that slides (E3), where it was asked for.
    """

    day: Day
    parent: Day
    pending: int
    available: int
    held: int
    expired: int
    forgiven: int
    ends: Day | None = None


@dataclass(slots=True)
class Success:
    """When an order was successful, in business time; `until` 0 = still is."""

    order: str
    paid_at: Micros
    since: Micros
    until: Micros


@dataclass(slots=True)
class Loaded:
    """What the store has read of one account. A key that is present with None is known not to exist."""

    orders: dict[str, bytes | None] = field(default_factory=dict)
    lines: dict[tuple[str, int], bytes] = field(default_factory=dict)
    facts: dict[str, bytes | None] = field(default_factory=dict)
    spendable: list[LotRow] | None = None
    families: dict[Day, list[LotRow]] = field(default_factory=dict)
    due_until: Micros | None = None
    due: list[tuple[str, Micros]] = field(default_factory=list)
    due_later: tuple[Micros, str] | None = None
    successes: list[Success] | None = None
    paid_after: Micros | None = None
    paid_later: list[tuple[str, Micros]] = field(default_factory=list)


PENDING, AVAILABLE, HELD, EXPIRED, FORGIVEN = range(5)


class Lots:
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


class Member:
    """One member's state during a batch; it is thrown away and built again when its fold starts again."""

    __slots__ = ("_lines", "_loaded", "account", "facts", "lots", "new_lines", "orders", "touched")

    def __init__(self, account: Account, loaded: Loaded) -> None:
        self.account = account
        self._loaded = loaded
        self.lots = Lots(loaded, account.details.slid)
        self.orders: dict[str, Order] = {}
        self.facts: dict[str, bytes | None] = {}
        self._lines: dict[tuple[str, int], tuple[Line, ...]] = {}
        self.new_lines: dict[tuple[str, int], tuple[Line, ...]] = {}
        self.touched: set[str] = set()

    def order(self, ref: str) -> Order:
        """An order's state, empty if nothing was told of it yet."""
        order = self.orders.get(ref)
        if order is None:
            try:
                raw = self._loaded.orders[ref]
            except KeyError:
                raise Missing(Needs(orders={ref})) from None
            order = self.orders[ref] = Order() if raw is None else decode_order(raw)
        return order

    def want(self, refs: Iterable[str]) -> None:
        """Ask at once for several orders, and for the lines of those that are judged line by line."""
        orders = {ref for ref in refs if ref not in self.orders and ref not in self._loaded.orders}
        if orders:
            raise Missing(Needs(orders=orders))
        lines: set[tuple[str, int]] = set()
        for ref in refs:
            order = self.order(ref)
            key = (ref, order.telling)
            if not order.is_simple and key not in self._lines and key not in self._loaded.lines:
                lines.add(key)
        if lines:
            raise Missing(Needs(lines=lines))

    def lines(self, ref: str, telling: int) -> tuple[Line, ...]:
        """The lines of one telling of an order."""
        key = (ref, telling)
        lines = self._lines.get(key)
        if lines is None:
            try:
                raw = self._loaded.lines[key]
            except KeyError:
                raise Missing(Needs(lines={key})) from None
            lines = self._lines[key] = decode_lines(raw)
        return lines

    def tell_lines(self, ref: str, telling: int, lines: tuple[Line, ...]) -> None:
        """Keep the lines of a new telling."""
        self._lines[ref, telling] = self.new_lines[ref, telling] = lines

    def fact(self, key: str) -> bytes | None:
        """A fact's bytes, None if it was not told yet."""
        if key in self.facts:
            return self.facts[key]
        try:
            return self._loaded.facts[key]
        except KeyError:
            raise Missing(Needs(facts={key})) from None

    def want_facts(self, keys: Iterable[str]) -> None:
        """Ask at once for several facts."""
        missing: set[str] = set()
        for key in keys:
            try:
                self.fact(key)
            except Missing:
                missing.add(key)
        if missing:
            raise Missing(Needs(facts=missing))

    def orders_due(self, now: Micros) -> list[tuple[Micros, str]]:
        """Orders with lines that fall due by `now`, earliest first."""
        loaded = self._loaded
        if loaded.due_until is None or loaded.due_until < now:
            raise Missing(Needs(due_until=now, spendable=loaded.spendable is None))
        due = [(at, ref) for ref, at in loaded.due if at <= now and ref not in self.orders]
        due += [(order.due, ref) for ref, order in self.orders.items() if 0 < order.due <= now]
        return sorted(due)

    def next_due(self, now: Micros, calendar: Calendar) -> Micros | None:
        """The first instant after `now` at which something of this account falls due. After `orders_due(now)`."""
        loaded = self._loaded
        instants = [at for ref, at in loaded.due if at > now and ref not in self.orders]
        instants += [order.due for order in self.orders.values() if order.due > now]
        last_days = [self.lots.last_day(lot[0]) for lot, _ in self.lots.spendable()[:1]]
        instants += [calendar.end_of(day) for day in last_days if day != NEVER]
        instants += [expires_at for expires_at, _ in self.account.details.holds]
        if loaded.due_later is not None:
            at, ref = loaded.due_later
            if ref in self.orders:
                # It may fall due at another time by now, and what comes after it was not read (O7).
                raise Missing(Needs(due_until=at, spendable=loaded.spendable is None))
            instants.append(at)
        return min(instants, default=None)

    def successes(self) -> list[Success]:
        """When each order of this member was successful."""
        if self._loaded.successes is None:
            raise Missing(Needs(successes=True))
        known = [success for success in self._loaded.successes if success.order not in self.orders]
        for ref, order in self.orders.items():
            if order.success_from:
                known.append(Success(ref, order.paid_at, order.success_from, order.success_until))
        return known

    def paid_after(self, instant: Micros) -> list[tuple[Micros, str]]:
        """Orders paid after an instant, by (paid time, order)."""
        loaded = self._loaded
        if loaded.paid_after is None or loaded.paid_after > instant:
            raise Missing(Needs(paid_after=instant))
        paid = [(at, ref) for ref, at in loaded.paid_later if at > instant and ref not in self.orders]
        paid += [(order.paid_at, ref) for ref, order in self.orders.items() if order.paid_at > instant]
        return sorted(paid)
