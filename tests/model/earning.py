"""What the facts earn, from scratch: every award that stands at `now`, with its rule, date and lot.

A pure function of what is known. Nothing here remembers what was booked, save which lines were once
confirmed (O8) and the tiers as the ledger knows them (T1).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from math import ceil, floor
from typing import Any

from services.kit.calendar import NOT_YET, Micros, later
from tests.model.days import is_over, local_day, major, midnight_after, minor
from tests.model.lot_days import SLIDING, order_lot, other_lot
from tests.model.multipliers import budgeted, is_multiplier, multiplier
from tests.model.order_facts import Report
from tests.model.orders import Order
from tests.model.program import Program

Rule = dict[str, Any]
ProgramAt = Callable[[Micros], Program]
TierHistory = Sequence[tuple[Micros, str]]


@dataclass(frozen=True)
class Award:
    """Points that stand: whose they are, by which rule, of which local date, for which lot."""

    owner: str
    rule: str
    version: str
    day: date
    lot: date
    pending: int
    confirmed: int
    about: str = ""
    """What a shortfall of it is about, where that is not the owner."""


@dataclass(frozen=True)
class Working:
    """N4: how an order's points came about."""

    rule: str
    version: str
    tier: str
    amount: Fraction
    rate: Fraction
    multiplier: Fraction
    exact: Fraction
    points: int
    by_line: Mapping[str, Fraction] = field(repr=False)
    """The multiplier of each line; `multiplier` is that of all of them."""

    def as_dict(self) -> dict[str, Any]:
        """The figures of an explanation."""
        figures = asdict(self)
        del figures["by_line"]
        return figures


@dataclass
class MemberFacts:
    """What is known of a member besides orders, each report with the time it counts from (O9)."""

    signed_in: list[Report] = field(default_factory=list)
    published: list[Report] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    activities: list[Report] = field(default_factory=list)
    withdrawn: set[tuple[str, str]] = field(default_factory=set)
    profile: list[Report] = field(default_factory=list)
    enrolled: list[Report] = field(default_factory=list)
    repaired: dict[date, Report] = field(default_factory=dict)
    """Missed days that were bought (D4), each as of its first instant."""
    registered: list[Report] = field(default_factory=list)

    def holding(self, zone: str) -> dict[tuple[str, ...], Any]:
        """O2: the facts received so far, each with the report that holds; one that changes nothing is `known`."""
        holding: dict[tuple[str, ...], Any] = {("removed", review_id): True for review_id in self.removed}
        holding.update({("withdrawn", *named): True for named in self.withdrawn})
        for report in sorted([*self.signed_in, *self.published, *self.activities], key=Report.rank):
            data = report.data
            if "review_id" in data:
                key: tuple[str, ...] = ("review", data["review_id"])
            elif "activity_id" in data:
                key = ("activity", data["activity"], data["activity_id"])
            else:
                key = ("sign-in", str(local_day(report.at, zone)))  # D2
            holding.setdefault(key, report.rank())
        holding.update({("profile", *map(str, report.rank())): True for report in self.profile})
        return holding


def rules_on(program: Program, on: Any) -> list[Rule]:
    """The program's rules for this trigger, in the order written."""
    return [rule for rule in program["earn"] if rule["on"] == on]


def tier_at(history: TierHistory, paid_at: Micros) -> str:
    """T1: the tier whose effective time is the last strictly before the paid time."""
    before = [name for at, name in history if at < paid_at]
    return before[-1] if before else "none"


def rounded(points: Fraction, how: str) -> int:
    """N1: once an order, floor | half_up | ceil."""
    if how == "ceil":
        return ceil(points)
    return floor(points + Fraction(1, 2)) if how == "half_up" else floor(points)


def banded(bands: Mapping[str, Any], amount: Fraction) -> Fraction:
    """N1: what an amount is worth: `whole` at the rate of its band, `marginal` each part at its own."""
    total = Fraction(0)
    floor_of_band = Fraction(0)
    for step in bands["steps"]:
        rate = Fraction(step["rate"])
        top = Fraction(step["upto"]) if "upto" in step else None
        inside = top is None or (amount < top if step.get("exclusive") else amount <= top)
        if inside:
            whole = bands.get("mode", "whole") == "whole"
            return amount * rate if whole else total + (amount - floor_of_band) * rate
        assert top is not None
        total += (top - floor_of_band) * rate
        floor_of_band = top
    raise ValueError("the last band is open")


