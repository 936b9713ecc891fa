"""The program document: everything a marketer decides, one version of it.

More may be said here than is built: `built.py` says which parts are, the rest is refused by name.
A new field must be optional without a default, so that the content hash of documents of the past stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from schemas.program.earning import EarningRule, Exclude
from schemas.program.fields import (
    Currency,
    Days,
    LocalText,
    Moment,
    Money,
    Months,
    Name,
    Number,
    Part,
    Points,
    PositivePoints,
    Share,
    Span,
    Version,
    Zone,
)
from schemas.program.transfers import Transfers


class Condition(Part):
    """What a tier or membership asks: one of these, or several joined by `any` or `all`."""

    growth: Money | None = None
    """Growth value (成长值) of at least this."""
    orders: Number | None = None
    """At least so many successful orders."""
    points: PositivePoints | None = None
    """At least so many points earned; never the spendable balance (T3)."""
    any: tuple[Condition, ...] | None = None
    all: tuple[Condition, ...] | None = None


class Membership(Part):
    """Who is a member (T10)."""

    kind: Literal["open", "restricted"] = "open"
    condition: Condition | None = None
    """What a restricted membership asks."""
    earn_from: Literal["first_event", "enrolment"] = "first_event"


class Expiry(Part):
    """When points end (E1 to E7)."""

    kind: Literal["none", "rolling", "fixed_dates", "sliding"]
    months: Months | None = None
    """`rolling`, `sliding`: how long they last."""
    min_life_days: Days | None = None
    """An order's points live at least this long after they can first be spent (E7)."""
    dates: tuple[Annotated[str, Field(pattern=r"^[0-9]{2}-[0-9]{2}$")], ...] | None = None
    """`fixed_dates`: the days of the year on which points end, `12-31`; each award ends on the first that is not before
    it. 29 February is the 28th in common years (E4)."""


class Pending(Part):
    """When an order's points become spendable (O8)."""

    until: Literal["order_completed"] = "order_completed"
    auto_after_days: Annotated[int, Field(strict=True, ge=1, le=365)]
    """Days after shipping (else payment) after which an order counts as completed."""


class Grace(Part):
    """Returned points whose lot has expired live a little longer."""

    grace_days: Days


class Refund(Part):
    """What a refund does to points (R1 to R11, P3, P4)."""

    mode: Literal["recompute", "proportional"] = "recompute"
    """`recompute`: an order keeps what the rest would have earned; `proportional`: its band stays that of all that
    was bought, and it keeps the part that the rest is of it (R3)."""
    returned_expired: Grace | Literal["expire_at_once"] = "expire_at_once"
    park_days: Days = 30
    """How long a refund waits for its order before it is reported."""


class PointsRules(Part):
    """How points round, wait, end and go negative."""

    rounding: Literal["floor", "half_up", "ceil"] = "floor"
    """Once an order."""
    expiry: Expiry
    pending: Pending
    negative: Literal["debt", "clamp", "review"] = "debt"
    """What becomes of a clawback beyond what the member has: it is owed and the next points pay it, `debt`; it is
    written off, `clamp`; or it waits for somebody to decide, `review` (R6)."""
    refund: Refund = Refund()
    max_lateness_days: Days | Literal["none"] = 30
    """How late a fact may come and still count from its own time (O9); `none` without limit."""


class CashOffset(Part):
    """Points that pay a part of an order (抵现)."""

    points_per_unit: PositivePoints
    """Points for one unit of the currency."""
    minimum: Points = 0
    step: PositivePoints = 1
    max_share: Share = "1"
    """Largest part of an order that points may pay."""
    exclude: Exclude = Exclude()


class Prize(Part):
    """What a lottery draw may give."""

    prize: Name
    chance: Share
    reward: Name | None = None
    points: PositivePoints | None = None


