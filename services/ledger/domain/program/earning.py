"""What an order earns: bands, the multipliers it meets, and one rounding (N1, N2, N5, N9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm, prod
from typing import Any, Literal

from services.kit.calendar import Calendar, Micros
from services.kit.money import minor_units
from services.ledger.domain.program.goods import Goods, compile_goods
from services.ledger.domain.program.multipliers import Birthday, Birthdays, Campaign, Multiplier, compile_multiplier
from services.ledger.domain.state.inputs import Line
from services.ledger.domain.state.orders import AmountByGoods

Rounding = Literal["floor", "half_up", "ceil"]
Stacking = Literal["multiply", "add", "max"]
ByGoods = Sequence[AmountByGoods]
"""An eligible amount in minor units, by the campaigns for some goods alone whose goods its parts are.

Empty where the program has no such campaign."""

_ONE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Band:
    """Amounts up to `upto` minor units (None: without end); with `exclusive` that amount itself is not in the band."""

    upto: int | None
    exclusive: bool
    rate: Fraction

    def has(self, amount: int) -> bool:
        """Whether an amount in minor units is below the band's upper edge."""
        return self.upto is None or amount < self.upto or (amount == self.upto and not self.exclusive)


@dataclass(frozen=True, slots=True)
class BandRate:
    """What an amount in one band earns: (amount x numerator + offset) / denominator points, exactly.

    The offset is 0 where the band's rate holds for the whole amount. In marginal bands it is what the bands below give
    more (or, negative, less) than this rate would.
    """

    band: Band
    numerator: int
    denominator: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class EarnRate:
    """f: what orders earn that met the same multipliers, their tier's included."""

    multiplier: Fraction
    rates: tuple[BandRate, ...]
    min_spend: int
    rounding: Rounding
    each_full: int = 1
    """Minor units: the basis counts as far as it is full of them (N9)."""

    def rate(self, amount: int) -> BandRate:
        """The rate of an eligible amount in minor units."""
        for rate in self.rates:
            if rate.band.has(amount):
                return rate
        return self.rates[-1]

    def points(self, amount: int, basis: int) -> int:
        """f(x): what an order earns on an eligible amount at the rate of its basis, rounded once (N1, R3)."""
        exact, one = self._exact(amount, basis)
        if self.rounding == "floor":
            return exact // one
        if self.rounding == "ceil":
            return -(-exact // one)
        return (2 * exact + one) // (2 * one)

    def part(self, part: int, basis: int) -> int:
        """What the completed part of an eligible amount confirms, at the whole order's band (O8)."""
        exact, one = self._exact(part, basis)
        return exact // one

    def exact(self, amount: int, basis: int) -> Fraction:
        """What an eligible amount earns before rounding."""
        return Fraction(*self._exact(amount, basis))

    def _exact(self, amount: int, basis: int) -> tuple[int, int]:
        """Points as a fraction, not reduced: a part of the basis earns its part of what all of it would earn."""
        if amount <= 0 or basis < self.min_spend:
            return 0, 1
        rate = self.rate(basis)
        exact = (basis - basis % self.each_full) * rate.numerator + rate.offset
        if amount == basis:
            return exact, rate.denominator
        return amount * exact, basis * rate.denominator


@dataclass(frozen=True, slots=True)
class OrderRule:
    """The rule that turns an order's eligible amount into points (N1, N5), with what multiplies it (N2).

    What an explanation needs (N4) can be asked of it again: the band's rate, the factors, the exact figure.
    """

    name: str
    net_of_points: bool
    excludes: Goods
    min_spend: int
    bands: tuple[Band, ...]
    marginal: bool
    unit: int
    tiers: Mapping[str, Fraction]
    multipliers: tuple[Multiplier, ...]
    stacking: Stacking
    rounding: Rounding
    cap: int | None
    each_full: int
    """Minor units of which only full ones earn (N9); 1 where every one does."""
    limited: Mapping[str, Goods]
    """The goods of the campaigns that are for some goods alone."""
    budgeted: Mapping[str, Campaign]
    """The campaigns that give from a budget, by name, in the order written (N6)."""
    _earn_rates: dict[tuple[str, tuple[str, ...]] | str, EarnRate] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def keeps_birthday(self) -> bool:
        """Whether a rule needs to know the member's birthday."""
        return any(isinstance(each, Birthday) for each in self.multipliers)

    def met(self, paid_at: Micros, channel: str, birthdays: Birthdays) -> tuple[str, ...]:
        """The names of the multipliers that an order meets besides its tier's, as written, whatever its goods."""
        return tuple([each.name for each in self.multipliers if each.holds(paid_at, channel, birthdays)])

    def campaigns_of(self, line: Line) -> tuple[str, ...]:
        """The campaigns for some goods alone to whose goods a line belongs."""
        return tuple([name for name, goods in self.limited.items() if goods.has(line)])

    def earn_rate(self, tier: str, met: tuple[str, ...] = (), by_goods: ByGoods = ()) -> EarnRate:
        """What an order earns at a tier (1 for a tier that is not named) with the other multipliers it met.

        Where the multipliers differ between its goods, their mean counts, weighted by the amounts (`by_goods`).
        """
        if by_goods and not self.limited.keys().isdisjoint(met):
            return self._make_earn_rate(self._mean_factor(tier, met, by_goods))
        key = (tier, met) if met else tier
        earn_rate = self._earn_rates.get(key)
        if earn_rate is None:
            if tier not in self.tiers and tier:
                return self.earn_rate("", met)
            earn_rate = self._earn_rates[key] = self._make_earn_rate(self._factor(tier, met))
        return earn_rate

    def budget(self, account: str) -> int | None:
        """The points of the budget that an account keeps; None if no campaign of this rule has that account."""
        return next((each.budget for each in self.budgeted.values() if each.account == account), None)

    def tier_factor(self, tier: str) -> Fraction:
        """The multiplier of a tier; 1 for one that is not named."""
        return self.tiers.get(tier, _ONE)

    def factors(self, met: tuple[str, ...]) -> dict[str, Fraction]:
        """The multipliers of these names."""
        return {each.name: each.factor for each in self.multipliers if each.name in met}

    def earns_alike(self, tier: str, other: str) -> bool:
        """Whether two tiers earn the same on every amount."""
        return self.tier_factor(tier) == self.tier_factor(other)

    def _factor(self, tier: str, met: tuple[str, ...]) -> Fraction:
        return stacked(self.stacking, [self.tier_factor(tier), *self.factors(met).values()])

    def _mean_factor(self, tier: str, met: tuple[str, ...], by_goods: ByGoods) -> Fraction:
        whole = sum(amount for _, amount in by_goods)
        if not whole:
            return self._factor(tier, self._met_by((), met))
        each = [amount * self._factor(tier, self._met_by(campaigns, met)) for campaigns, amount in by_goods]
        return sum(each, Fraction(0)) / whole

    def _met_by(self, campaigns: tuple[str, ...], met: tuple[str, ...]) -> tuple[str, ...]:
        """The multipliers that goods of these campaigns meet, of those that their order met."""
        return tuple([name for name in met if name not in self.limited or name in campaigns])

    def _make_earn_rate(self, multiplier: Fraction) -> EarnRate:
        rates = _rates(self.bands, multiplier, self.unit, self.marginal)
        return EarnRate(multiplier, rates, self.min_spend, self.rounding, self.each_full)


def sum_by_goods(parts: Iterable[AmountByGoods]) -> list[AmountByGoods]:
    """Add up parts of an amount that are goods of the same campaigns."""
    sums: dict[tuple[str, ...], int] = {}
    for campaigns, amount in parts:
        sums[campaigns] = sums.get(campaigns, 0) + amount
    return list(sums.items())


def stacked(stacking: Stacking, factors: Sequence[Fraction]) -> Fraction:
    """Several multipliers as one (N2): their product; 1 plus what each adds, never below 0; or the largest."""
    if stacking == "multiply":
        return prod(factors, start=_ONE)
    if stacking == "add":
        return max(Fraction(0), sum((factor - 1 for factor in factors), start=_ONE))
    return max(factors)


def compile_order_rule(
    rule: Mapping[str, Any],
    multipliers: Sequence[Mapping[str, Any]],
    rounding: Rounding,
    decimals: int,
    calendar: Calendar,
) -> OrderRule:
    """The order rule of a validated document, with the rules that multiply it."""
    cap = rule.get("cap")
    compiled = tuple(compile_multiplier(each, calendar) for each in multipliers)
    campaigns = [each for each in compiled if isinstance(each, Campaign)]
    return OrderRule(
        name=rule["rule"],
        net_of_points=(rule.get("base") or "net_of_points") == "net_of_points",
        excludes=compile_goods(rule.get("exclude")),
        min_spend=minor_units(rule.get("min_spend") or "0", decimals),
        bands=_compile_bands(rule, decimals),
        marginal=bool(rule.get("bands")) and rule["bands"].get("mode") == "marginal",
        unit=10**decimals,
        tiers={tier: Fraction(text) for tier, text in (rule.get("tier_multiplier") or {}).items()},
        multipliers=compiled,
        stacking=rule.get("stacking") or "multiply",
        rounding=rounding,
        cap=None if cap is None else int(cap["points"]),
        each_full=minor_units(rule["each_full"], decimals) if rule.get("each_full") else 1,
        limited={each.name: each.goods for each in campaigns if each.goods is not None},
        budgeted={each.name: each for each in campaigns if each.budget is not None},
    )


def _compile_bands(rule: Mapping[str, Any], decimals: int) -> tuple[Band, ...]:
    """The bands of a rule; one without end where it has a single rate, or points for each full amount (N9)."""
    if rule.get("each_full"):
        return (Band(None, False, Fraction(rule["points"]) / Fraction(rule["each_full"])),)
    if not rule.get("bands"):
        return (Band(None, False, Fraction(rule["rate"])),)
    return tuple(
        Band(
            upto=None if step.get("upto") is None else minor_units(step["upto"], decimals),
            exclusive=bool(step.get("exclusive", False)),
            rate=Fraction(step["rate"]),
        )
        for step in rule["bands"]["steps"]
    )


def _rates(bands: Sequence[Band], multiplier: Fraction, unit: int, marginal: bool) -> tuple[BandRate, ...]:
    rates: list[BandRate] = []
    lower, below = 0, Fraction(0)
    for band in bands:
        slope = band.rate * multiplier / unit
        offset = below - slope * lower if marginal else Fraction(0)
        denominator = lcm(slope.denominator, offset.denominator)
        rates.append(BandRate(band, int(slope * denominator), denominator, int(offset * denominator)))
        if band.upto is not None:
            below += slope * (band.upto - lower)
            lower = band.upto
    return tuple(rates)
