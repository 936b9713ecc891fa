"""How points move within one input, in the order that R6 gives: returns, clawbacks, spends, awards.

A handler says what has to happen; `carry_out` does it, and every point that moves becomes an entry. What comes
in pays debt first, and nothing does whose day is over (P6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from services.kit.calendar import NEVER, Day, Micros
from services.ledger.domain import sliding
from services.ledger.domain.account import Debt, Shortfall
from services.ledger.domain.entries import NO_LOT, SLIDING, AccountName, Entry, LotKey, slides
from services.ledger.domain.holds import HOLD, Hold, HoldState, decode_hold, decode_redemption, encode, split
from services.ledger.domain.member import AVAILABLE, EXPIRED, FORGIVEN, HELD, PENDING, Member
from services.ledger.domain.orders import Order, Taken
from services.ledger.domain.outcome import Asked, Referral
from services.ledger.domain.program import Program, Programs

POINTS_SHORT: Final = "points_short"
"""The alarm of an order that used points which were not there (P7)."""

UNDER_REVIEW: Final = "clawback_under_review"
"""The alarm of a clawback that found too little and waits for a decision (R6)."""


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
    def at(programs: Programs, rule: str, ref: str, instant: Micros) -> Cause:
        """A cause as of an instant: its local date, by the version in force."""
        program = programs.at(instant)
        return Cause(rule, ref, program.calendar.day_of(instant), program)


@dataclass(slots=True)
class _Award:
    lot_day: Day
    points: int
    cause: Cause
    out_of: AccountName


@dataclass(slots=True)
class _Claim:
    lot_day: Day
    points: int
    order: str
    cause: Cause


@dataclass(slots=True)
class _Spend:
    ref: str
    order: Order
    net: int
    cause: Cause
    room: int
    takes_over: bool


@dataclass(slots=True)
class _Order:
    ref: str
    order: Order
    points: int
    cause: Cause


def _lot_day(move: _Award | _Claim) -> Day:
    return move.lot_day


class Moves:
    """The moves of one input on one member."""

    __slots__ = (
        "_awards",
        "_claims",
        "_returns",
        "_spends",
        "alarms",
        "asked",
        "entries",
        "member",
        "now",
        "paying",
        "referrals",
    )

    def __init__(self, member: Member, now: Micros) -> None:
        self.member = member
        self.entries: list[Entry] = []
        self.alarms: list[str] = []
        self.referrals: list[Referral] = []
        self.asked: dict[tuple[str, str], Asked] = {}
        """What orders are to have of budgets, by (the budget's account, order)."""
        self.now = now
        self.paying = ""
        """The order of which `paid` comes in: then it takes over the hold or redemption that it names (P5, P7)."""
        self._returns: list[_Order] = []
        self._claims: list[_Claim] = []
        self._spends: list[_Spend] = []
        self._awards: list[_Award] = []

    # What a handler asks for

    def pend(self, lot_day: Day, points: int, cause: Cause) -> None:
        """Add pending points to a lot, or (negative) shrink them; no spendable point moves (R5)."""
        lot = (lot_day, 0)
        if points > 0:
            self._entry("issued", "pending", points, lot, cause)
        elif points < 0:
            self._entry("pending", "issued", -points, lot, cause)
        self.member.account.pending += points
        self.member.lots.change(lot, PENDING, points)

    def confirm(self, lot_day: Day, points: int, cause: Cause) -> None:
        """Make pending points of a lot available."""
        self._awards.append(_Award(lot_day, points, cause, "pending"))

    def award(self, lot_day: Day, points: int, cause: Cause) -> None:
        """Issue available points in a lot."""
        self._awards.append(_Award(lot_day, points, cause, "issued"))

    def claim(self, lot_day: Day, points: int, order: str, cause: Cause) -> None:
        """Claw back points that went to a lot (R6, R7); what is not there becomes debt for `order`."""
        self._claims.append(_Claim(lot_day, points, order, cause))

    def spend(self, ref: str, order: Order, net: int, cause: Cause, *, takes_over: bool = False) -> None:
        """Debit points so that an order has used `net` (P7). If it takes over what it names, that comes first, and what
        is then too much returns at once (O5)."""
        self._spends.append(_Spend(ref, order, net, cause, order.room, takes_over))

    def give_back(self, ref: str, order: Order, points: int, cause: Cause) -> None:
        """Return points that an order used to the lots they came from (P3)."""
        self._returns.append(_Order(ref, order, points, cause))

    def carry_out(self) -> None:
        """Book what was asked for, in the order of R6; before all else orders take over what they name (O5, P7)."""
        for spend in self._spends:
            if spend.takes_over:
                self._take_over(spend)
        for back in self._returns:
            self._return(back)
        for claim in sorted(self._claims, key=_lot_day):
            if claim.lot_day == SLIDING:
                for day, points in sliding.take_back(self.member, claim.cause.named, claim.points):
                    self._claim(_Claim(day, points, claim.order, claim.cause))
            else:
                self._claim(claim)
        for spend in self._spends:
            self._spend(spend)
        # What expires first pays debt first.
        for award in sorted(self._awards, key=_lot_day):
            day = award.lot_day
            if day == SLIDING:
                day = sliding.grant(self.member, award.cause.named, award.points)
            self._arrive((day, 0), award.points, award.out_of, award.cause)
        self._returns, self._claims, self._spends, self._awards = [], [], [], []

    def expire(self, lot: LotKey, points: int, cause: Cause) -> None:
        """Expire available points of a lot whose day is over."""
        account = self.member.account
        self._entry("available", "expired", points, lot, cause)
        account.available -= points
        account.expired += points
        self.member.lots.change(lot, AVAILABLE, -points)
        self.member.lots.change(lot, EXPIRED, points)

    # What a command asks for, done at once

    def set_aside(self, points: int, cause: Cause) -> list[Taken]:
        """Hold available points, in spending order; which lots they were in. There must be so many."""
        return self._draw(points, "held", cause)

    def redeem(self, points: int, cause: Cause) -> list[Taken]:
        """Redeem available points, in spending order; which lots they were in. There must be so many."""
        return self._draw(points, "redeemed", cause)

    def send(self, points: int, cause: Cause) -> list[Taken]:
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
        self.member.facts[HOLD + hold_id] = encode(hold)
        released = cause if not captured else Cause("hold", HOLD + hold_id, cause.day, cause.program)
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

    def redeem_sent(self, taken: list[Taken], cause: Cause) -> None:
        """Points that waited in transit for another account's answer are redeemed."""
        for part in taken:
            self._entry("in_transit", "redeemed", part.points, (part.lot_day, part.parent), cause)
            self.member.account.in_transit -= part.points
            self.member.account.redeemed += part.points

    def restore(
        self, taken: list[Taken], points: int, cause: Cause, out_of: Literal["redeemed", "in_transit"] = "redeemed"
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
                _take(self.member.order(debt.order), lot, part)
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

    def _claim(self, claim: _Claim) -> None:
        """R7 then R6: forgive what has expired, take from the lot and its grace lots, from the others, owe the rest."""
        account, lots = self.member.account, self.member.lots
        left, cause = claim.points, claim.cause
        if self._is_over((claim.lot_day, 0), cause):
            for lot, expired in lots.unforgiven(claim.lot_day):
                part = min(left, expired)
                if part:
                    self._entry("expired", "issued", part, lot, cause)
                    account.expired -= part
                    lots.change(lot, FORGIVEN, part)
                    left -= part
        if not left:
            return
        # The lot itself, its grace lots, then the others; each in spending order.
        left -= self._take_back(
            sorted(lots.spendable(), key=lambda item: _distance(item[0], claim.lot_day)), left, cause
        )
        if left:
            self._fall_short(claim, left)

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

    def _fall_short(self, claim: _Claim, points: int) -> None:
        """R6: what a clawback did not find is owed, written off, or waits for a decision."""
        account, details, cause = self.member.account, self.member.account.details, claim.cause
        match cause.program.negative:
            case "debt":
                self._entry("debt", "issued", points, NO_LOT, cause)
                self._owe(claim.order, points, spend=False)
            case "clamp":
                self._entry("written_off", "issued", points, NO_LOT, cause)
                account.written_off -= points
            case "review":
                if UNDER_REVIEW not in self.alarms:
                    self.alarms.append(UNDER_REVIEW)
                for shortfall in details.shortfalls:
                    if shortfall.ref == claim.order:
                        shortfall.points += points
                        return
                details.shortfalls.append(Shortfall(claim.order, points))

    def _draw(self, points: int, to: AccountName, cause: Cause) -> list[Taken]:
        """Move available points in spending order, as far as there are any; which lots they were in (E6)."""
        account, lots = self.member.account, self.member.lots
        taken: list[Taken] = []
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
            taken.append(Taken(lot[0], lot[1], part))
            points -= part
        return taken

    def _spend(self, spend: _Spend) -> None:
        """P7: what the order did not take over comes in spending order, and the shortfall is debt and an alarm."""
        order = spend.order
        left = max(spend.net - order.used, 0)
        order.used += left
        for part in self._draw(left, "redeemed", spend.cause):
            _take(order, (part.lot_day, part.parent), part.points)
            left -= part.points
        if left:
            self._entry("debt", "redeemed", left, NO_LOT, spend.cause)
            self._owe(spend.ref, left, spend=True)
            self.member.account.redeemed += left
            if POINTS_SHORT not in order.alarms:
                order.alarms.append(POINTS_SHORT)

    def _take_over(self, spend: _Spend) -> None:
        order = spend.order
        for key in order.names:
            for part in self._pay(spend, key):
                _take(order, (part.lot_day, part.parent), part.points)
                order.used += part.points
                spend.room -= part.points
        if order.used > spend.net:
            self._returns.append(_Order(spend.ref, order, order.used - spend.net, spend.cause))

    def _pay(self, spend: _Spend, key: str) -> list[Taken]:
        """What a hold or redemption that an order names gives for it: the first order to name it has it (P5, P7)."""
        member, room = self.member, spend.room
        raw = member.fact(key)
        if raw is None:
            return []
        if not key.startswith(HOLD):
            redemption = decode_redemption(raw)
            if not redemption.is_free:
                return []
            redemption.order = spend.ref
            taken, redemption.taken = split(redemption.taken, room)
            member.facts[key] = encode(redemption)
            return taken
        hold = decode_hold(raw)
        if hold.order:
            return []
        hold.order = spend.ref
        points = min(room, hold.points)
        if hold.state == "open":
            self.end_hold(key.removeprefix(HOLD), hold, "captured", points, spend.cause)
            return split(hold.taken, points)[0]
        member.facts[key] = encode(hold)
        if hold.state == "captured":
            return split(hold.taken, min(points, hold.captured))[0]
        if hold.state == "timed_out" and spend.order.told_at <= hold.expires_at:
            return self._honour(hold.taken, room, spend.cause)
        return []

    def _honour(self, released: list[Taken], room: int, cause: Cause) -> list[Taken]:
        """Take points that a timeout had released out of their lots, also those that expired there since (P7): at most
        `room`, and of each lot what the hold had of it."""
        account, lots = self.member.account, self.member.lots
        taken: list[Taken] = []
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
                taken.append(Taken(lot[0], lot[1], here + undone))
        return taken

    def _return(self, back: _Order) -> None:
        """P3, P4: cancel what the order still owes, then back to its lots, the last consumed first."""
        account = self.member.account
        left, order, cause = back.points, back.order, back.cause
        order.used -= left
        for debt in list(account.details.debts):
            if left and debt.spend and debt.order == back.ref:
                part = min(left, debt.points)
                debt.points -= part
                if not debt.points:
                    account.details.debts.remove(debt)
                self._entry("redeemed", "debt", part, NO_LOT, cause)
                account.debt -= part
                account.redeemed -= part
                left -= part
        self.restore(order.taken, left, cause)

    def _lot_of_return(self, lot: LotKey, cause: Cause) -> LotKey:
        """The lot a return goes to: its own, or a grace lot once its day is over, but only once (P4)."""
        program = cause.program
        if not self._is_over(lot, cause) or lot[1] or program.grace_days is None:
            return lot
        return program.calendar.day_of(self.now) + program.grace_days, lot[0]


def is_unclaimed(member: Member, names: tuple[str, ...]) -> bool:
    """Whether one of the holds and redemptions that an order names is there and no order's yet (P5)."""
    known = ((key, raw) for key in names if (raw := member.fact(key)) is not None)
    return any(
        not decode_hold(raw).order if key.startswith(HOLD) else decode_redemption(raw).is_free for key, raw in known
    )


def _distance(lot: LotKey, day: Day) -> int:
    """How near a lot is to the plain lot of a day: that lot, a grace lot of it, another."""
    if lot == (day, 0):
        return 0
    return 1 if lot[1] == day else 2


def _take(order: Order, lot: LotKey, points: int) -> None:
    taken = order.taken
    if taken and (taken[-1].lot_day, taken[-1].parent) == lot:
        taken[-1].points += points
    else:
        taken.append(Taken(lot[0], lot[1], points))
