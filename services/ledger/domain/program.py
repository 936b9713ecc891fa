"""The program as the fold reads it: compiled once from a validated document, exact fractions inside."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any, Literal

from services.kit.calendar import NEVER, Calendar, Day, Micros, add_months, calendar_of, parse_rfc3339
from services.kit.money import exponent, minor_units
from services.ledger.domain.cash_offset import CashOffset, compile_cash_offset
from services.ledger.domain.inputs import Line

Rounding = Literal["floor", "half_up", "ceil"]
_MICROS_PER_DAY = 86_400_000_000
DEFAULT_PARK_DAYS = 30
_ONE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Step:
    """A band: amounts up to `upto` minor units (None: without end; not itself when `exclusive`)."""

    upto: int | None
    exclusive: bool
    rate: Fraction

    def has(self, amount: int) -> bool:
        """Whether an amount in minor units is below the band's upper edge."""
        return self.upto is None or amount < self.upto or (amount == self.upto and not self.exclusive)


@dataclass(frozen=True, slots=True)
class Rate:
    """What an amount in one band earns at one tier: (amount x numerator + offset) / denominator points, exactly.

    The offset is 0 where the band's rate holds for the whole amount, and in marginal bands what the bands below give
    beyond it (or, negative, short of it).
    """

    step: Step
    tier: str
    multiplier: Fraction
    numerator: int
    denominator: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Lines that something does not apply to, by category or stock keeping unit."""

    categories: frozenset[str]
    skus: frozenset[str]

    def has(self, line: Line) -> bool:
        """Whether a line is excluded."""
        return line.category in self.categories or line.sku in self.skus

    def rest(self, lines: Iterable[Line]) -> int:
        """What is owed for the lines that are not excluded, in minor units."""
        categories, skus = self.categories, self.skus
        if skus:
            return sum([line.amount for line in lines if line.category not in categories and line.sku not in skus])
        return sum([line.amount for line in lines if line.category not in categories])


@dataclass(frozen=True, slots=True)
class OrderRule:
    """The rule that turns an order's eligible amount into points (N1, N5)."""

    name: str
    net_of_points: bool
    excludes: Exclusion
    min_spend: int
    steps: tuple[Step, ...]
    multipliers: Mapping[str, Fraction]
    rounding: Rounding
    cap: int | None
    rates: Mapping[str, tuple[Rate, ...]]

    def rate(self, tier: str, amount: int) -> Rate:
        """The rate of an eligible amount in minor units at a tier; a tier without a multiplier earns at 1."""
        rates = self.rates.get(tier) or self.rates[""]
        for rate in rates:
            if rate.step.has(amount):
                return rate
        return rates[-1]

    def earns_alike(self, tier: str, other: str) -> bool:
        """Whether two tiers earn the same on every amount."""
        return self.multipliers.get(tier, _ONE) == self.multipliers.get(other, _ONE)

    def points(self, tier: str, amount: int) -> int:
        """f(x): what an order earns on an eligible amount, rounded once (N1)."""
        if amount <= 0 or amount < self.min_spend:
            return 0
        rate = self.rate(tier, amount)
        exact = amount * rate.numerator + rate.offset
        if self.rounding == "floor":
            return exact // rate.denominator
        if self.rounding == "ceil":
            return -(-exact // rate.denominator)
        return (2 * exact + rate.denominator) // (2 * rate.denominator)

    def exact(self, tier: str, amount: int) -> Fraction:
        """What an eligible amount in minor units earns before rounding, in points."""
        rate = self.rate(tier, amount)
        return Fraction(amount * rate.numerator + rate.offset, rate.denominator)

    def part(self, tier: str, amount: int, part: int) -> int:
        """What the completed part of an eligible amount confirms, at the whole order's band (O8)."""
        if amount <= 0 or amount < self.min_spend:
            return 0
        rate = self.rate(tier, amount)
        return part * (amount * rate.numerator + rate.offset) // (amount * rate.denominator)


@dataclass(frozen=True, slots=True)
class FactRule:
    """A rule that awards points for a fact: so many each, or for each unit, within a cap a local day."""

    name: str
    points: int
    per_unit: Fraction | None = None
    cap: int | None = None

    def award(self, units: str = "1") -> int:
        """The uncapped points of one fact of so many units (a decimal string)."""
        return self.points if self.per_unit is None else int(self.per_unit * Fraction(units))


@dataclass(frozen=True, slots=True)
class SignInRule:
    """Points for a day's sign-in and for the steps of a streak, which repeat each cycle (D2, D5)."""

    daily: FactRule
    steps: Mapping[int, int]

    @property
    def cycle(self) -> int:
        """Days after which the steps start again: the largest step; 0 without steps."""
        return max(self.steps, default=0)


@dataclass(frozen=True, slots=True)
class ProfileRule:
    """Points once all of a profile's fields were first filled together (D6)."""

    award: FactRule
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class Program:
    """One version of the rules. `number` is its place among all versions, by `effective_from`."""

    number: int
    name: str
    version: str
    effective_from: Micros
    calendar: Calendar
    currency: str
    decimals: int
    expiry_months: int | None
    min_life_days: int
    auto_after_days: int
    grace_days: int | None
    park_days: int
    max_lateness: Micros | None
    open_membership: bool
    points_cannot_pay: Exclusion
    points_per_unit: int | None
    cash_offset: CashOffset | None
    order: OrderRule
    first_order: FactRule | None
    sign_in: SignInRule | None
    review: FactRule | None
    profile: ProfileRule | None
    joining: FactRule | None
    activities: Mapping[str, FactRule]

    def lot_day(self, day: Day) -> Day:
        """The last day of points awarded for a local date (E4, E7)."""
        return NEVER if self.expiry_months is None else add_months(day, self.expiry_months)

    def order_lot_day(self, paid_day: Day) -> Day:
        """The last day of an order's points: known at `paid`, never before they could be used a while (E7)."""
        if self.expiry_months is None:
            return NEVER
        return max(self.lot_day(paid_day), paid_day + self.auto_after_days + self.min_life_days)

    def worth(self, points: int) -> int:
        """What points used are worth in minor units, rounded down; 0 where the program has no `cash_offset`."""
        return points * 10**self.decimals // self.points_per_unit if self.points_per_unit else 0

    def due_after(self, instant: Micros) -> Micros:
        """The local midnight at which a line shipped (or paid) at an instant is completed by itself (O8)."""
        return self.calendar.end_of(self.calendar.day_of(instant) + self.auto_after_days)


class Programs:
    """All versions. The business time of a fact chooses its version; the first covers all earlier times."""

    def __init__(self, versions: Iterable[Program]) -> None:
        self.versions = sorted(versions, key=lambda program: (program.effective_from, program.number))
        if not self.versions:
            raise ValueError("a ledger needs a program")
        self._starts = [program.effective_from for program in self.versions]
        self.by_number = {program.number: program for program in self.versions}

    def at(self, instant: Micros) -> Program:
        """The version in force at a business time."""
        if len(self.versions) == 1:
            return self.versions[0]
        return self.versions[max(0, bisect_right(self._starts, instant) - 1)]

    @property
    def newest(self) -> int:
        """The highest number known."""
        return max(self.by_number)


def compile_program(number: int, document: Mapping[str, Any]) -> Program:
    """The program of a validated document (`schemas.program`), as plain JSON values."""
    points = document["points"]
    currency = document["currency"]
    decimals = exponent(currency)
    expiry = points["expiry"]
    returned = (points.get("refund") or {}).get("returned_expired", "expire_at_once")
    cash_offset = (document.get("redeem") or {}).get("cash_offset") or {}
    lateness = points.get("max_lateness_days", "none")
    rules = document["earn"]
    facts: dict[str, Mapping[str, Any]] = {}
    activities: dict[str, FactRule] = {}
    order: Mapping[str, Any] | None = None
    for rule in rules:
        on = rule["on"]
        if on == "order":
            order = rule
        elif isinstance(on, Mapping):
            activities[on["activity"]] = _fact_rule(rule)
        else:
            facts[on] = rule
    if order is None:
        # Orders may earn nothing and still count for tiers.
        order = {"rule": "order", "rate": "0"}
    sign_in, profile = facts.get("signed_in"), facts.get("profile_completed")
    return Program(
        number=number,
        name=document["program"],
        version=document["version"],
        effective_from=parse_rfc3339(document["effective_from"]),
        calendar=calendar_of(document["timezone"]),
        currency=currency,
        decimals=decimals,
        expiry_months=None if expiry["kind"] == "none" else expiry["months"],
        min_life_days=expiry.get("min_life_days") or 0,
        auto_after_days=points["pending"]["auto_after_days"],
        grace_days=returned["grace_days"] if isinstance(returned, Mapping) else None,
        park_days=(points.get("refund") or {}).get("park_days", DEFAULT_PARK_DAYS),
        max_lateness=None if lateness in (None, "none") else int(lateness) * _MICROS_PER_DAY,
        open_membership=document["membership"]["kind"] == "open",
        points_cannot_pay=_exclusion(cash_offset),
        points_per_unit=cash_offset.get("points_per_unit"),
        cash_offset=compile_cash_offset(cash_offset),
        order=_order_rule(order, points.get("rounding") or "floor", decimals, _tier_names(document)),
        first_order=_optional_fact_rule(facts.get("first_order")),
        sign_in=None
        if sign_in is None
        else SignInRule(
            _fact_rule(sign_in), {int(day): int(step) for day, step in (sign_in.get("streak") or {}).items()}
        ),
        review=_optional_fact_rule(facts.get("review")),
        profile=None if profile is None else ProfileRule(_fact_rule(profile), frozenset(profile["fields"])),
        joining=_optional_fact_rule(facts.get("enrolled")),
        activities=activities,
    )


def _exclusion(rule: Mapping[str, Any]) -> Exclusion:
    exclude = rule.get("exclude") or {}
    return Exclusion(frozenset(exclude.get("categories") or ()), frozenset(exclude.get("skus") or ()))


def _tier_names(document: Mapping[str, Any]) -> Sequence[str]:
    return [step["tier"] for step in document.get("tiers", {}).get("ladder", ())]


def _optional_fact_rule(rule: Mapping[str, Any] | None) -> FactRule | None:
    return None if rule is None else _fact_rule(rule)


def _fact_rule(rule: Mapping[str, Any]) -> FactRule:
    per_unit = rule.get("points_per_unit")
    return FactRule(
        name=rule["rule"],
        points=int(rule.get("points") or 0),
        per_unit=None if per_unit is None else Fraction(per_unit),
        cap=_cap(rule),
    )


def _cap(rule: Mapping[str, Any]) -> int | None:
    cap = rule.get("cap")
    return None if cap is None else int(cap["points"])


def _order_rule(rule: Mapping[str, Any], rounding: Rounding, decimals: int, tiers: Sequence[str]) -> OrderRule:
    if rule.get("bands"):
        steps = tuple(
            Step(
                upto=None if step.get("upto") is None else minor_units(step["upto"], decimals),
                exclusive=bool(step.get("exclusive", False)),
                rate=Fraction(step["rate"]),
            )
            for step in rule["bands"]["steps"]
        )
    else:
        steps = (Step(None, False, Fraction(rule["rate"])),)
    multipliers = {tier: Fraction(text) for tier, text in (rule.get("tier_multiplier") or {}).items()}
    marginal = bool(rule.get("bands")) and rule["bands"].get("mode") == "marginal"
    rates = {
        tier: _rates(steps, tier, multipliers.get(tier, Fraction(1)), 10**decimals, marginal)
        for tier in {"", "none", *tiers, *multipliers}
    }
    return OrderRule(
        name=rule["rule"],
        net_of_points=(rule.get("base") or "net_of_points") == "net_of_points",
        excludes=_exclusion(rule),
        min_spend=minor_units(rule.get("min_spend") or "0", decimals),
        steps=steps,
        multipliers=multipliers,
        rounding=rounding,
        cap=_cap(rule),
        rates=rates,
    )


def _rates(steps: Sequence[Step], tier: str, multiplier: Fraction, unit: int, marginal: bool) -> tuple[Rate, ...]:
    rates: list[Rate] = []
    lower, below = 0, Fraction(0)
    for step in steps:
        slope = step.rate * multiplier / unit
        offset = below - slope * lower if marginal else Fraction(0)
        denominator = lcm(slope.denominator, offset.denominator)
        rates.append(Rate(step, tier, multiplier, int(slope * denominator), denominator, int(offset * denominator)))
        if step.upto is not None:
            below += slope * (step.upto - lower)
            lower = step.upto
    return tuple(rates)