def worth_of(rule: Rule, amount: Fraction) -> Fraction:
    """What a rule gives for an amount before multipliers: by its rate, its bands, or for each full amount (N9)."""
    if "each_full" in rule:
        return Fraction(amount // Fraction(rule["each_full"]) * rule["points"])
    return banded(rule.get("bands") or {"steps": [{"rate": rule["rate"]}]}, amount)


def work_out(
    order: Order, rule: Rule, tier: str, profile: Sequence[Report] = (), without: Collection[str] = ()
) -> Working:
    """f(x): what an order earns on what is left of its eligible lines, at this tier (N1, N5, P1, R1).

    In `proportional` mode (R3) what is left earns its part of what all of it would have earned before any refund.
    `without` names campaigns to leave out.
    """
    program = order.program
    left, whole = _left(order, rule), _whole(order, rule)
    proportional = program["points"]["refund"]["mode"] == "proportional"
    units = whole if proportional else left
    amount = Fraction(major(sum(units.values()), program["currency"]))
    worth = worth_of(rule, amount) if amount >= Fraction(rule.get("min_spend", "0")) else Fraction(0)
    rate = worth / amount if amount else Fraction(0)
    by_line = {line.line_id: multiplier(order, line, rule, tier, profile, without) for line in order.eligible(rule)}
    exact = rate * _multiplied(units, by_line, program["currency"])
    kept = Fraction(sum(left.values()), sum(whole.values())) if proportional and sum(whole.values()) else 1
    points = rounded(exact * kept, program["points"]["rounding"])
    effective = exact / worth if worth else Fraction(rule.get("tier_multiplier", {}).get(tier, "1"))
    return Working(rule["rule"], program["version"], tier, amount, rate, effective, exact, points, by_line)


def _multiplied(units: Mapping[str, int], by_line: Mapping[str, Fraction], currency: str) -> Fraction:
    """An amount in which each line counts as often as its multiplier says."""
    parts = [Fraction(major(net, currency)) * by_line[line_id] for line_id, net in units.items()]
    return sum(parts, Fraction(0))


def _left(order: Order, rule: Rule) -> dict[str, int]:
    """What each eligible line still counts for; a cancelled order counts for nothing (O4, O5)."""
    if order.cancelled_at is not None:
        return {}
    return _counting(order, rule, max((at for at, _, _ in order.refunds), default=NOT_YET))


def _whole(order: Order, rule: Rule) -> dict[str, int]:
    """What each eligible line counted for when it was paid."""
    return _counting(order, rule, later(order.paid_at, -1))


def _counting(order: Order, rule: Rule, at: Micros) -> dict[str, int]:
    gross = rule.get("base", "net_of_points") == "gross"
    return {line.line_id: order.left(line, at) if gross else order.net_left(line, at) for line in order.eligible(rule)}


def order_awards(
    order: Order, rule: Rule, tier: str, confirmed: Iterable[str], profile: Sequence[Report]
) -> list[Award]:
    """What an order earns by a rule, and what each campaign with a budget adds to it (N6).

    O8: completed lines confirm floor(rate x multipliers x their net), all together exactly f.
    """
    program = order.program
    left = _left(order, rule)
    counting = {line_id for line_id, units in left.items() if units}
    done = counting & set(confirmed)
    lot = order_lot(program, order.date)
    campaigns = budgeted(program)
    awards: list[Award] = []
    points = so_far = 0
    for index, name in enumerate([rule["rule"], *campaigns]):
        working = work_out(order, rule, tier, profile, without=campaigns[index:])
        net = _multiplied({line_id: left[line_id] for line_id in done}, working.by_line, program["currency"])
        all_done = working.points if done == counting else floor(working.rate * net)
        granted, ready = working.points - points, min(all_done - so_far, working.points - points)
        awards.append(Award(order.key, name, program["version"], order.date, lot, granted - ready, ready))
        points, so_far = working.points, so_far + ready
    return awards


def first_purchase(orders: Mapping[str, Order], now: Micros) -> list[Award]:
    """R9: the bonus stands while there is a successful order of its least spend, on the lot of the first of these."""
    rising = rises(orders, now, _bonus_spend)
    if rising is None:
        return []
    order, _, lot = rising
    version, day = order.program["version"], order.date
    rules = rules_on(order.program, "first_order")
    return [Award("member", rule["rule"], version, day, lot, 0, rule["points"], about=order.key) for rule in rules]


def _bonus_spend(program: Program) -> str:
    return next((rule.get("min_spend", "0") for rule in rules_on(program, "first_order")), "0")


def rises(
    orders: Mapping[str, Order], now: Micros, least_spend: Callable[[Program], str | None]
) -> tuple[Order, Micros, date] | None:
    """R9, F2: the order with which the number of those of a least spend last rose from 0, when it did, and its lot.

    A lot whose day was over when the number fell to 0 is kept. None while there is no such order.
    """
    changes: dict[Micros, list[tuple[int, Order]]] = {}
    for order in orders.values():
        rule, least = qualifying_rule(order.program), least_spend(order.program)
        amount = orders_left = counts = 0
        for at, change, success in order.timeline(rule, now) if rule and least is not None else []:
            amount, orders_left = amount + change, orders_left + success
            counted = int(orders_left > 0 and amount >= minor(least, order.program["currency"]))
            if counted != counts:
                changes.setdefault(at, []).append((counted - counts, order))
            counts = counted
    successful = 0
    rising: Order | None = None
    since = NOT_YET
    lot: date | None = None
    for at in sorted(changes):
        before, successful = successful, successful + sum(change for change, _ in changes[at])
        if before == 0 and successful > 0:
            rose = [order for change, order in changes[at] if change > 0]
            rising, since = min(rose, key=lambda order: (order.paid_at, order.key)), at
            lot = lot or order_lot(rising.program, rising.date)
        elif before > 0 and successful == 0:
            assert rising is not None
            assert lot is not None
            if lot == SLIDING or not is_over(lot, at, rising.program["timezone"]):
                lot = None  # it was still good: the next first order brings its own
    return None if successful == 0 or rising is None or lot is None else (rising, since, lot)


def order_rules(program: Program) -> list[Rule]:
    """The rules that give points for orders; those that multiply them give none of their own."""
    return [rule for rule in rules_on(program, "order") if not is_multiplier(rule)]


def qualifying_rule(program: Program) -> Rule | None:
    """Whose eligible lines make the qualifying amount: the first rule on orders."""
    return next(iter(order_rules(program)), None)


def sign_ins(facts: MemberFacts, program_at: ProgramAt) -> list[Award]:
    """D2, D3, D5: a reward a local date, and a step of the streak, as of the beginning of the day that reaches it.

    D4: a day that was bought counts for the streak, and has no reward of its own.
    """
    first: dict[date, Report] = {}
    for report in sorted(facts.signed_in, key=Report.rank):
        first.setdefault(_day(report, program_at), report)
    days = facts.repaired | first
    awards = []
    run = 0
    for day in sorted(days):
        run = run + 1 if day - timedelta(days=1) in days else 1
        program = program_at(days[day].at)
        if day in first:
            for rule in rules_on(program, "signed_in"):
                awards.append(_at_once(f"day:{day}", rule, program, day, rule["points"]))
        program = program_at(midnight_after(day - timedelta(days=1), program["timezone"]))
        for rule in rules_on(program, "signed_in"):
            steps = {int(length): points for length, points in rule.get("streak", {}).items()}
            points = steps.get((run - 1) % max(steps, default=1) + 1, 0)
            awards.append(_at_once(f"day:{day}", rule, program, day, points))
    return awards


def reviews(facts: MemberFacts, program_at: ProgramAt, kept: Collection[str]) -> list[Award]:
    """Published and never removed: `removed` is final, whenever it comes (N3, O2).

    N8: where they have to be `verified`, only of goods that are `kept`.
    """
    return [
        _at_once(f"review:{review_id}", rule, program, _day(report, program_at), rule["points"])
        for review_id, report in _least(facts.published, "review_id").items()
        if review_id not in facts.removed
        for program in [program_at(report.at)]
        for rule in rules_on(program, "review")
        if not rule.get("verified") or report.data["sku"] in kept
    ]


def kept_goods(orders: Mapping[str, Order], now: Micros) -> set[str]:
    """N8: what the member has received, by line, and not sent back in full."""
    return {
        line.sku
        for order in orders.values()
        if order.cancelled_at is None
        for line in order.goods()
        if order.completed_at(line, now) is not None
        and (not line.amount or sum(part for _, name, part in order.refunds if name == line.line_id) < line.amount)
    }


def activities(facts: MemberFacts, program_at: ProgramAt) -> list[Award]:
    """Favourites, games and the like, while not withdrawn: points each, or by unit; or once a sku, the first (N7)."""
    awards = []
    given: set[tuple[str, str]] = set()
    for (kind, activity_id), report in _least(facts.activities, "activity", "activity_id").items():
        program = program_at(report.at)
        for rule in rules_on(program, {"activity": kind}):
            item = rule["rule"], report.data.get("sku") or ""
            if (kind, activity_id) in facts.withdrawn or (rule.get("once_per") == "item" and item in given):
                continue
            if rule.get("once_per") == "item":
                given.add(item)
            units = Fraction(str(report.data.get("units") or 1))
            exact = Fraction(rule["points_per_unit"]) * units if "points_per_unit" in rule else rule["points"]
            points = rounded(Fraction(exact), program["points"]["rounding"])
            day = _day(report, program_at)
            awards.append(_at_once(f"{kind}:{activity_id}", rule, program, day, points))
    return awards


def profile(facts: MemberFacts, program_at: ProgramAt) -> list[Award]:
    """D6: once, when in order of business times all the fields were first filled together."""
    filled: set[str] = set()
    for report in sorted(facts.profile, key=Report.rank):
        for name, value in report.data.items():
            (filled.add if value is not None else filled.discard)(name)
        program = program_at(report.at)
        for rule in rules_on(program, "profile_completed"):
            if filled >= set(rule["fields"]):
                return [_at_once("member", rule, program, _day(report, program_at), rule["points"])]
    return []


def joining_gift(facts: MemberFacts, program_at: ProgramAt) -> list[Award]:
    """T10: once, for the enrolment; who only orders has none."""
    if not facts.enrolled:
        return []
    report = min(facts.enrolled, key=Report.rank)
    program = program_at(report.at)
    day = _day(report, program_at)
    return [_at_once("member", rule, program, day, rule["points"]) for rule in rules_on(program, "enrolled")]


def pooled(awards: Iterable[Award], program_of: Mapping[str, Program]) -> list[Award]:
    """N3: a cap a day is a pool: min(cap, the sum of what stands), in the day's lot; that of referrals a month's (F3).

    N6: a budget goes to orders by paid time until it is spent, each in its own lot.
    """
    free: list[Award] = []
    pools: dict[tuple[date, str, str], list[Award]] = {}
    spent: dict[tuple[str, str], int] = {}
    for award in awards:
        rule = next(rule for rule in program_of[award.version]["earn"] if rule["rule"] == award.rule)
        if "campaign" in rule:
            campaign = (award.rule, rule["campaign"]["from"])
            left = max(0, rule["campaign"]["budget"] - spent.get(campaign, 0))
            allowed = min(award.pending + award.confirmed, left)
            spent[campaign] = spent.get(campaign, 0) + allowed
            confirmed = min(award.confirmed, allowed)
            free.append(replace(award, pending=allowed - confirmed, confirmed=confirmed))
        elif "cap" in rule and award.owner != "member":
            period = award.day.replace(day=1) if rule["cap"].get("per") == "month" else award.day
            pools.setdefault((period, award.rule, award.version), []).append(award)
        else:
            free.append(award)
    for (day, name, version), members in pools.items():
        rule = next(rule for rule in program_of[version]["earn"] if rule["rule"] == name)
        cap = rule["cap"]["referrals"] * rule["referrer"] if rule["on"] == "referral" else rule["cap"]["points"]
        confirmed = min(cap, sum(award.confirmed for award in members))
        total = min(cap, sum(award.confirmed + award.pending for award in members))
        free.append(Award(f"pool:{day}:{version}", name, version, day, members[0].lot, total - confirmed, confirmed))
    return free


def _at_once(owner: str, rule: Rule, program: Program, day: date, points: int) -> Award:
    return Award(owner, rule["rule"], program["version"], day, other_lot(program, day), 0, points)


def _day(report: Report, program_at: ProgramAt) -> date:
    return local_day(report.at, program_at(report.at)["timezone"])


def _least(reports: Iterable[Report], *names: str) -> dict[Any, Report]:
    """O2: of each fact, by the fields that name it, the report that holds."""
    found: dict[Any, Report] = {}
    for report in sorted(reports, key=Report.rank):
        key = tuple(report.data[name] for name in names)
        found.setdefault(key if len(names) > 1 else key[0], report)
    return found
