"""The earning rules of a program document: what is rewarded, and with how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from schemas.program.fields import (
    Days,
    Decimal,
    LocalText,
    Moment,
    Money,
    Name,
    Number,
    Part,
    Points,
    PositivePoints,
)


class Exclude(Part):
    """Goods that do not count, by category or stock keeping unit."""

    categories: tuple[str, ...] = ()
    skus: tuple[str, ...] = ()


class Cap(Part):
    """A rule gives at most so many points in a period; the rest is lost, and freed by what is undone (N3)."""

    per: Literal["day"]
    points: Points


class Rule(Part):
    """What every rule has."""

    rule: Name
    """The name it goes by in every entry, event and explanation."""
    title: LocalText | None = None
    """What members are told it is called."""
    segment: Name | None = None
    """Only for these members."""


class CappedRule(Rule):
    """A rule that can be met many times a day."""

    cap: Cap | None = None


class BandStep(Part):
    """Orders up to an amount earn at a rate."""

    upto: Money | None = None
    """The step's upper edge; the last step has none."""
    exclusive: bool = False
    """True: an order of exactly `upto` belongs to the next step."""
    rate: Decimal
    """Points for one unit of the currency."""


class Bands(Part):
    """The rate goes by the size of the order (多级换算)."""

    mode: Literal["whole", "marginal"]
    """`whole`: the order's step holds for all of it (N1); `marginal`: each part earns at its own step."""
    steps: Annotated[tuple[BandStep, ...], Field(min_length=1)]


class OrderRule(CappedRule):
    """Points for what an order's eligible lines cost (N1, N5, N9, P1): `rate`, `bands`, or `each_full` and `points`."""

    on: Literal["order"]
    base: Literal["net_of_points", "gross"] = "net_of_points"
    """Whether the part that points paid for earns too."""
    exclude: Exclude = Exclude()
    min_spend: Money = "0"
    """Eligible amount below which an order earns nothing."""
    rate: Decimal | None = None
    """Points for one unit of the currency (固定换算)."""
    bands: Bands | None = None
    each_full: Money | None = None
    """`points` for each full such amount; what is beyond the last full one earns nothing (N9)."""
    points: PositivePoints | None = None
    """For each full `each_full`, before multipliers."""
    tier_multiplier: Mapping[Name, Decimal] = Field(default={})
    """By tier, `none` for members without one; 1 for a tier that is not named."""
    stacking: Literal["multiply", "add", "max"] = "multiply"
    """How the multipliers of the tier and of other rules on orders go together (N2): `multiply` all, `add` to 1 what
    each gives beyond 1 (1.5 and 2 are 2.5), or take the largest, `max`."""


class FirstOrderRule(Rule):
    """A bonus that stands while the member has a successful order (R9)."""

    on: Literal["first_order"]
    points: PositivePoints
    min_spend: Money | None = None
    """What is left of the order's eligible goods, net of points, has to be so much; nothing if not said (F2)."""


class MakeUp(Part):
    """A missed day of the streak may be bought once, for so many points, until so many days after it (D4).

    It has no daily reward.
    """

    cost: PositivePoints
    within_days: Days


class SignInRule(Rule):
    """Points for a day with a sign-in, and more for days in a row (D2 to D5)."""

    on: Literal["signed_in"]
    points: Points
    once_per: Literal["day"] = "day"
    streak: Mapping[Annotated[int, Field(ge=1, le=366)], PositivePoints] = Field(default={})
    """Extra points on the n-th day in a row; steps repeat each cycle, its length is the largest step."""
    make_up: MakeUp | None = None


class ReviewRule(CappedRule):
    """Points for a published review."""

    on: Literal["review"]
    points: PositivePoints
    verified: bool | None = None
    """True: only while the member has received the goods and not sent all of them back (N8)."""


class ProfileRule(Rule):
    """Points once all these fields were filled together (D6)."""

    on: Literal["profile_completed"]
    fields: Annotated[
        tuple[Literal["name", "phone", "email", "birthday", "gender", "address", "country"], ...],
        Field(min_length=1),
    ]
    points: PositivePoints
    once_per: Literal["member"] = "member"


