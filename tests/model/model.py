"""The naive model of one member's account: keep every fact, recompute everything, book the difference.

Facts are kept in `known`; what they come to is computed from scratch in business time (`orders`, `earning`,
`tiers`). What depends on arrival, which lots points leave and return to, what expired, what is owed, is in
the `Wallet`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from typing import Literal

from services.kit.calendar import NOT_YET, Micros
from services.kit.money import exponent
from tests.model import bounds, earning, tiers
from tests.model.commands import Command, Decide, Hold, Receive, Redeem, Referred, RepairStreak, Send
from tests.model.days import DAY, NEVER, midnight_after
from tests.model.earning import Award
from tests.model.events import MEMBER, Arrival, Event, Timer
from tests.model.known import Known
from tests.model.lot_days import SLIDING
from tests.model.orders import Order, order_key
from tests.model.program import Program
from tests.model.referrals import Referrals
from tests.model.result import HoldResult, LotName, OrderResult, RedemptionResult, Result
from tests.model.shortfalls import Shortfalls
from tests.model.sliding import Sliding
from tests.model.spending import Spending
from tests.model.transfers import Transfers
from tests.model.wallet import Lot, LotAllocations, LotKey, Wallet, unwind

Tiers = Literal["closed", "received"]
HistoryStep = Arrival | Timer | Command
Bucket = tuple[str, str, date]
"""(owner, rule, lot day): what is booked is booked for one of these."""

TRUE_UP = "tier-true-up"


class Model:
    """One member's account under one program, or several versions of it by `effective_from`.

    With `tiers="closed"` the model is tiering as well: the history follows each input at once. With
    `"received"` only tier events change tiers.
    """

    def __init__(self, program: Program | Sequence[Program], *, tiers: Tiers = "closed") -> None:
        self.known = Known(program)
        self.wallet = Wallet(self.known.zone)
        self.sliding = Sliding(self.wallet)
        self.spending = Spending(self.wallet)
        self.shortfalls = Shortfalls(self.wallet)
        self.transfers = Transfers(self.wallet)
        self.referrals = Referrals(self.known, self.known.versions)
        self.closed = tiers == "closed"
        self.outcomes: list[tuple[str, str]] = []
        self._by_version = {version["version"]: version for version in self.known.versions}
        # What is booked: by bucket, with its newest award and the lots it went to; by order before caps and after; of
        # points used, as reported and net; by rule.
        self._booked: dict[Bucket, tuple[int, int]] = {}
        self._awards: dict[Bucket, Award] = {}
        self._granted: dict[Bucket, LotAllocations] = {}
        self._earned: dict[tuple[str, str], Award] = {}
        self._order_points: dict[str, tuple[int, int]] = {}
        self._used: dict[str, int] = {}
        self._spent: dict[str, int] = {}
        self._rules: dict[str, int] = {}
        # What an order keeps of its past: lines once confirmed (O8), a shortfall once met (P7).
        self._confirmed_lines: dict[str, set[str]] = {}
        self._short: set[str] = set()
        self._is_large = False
        """Whether the member may be near a bound (O12)."""

    # What goes in

    def arrive(self, event: Event, now: Micros) -> str:
        """Take an event that comes in at `now`; what became of it is returned."""
        if event["subject"] != MEMBER:
            self._pass_time(now)
            told = self.referrals.hear_of_other(event, self.wallet.now)
            self._follow_others()
            return told
        looks = self._is_large or (event["type"].startswith("commerce.") and bounds.is_large(event["data"]))
        before = (copy.deepcopy(vars(self)), self._figures()) if looks else None
        outcome = self.known.refusal(event, now)
        if outcome is None:
            self._pass_time(now)
            self.referrals.see(MEMBER, self.wallet.now)
            outcome = self.known.learn(event, self.wallet.now)
            self.sliding.reach(self.known.active_until(self.referrals.heard_while_known()))
            if event["type"] == "commerce.order.paid.v1":
                self._take_over(event)
            from_tiering = event["type"].startswith("loyalty.tier.")
            self._settle(TRUE_UP if from_tiering else None)
            if before is not None and self._passes_bounds(before[1], 0 if from_tiering else bounds.ROOM):
                vars(self).update(before[0])
                outcome = "out_of_range"
            else:
                self._is_large = looks
                self._follow_others()
        self.outcomes.append((event["id"], outcome))
        return outcome

    def _figures(self) -> tuple[int, int]:
        """The largest of the member's totals, and what all orders may still bring to the growth value (O12)."""
        result = self.result()
        kept = result.available + result.pending + result.held + result.expired - result.forgiven
        spent, earned = result.redeemed - result.returned, result.earned + result.pending
        growth = 0
        for order in self.known.orders().values():
            rule = earning.qualifying_rule(order.program)
            growth += sum(line.amount for line in order.eligible(rule)) if rule else 0
        return max(kept, result.debt, spent, result.written_off, abs(result.in_transit), earned), growth

    def _passes_bounds(self, before: tuple[int, int], room: int) -> bool:
        points, growth = self._figures()
        decimals = exponent(self.known.versions[0]["currency"])
        most_growth = min(bounds.ORDER * 10**decimals - 1, bounds.MOST)
        return (points > bounds.MOST - room and points > before[0]) or (growth > most_growth and growth > before[1])

    def command(self, command: Command) -> str:
        """Do what is asked at its `now`: `booked`, or the name of the refusal."""
        self._pass_time(command.now)
        program = self.known.program_at(self.wallet.now)
        if not isinstance(command, Referred):
            self.referrals.see(MEMBER, self.wallet.now)
        match command:
            case _ if self.known.is_erased and not isinstance(command, Referred | Receive):
                outcome = "member_erased"
            case Decide():
                outcome = self.shortfalls.decide(command)
            case RepairStreak():
                outcome = self._repair_streak(command, program)
            case Referred():
                outcome = self.referrals.hear(command, self.wallet.now)
            case Send() | Receive():
                outcome = self.transfers.do(command, program)
            case _:
                outcome = self.spending.do(command, _grace_days(program))
        if isinstance(command, Hold | Redeem | RepairStreak | Send) and outcome == "booked":
            self.sliding.reach(self.known.active_until([], self.wallet.now))
        elif isinstance(command, Referred):
            self.sliding.reach(self.known.active_until(self.referrals.heard_while_known()))
        self._settle()
        self._follow_others()
        self.outcomes.append((f"{type(command).__name__} {command.reference}", outcome))
        return outcome

    def _repair_streak(self, command: RepairStreak, program: Program) -> str:
        """D4: pay for a missed day, if it may be bought."""
        offered = [rule["make_up"] for rule in earning.rules_on(program, "signed_in") if "make_up" in rule]
        if not offered:
            return "make_up_not_offered"
        if (refused := self.known.repair_refusal(command.reference, self.wallet.now, offered[0])) is not None:
            return refused
        if offered[0]["cost"] > self.wallet.available():
            return "insufficient_points"
        self.spending.pay(offered[0]["cost"])
        self.known.repair_streak(command.reference)
        return "booked"

    def tick(self, now: Micros) -> None:
        """Move the clock to `now` and do everything that is due."""
        self._pass_time(now)
        self._follow_others()

    def take(self, step: HistoryStep) -> None:
        """One step of a history, whichever it is."""
        match step:
            case Timer():
                self.tick(step.now)
            case Arrival():
                self.arrive(step.event, step.now)
            case _:
                self.command(step)

    def play(self, history: Iterable[HistoryStep]) -> Result:
        """Take a whole history, and say where it leads."""
        for step in history:
            self.take(step)
        return self.result()

    # Booking

    def _pass_time(self, now: Micros) -> None:
        """Do what is due by `now`, each at its own due time: confirm, expire, time holds out (E1, O8, T8).

        What is due is booked as of when it was due, so it makes no difference when somebody looks.
        """
        while (due := self._next_due()) is not None and due <= now:
            self.wallet.now = max(self.wallet.now, due)
            self._settle()
            self.wallet.expire()
            self.spending.time_out()
        self.wallet.now = max(self.wallet.now, now)

    def _next_due(self) -> Micros | None:
        """When the next line falls due, the next lot expires or the next hold is over."""
        dues = [
            midnight_after(last_day, self.wallet.zone)
            for (day, _), lot in self.wallet.lots.items()
            if lot.available and (last_day := self.wallet.last_day(day)) != NEVER
        ]
        if (timeout := self.spending.next_timeout()) is not None:
            dues.append(timeout)
        for order in self.known.orders().values():
            # Also of lines confirmed already: a late `shipped` moves the timeline, and the bonus with it (O8).
            dues += [due for line in order.goods() if (due := order.due_at(line) or NOT_YET) > self.wallet.now]
        return min(dues, default=None)

    def _take_over(self, event: Event) -> None:
        """P5, P7: what the order of a `paid` names it takes over before all else, also if it is cancelled already."""
        order = self.known.orders()[order_key(event["data"].get("shop") or "", event["data"]["order_id"])]
        uncovered = max(0, order.points_used - self._used.get(order.key, 0))
        grace_days = _grace_days(self.known.program_at(self.wallet.now))
        taken = self.spending.take_over(order, uncovered, grace_days)
        self._spent[order.key] = self._spent.get(order.key, 0) + taken

    def _settle(self, label: str | None = None) -> None:
        """Book the difference between what the facts say and what is booked.

        Within one input (R6): returns, clawbacks, spends, awards. `label` names what a change of tiers made
        of an order's points.
        """
        orders = self.known.orders()
        for key, order in orders.items():
            used = order.points_used - order.points_back()
            if used < (before := self._spent.get(key, 0)):
                self.wallet.give_back(key, before - used, _grace_days(order.program))
                self._spent[key] = used

        earned = self._order_awards(orders)
        target = self._target(orders, earned)
        by_rule = {rule["rule"]: i for version in self.known.versions for i, rule in enumerate(version["earn"])}
        buckets = sorted({*target, *self._booked}, key=lambda bucket: (bucket[2], by_rule[bucket[1]], bucket[0]))
        changes = []
        for bucket in buckets:
            pending, confirmed = target.get(bucket, (0, 0))
            was_pending, was_confirmed = self._booked.get(bucket, (0, 0))
            changes.append((bucket, pending - was_pending, confirmed - was_confirmed))

        for bucket, pending, _ in changes:
            if pending < 0:
                self.wallet.lot(self._lot_of(bucket)).pending += pending  # R5
        for bucket, _, confirmed in changes:
            if confirmed < 0:
                self._claw_back(bucket, -confirmed)
        for key, order in orders.items():
            used = order.points_used - order.points_back()
            if used > (before := self._spent.get(key, 0)):
                if self.wallet.spend(key, used - before):
                    self._short.add(key)
                self._spent[key] = used
            self._used[key] = order.points_used
        for bucket, pending, confirmed in changes:
            lot = self._lot_of(bucket)
            if pending > 0:
                self.wallet.lot(lot).pending += pending
            if confirmed > 0:
                self.wallet.come_in(lot, confirmed)
                self._granted.setdefault(bucket, []).append((lot, confirmed))

        self._booked = target
        for (_, name, _), pending, confirmed in changes:
            rule = label if label and self._is_order_rule(name) else name
            self._rules[rule] = self._rules.get(rule, 0) + pending + confirmed
        self._share_out(earned)

    def _claw_back(self, bucket: Bucket, points: int) -> None:
        """R6: take back what went to a bucket's lots; of what is not there, its program says what becomes."""
        award = self._awards[bucket]
        short = sum(self.wallet.claw_back(day, part) for (day, _), part in unwind(self._granted[bucket], points))
        negative = self._by_version[award.version]["points"]["negative"]
        self.shortfalls.fall_short(award.about or award.owner, short, negative)

    def _lot_of(self, bucket: Bucket) -> LotKey:
        """The lot that a bucket's points are in or go to; under `sliding` the one there is (E3)."""
        day = bucket[2]
        return (self.sliding.lot if day == SLIDING else day), None

    def _share_out(self, earned: dict[tuple[str, str], Award]) -> None:
        """Say which order has which points: of a pool, each books the change that it makes (N3).

        Where one input changes several orders of a pool, they change it one after the other.
        """
        standing = dict(self._earned)
        for name in [*earned, *(name for name in self._earned if name not in earned)]:
            if standing.get(name) == earned.get(name):
                continue
            before = earning.pooled(standing.values(), self._by_version)
            if name in earned:
                standing[name] = earned[name]
            else:
                del standing[name]
            after = earning.pooled(standing.values(), self._by_version)
            pending, confirmed = self._order_points.get(name[0], (0, 0))
            pending += sum(award.pending for award in after) - sum(award.pending for award in before)
            confirmed += sum(award.confirmed for award in after) - sum(award.confirmed for award in before)
            self._order_points[name[0]] = pending, confirmed
        self._earned = standing

    def _is_order_rule(self, name: str) -> bool:
        return any(rule["rule"] == name for version in self.known.versions for rule in earning.order_rules(version))

    def _order_awards(self, orders: dict[str, Order]) -> dict[tuple[str, str], Award]:
        """What each order earns by each rule, before caps; by paid time."""
        earned = {}
        for key, order in orders.items():
            confirmed = self._confirmed_lines.setdefault(key, set())
            # O8: a line once confirmed stays so for its points.
            confirmed |= {
                line.line_id
                for line in order.goods()
                if (at := order.completed_at(line, self.wallet.now)) is not None and not order.cancelled(at)
            }
            tier = earning.tier_at(self.known.tier_history, order.paid_at)
            for rule in earning.order_rules(order.program):
                for award in earning.order_awards(order, rule, tier, confirmed, self.known.member.profile):
                    earned[key, award.rule] = award
        return earned

    def _target(self, orders: dict[str, Order], earned: dict[tuple[str, str], Award]) -> dict[Bucket, tuple[int, int]]:
        """Everything the facts earn by now, in buckets: {(owner, rule, lot): (pending, confirmed)}."""
        now, facts, at = self.wallet.now, self.known.member, self.known.program_at
        awards = list(earned.values())
        awards += earning.first_purchase(orders, now) + self.referrals.own(orders, now)
        awards += [
            *earning.sign_ins(facts, at),
            *earning.reviews(facts, at, earning.kept_goods(orders, now)),
            *earning.activities(facts, at),
        ]
        awards += [*earning.profile(facts, at), *earning.joining_gift(facts, at), *self.referrals.of_others(at)]
        target: dict[Bucket, tuple[int, int]] = {}
        for award in earning.pooled(awards, self._by_version):
            bucket = (award.owner, award.rule, award.lot)
            before = target.get(bucket, (0, 0))
            target[bucket] = before[0] + award.pending, before[1] + award.confirmed
            self._awards[bucket] = award
        return target

    def _follow_others(self) -> None:
        """What other services and other accounts answer at once."""
        self._follow_tiers()
        if self.referrals.answer(self.known.orders(), self.wallet.now):
            self._settle()

    def _follow_tiers(self) -> None:
        """T1: in a closed system the tiers follow the timelines at once, and the ledger trues up."""
        if not self.closed:
            return
        history = tiers.history(self._timelines().values(), self.known.program_at)
        if history != self.known.tier_history:
            self.known.tier_history = history
            self._settle(TRUE_UP)

    def _timelines(self) -> dict[str, list[tuple[Micros, int, int]]]:
        timelines = {}
        for key, order in self.known.orders().items():
            rule = earning.qualifying_rule(order.program)
            timelines[key] = order.timeline(rule, self.wallet.now) if rule else []
        return timelines

    # What comes out

    def result(self) -> Result:
        """The account as of its `now`."""
        lots, timelines, orders = self.wallet.lots, self._timelines(), self.known.orders()
        order_results = {}
        for key, order in orders.items():
            pending, confirmed = self._order_points.get(key, (0, 0))
            tier = earning.tier_at(self.known.tier_history, order.paid_at)
            profile = self.known.member.profile
            order_results[key] = OrderResult(
                earned_pending=pending,
                earned_confirmed=confirmed,
                points_used=order.points_used,
                points_returned=order.points_back(),
                owed=self.wallet.owed(key),
                timeline=timelines[key],
                alarms=frozenset(order.alarms | self._met_in_booking(key)),
                working=tuple(
                    earning.work_out(order, rule, tier, profile).as_dict()
                    for rule in earning.order_rules(order.program)
                ),
            )
        park_days = self.known.versions[-1]["points"]["refund"]["park_days"]
        overdue = self.wallet.now - park_days * DAY
        result = Result(
            available=self.wallet.available(),
            pending=sum(lot.pending for lot in lots.values()),
            debt=sum(debt.points for debt in self.wallet.debts),
            earned=sum(confirmed for _, confirmed in self._booked.values()),
            held=sum(lot.held for lot in lots.values()),
            redeemed=sum(order.points_used for order in orders.values()) + self.spending.redeemed(),
            returned=sum(order.points_back() for order in orders.values()) + self.spending.returned(),
            expired=sum(lot.expired for lot in lots.values()),
            forgiven=sum(lot.forgiven for lot in lots.values()),
            lots=self._lots(),
            holds={
                name: HoldResult(hold.state, hold.points, hold.captured, hold.surplus)
                for name, hold in self.spending.holds.items()
            },
            redemptions={
                name: RedemptionResult(spent.points, spent.returned, spent.surplus)
                for name, spent in self.spending.redemptions.items()
            },
            orders=order_results,
            written_off=self.shortfalls.written_off,
            under_review=dict(self.shortfalls.under_review),
            in_transit=self.transfers.in_transit(),
            sent={
                name: [(_iso(day), None if parent is None else _iso(parent), points) for (day, parent), points in taken]
                for name, taken in self.transfers.sent.items()
            },
            tiers=list(self.known.tier_history),
            rules={rule: points for rule, points in self._rules.items() if points},
            parked=frozenset(self.known.parked_since),
            reported=frozenset(name for name, since in self.known.parked_since.items() if since <= overdue),
            outcomes=list(self.outcomes),
        )
        result.check_books()
        return result

    def _met_in_booking(self, key: str) -> set[str]:
        """The alarms of an order that do not follow from its facts: points that were missing (P7, R6)."""
        short = {"points_short"} if key in self._short else set()
        return short | ({"clawback_under_review"} if key in self.shortfalls.under_review else set())

    def _lots(self) -> dict[LotName, dict[str, int]]:
        """The lots by their last days: one that slides may end with another (E3)."""
        by_name: dict[LotName, dict[str, int]] = {}
        for (day, parent), lot in self.wallet.lots.items():
            if any(asdict(lot).values()):
                sums = by_name.setdefault((self._named(day), None if parent is None else self._named(parent)), {})
                for side, points in _figures(lot).items():
                    sums[side] = sums.get(side, 0) + points
        return by_name

    def _named(self, lot: date) -> str:
        return _iso(self.wallet.last_day(lot))


def _iso(day: date) -> str:
    return "never" if day == NEVER else day.isoformat()


def _figures(lot: Lot) -> dict[str, int]:
    """A lot's figures; `held` is said where there is any."""
    return {side: points for side, points in asdict(lot).items() if points or side != "held"}


def _grace_days(program: Program) -> int | None:
    """P4: days of grace for what returns to an expired lot; None where it expires at once."""
    returned = program["points"]["refund"]["returned_expired"]
    return returned["grace_days"] if isinstance(returned, dict) else None