class Reward(Part):
    """Something points buy."""

    reward: Name
    kind: Literal["gift", "coupon", "points_cash", "free_shipping", "lottery", "tier", "privilege"]
    title: LocalText | None = None
    points: PositivePoints
    price: Money | None = None
    """`points_cash`: what is paid beside the points."""
    stock: Number | None = None
    codes: Name | None = None
    """`coupon`: the pool its codes come from."""
    tier: Name | None = None
    days: Number | None = None
    privilege: Name | None = None
    prizes: tuple[Prize, ...] | None = None


class Redeem(Part):
    """What points are good for."""

    cash_offset: CashOffset | None = None
    rewards: tuple[Reward, ...] = ()


class Adjustments(Part):
    """Corrections by people."""

    approval_above: Points
    """Beyond so many points a second person approves."""


class Growth(Part):
    """What the growth value is made of."""

    counts: Literal["qualifying_amount", "points_earned"] = "qualifying_amount"
    after_days: Days = 0
    """Days after completion from which an order counts (R8)."""


class Tier(Part):
    """A step of the ladder."""

    tier: Name
    name: LocalText
    when: Condition
    target_share: Share | None = None
    """The part of members the shop wants there."""


class Validity(Part):
    """How long a tier lasts."""

    months: Months


class Tiers(Part):
    """The ladder, and how members move on it (T1 to T10)."""

    mode: Literal["upgrade_only", "upgrade_downgrade"]
    purpose: Name | None = None
    """Why the shop has tiers; evaluations are read against it."""
    growth: Growth = Growth()
    validity: Validity | None = None
    grace_days: Days | None = None
    drop: Literal["one", "to_matching"] | None = None
    tier_on_refund: Literal["at_validity_end", "immediate"] | None = None
    renew_on_requalify: bool | None = None
    ladder: Annotated[tuple[Tier, ...], Field(min_length=1)]
    """Ascending."""


class Benefit(Part):
    """What a tier's members may use."""

    benefit: Name
    title: LocalText | None = None
    tiers: Annotated[tuple[Name, ...], Field(min_length=1)]
    segment: Name | None = None
    per_month: Number | None = None


class Segment(Part):
    """Members with something in common."""

    segment: Name
    rule: str | dict[str, Any]


class Touchpoint(Part):
    """A moment at which members hear of the program, the ways it goes, and what is said (S7)."""

    touchpoint: Name
    ways: Annotated[
        tuple[Literal["inapp", "sms", "email", "push", "parcel", "member_zone", "service_card", "handbook"], ...],
        Field(min_length=1),
    ]
    message_class: Annotated[Literal["service", "notice", "promo"], Field(alias="class")]
    """Which consent it needs (S2)."""
    says: tuple[Name, ...] = ()
    """What policy the message carries, in this order."""
    not_after: Span | None = None
    """Later than this after its cause, it is not sent (S3)."""
    segment: Name | None = None


class Program(Part):
    """One version of a program."""

    program: Name
    version: Version
    effective_from: Moment
    """Events from this business time on go by this version; the first version covers all earlier times."""
    timezone: Zone
    """Whose midnight ends a day (D1, E1)."""
    currency: Currency
    membership: Membership = Membership()
    points: PointsRules
    earn: Annotated[tuple[EarningRule, ...], Field(min_length=1)]
    redeem: Redeem | None = None
    adjustments: Adjustments | None = None
    transfers: Transfers | None = None
    tiers: Tiers
    benefits: tuple[Benefit, ...] | None = None
    segments: tuple[Segment, ...] | None = None
    touchpoints: tuple[Touchpoint, ...] = ()

    def document(self) -> dict[str, Any]:
        """The document as plain JSON with every default filled in; amounts and rates are decimal text."""
        plain: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return plain

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Program:
        """The program of a document that was published. Raises pydantic.ValidationError."""
        return cls.model_validate(document)


def content_hash(document: Mapping[str, Any]) -> str:
    """`sha256:` and the digest of the document's canonical JSON: sorted keys, no spaces, UTF-8."""
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"
