"""What became of an input: entries, facts for the outside, and the reason, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import msgspec

from services.kit.calendar import Day, Micros
from services.ledger.domain.state.entries import Entry
from services.ledger.domain.state.holds import Hold
from services.ledger.domain.state.inputs import Between
from services.ledger.domain.state.redemptions import Redemption
from services.ledger.domain.state.rewards import Issue, Pool
from services.ledger.domain.state.transfers import Transfer

SOURCE: Final = "/loyalty/ledger"
"""Who tells what the ledger has booked."""

OutcomeKind = Literal["booked", "known", "parked", "refused", "forwarded", "failed"]
"""booked · known (a fact told already) · parked (waits for another fact) · refused (a command, with its reason) ·
forwarded (another shard) · failed. Only parked and failed may be driven again."""


class AwardReason(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a rule came to its points: version, tier then, the amount (minor units) or units it looked at (N4).

    `ref` says what it is about where the input does not: an order that was trued up, a step of a streak.
    `basis` is the amount whose rate held, where it is another than `amount` (R3); `multipliers` are the rules that
    multiplied it beside the tier (N2), and `by_goods` the parts of the basis where they are for some goods alone.
    `granted` is what a campaign's budget has given of `points`; None where there is no budget (N6).
    """

    rule: str
    program: int
    tier: str
    amount: int
    points: int
    cap: int | None = None
    ref: str = ""
    basis: int = 0
    multipliers: tuple[str, ...] = ()
    by_goods: tuple[tuple[tuple[str, ...], int], ...] = ()
    granted: int | None = None


@dataclass(frozen=True, slots=True)
class OrderQualified:
    """An order's whole dated timeline; it replaces what was said of that order before."""

    order: str
    paid_at: Micros
    timeline: list[TimelineChange]
    decimals: int


@dataclass(frozen=True, slots=True)
class Expiring:
    """Points that can be spent until the end of a local day, `days_left` days with that one, and not after it."""

    points: int
    day: Day
    days_left: int
    program: int


class Referral(NamedTuple):
    """What the referrer of a member is to be told: since when, and under which program version, the member has a
    successful order; 0, 0 when it has none any more."""

    referrer: str
    at: Micros
    program: int


class Asked(NamedTuple):
    """Points that an order is to have, all in all, of a campaign's budget, under a program version (N6)."""

    points: int
    program: int


class Message(NamedTuple):
    """What another account has to be told: an input of its own."""

    to: str
    """The member id of that account."""
    input_: Between


@dataclass(slots=True)
class Outcome:
    """One journal row to be: what kind, why, the entries booked, the orders whose timeline is told anew."""

    kind: OutcomeKind
    detail: str = ""
    entries: list[Entry] = field(default_factory=list)
    reasons: list[AwardReason] = field(default_factory=list)
    qualified: list[OrderQualified] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    referrals: list[Referral] = field(default_factory=list)
    """For other accounts, at most one each."""
    messages: list[Message] = field(default_factory=list)
    issued: list[Issue] = field(default_factory=list)
    reply: Hold | Redemption | Transfer | Pool | None = None
    """What a command made or changed, as it is then."""
    figures: dict[str, int] = field(default_factory=dict)
    """What a refusal names, for its words alone."""
    expiring: Expiring | None = None


TimelineCause = Literal["completed", "due", "refund", "cancelled"]


@dataclass(frozen=True, slots=True)
class TimelineChange:
    """An instant at which the qualifying amount (minor units) or the number of successful orders changes."""

    at: Micros
    amount: int
    orders: int
    cause: TimelineCause
