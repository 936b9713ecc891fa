"""What became of an input: entries, facts for the outside, and the reason, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import msgspec

from services.kit.calendar import NOT_YET, Day, Micros
from services.ledger.domain.state.alarms import Alarm
from services.ledger.domain.state.entries import Entry
from services.ledger.domain.state.holds import Hold
from services.ledger.domain.state.messages import AccountMessage
from services.ledger.domain.state.orders import AmountByGoods
from services.ledger.domain.state.redemptions import Redemption
from services.ledger.domain.state.rewards import CodePool, Issue
from services.ledger.domain.state.transfers import Transfer

SOURCE: Final = "/loyalty/ledger"
"""The `source` of the events that the ledger publishes."""

OutcomeKind = Literal["booked", "known", "parked", "refused", "forwarded", "failed", "out_of_range"]
"""booked · known (this fact is booked already) · parked (waits for another fact) · refused (a command, with its
reason) · forwarded (to another shard) · failed · out_of_range (a total would pass its bound, O12). The last two leave
no row. Only parked and failed inputs may be driven again."""

TimelineCause = Literal["completed", "due", "refund", "cancelled"]


class AwardReason(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a rule came to its points: version, tier then, the amount (minor units) or units it looked at (N4).

    `ref` says what it is about where the input does not: an order that was trued up, a step of a streak.
    `basis` is the amount whose rate held, where it is another than `amount` (R3). `multipliers` are the rules that
    multiplied it besides the tier (N2); `by_goods` are the parts of the basis where some of them are for some goods
    alone. `granted` is what a campaign's budget has given of `points`; None where there is no budget (N6).
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
    by_goods: tuple[AmountByGoods, ...] = ()
    granted: int | None = None


@dataclass(frozen=True, slots=True)
class TimelineChange:
    """An instant at which the qualifying amount (minor units) or the number of successful orders changes."""

    at: Micros
    amount: int
    orders: int
    cause: TimelineCause


@dataclass(frozen=True, slots=True)
class OrderQualified:
    """An order's whole dated timeline; it replaces what was published of that order before."""

    order: str
    paid_at: Micros
    timeline: list[TimelineChange]
    decimals: int


@dataclass(frozen=True, slots=True)
class Expiring:
    """Points that can be spent until the end of a local day: for `days_left` days, that day included."""

    points: int
    day: Day
    days_left: int
    program: int


class Referral(NamedTuple):
    """What a member's referrer has to know: since when, and under which program version, the member has a successful
    order; `NOT_YET` and `NO_PROGRAM` when it has none any more. `told_at` is when the referral was told."""

    referrer: str
    at: Micros
    program: int
    told_at: Micros = NOT_YET


class BudgetRequest(NamedTuple):
    """Points that an order asks of a campaign's budget, all in all, under a program version (N6)."""

    points: int
    program: int


class Message(NamedTuple):
    """An input for another account."""

    to: str
    """The member id of that account."""
    input_: AccountMessage


@dataclass(slots=True)
class Outcome:
    """What becomes one journal row: what kind, why, the entries booked, and what others have to know.

    `kind`, `detail`, `reasons` and `alarms` are hashed with the row (`chain`): the texts of `detail` do not change.
    """

    kind: OutcomeKind
    detail: str = ""
    entries: list[Entry] = field(default_factory=list)
    reasons: list[AwardReason] = field(default_factory=list)
    qualified: list[OrderQualified] = field(default_factory=list)
    """The orders whose timeline changed."""
    alarms: list[str] = field(default_factory=list)
    """The kinds of what was raised."""
    alarmed: dict[str, list[Alarm]] = field(default_factory=dict)
    """By order, what was raised on it."""
    referrals: list[Referral] = field(default_factory=list)
    """For other accounts, at most one each."""
    messages: list[Message] = field(default_factory=list)
    issued: list[Issue] = field(default_factory=list)
    reply: Hold | Redemption | Transfer | CodePool | None = None
    """What a command made or changed, as it is then."""
    figures: dict[str, int] = field(default_factory=dict)
    """The figures that the words of a refusal name."""
    expiring: Expiring | None = None
