"""What a well-formed program must not say: rules that take for more, names that nobody defined.

All arithmetic is exact, in fractions and whole minor units.
"""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import pairwise
from math import gcd
from typing import Final

from schemas.currencies import decimals_of, has_more_decimals
from schemas.program.catalogue import reward_errors
from schemas.program.document import Condition, Program
from schemas.program.earning import (
    Activity,
    ActivityRule,
    Bands,
    BirthdayRule,
    CampaignRule,
    FirstOrderRule,
    OrderRule,
    ReferralRule,
    SignInRule,
)
from schemas.program.first_orders import first_order_errors
from schemas.program.problems import Finding, Path
from schemas.program.transfers import transfer_errors

NO_TIER: Final = "none"
"""The name of having no tier yet; no step of the ladder may be called so."""

LONGEST_BUDGETED: Final = 38
"""The longest name of a campaign with a budget: it is a part of the id of the account that keeps that."""

SAYS: Final = (
    "joining_gift",
    "points_earned",
    "points_pending",
    "points_confirmed",
    "balance",
    "review_reward",
    "debt",
    "tier",
    "multiplier",
    "gap_to_next",
)
"""What a message can say of the program."""


def errors(program: Program) -> Iterator[Finding]:
    """Everything for which the program is refused."""
    yield from _names(program)
    yield from _triggers(program)
    yield from reward_errors(program)
    yield from transfer_errors(program.transfers)
    for index, rule in enumerate(program.earn):
        path: Path = ("earn", index)
        if isinstance(rule, OrderRule):
            yield from _order_rule(rule, path, program)
        elif isinstance(rule, SignInRule):
            yield from _streak(rule.streak, (*path, "streak"))
            if rule.make_up is not None and not rule.make_up.within_days:
                path = (*path, "make_up", "within_days")
                yield Finding(path, "a missed day is at least a day ago, so none could be bought", "use 1 or more")
        elif isinstance(rule, CampaignRule):
            yield from _campaign(rule, path)
        elif isinstance(rule, FirstOrderRule | ReferralRule):
            yield from first_order_errors(rule, path, program.currency)
        elif isinstance(rule, ActivityRule) and (rule.points is None) == (rule.points_per_unit is None):
            yield Finding(path, "an activity earns `points` or `points_per_unit`", "give one of them")
    yield from _points(program)
    yield from _ladder(program)
    yield from _touchpoints(program)


def warnings(program: Program) -> Iterator[Finding]:
    """What is published all the same, but is likely a slip."""
    shares = [Fraction(tier.target_share) for tier in program.tiers.ladder if tier.target_share]
    if shares and sum(shares) != 1:
        percent = float(sum(shares) * 100)
        yield Finding(
            ("tiers", "ladder"),
            f"the target shares add to {percent:g} %, not to 100 %",
            "check `target_share` of each tier",
        )
    for index, rule in enumerate(program.earn):
        if isinstance(rule, OrderRule) and rule.tier_multiplier:
            order = [NO_TIER, *(tier.tier for tier in program.tiers.ladder)]
            factors = [(name, Fraction(rule.tier_multiplier.get(name, "1"))) for name in order]
            for (lower, less), (higher, more) in pairwise(factors):
                if more < less:
                    path = ("earn", index, "tier_multiplier")
                    yield Finding(path, f"{higher} earns less than {lower}", "check the multipliers")
    for index, rule in enumerate(program.earn):
        if isinstance(rule, SignInRule) and rule.make_up is not None and not rule.streak:
            path = ("earn", index, "make_up")
            yield Finding(path, "without a streak a missed day is worth nothing", "add `streak`, or leave it out")
    yield from _idle_multipliers(program)
    yield from _cash_offset(program)


def _idle_multipliers(program: Program) -> Iterator[Finding]:
    """Multipliers that can never be the largest, where the largest alone counts (N2)."""
    for rule in program.earn:
        if not isinstance(rule, OrderRule) or rule.stacking != "max":
            continue
        tiers = [NO_TIER, *(tier.tier for tier in program.tiers.ladder)]
        least = min(Fraction(rule.tier_multiplier.get(tier, "1")) for tier in tiers)
        for index, other in enumerate(program.earn):
            if isinstance(other, CampaignRule | BirthdayRule):
                path: Path = ("earn", index, *(("campaign",) if isinstance(other, CampaignRule) else ()), "multiplier")
                factor = other.campaign.multiplier if isinstance(other, CampaignRule) else other.multiplier
                if Fraction(factor) <= least:
                    message = f"with `stacking: max` {factor} never counts: every tier has {least} or more"
                    yield Finding(path, message, f"use more than {least}")


