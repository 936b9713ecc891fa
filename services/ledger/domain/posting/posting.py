"""The context in which one input is booked on one member, and the order in which its points move (R6).

A command moves points at once, with the methods of `PointsAccount`. A rule about facts asks for returns, clawbacks,
spends and awards, and `post` then books them in that order.

SQL: `spendable_lots`, `lot_families`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.kit.calendar import Day, Micros
from services.ledger.domain.posting import sliding
from services.ledger.domain.posting.account import Cause, PointsAccount, allocate
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.account import Shortfall
from services.ledger.domain.state.alarms import Alarm, AlarmKind
from services.ledger.domain.state.entries import NO_LOT, SLIDING, AccountName, LotKey, lot_of_day
from services.ledger.domain.state.fact_keys import HOLD
from services.ledger.domain.state.holds import Hold, decode_hold, encode_hold
from services.ledger.domain.state.lots import FORGIVEN, LotAllocation, split_allocations
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.orders import Order
from services.ledger.domain.state.outcome import BudgetRequest, Message, Referral
from services.ledger.domain.state.redemptions import Redemption, decode_redemption, encode_redemption
from services.ledger.domain.state.refs import order_of

PendingAndConfirmed = tuple[int, int]
"""The points of an award: those that are pending, and those that are confirmed."""

POINTS_SHORT: Final[AlarmKind] = "points_short"
"""The alarm of an order that used points which the member did not have (P7)."""

UNDER_REVIEW: Final[AlarmKind] = "clawback_under_review"
"""The alarm of a clawback that found too few points, and of which somebody has to decide (R6)."""


@dataclass(slots=True)
class _Award:
    lot_day: Day
    points: int
    cause: Cause
    out_of: AccountName


@dataclass(slots=True)
class _Clawback:
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
    uncovered: int | None


@dataclass(slots=True)
class _Return:
    ref: str
    order: Order
    points: int
    cause: Cause


def _lot_day(move: _Award | _Clawback) -> Day:
    return move.lot_day


class Posting(PointsAccount):
    """One input being booked: the member, the program versions, the time, and what rules have asked for so far."""

    __slots__ = (
        "_awards", "_clawbacks", "_returns", "_spends", "alarmed", "alarms", "budget_requests", "paying", "programs",
        "referral_answers", "referrals",
    )  # fmt: skip

    def __init__(self, member: Member, programs: ProgramVersions, now: Micros) -> None:
        super().__init__(member, now)
        self.programs = programs
        self.alarms: list[str] = []
        """The kinds of all that is raised."""
        self.alarmed: dict[str, list[Alarm]] = {}
        """By order, what is raised on it."""
        self.referrals: list[Referral] = []
        self.referral_answers: dict[str, Message] = {}
        """What this account answers to members who name it as their referrer, by member (F3)."""
        self.budget_requests: dict[tuple[str, str], BudgetRequest] = {}
        """What orders ask of budgets, by (the budget's account, order)."""
        self.paying = ""
        """The order whose `paid` is the input: it takes over the hold or redemption that it names (P5, P7)."""
        self._returns: list[_Return] = []
        self._clawbacks: list[_Clawback] = []
        self._spends: list[_Spend] = []
        self._awards: list[_Award] = []

    @property
    def version(self) -> int:
        """The version of the account that this input makes."""
        return self.member.account.version + 1

    def cause(self, rule: str, ref: str, instant: Micros) -> Cause:
        """A cause as of an instant: its local date, and the program version in force."""
        program = self.programs.at(instant)
        return Cause(rule, ref, program.calendar.day_of(instant), program)

    # What rules ask for

    def confirm(self, lot_day: Day, points: int, cause: Cause) -> None:
        """Make pending points of a lot available."""
        self._awards.append(_Award(lot_day, points, cause, "pending"))

    def award(self, lot_day: Day, points: int, cause: Cause) -> None:
        """Issue available points in a lot."""
        self._awards.append(_Award(lot_day, points, cause, "issued"))

    def claw_back(self, lot_day: Day, points: int, order: str, cause: Cause) -> None:
        """Claw back points that went to a lot (R6, R7); what is missing becomes debt of `order`."""
        self._clawbacks.append(_Clawback(lot_day, points, order, cause))

    def change_award(self, lot_day: Day, points: int, cause: Cause) -> None:
        """Award points in a lot or, negative, claw them back there."""
        if points > 0:
            self.award(lot_day, points, cause)
        elif points < 0:
            self.claw_back(lot_day, -points, cause.ref, cause)

    def rebalance(self, lot_day: Day, booked: PendingAndConfirmed, due: PendingAndConfirmed, cause: Cause) -> None:
        """Move a lot's award from what is booked to what is due, and confirm before issuing."""
        pending, confirmed = due[0] - booked[0], due[1] - booked[1]
        confirm = min(-pending, confirmed)
        if confirm > 0:
            self.confirm(lot_day, confirm, cause)
            pending += confirm
            confirmed -= confirm
        if pending:
            self.change_pending(lot_day, pending, cause)
        self.change_award(lot_day, confirmed, cause)

    def spend(self, ref: str, order: Order, net: int, cause: Cause, *, uncovered: int | None = None) -> None:
        """Debit points so that an order has used `net` (P7).

        With `uncovered` the order first takes so many points at most of the holds and redemptions that it names, and
        what is then too much returns at once (O5).
        """
        self._spends.append(_Spend(ref, order, net, cause, uncovered))

    def give_back(self, ref: str, order: Order, points: int, cause: Cause) -> None:
        """Return points that an order used to the lots they came from (P3)."""
        self._returns.append(_Return(ref, order, points, cause))

    def post(self) -> None:
        """Book what was asked for, in the order of R6; first of all, orders take over what they name (O5, P7)."""
        for spend in self._spends:
            if spend.uncovered is not None:
                self._take_over(spend, spend.uncovered)
        for back in self._returns:
            self._post_return(back)
        for clawback in sorted(self._clawbacks, key=_lot_day):
            self._post_clawback(clawback)
        for spend in self._spends:
            self._post_spend(spend)
        # Points that expire first pay debt first.
        for award in sorted(self._awards, key=_lot_day):
            day = award.lot_day
            if day == SLIDING:
                day = sliding.grant(self.member, award.cause.award_name, award.points)
            self._make_available(lot_of_day(day), award.points, award.out_of, award.cause)
        self._returns, self._clawbacks, self._spends, self._awards = [], [], [], []

    def raise_alarm(self, ref: str, alarm: Alarm) -> None:
        """Put an alarm on an order, where it stays."""
        self.member.order(ref).alarms.append(alarm)
        self.member.touched.add(ref)
        self.report_alarms(ref, [alarm])

    def report_alarms(self, ref: str, alarms: list[Alarm]) -> None:
        """Count alarms that an order has from now on, and let others know of them (O10)."""
        if alarms:
            self.alarms += [alarm.kind for alarm in alarms]
            self.alarmed.setdefault(ref, []).extend(alarms)

    # How each is booked

    def _post_clawback(self, clawback: _Clawback) -> None:
        if clawback.lot_day != SLIDING:
            self._claw_back_of_lot(clawback)
            return
        for day, points in sliding.take_back(self.member, clawback.cause.award_name, clawback.points):
            self._claw_back_of_lot(_Clawback(day, points, clawback.order, clawback.cause))

    def _claw_back_of_lot(self, clawback: _Clawback) -> None:
        """R7, then R6: forgive what has expired, take from the lot and its grace lots, then from the others."""
        left, cause, day = clawback.points, clawback.cause, clawback.lot_day
        if self._is_past(lot_of_day(day), cause):
            left -= self._forgive(day, left, cause)
        if not left:
            return
        # The lot itself, its grace lots, then the others; each in spending order.
        lots = sorted(self.member.lots.spendable(), key=lambda item: _distance(item[0], day))
        left -= self._claw_back_available(lots, left, cause)
        if left:
            self._post_shortfall(clawback, left)

    def _forgive(self, day: Day, points: int, cause: Cause) -> int:
        """Forgive up to so many expired points of a lot and its grace lots; how many there were (R7)."""
        left = points
        for lot, expired in self.member.lots.unforgiven(day):
            part = min(left, expired)
            if part:
                self._book("expired", "issued", part, lot, cause)
                self.member.account.expired -= part
                self.member.lots.change(lot, FORGIVEN, part)
                left -= part
        return points - left

    def _post_shortfall(self, clawback: _Clawback, points: int) -> None:
        """R6: points that a clawback did not find are owed, written off, or wait for a decision."""
        account, details, cause = self.member.account, self.member.account.details, clawback.cause
        match cause.program.negative:
            case "debt":
                self._book("debt", "issued", points, NO_LOT, cause)
                self._owe(clawback.order, points, spend=False)
            case "clamp":
                self._book("written_off", "issued", points, NO_LOT, cause)
                account.written_off -= points
            case "review":
                self._raise_review(clawback.order, points)
                for shortfall in details.shortfalls:
                    if shortfall.ref == clawback.order:
                        shortfall.points += points
                        return
                details.shortfalls.append(Shortfall(clawback.order, points))

    def _raise_review(self, ref: str, points: int) -> None:
        """Somebody has to decide of points that were not there: an alarm, on the order if they are of one (R6)."""
        if order_of(ref) is not None:
            self.raise_alarm(ref, Alarm(UNDER_REVIEW, f"{points} points to claw back were not there", self.now))
        elif UNDER_REVIEW not in self.alarms:
            self.alarms.append(UNDER_REVIEW)

    def _post_spend(self, spend: _Spend) -> None:
        """P7: points that the order did not take over come in spending order; the shortfall is debt and an alarm."""
        order = spend.order
        left = max(spend.net - order.used, 0)
        order.used += left
        for allocation in self._spend_available(left, "redeemed", spend.cause):
            allocate(order, allocation.lot, allocation.points)
            left -= allocation.points
        if left:
            self._book("debt", "redeemed", left, NO_LOT, spend.cause)
            self._owe(spend.ref, left, spend=True)
            self.member.account.redeemed += left
            self.raise_alarm(spend.ref, Alarm(POINTS_SHORT, f"{left} of the points it used were not there", self.now))

    def _take_over(self, spend: _Spend, uncovered: int) -> None:
        """Take up to `uncovered` points of what the order names; what is then too much returns in the same input (O5).

        The first order to name a hold or a redemption has it (P5), and what it does not take of it returns (P7).
        """
        order = spend.order
        for key in order.funding_keys:
            raw = self.member.fact(key)
            if raw is None:
                continue
            take = self._take_hold if key.startswith(HOLD) else self._take_redemption
            for allocation in take(spend, key, raw, uncovered):
                allocate(order, allocation.lot, allocation.points)
                order.used += allocation.points
                uncovered -= allocation.points
        if order.used > spend.net:
            self._returns.append(_Return(spend.ref, order, order.used - spend.net, spend.cause))

    def _take_redemption(self, spend: _Spend, key: str, raw: bytes, points: int) -> list[LotAllocation]:
        """The points that a redemption pays for an order that names it; the rest returns to its lots (P7, P3, P4)."""
        redemption = decode_redemption(raw)
        if not redemption.is_free:
            return []
        allocations, rest = split_allocations(redemption.allocations, points)
        redemption.order, redemption.allocations = spend.ref, []
        redemption.surplus = sum(allocation.points for allocation in rest)
        self.member.facts[key] = encode_redemption(redemption)
        self.return_points(rest, redemption.surplus, self.cause("redemption", key, self.now))
        return allocations

    def _take_hold(self, spend: _Spend, key: str, raw: bytes, points: int) -> list[LotAllocation]:
        """The points that a hold pays for an order that names it; the rest is released, or returns if it was captured
        already (P5, P7)."""
        hold = decode_hold(raw)
        if hold.order:
            return []
        hold.order = spend.ref
        if hold.state == "open":
            points = min(points, hold.points)
            self.end_hold(key.removeprefix(HOLD), hold, "captured", points, spend.cause)
            return split_allocations(hold.allocations, points)[0]
        if hold.state == "captured":
            captured, _ = split_allocations(hold.allocations, hold.captured)
            allocations, rest = split_allocations(captured, points)
            hold.surplus = sum(allocation.points for allocation in rest)
            self.member.facts[key] = encode_hold(hold)
            self.return_points(rest, hold.surplus, self.cause("hold", key, self.now))
            return allocations
        self.member.facts[key] = encode_hold(hold)
        if hold.state == "timed_out" and spend.order.revision_at <= hold.expires_at:
            return self._redeem_released(hold.allocations, points, spend.cause)
        return []

    def _post_return(self, back: _Return) -> None:
        """P3, P4: cancel what the order still owes, then return to its lots, the last used first."""
        account = self.member.account
        left, order, cause = back.points, back.order, back.cause
        order.used -= left
        for debt in list(account.details.debts):
            if left and debt.spend and debt.order == back.ref:
                part = min(left, debt.points)
                debt.points -= part
                if not debt.points:
                    account.details.debts.remove(debt)
                self._book("redeemed", "debt", part, NO_LOT, cause)
                account.debt -= part
                account.redeemed -= part
                left -= part
        self.return_points(order.allocations, left, cause)


def available_funding(member: Member, funding_keys: tuple[str, ...]) -> list[Hold | Redemption]:
    """The holds and redemptions that an order names which are there and which no order has yet (P5)."""
    member.want_facts(funding_keys)
    found: list[Hold | Redemption] = []
    for key in funding_keys:
        raw = member.fact(key)
        if raw is None:
            continue
        if key.startswith(HOLD):
            hold = decode_hold(raw)
            found += [] if hold.order else [hold]
        else:
            redemption = decode_redemption(raw)
            found += [redemption] if redemption.is_free else []
    return found


def _distance(lot: LotKey, day: Day) -> int:
    """How near a lot is to the plain lot of a day: that lot, a grace lot of it, another."""
    if lot == lot_of_day(day):
        return 0
    return 1 if lot.parent == day else 2
