"""What an input moves, in the order that R6 gives: returns, clawbacks, spends, awards.

A handler says what has to happen, and `carry_out` does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.kit.calendar import Day, Micros
from services.ledger.domain.posting import sliding
from services.ledger.domain.posting.account import Cause, PointsAccount, use
from services.ledger.domain.state.account import Shortfall
from services.ledger.domain.state.entries import NO_LOT, SLIDING, AccountName, LotKey
from services.ledger.domain.state.holds import decode_hold, encode_hold
from services.ledger.domain.state.lots import FORGIVEN, LotAllocation, split
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.orders import Order
from services.ledger.domain.state.outcome import Asked, Referral
from services.ledger.domain.state.redemptions import decode_redemption, encode_redemption
from services.ledger.domain.state.refs import HOLD

POINTS_SHORT: Final = "points_short"
"""The alarm of an order that used points which were not there (P7)."""

UNDER_REVIEW: Final = "clawback_under_review"
"""The alarm of a clawback that found too little and waits for a decision (R6)."""


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


class Posting(PointsAccount):
    """The moves of one input on one member: commands move points at once, facts ask for what is then carried out."""

    __slots__ = ("_awards", "_claims", "_returns", "_spends", "alarms", "asked", "paying", "referrals")

    def __init__(self, member: Member, now: Micros) -> None:
        super().__init__(member, now)
        self.alarms: list[str] = []
        self.referrals: list[Referral] = []
        self.asked: dict[tuple[str, str], Asked] = {}
        """What orders are to have of budgets, by (the budget's account, order)."""
        self.paying = ""
        """The order of which `paid` comes in: then it takes over the hold or redemption that it names (P5, P7)."""
        self._returns: list[_Order] = []
        self._claims: list[_Claim] = []
        self._spends: list[_Spend] = []
        self._awards: list[_Award] = []

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

    def post(self) -> None:
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

    def _spend(self, spend: _Spend) -> None:
        """P7: what the order did not take over comes in spending order, and the shortfall is debt and an alarm."""
        order = spend.order
        left = max(spend.net - order.used, 0)
        order.used += left
        for part in self._draw(left, "redeemed", spend.cause):
            use(order, (part.lot_day, part.parent), part.points)
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
                use(order, (part.lot_day, part.parent), part.points)
                order.used += part.points
                spend.room -= part.points
        if order.used > spend.net:
            self._returns.append(_Order(spend.ref, order, order.used - spend.net, spend.cause))

    def _pay(self, spend: _Spend, key: str) -> list[LotAllocation]:
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
            member.facts[key] = encode_redemption(redemption)
            return taken
        hold = decode_hold(raw)
        if hold.order:
            return []
        hold.order = spend.ref
        points = min(room, hold.points)
        if hold.state == "open":
            self.end_hold(key.removeprefix(HOLD), hold, "captured", points, spend.cause)
            return split(hold.taken, points)[0]
        member.facts[key] = encode_hold(hold)
        if hold.state == "captured":
            return split(hold.taken, min(points, hold.captured))[0]
        if hold.state == "timed_out" and spend.order.told_at <= hold.expires_at:
            return self._honour(hold.taken, room, spend.cause)
        return []

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


def has_available_funding(member: Member, names: tuple[str, ...]) -> bool:
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
