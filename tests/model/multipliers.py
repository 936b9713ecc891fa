"""What multiplies an order's points: the tier, campaigns and birthdays, and how they stack (N2, B1, B2)."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from math import prod
from typing import Any

from tests.model.days import instant, local_day, midnight_after
from tests.model.order_facts import Report
from tests.model.orders import Line, Order, excluded

Rule = dict[str, Any]
MIN_NOTICE = timedelta(days=30)
"""B2: a birthday entered less than this before it comes does not count that year."""


def is_multiplier(rule: Rule) -> bool:
    """Whether a rule on orders multiplies what another rule gives."""
    return "campaign" in rule or "when" in rule


def budgeted(program: dict[str, Any]) -> list[str]:
    """The campaigns that give points from a budget of their own (N6), in the order written."""
    return [rule["rule"] for rule in program["earn"] if (rule.get("campaign") or {}).get("budget") is not None]


def multiplier(
    order: Order, line: Line, rule: Rule, tier: str, profile: Sequence[Report], without: Collection[str] = ()
) -> Fraction:
    """N2: all that multiplies what a line earns by an order rule, but for the rules named in `without`."""
    factors = [Fraction(rule.get("tier_multiplier", {}).get(tier, "1"))]
    for other in order.program["earn"]:
        if other["on"] != "order" or other["rule"] in without:
            continue
        if "campaign" in other and runs(other["campaign"], order, line):
            factors.append(Fraction(other["campaign"]["multiplier"]))
        elif "when" in other and is_birthday(other, order, profile):
            factors.append(Fraction(other["multiplier"]))
    return stacked(rule.get("stacking", "multiply"), factors)


def stacked(how: str, factors: Sequence[Fraction]) -> Fraction:
    """N2: multiply them, add what each gives beyond 1, or take the largest."""
    match how:
        case "add":
            return max(Fraction(0), 1 + sum((factor - 1 for factor in factors), Fraction(0)))
        case "max":
            return max(factors)
        case _:
            return prod(factors, start=Fraction(1))


def runs(campaign: dict[str, Any], order: Order, line: Line) -> bool:
    """Whether a campaign covers a line: the order's paid time, its channel, the goods."""
    channels, include = campaign.get("channels"), campaign.get("include") or {}
    return (
        instant(campaign["from"]) <= order.paid_at < instant(campaign["to"])
        and (not channels or order.holding.data.get("channel") in channels)
        and (not any(include.values()) or excluded(line.sku, line.category, include))
    )


def is_birthday(rule: Rule, order: Order, profile: Iterable[Report]) -> bool:
    """B2: whether an order was paid in the month, or on the day, of that year's one birthday.

    That is the first which was entered in time and still stood when its day, or its month, began.
    """
    zone = order.program["timezone"]
    reports = [report for report in sorted(profile, key=Report.rank) if "birthday" in report.data]
    for index, report in enumerate(reports):
        birthday = report.data["birthday"]
        if birthday is None:
            continue
        day = in_year(date.fromisoformat(birthday), order.date.year, rule.get("feb29", "feb28"))
        days = [day] if rule["when"] == "birthday" else days_of_month(day)
        begins = midnight_after(days[0] - timedelta(days=1), zone)
        changes = [later.at for later in reports[index + 1 :] if (later.data["birthday"] or "")[5:] != birthday[5:]]
        in_time = local_day(report.at, zone) + MIN_NOTICE <= day
        if in_time and not any(changed < begins for changed in changes):
            return order.date in days and report.at < order.paid_at
    return False


def in_year(birthday: date, year: int, feb29: str) -> date:
    """B1: the day a birthday is kept on in a year."""
    if (birthday.month, birthday.day) == (2, 29) and not isleap(year):
        return date(year, 2, 28) if feb29 == "feb28" else date(year, 3, 1)
    return birthday.replace(year=year)


def days_of_month(day: date) -> list[date]:
    """All days of a day's month."""
    first = day.replace(day=1)
    return [found for n in range(31) if (found := first + timedelta(days=n)).month == day.month]
