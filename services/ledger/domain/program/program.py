"""The program as the fold reads it: compiled once from a validated document, exact fractions inside."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from services.kit.calendar import (
    MICROS_PER_SECOND,
    NEVER,
    Calendar,
    Day,
    Micros,
    YearDay,
    add_months,
    calendar_of,
    next_of,
    parse_rfc3339,
)
from services.kit.money import exponent
from services.ledger.domain.program.cash_offset import CashOffset, compile_cash_offset
from services.ledger.domain.program.catalogue import Reward, compile_rewards
from services.ledger.domain.program.earning import OrderRule, Rounding, compile_order_rule
from services.ledger.domain.program.fact_rules import (
    FactRule,
    ProfileRule,
    ReferralRule,
    SignInRule,
    compile_fact_rules,
)
from services.ledger.domain.program.giving import Giving, compile_giving
from services.ledger.domain.program.goods import Goods, compile_goods
from services.ledger.domain.program.multipliers import is_multiplier
from services.ledger.domain.state.entries import SLIDING

_MICROS_PER_DAY: Final = 86_400 * MICROS_PER_SECOND
DEFAULT_PARK_DAYS: Final = 30
"""Days that a refund waits for its order (O3), unless the program says so."""

Negative = Literal["debt", "clamp", "review"]
"""What becomes of a clawback beyond the member's points: it is owed, written off, or waits for a decision (R6)."""


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
    slides: bool
    expiry_months: int | None
    expiry_dates: tuple[YearDay, ...]
    min_life_days: int
    auto_after_days: int
    grace_days: int | None
    park_days: int
    proportional: bool
    negative: Negative
    max_lateness: int | None
    open_membership: bool
    points_cannot_pay: Goods
    cash_offset: CashOffset | None
    rewards: Mapping[str, Reward]
    giving: Giving
    order: OrderRule
    first_order: FactRule | None
    sign_in: SignInRule | None
    review: FactRule | None
    profile: ProfileRule | None
    joining: FactRule | None
    activities: Mapping[str, FactRule]
    referral: ReferralRule | None

    @property
    def needs(self) -> frozenset[str]:
        """The profile fields whose contents a rule reads."""
        return frozenset(
            name
            for name, is_needed in (("birthday", self.order.keeps_birthday), ("referred_by", self.referral is not None))
            if is_needed
        )

    def lot_day(self, day: Day) -> Day:
        """The day of the lot of points awarded for a local date: their last day, unless they slide (E3, E7)."""
        return SLIDING if self.slides else self.last_day(day)

    def order_lot_day(self, paid_day: Day) -> Day:
        """The day of the lot of an order's points, known at `paid` (E3, E7)."""
        return SLIDING if self.slides else self.order_last_day(paid_day)

    def last_day(self, day: Day) -> Day:
        """The rule of expiry applied to a local date (E4)."""
        if self.expiry_months is not None:
            return add_months(day, self.expiry_months)
        return next_of(self.expiry_dates, day) if self.expiry_dates else NEVER

    def order_last_day(self, paid_day: Day) -> Day:
        """The last day of an order's points: never before they could be used a while (E7)."""
        # What never expires is beyond any least length of life.
        return max(self.last_day(paid_day), Day(paid_day + self.auto_after_days + self.min_life_days))

    def worth(self, points: int) -> int:
        """What points used are worth in minor units, rounded down; 0 where the program has no `cash_offset`."""
        offset = self.cash_offset
        return points * 10**self.decimals // offset.points_per_unit if offset is not None else 0

    def due_after(self, instant: Micros) -> Micros:
        """The local midnight at which a line shipped (or paid) at an instant is completed by itself (O8)."""
        return self.calendar.end_of(Day(self.calendar.day_of(instant) + self.auto_after_days))


