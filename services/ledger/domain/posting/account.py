"""A member's points: how they come in, are spent, held, clawed back and owed. Each move becomes an entry.

Points that come in pay debt first, and points whose last day is past expire instead (P6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from services.kit.calendar import NEVER, Day, Micros
from services.ledger.domain.program.program import Program
from services.ledger.domain.state.account import Debt, Shortfall
from services.ledger.domain.state.entries import NO_LOT, SLIDING_LOT, AccountName, Entry, LotKey, lot_of_day, slides
from services.ledger.domain.state.fact_keys import hold_key
from services.ledger.domain.state.holds import Hold, HoldState, encode_hold
from services.ledger.domain.state.lots import AVAILABLE, EXPIRED, HELD, PENDING, LotAllocation, split_allocations
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.orders import Order


class Cause(NamedTuple):
    """Why points move: the rule, what it is about (a ref), the local date (D1), and the program version."""

    rule: str
    ref: str
    day: Day
    program: Program
    award: str = ""
    """The name of the award that moves, where it keeps its name while its rule or ref changes."""

    @property
    def award_name(self) -> str:
        """The name under which the lots of a sliding award are remembered (E3)."""
        return self.award or f"{self.rule}:{self.ref}"


class PointsAccount:
    """The points of one member while one input is booked. Each method moves points at once and adds the entries."""

    __slots__ = ("entries", "member", "now")

    def __init__(self, member: Member, now: Micros) -> None:
        self.member = member
        self.now = now
        self.entries: list[Entry] = []

    # Points come in

    def change_pending(self, lot_day: Day, points: int, cause: Cause) -> None:
        """Add pending points to a lot or, negative, take some away; no spendable point moves (R5)."""
        lot = lot_of_day(lot_day)
        if points > 0:
            self._book("issued", "pending", points, lot, cause)
        elif points < 0:
            self._book("pending", "issued", -points, lot, cause)
        self.member.account.pending += points
        self.member.lots.change(lot, PENDING, points)

    def receive(self, lot: LotKey, points: int, cause: Cause) -> None:
        """Take in points that another account sent out of one of its lots (P6)."""
        self._make_available(lot, points, "in_transit", cause)

    def return_points(
        self,
        allocations: list[LotAllocation],
        points: int,
        cause: Cause,
        out_of: Literal["redeemed", "in_transit"] = "redeemed",
    ) -> None:
        """Return redeemed points to their lots, the last used first, and take them off `allocations` (P3, P4)."""
        left = points
        while left:
            last = allocations[-1]
            part = min(left, last.points)
            last.points -= part
            if not last.points:
                allocations.pop()
            self._make_available(self._lot_of_return(last.lot, cause), part, out_of, cause)
            left -= part

    # Points are spent, held or expire

    def redeem(self, points: int, cause: Cause) -> list[LotAllocation]:
        """Redeem available points in spending order (E6) and say from which lots. There must be so many."""
        return self._spend_available(points, "redeemed", cause)

    def hold(self, points: int, cause: Cause) -> list[LotAllocation]:
        """Hold available points in spending order (E6) and say from which lots. There must be so many."""
        return self._spend_available(points, "held", cause)

    def send(self, points: int, cause: Cause) -> list[LotAllocation]:
        """Send available points to another account in spending order (E6) and say from which lots. There must be so
        many."""
        return self._spend_available(points, "in_transit", cause)

    def redeem_in_transit(self, allocations: list[LotAllocation], cause: Cause) -> None:
        """Redeem points that waited in transit for the answer of another account."""
        account = self.member.account
        for allocation in allocations:
            self._book("in_transit", "redeemed", allocation.points, allocation.lot, cause)
            account.in_transit -= allocation.points
            account.redeemed += allocation.points

    def end_hold(self, hold_id: str, hold: Hold, state: HoldState, captured: int, cause: Cause) -> None:
        """Redeem the first `captured` points of an open hold and release the rest, the last held first (P5, P6)."""
        account, lots = self.member.account, self.member.lots
        used, rest = split_allocations(hold.allocations, captured)
        for allocation in used:
            self._book("held", "redeemed", allocation.points, allocation.lot, cause)
            lots.change(allocation.lot, HELD, -allocation.points)
        account.held -= captured
        account.redeemed += captured
        hold.state, hold.captured, hold.ended_at = state, captured, self.now
        account.details.holds.remove((hold.expires_at, hold_id))
        self.member.facts[hold_key(hold_id)] = encode_hold(hold)
        released = cause if not captured else Cause("hold", hold_key(hold_id), cause.day, cause.program)
        for allocation in reversed(rest):
            self._make_available(allocation.lot, allocation.points, "held", released)

    def expire(self, lot: LotKey, points: int, cause: Cause) -> None:
        """Expire available points of a lot whose last day is past."""
        account = self.member.account
        self._book("available", "expired", points, lot, cause)
        account.available -= points
        account.expired += points
        self.member.lots.change(lot, AVAILABLE, -points)
        self.member.lots.change(lot, EXPIRED, points)

    def settle_shortfall(self, shortfall: Shortfall, *, write_off: bool, cause: Cause) -> None:
        """End the review of points that a clawback did not find: write them off, or claw them back in spending order
        and owe the rest (R6)."""
        self.member.account.details.shortfalls.remove(shortfall)
        left = shortfall.points
        if write_off:
            self._book("written_off", "issued", left, NO_LOT, cause)
            self.member.account.written_off -= left
            return
        left -= self._claw_back_available(self.member.lots.spendable(), left, cause)
        if left:
            self._book("debt", "issued", left, NO_LOT, cause)
            self._owe(shortfall.ref, left, spend=False)

    # How it is done

    def _book(self, debit: AccountName, credit: AccountName, points: int, lot: LotKey, cause: Cause) -> None:
        self.entries.append(Entry(debit, credit, points, lot, cause.rule, cause.ref, cause.day, cause.program.number))

    def _is_past(self, lot: LotKey, cause: Cause) -> bool:
        """Whether a lot's last day is past, so that nothing in it can be spent any more (E1)."""
        last_day = self.member.lots.last_day(lot.day)
        return last_day != NEVER and cause.program.calendar.end_of(last_day) <= self.now

    def _make_available(self, lot: LotKey, points: int, out_of: AccountName, cause: Cause) -> None:
        """Make points available in a lot; then they expire if its last day is past, or pay debt (P6)."""
        account, lots = self.member.account, self.member.lots
        self._book(out_of, "available", points, lot, cause)
        account.available += points
        lots.change(lot, AVAILABLE, points)
        if out_of == "pending":
            account.pending -= points
            lots.change(SLIDING_LOT if slides(lot.day) else lot, PENDING, -points)
        elif out_of == "redeemed":
            account.redeemed -= points
        elif out_of == "held":
            account.held -= points
            lots.change(lot, HELD, -points)
        elif out_of == "in_transit":
            account.in_transit -= points
        if self._is_past(lot, cause):
            self.expire(lot, points, cause)
            return
        if account.debt:
            points -= self._pay_debt(lot, points, cause)
        if points and (last_day := lots.last_day(lot.day)) != NEVER:
            account.due_by(cause.program.calendar.end_of(last_day))

    def _pay_debt(self, lot: LotKey, points: int, cause: Cause) -> int:
        """Pay debts, the oldest first, with available points of a lot; how many that took (P6)."""
        account, debts = self.member.account, self.member.account.details.debts
        paid = 0
        while debts and paid < points:
            debt = debts[0]
            part = min(debt.points, points - paid)
            if debt.spend:
                # Points that pay what an order still owes count as used by it (P3).
                allocate(self.member.order(debt.order), lot, part)
                self.member.touched.add(debt.order)
            debt.points -= part
            paid += part
            if not debt.points:
                debts.pop(0)
        self._book("available", "debt", paid, lot, cause)
        account.available -= paid
        account.debt -= paid
        self.member.lots.change(lot, AVAILABLE, -paid)
        return paid

    def _owe(self, order: str, points: int, *, spend: bool) -> None:
        account = self.member.account
        account.debt += points
        debts = account.details.debts
        if debts and debts[-1].order == order and debts[-1].spend == spend:
            debts[-1].points += points
        else:
            debts.append(Debt(order, points, spend))

    def _claw_back_available(self, lots: Sequence[tuple[LotKey, int]], points: int, cause: Cause) -> int:
        """Claw back up to so many available points out of lots, in their order; how many there were."""
        left = points
        for lot, available in lots:
            part = min(left, available)
            if not part:
                break
            self._book("available", "issued", part, lot, cause)
            self.member.account.available -= part
            self.member.lots.change(lot, AVAILABLE, -part)
            left -= part
        return points - left

    def _spend_available(self, points: int, to: AccountName, cause: Cause) -> list[LotAllocation]:
        """Move up to so many available points in spending order (E6); from which lots."""
        account, lots = self.member.account, self.member.lots
        allocations: list[LotAllocation] = []
        for lot, available in lots.spendable() if points else ():
            part = min(points, available)
            if not part:
                break
            self._book("available", to, part, lot, cause)
            account.available -= part
            lots.change(lot, AVAILABLE, -part)
            if to == "held":
                account.held += part
                lots.change(lot, HELD, part)
            elif to == "in_transit":
                account.in_transit += part
            else:
                account.redeemed += part
            allocations.append(LotAllocation(lot.day, lot.parent, part))
            points -= part
        return allocations

    def _redeem_released(self, released: list[LotAllocation], points: int, cause: Cause) -> list[LotAllocation]:
        """Redeem points that a timeout had released, of each lot at most what the hold had of it (P7).

        Points that have expired there since are taken back first from `expired`.
        """
        allocations: list[LotAllocation] = []
        for allocation in released:
            lot = allocation.lot
            wanted = min(allocation.points, points)
            available = self._redeem_from(lot, wanted, cause)
            unexpired = 0
            if available < wanted and self._is_past(lot, cause):
                unexpired = self._redeem_expired(lot, wanted - available, cause)
            points -= available + unexpired
            if available + unexpired:
                allocations.append(LotAllocation(lot.day, lot.parent, available + unexpired))
        return allocations

    def _redeem_from(self, lot: LotKey, points: int, cause: Cause) -> int:
        """Redeem up to so many available points of one lot; how many there were."""
        account, lots = self.member.account, self.member.lots
        part = min(points, dict(lots.spendable()).get(lot, 0))
        if part:
            self._book("available", "redeemed", part, lot, cause)
            account.available -= part
            account.redeemed += part
            lots.change(lot, AVAILABLE, -part)
        return part

    def _redeem_expired(self, lot: LotKey, points: int, cause: Cause) -> int:
        """Redeem up to so many expired points of one lot, as if they had not expired; how many there were."""
        account, lots = self.member.account, self.member.lots
        part = min(points, dict(lots.unforgiven(lot.parent or lot.day)).get(lot, 0))
        if part:
            self._book("expired", "redeemed", part, lot, cause)
            account.expired -= part
            account.redeemed += part
            lots.change(lot, EXPIRED, -part)
        return part

    def _lot_of_return(self, lot: LotKey, cause: Cause) -> LotKey:
        """The lot to which points return: their own or, once its last day is past, a grace lot, but only once (P4)."""
        program = cause.program
        if not self._is_past(lot, cause) or lot.parent or program.grace_days is None:
            return lot
        return LotKey(Day(program.calendar.day_of(self.now) + program.grace_days), lot.day)


def allocate(order: Order, lot: LotKey, points: int) -> None:
    """Add points of a lot to those that an order uses."""
    allocations = order.allocations
    if allocations and allocations[-1].lot == lot:
        allocations[-1].points += points
    else:
        allocations.append(LotAllocation(lot.day, lot.parent, points))