def _cash_offset(program: Program) -> Iterator[Finding]:
    """Steps that pay no whole number of minor units, and a minimum that no number of steps is."""
    offset = program.redeem.cash_offset if program.redeem else None
    if offset is None:
        return
    path: Path = ("redeem", "cash_offset")
    unit = 10 ** decimals_of(program.currency)
    if offset.step * unit % offset.points_per_unit:
        least = offset.points_per_unit // gcd(offset.points_per_unit, unit)
        message = f"{offset.step} points are worth no whole number of the smallest {program.currency} amount"
        yield Finding((*path, "step"), message, f"use a multiple of {least}")
    if offset.minimum % offset.step:
        usable = -(-offset.minimum // offset.step) * offset.step
        message = f"in steps of {offset.step} the least that can be used is {usable}"
        yield Finding((*path, "minimum"), message, f"use {usable}")


def _names(program: Program) -> Iterator[Finding]:
    lists: tuple[tuple[str, Path, list[str]], ...] = (
        ("rule", ("earn",), [rule.rule for rule in program.earn]),
        ("tier", ("tiers", "ladder"), [tier.tier for tier in program.tiers.ladder]),
        ("touchpoint", ("touchpoints",), [touchpoint.touchpoint for touchpoint in program.touchpoints]),
        ("benefit", ("benefits",), [benefit.benefit for benefit in program.benefits or ()]),
        ("segment", ("segments",), [segment.segment for segment in program.segments or ()]),
    )
    for kind, path, names in lists:
        counts = Counter(names)
        for index, name in enumerate(names):
            if counts[name] > 1 and names.index(name) != index:
                yield Finding((*path, index, kind), f"the {kind} `{name}` is defined twice", "rename one of them")
    tiers = {tier.tier for tier in program.tiers.ladder}
    for index, tier in enumerate(program.tiers.ladder):
        if tier.tier == NO_TIER:
            path = ("tiers", "ladder", index, "tier")
            yield Finding(path, f"`{NO_TIER}` means to have no tier", "give the tier another name")
    for index, rule in enumerate(program.earn):
        if isinstance(rule, OrderRule):
            for name in rule.tier_multiplier:
                if name not in tiers and name != NO_TIER:
                    yield _undefined("tier", name, ("earn", index, "tier_multiplier", name), tiers | {NO_TIER})
    for index, benefit in enumerate(program.benefits or ()):
        for place, name in enumerate(benefit.tiers):
            if name not in tiers:
                yield _undefined("tier", name, ("benefits", index, "tiers", place), tiers)
    segments = {segment.segment for segment in program.segments or ()}
    users: tuple[tuple[str, list[str | None]], ...] = (
        ("earn", [rule.segment for rule in program.earn]),
        ("benefits", [benefit.segment for benefit in program.benefits or ()]),
        ("touchpoints", [touchpoint.segment for touchpoint in program.touchpoints]),
    )
    for part, used in users:
        for index, segment in enumerate(used):
            if segment is not None and segment not in segments:
                yield _undefined("segment", segment, (part, index, "segment"), segments)


def _undefined(kind: str, name: str, path: Path, known: set[str]) -> Finding:
    ways = ", ".join(sorted(known)) or "none is defined"
    return Finding(path, f"the {kind} `{name}` is not defined", f"defined: {ways}")


def _triggers(program: Program) -> Iterator[Finding]:
    """One rule says what a deed earns; a second one would have to say how they go together."""
    first: dict[str, str] = {}
    for index, rule in enumerate(program.earn):
        if isinstance(rule, CampaignRule | BirthdayRule):
            continue
        deed = f"activity {rule.on.activity}" if isinstance(rule.on, Activity) else rule.on
        if deed in first:
            message = f"`{first[deed]}` says already what `{deed}` earns; several rules are not built yet"
            yield Finding(("earn", index, "on"), message, "keep one of them")
        first.setdefault(deed, rule.rule)
    if "order" not in first:
        yield Finding(("earn",), "no rule says what an order earns", "add a rule with `on: order` and a rate")


def _campaign(rule: CampaignRule, path: Path) -> Iterator[Finding]:
    campaign = rule.campaign
    if campaign.ends <= campaign.starts:
        yield Finding((*path, "campaign", "to"), "the campaign ends before it begins", "give a later time")
    if campaign.budget is None:
        return
    if Fraction(campaign.multiplier) < 1:
        message = f"times {campaign.multiplier} takes points, and a budget is there to give them"
        yield Finding((*path, "campaign", "budget"), message, "leave it out, or use a multiplier above 1")
    if len(rule.rule) > LONGEST_BUDGETED:
        message = f"the name of a campaign with a budget has at most {LONGEST_BUDGETED} characters"
        yield Finding((*path, "rule"), message, "give it a shorter one")


def _order_rule(rule: OrderRule, path: Path, program: Program) -> Iterator[Finding]:
    if has_more_decimals(rule.min_spend, program.currency):
        yield _too_fine((*path, "min_spend"), program)
    if sum(way is not None for way in (rule.rate, rule.bands, rule.each_full)) != 1:
        yield Finding(path, "an order earns by `rate`, by `bands` or by `each_full`", "give one of them")
    if (rule.each_full is None) != (rule.points is None):
        yield Finding(path, "`each_full` says for which amount, `points` how many it earns", "give both, or neither")
    if rule.each_full is not None and not Fraction(rule.each_full):
        yield Finding((*path, "each_full"), "nothing is full of amounts of 0", "use an amount above 0")
    if rule.each_full is not None and has_more_decimals(rule.each_full, program.currency):
        yield _too_fine((*path, "each_full"), program)
    if rule.bands is not None:
        yield from _bands(rule.bands, Fraction(rule.min_spend), (*path, "bands", "steps"), program)


def _bands(bands: Bands, min_spend: Fraction, path: Path, program: Program) -> Iterator[Finding]:
    """Edges ascend, and an order that costs more never earns less, apart from rounding (N5).

    Within a step more money earns more, so only the edges matter: the last minor unit of a step against the
    first of the next. The other multipliers are the same on both sides, and below `min_spend` there is nothing
    that could fall. `marginal` steps only ever add.
    """
    unit = Fraction(1, 10 ** decimals_of(program.currency))
    last_amounts: list[Fraction] = []
    for index, step in enumerate(bands.steps):
        is_last = index == len(bands.steps) - 1
        if step.upto is None:
            if not is_last:
                yield Finding((*path, index), "only the last step has no upper edge", "give it `upto`")
                return
            continue
        if is_last:
            yield Finding((*path, index, "upto"), "above it nothing is said", "add a last step without `upto`")
        if has_more_decimals(step.upto, program.currency):
            yield _too_fine((*path, index, "upto"), program)
        last_amounts.append(Fraction(step.upto) - unit if step.exclusive else Fraction(step.upto))
        if last_amounts[-1] < 0 or (index and last_amounts[-1] <= last_amounts[-2]):
            yield Finding((*path, index, "upto"), "a step's edge is above the one before", "sort the steps")
            return
    if bands.mode == "marginal":
        return
    for index, (step, above) in enumerate(zip(bands.steps, bands.steps[1:], strict=False)):
        edge = last_amounts[index]
        if edge >= min_spend and (edge + unit) * Fraction(above.rate) < edge * Fraction(step.rate):
            yield Finding(
                (*path, index + 1, "rate"),
                f"an order just above {step.upto} {program.currency} earns less than one just below",
                f"use a rate of at least {step.rate}",
            )


def _streak(streak: Mapping[int, int], path: Path) -> Iterator[Finding]:
    """A late day joins two runs; what the joined run earns must not be less (D5)."""
    if not streak:
        return
    cycle = max(streak)
    per_cycle = sum(streak.values())
    within = [sum(points for step, points in streak.items() if step <= day) for day in range(cycle)]

    def total(days: int) -> int:
        cycles, rest = divmod(days, cycle)
        return cycles * per_cycle + within[rest]

    totals = [total(days) for days in range(6 * cycle + 2)]
    for first in range(3 * cycle + 1):
        for second in range(first, 3 * cycle + 1):
            if totals[first] + totals[second] > totals[first + second + 1]:
                yield Finding(
                    path,
                    f"a late day that joins runs of {first} and {second} days would take points: "
                    f"{totals[first]} + {totals[second]} before, {totals[first + second + 1]} after",
                    "give later steps more, or drop early ones",
                )
                return


def _points(program: Program) -> Iterator[Finding]:
    expiry = program.points.expiry
    path: Path = ("points", "expiry")
    if expiry.kind in ("rolling", "sliding") and expiry.months is None:
        yield Finding(path, f"`{expiry.kind}` needs to know how long points last", "add `months`")
    if expiry.kind == "fixed_dates" and not expiry.dates:
        yield Finding(path, "`fixed_dates` needs its dates", "add `dates: [12-31]`")
    if expiry.kind == "none":
        for name in ("months", "min_life_days", "dates"):
            if getattr(expiry, name) is not None:
                yield Finding((*path, name), "points that never expire have no length of life", "leave it out")
    elif expiry.kind == "fixed_dates" and expiry.months is not None:
        yield Finding((*path, "months"), "`fixed_dates` goes by its dates alone", "leave it out")
    elif expiry.kind != "fixed_dates" and expiry.dates is not None:
        yield Finding((*path, "dates"), f"`{expiry.kind}` goes by `months` alone", "leave it out")
    dates = expiry.dates or ()
    for index, text in enumerate(dates):
        month, day = int(text[:2]), int(text[3:])
        # 2024 is a leap year.
        if not 1 <= month <= 12 or not 1 <= day <= monthrange(2024, month)[1]:
            yield Finding((*path, "dates", index), f"no year has a {text}", "write month and day, as in `12-31`")
        elif text in dates[:index]:
            yield Finding((*path, "dates", index), f"{text} is given twice", "keep one of them")


def _ladder(program: Program) -> Iterator[Finding]:
    """Each step asks for more than the one before, in every measure that both use."""
    highest: dict[str, Fraction] = {}
    for index, tier in enumerate(program.tiers.ladder):
        path: Path = ("tiers", "ladder", index, "when")
        broken = list(_condition(tier.when, path, program))
        yield from broken
        if broken:
            continue
        asked = _measures(tier.when)
        falling = [name for name, value in asked.items() if value < highest.get(name, Fraction(0))]
        if falling:
            names = " and ".join(f"`{name}`" for name in falling)
            yield Finding(path, f"asks for less {names} than a lower tier", "sort the ladder, ascending")
        elif index and _implies(program.tiers.ladder[index - 1].when, tier.when):
            lower = program.tiers.ladder[index - 1].tier
            yield Finding(path, f"who reaches `{lower}` is here at once", "ask for more than there")
        highest = {**highest, **{name: max(value, highest.get(name, value)) for name, value in asked.items()}}


def _condition(condition: Condition, path: Path, program: Program) -> Iterator[Finding]:
    said = [name for name in Condition.model_fields if getattr(condition, name) is not None]
    if len(said) != 1:
        yield Finding(path, "a condition says one thing", "use `any` or `all` to join several")
        return
    if condition.growth is not None and has_more_decimals(condition.growth, program.currency):
        yield _too_fine((*path, "growth"), program)
    for name in ("any", "all"):
        parts = getattr(condition, name)
        if parts == ():
            yield Finding((*path, name), "joins no conditions", "name at least one")
        for index, part in enumerate(parts or ()):
            yield from _condition(part, (*path, name, index), program)


def _measures(condition: Condition) -> dict[str, Fraction]:
    """The least value of each measure that a condition names."""
    least: dict[str, Fraction] = {}
    for alternative in _alternatives(condition):
        for name, value in alternative.items():
            least[name] = min(value, least.get(name, value))
    return least


def _alternatives(condition: Condition) -> list[dict[str, Fraction]]:
    """The condition as a list of which one must hold; each asks for a value of some measures."""
    if condition.any is not None:
        return [alternative for part in condition.any for alternative in _alternatives(part)]
    if condition.all is not None:
        joined: list[dict[str, Fraction]] = [{}]
        for part in condition.all:
            joined = [
                {name: max(left.get(name, Fraction(0)), right.get(name, Fraction(0))) for name in left | right}
                for left in joined
                for right in _alternatives(part)
            ]
        return joined
    return [
        {name: Fraction(value)}
        for name in ("growth", "orders", "points")
        if (value := getattr(condition, name)) is not None
    ]


def _implies(lower: Condition, higher: Condition) -> bool:
    """Whether whoever meets the lower condition meets the higher one too."""
    return all(
        any(
            all(has.get(name, Fraction(0)) >= value for name, value in asked.items()) for asked in _alternatives(higher)
        )
        for has in _alternatives(lower)
    )


def _touchpoints(program: Program) -> Iterator[Finding]:
    for index, touchpoint in enumerate(program.touchpoints):
        for place, name in enumerate(touchpoint.says):
            if name not in SAYS:
                path = ("touchpoints", index, "says", place)
                yield Finding(path, f"nothing is known to say for `{name}`", f"one of {', '.join(SAYS)}")


def _too_fine(path: Path, program: Program) -> Finding:
    decimals = decimals_of(program.currency)
    return Finding(path, f"{program.currency} has {decimals} decimals", "round the amount")