class ProgramVersions:
    """All versions. The business time of a fact chooses its version; the first covers all earlier times."""

    def __init__(self, versions: Iterable[Program]) -> None:
        self.versions = sorted(versions, key=lambda program: (program.effective_from, program.number))
        if not self.versions:
            raise ValueError("a ledger needs a program")
        self._starts = [program.effective_from for program in self.versions]
        self.by_number = {program.number: program for program in self.versions}
        self.decimals = self.versions[0].decimals
        """Of an amount of money; the currency of all versions is one."""
        self.slide = any(program.slides for program in self.versions)
        """Whether points of a version slide (E3)."""
        self.offer_streak_repairs = any(program.sign_in and program.sign_in.streak_repair for program in self.versions)
        """Whether a version lets missed days be bought."""
        self.bonus_asks_for_spend = any(
            program.first_order is not None and program.first_order.least_spend > 0 for program in self.versions
        )
        """Whether a version asks for a least spend of the order that brings the first-purchase bonus (F2)."""
        self.limit_giving = any(program.giving.is_limited for program in self.versions)
        """Whether a version limits what members give away on a day or in a month (X1)."""

    def at(self, instant: Micros) -> Program:
        """The version in force at a business time."""
        if len(self.versions) == 1:
            return self.versions[0]
        return self.versions[max(0, bisect_right(self._starts, instant) - 1)]

    @property
    def newest(self) -> int:
        """The highest number known."""
        return max(self.by_number)

    def budget(self, account: str, met_under: int, instant: Micros) -> int:
        """The points of the budget that an account keeps, by the newest version in force at an instant that has it.

        Where no version in force has it, the version under which an order met the campaign counts.
        """
        in_force = [version for version in reversed(self.versions) if version.effective_from <= instant]
        versions = [*in_force, self.by_number[met_under]]
        return next(points for version in versions if (points := version.order.budget(account)) is not None)


def compile_program(number: int, document: Mapping[str, Any]) -> Program:
    """The program of a validated document (`schemas.program`), as plain JSON values."""
    points, currency = document["points"], document["currency"]
    decimals, calendar = exponent(currency), calendar_of(document["timezone"])
    expiry, refund = points["expiry"], points.get("refund") or {}
    cash_offset = (document.get("redeem") or {}).get("cash_offset") or {}
    earn = _sort_rules(document["earn"])
    rounding: Rounding = points.get("rounding") or "floor"
    facts = compile_fact_rules(earn.on_facts, earn.on_activities, decimals)
    return Program(
        number=number,
        name=document["program"],
        version=document["version"],
        effective_from=parse_rfc3339(document["effective_from"]),
        calendar=calendar,
        currency=currency,
        decimals=decimals,
        slides=expiry["kind"] == "sliding",
        expiry_months=expiry["months"] if expiry["kind"] in ("rolling", "sliding") else None,
        expiry_dates=_year_days(expiry["dates"]) if expiry["kind"] == "fixed_dates" else (),
        min_life_days=expiry.get("min_life_days") or 0,
        auto_after_days=points["pending"]["auto_after_days"],
        grace_days=_grace_days(refund),
        park_days=refund.get("park_days", DEFAULT_PARK_DAYS),
        negative=points.get("negative") or "debt",
        proportional=refund.get("mode") == "proportional",
        max_lateness=_max_lateness(points.get("max_lateness_days")),
        open_membership=document["membership"]["kind"] == "open",
        points_cannot_pay=compile_goods(cash_offset.get("exclude")),
        cash_offset=compile_cash_offset(document),
        rewards=compile_rewards(document),
        giving=compile_giving(document),
        order=compile_order_rule(earn.on_orders, earn.multipliers, rounding, decimals, calendar),
        first_order=facts.first_order,
        sign_in=facts.sign_in,
        review=facts.review,
        profile=facts.profile,
        joining=facts.joining,
        activities=facts.activities,
        referral=facts.referral,
    )


class _Earn(NamedTuple):
    """The earning rules of a document by what they are on."""

    on_orders: Mapping[str, Any]
    multipliers: list[Mapping[str, Any]]
    on_facts: dict[str, Mapping[str, Any]]
    on_activities: dict[str, Mapping[str, Any]]


def _sort_rules(rules: Iterable[Mapping[str, Any]]) -> _Earn:
    # Without a rule on orders these earn nothing, and still count for tiers.
    earn = _Earn({"rule": "order", "rate": "0"}, [], {}, {})
    for rule in rules:
        on = rule["on"]
        if on == "order" and is_multiplier(rule):
            earn.multipliers.append(rule)
        elif on == "order":
            earn = earn._replace(on_orders=rule)
        elif isinstance(on, Mapping):
            earn.on_activities[on["activity"]] = rule
        else:
            earn.on_facts[on] = rule
    return earn


def _grace_days(refund: Mapping[str, Any]) -> int | None:
    """Days that returned points live whose lot has expired (P4); None: they expire at once."""
    returned = refund.get("returned_expired", "expire_at_once")
    return returned["grace_days"] if isinstance(returned, Mapping) else None


def _max_lateness(days: int | str | None) -> int | None:
    """In microseconds."""
    return None if days in (None, "none") else int(days) * _MICROS_PER_DAY


def _year_days(dates: Iterable[str]) -> tuple[YearDay, ...]:
    return tuple(sorted((int(text[:2]), int(text[3:])) for text in dates))
