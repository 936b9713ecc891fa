"""What the fold knows of one member while it books a batch: what was read, and what it has changed.

The store reads what an input surely needs before the fold starts. Where the fold finds that it needs more, it
raises `Missing` with the keys; the store reads them for all members of the batch at once and the fold of that
member starts again. So the fold stays pure, reads only what matters, and no guess about needs can be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.kit.calendar import NEVER, Calendar, Micros
from services.ledger.domain.state.account import Account
from services.ledger.domain.state.inputs import Line
from services.ledger.domain.state.loaded import Loaded, Missing, Needs, Success
from services.ledger.domain.state.member_lots import MemberLots
from services.ledger.domain.state.orders import Order, decode_lines, decode_order


class Member:
    """One member's state during a batch; it is thrown away and built again when its fold starts again.

    `touched` are the refs of the orders that have to be written.
    """

    __slots__ = ("_lines", "_loaded", "account", "facts", "lots", "new_lines", "orders", "touched")

    def __init__(self, account: Account, loaded: Loaded) -> None:
        self.account = account
        self._loaded = loaded
        self.lots = MemberLots(loaded, account.details.sliding_last_days)
        self.orders: dict[str, Order] = {}
        self.facts: dict[str, bytes | None] = {}
        self._lines: dict[tuple[str, int], tuple[Line, ...]] = {}
        self.new_lines: dict[tuple[str, int], tuple[Line, ...]] = {}
        self.touched: set[str] = set()

    def order(self, ref: str) -> Order:
        """An order's state, empty if no event about it was booked yet."""
        order = self.orders.get(ref)
        if order is None:
            try:
                raw = self._loaded.orders[ref]
            except KeyError:
                raise Missing(Needs(orders={ref})) from None
            order = self.orders[ref] = Order() if raw is None else decode_order(raw)
        return order

    def want(self, refs: Iterable[str]) -> None:
        """Ask at once for several orders, and for the lines of those that are assessed line by line."""
        self.want_orders(refs)
        lines: set[tuple[str, int]] = set()
        for ref in refs:
            order = self.order(ref)
            key = (ref, order.lines_version)
            if not order.is_simple and key not in self._lines and key not in self._loaded.lines:
                lines.add(key)
        if lines:
            raise Missing(Needs(lines=lines))

    def want_orders(self, refs: Iterable[str]) -> None:
        """Ask at once for several orders."""
        missing = {ref for ref in refs if ref not in self.orders and ref not in self._loaded.orders}
        if missing:
            raise Missing(Needs(orders=missing))

    def want_all_lines(self, refs: Iterable[str]) -> None:
        """Ask at once for several orders, and then for the lines of all of them."""
        self.want_orders(refs)
        keys = {(ref, self.order(ref).lines_version) for ref in refs}
        if missing := {key for key in keys if key not in self._lines and key not in self._loaded.lines}:
            raise Missing(Needs(lines=missing))

    def lines(self, ref: str, version: int) -> tuple[Line, ...]:
        """One version of an order's lines."""
        key = (ref, version)
        lines = self._lines.get(key)
        if lines is None:
            try:
                raw = self._loaded.lines[key]
            except KeyError:
                raise Missing(Needs(lines={key})) from None
            lines = self._lines[key] = decode_lines(raw)
        return lines

    def add_lines(self, ref: str, version: int, lines: tuple[Line, ...]) -> None:
        """Keep a new version of an order's lines."""
        self._lines[ref, version] = self.new_lines[ref, version] = lines

    def fact(self, key: str) -> bytes | None:
        """A fact's bytes; None if there is no such fact."""
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
        last_days = [self.lots.last_day(lot.day) for lot, _ in self.lots.spendable()[:1]]
        instants += [calendar.end_of(day) for day in last_days if day != NEVER]
        instants += [expires_at for expires_at, _ in self.account.details.holds]
        instants += [until for until, _ in self.account.details.waiting_referrals]
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
