"""A member's points: how they come in, are spent, held, taken back and owed. Each that moves becomes an entry.

What comes in pays debt first, and nothing does whose day is over (P6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.kit.calendar import NEVER, Day, Micros
from services.ledger.domain.program.program import Program, ProgramVersions
from services.ledger.domain.state.account import Debt, Shortfall
from services.ledger.domain.state.entries import NO_LOT, SLIDING, AccountName, Entry, LotKey, slides
from services.ledger.domain.state.holds import Hold, HoldState, encode_hold
from services.ledger.domain.state.lots import AVAILABLE, EXPIRED, HELD, PENDING, LotAllocation, split
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.orders import Order
from services.ledger.domain.state.refs import hold_key


@dataclass(frozen=True, slots=True)
class Cause:
    """What a move is booked for: the rule and object it is about, the local date, the program version."""

    rule: str
    ref: str
    day: Day
    program: Program
    award: str = ""
    """The name of the award that is moved, for one that keeps it while rule or object change."""

    @property
    def named(self) -> str:
        """The award that is moved."""
        return self.award or f"{self.rule}:{self.ref}"

    @staticmethod
    def at(programs: ProgramVersions, rule: str, ref: str, instant: Micros) -> Cause:
        """A cause as of an instant: its local date, by the version in force."""
        program = programs.at(instant)
        return Cause(rule, ref, program.calendar.day_of(instant), program)


class PointsAccount:
    """The points of one member while one input is booked. What is asked of it is done at once."""

    __slots__ = ("entries", "member", "now")

    def __init__(self, member: Member, now: Micros) -> None:
        self.member = member
        self.now = now
        self.entries: list[Entry] = []

    def pend(self, lot_day: Day, points: int, cause: Cause) -> None:
        """Add pending points to a lot, or (negative) shrink them; no spendable point moves (R5)."""
        lot = (lot_day, 0)
        if points > 0:
            self._entry("issued", "pending", points, lot, cause)
        elif points < 0:
            self._entry("pending", "issued", -points, lot, cause)
        self.member.account.pending += points
        self.member.lots.change(lot, PENDING, points)

    def expire(self, lot: LotKey, points: int, cause: Cause) -> None:
        """Expire available points of a lot whose day is over."""
        account = self.member.account
        self._entry("available", "expired", points, lot, cause)
        account.available -= points
        account.expired += points
        self.member.lots.change(lot, AVAILABLE, -points)
        self.member.lots.change(lot, EXPIRED, points)

    def set_aside(self, points: int, cause: Cause) -> list[LotAllocation]:
        """Hold available points, in spending order; which lots they were in. There must be so many."""
        return self._draw(points, "held", cause)

    def redeem(self, points: int, cause: Cause) -> list[LotAllocation]:
        """Redeem available points, in spending order; which lots they were in. There must be so many."""
        return self._draw(points, "redeemed", cause)

    def send(self, points: int, cause: Cause) -> list[LotAllocation]:
        """Let available points leave for another account, in spending order; their lots. There must be so many."""
        return self._draw(points, "in_transit", cause)

    def receive(self, lot: LotKey, points: int, cause: Cause) -> None:
        """Points of another account's lot come in (P6)."""
        self._arrive(lot, points, "in_transit", cause)

    def end_hold(self, hold_id: str, hold: Hold, state: HoldState, captured: int, cause: Cause) -> None:
        """Redeem the first `captured` points of an open hold and release the rest, the last taken first (P5, P6)."""
        account, lots = self.member.account, self.member.lots
        used, rest = split(hold.taken, captured)
        for part in used:
            lot = (part.lot_day, part.parent)
            self._entry("held", "redeemed", part.points, lot, cause)
            lots.change(lot, HELD, -part.points)
        account.held -= captured
        account.redeemed += captured
        hold.state, hold.captured, hold.ended_at = state, captured, self.now
        account.details.holds.remove((hold.expires_at, hold_id))
        self.member.facts[hold_key(hold_id)] = encode_hold(hold)
        released = cause if not captured else Cause("hold", hold_key(hold_id), cause.day, cause.program)
        for part in reversed(rest):
            self._arrive((part.lot_day, part.parent), part.points, "held", released)

    def settle(self, shortfall: Shortfall, *, write_off: bool, cause: Cause) -> None:
        """End the review of what a clawback did not find: let it go, or take it in spending order and owe the rest."""
        self.member.account.details.shortfalls.remove(shortfall)
        left = shortfall.points
        if write_off:
            self._entry("written_off", "issued", left, NO_LOT, cause)
            self.member.account.written_off -= left
            return
        left -= self._take_back(self.member.lots.spendable(), left, cause)
        if left:
            self._entry("debt", "issued", left, NO_LOT, cause)
            self._owe(shortfall.ref, left, spend=False)

    def redeem_sent(self, taken: list[LotAllocation], cause: Cause) -> None:
        """Points that waited in transit for another account's answer are redeemed."""
        for part in taken:
            self._entry("in_transit", "redeemed", part.points, (part.lot_day, part.parent), cause)
            self.member.account.in_transit -= part.points
            self.member.account.redeemed += part.points

    def restore(
        self,
        taken: list[LotAllocation],
        points: int,
        cause: Cause,
        out_of: Literal["redeemed", "in_transit"] = "redeemed",
    ) -> None:
        """Return redeemed points to their lots, the last consumed first, and take them off `taken` (P3, P4)."""
        left = points
        while left:
            last = taken[-1]
            part = min(left, last.points)
            last.points -= part
            if not last.points:
                taken.pop()
            self._arrive(self._lot_of_return((last.lot_day, last.parent), cause), part, out_of, cause)
            left -= part

    # How it is done

    def _entry(self, debit: AccountName, credit: AccountName, points: int, lot: LotKey, cause: Cause) -> None:
        self.entries.append(Entry(debit, credit, points, lot, cause.rule, cause.ref, cause.day, cause.program.number))

    def _is_over(self, lot: LotKey, cause: Cause) -> bool:
        last_day = self.member.lots.last_day(lot[0])
        return last_day != NEVER and cause.program.calendar.end_of(last_day) <= self.now

    def _arrive(self, lot: LotKey, points: int, out_of: AccountName, cause: Cause) -> None:
        """Points become available in a lot: then they expire if its day is over, else pay debt first (P6)."""
        account, lots = self.member.account, self.member.lots
        self._entry(out_of, "available", points, lot, cause)
        account.available += points
        lots.change(lot, AVAILABLE, points)
        if out_of == "pending":
            account.pending -= points
            lots.change((SLIDING, 0) if slides(lot[0]) else lot, PENDING, -points)
        elif out_of == "redeemed":
            account.redeemed -= points
        elif out_of == "held":
            account.held -= points
            lots.change(lot, HELD, -points)
        elif out_of == "in_transit":
            account.in_transit -= points
        if self._is_over(lot, cause):
            self.expire(lot, points, cause)
            return
        if account.debt:
            points -= self._pay_debt(lot, points, cause)
        if points and (last_day := lots.last_day(lot[0])) != NEVER:
            account.due_by(cause.program.calendar.end_of(last_day))

    def _pay_debt(self, lot: LotKey, points: int, cause: Cause) -> int:
        account, debts = self.member.account, self.member.account.details.debts
        paid = 0
        while debts and paid < points:
            debt = debts[0]
            part = min(debt.points, points - paid)
            if debt.spend:
                # Points that pay what an order still owes count as used by it (P3).
                use(self.member.order(debt.order), lot, part)
                self.member.touched.add(debt.order)
            debt.points -= part
            paid += part
            if not debt.points:
                debts.pop(0)
        self._entry("available", "debt", paid, lot, cause)
        account.available -= paid
        account.debt -= paid
        self.member.lots.change(lot, AVAILABLE, -paid)
        return paid

    def _owe(self, order: str, points: int, spend: bool) -> None:
        account = self.member.account
        account.debt += points
        debts = account.details.debts
        if debts and debts[-1].order == order and debts[-1].spend == spend:
            debts[-1].points += points
        else:
            debts.append(Debt(order, points, spend))

    def _take_back(self, lots: Sequence[tuple[LotKey, int]], points: int, cause: Cause) -> int:
        """Take so many available points out of lots, as far as they have them; how many it were."""
        left = points
        for lot, available in lots:
            part = min(left, available)
            if not part:
                break
            self._entry("available", "issued", part, lot, cause)
            self.member.account.available -= part
            self.member.lots.change(lot, AVAILABLE, -part)
            left -= part
        return points - left

    def _draw(self, points: int, to: AccountName, cause: Cause) -> list[LotAllocation]:
        """Move available points in spending order, as far as there are any; which lots they were in (E6)."""
        account, lots = self.member.account, self.member.lots
        taken: list[LotAllocation] = []
        for lot, available in lots.spendable() if points else ():
            part = min(points, available)
            if not part:
                break
            self._entry("available", to, part, lot, cause)
            account.available -= part
            lots.change(lot, AVAILABLE, -part)
            if to == "held":
                account.held += part
                lots.change(lot, HELD, part)
            elif to == "in_transit":
                account.in_transit += part
            else:
                account.redeemed += part
            taken.append(LotAllocation(lot[0], lot[1], part))
            points -= part
        return taken

    def _honour(self, released: list[LotAllocation], room: int, cause: Cause) -> list[LotAllocation]:
        """Take points that a timeout had released out of their lots, also those that expired there since (P7): at most
        `room`, and of each lot what the hold had of it."""
        account, lots = self.member.account, self.member.lots
        taken: list[LotAllocation] = []
        for part in released:
            lot = (part.lot_day, part.parent)
            wanted = min(part.points, room)
            here = min(wanted, dict(lots.spendable()).get(lot, 0))
            if here:
                self._entry("available", "redeemed", here, lot, cause)
                account.available -= here
                lots.change(lot, AVAILABLE, -here)
            undone = 0
            if here < wanted and self._is_over(lot, cause):
                undone = min(wanted - here, dict(lots.unforgiven(lot[1] or lot[0])).get(lot, 0))
            if undone:
                self._entry("expired", "redeemed", undone, lot, cause)
                account.expired -= undone
                lots.change(lot, EXPIRED, -undone)
            room -= here + undone
            account.redeemed += here + undone
            if here + undone:
                taken.append(LotAllocation(lot[0], lot[1], here + undone))
        return taken

    def _lot_of_return(self, lot: LotKey, cause: Cause) -> LotKey:
        """The lot a return goes to: its own, or a grace lot once its day is over, but only once (P4)."""
        program = cause.program
        if not self._is_over(lot, cause) or lot[1] or program.grace_days is None:
            return lot
        return program.calendar.day_of(self.now) + program.grace_days, lot[0]


def use(order: Order, lot: LotKey, points: int) -> None:
    """An order uses so many points more, out of a lot."""
    taken = order.taken
    if taken and (taken[-1].lot_day, taken[-1].parent) == lot:
        taken[-1].points += points
    else:
        taken.append(LotAllocation(lot[0], lot[1], points))