class Activity(Part):
    """Which activity is meant, by the name its events have."""

    activity: Name


class ActivityRule(CappedRule):
    """Points for an activity: `points` each time, or `points_per_unit` of what it measures."""

    on: Activity
    points: PositivePoints | None = None
    points_per_unit: Decimal | None = None
    once_per: Literal["item"] | None = None
    """`item`: one award for each thing that the activity is about (its `sku`), whatever the ids (N7)."""


class EnrolledRule(Rule):
    """The joining gift (入会专享礼)."""

    on: Literal["enrolled"]
    points: PositivePoints
    once_per: Literal["member"] = "member"


class Campaign(Part):
    """A multiplier of what orders earn which are paid at `from` or later, and before `to` (N2)."""

    starts: Annotated[Moment, Field(alias="from")]
    ends: Annotated[Moment, Field(alias="to")]
    multiplier: Decimal
    segment: Name | None = None
    channels: tuple[str, ...] = ()
    """Only orders of these channels, as `paid` tells them; of all if empty."""
    include: Exclude = Exclude()
    """Only the lines of these goods; all if empty. The band is that of the whole order, which is rounded once (N1)."""
    budget: PositivePoints | None = None
    """Points it gives in all, to all members, under its own name; then it ends (N6). It gives what an order would earn
    less without it, to orders as they come in; what refunds free goes to those that wait. A campaign of the same name
    and beginning is the same one in every version, and a version may change its budget."""


class CampaignRule(Rule):
    """A multiplier on orders for a time."""

    on: Literal["order"]
    campaign: Campaign


class BirthdayRule(Rule):
    """A multiplier on orders paid on the member's birthday, or in its month: once a calendar year (B1, B2).

    A birthday entered less than 30 days before does not count that year.
    """

    on: Literal["order"]
    when: Literal["birthday_month", "birthday"]
    multiplier: Decimal
    feb29: Literal["feb28", "mar1"] = "feb28"
    """When 29 February is kept in common years."""


class ReferralCap(Part):
    """A member gets points for at most so many referrals in a calendar month (F3)."""

    per: Literal["month"]
    referrals: Number


class ReferralRule(Rule):
    """Points for both sides while the referred member has a successful order, and no earlier one (F1 to F4)."""

    on: Literal["referral"]
    referrer: Points
    referred: Points
    min_spend: Money | None = None
    """What is left of that order's eligible goods, net of points, has to be so much; if not said, the currency's
    smallest amount, so an order that cost no money gives nothing (F2)."""
    within_days: Days | None = None
    """How many days after the registration a profile may still say who referred the member; 30 if not said (F1)."""
    cap: ReferralCap | None = None


def _kind(rule: Any) -> str | None:
    """Which rule is meant: by what it is on, and for orders by what it has."""

    def part(name: str) -> Any:
        return rule.get(name) if isinstance(rule, dict) else getattr(rule, name, None)

    on = part("on")
    if isinstance(on, dict | Activity):
        return "activity"
    if on == "order" and part("campaign") is not None:
        return "campaign"
    if on == "order" and part("when") is not None:
        return "birthday"
    return on if isinstance(on, str) else None


EarningRule = Annotated[
    Annotated[OrderRule, Tag("order")]
    | Annotated[CampaignRule, Tag("campaign")]
    | Annotated[BirthdayRule, Tag("birthday")]
    | Annotated[FirstOrderRule, Tag("first_order")]
    | Annotated[SignInRule, Tag("signed_in")]
    | Annotated[ReviewRule, Tag("review")]
    | Annotated[ProfileRule, Tag("profile_completed")]
    | Annotated[ActivityRule, Tag("activity")]
    | Annotated[EnrolledRule, Tag("enrolled")]
    | Annotated[ReferralRule, Tag("referral")],
    Discriminator(
        _kind,
        custom_error_type="unknown_rule",
        custom_error_message="is none of order, first_order, signed_in, review, profile_completed, "
        "{activity: name}, enrolled, referral",
    ),
]
"""One earning rule, whichever."""
