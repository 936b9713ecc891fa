"""What became of an input: entries, facts for the outside, and the reason, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from services.kit.calendar import Day, Micros
from services.ledger.domain.entries import Entry
from services.ledger.domain.holds import Hold, Redemption
from services.ledger.domain.judgement import Turn

OutcomeKind = Literal["booked", "known", "parked", "refused", "forwarded", "failed"]
"""booked · known (a fact told already) · parked (waits for another fact) · refused (a command, with its reason) ·
forwarded (another shard) · failed. Only parked and failed may be driven again."""


class Reason(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a rule came to its points: version, tier then, the amount (minor units) or units it looked at (N4).

    `ref` says what it is about where the input does not: an order that was trued up, a step of a streak.
    """

    rule: str
    program: int
    tier: str
    amount: int
    points: int
    cap: int | None = None
    ref: str = ""


@dataclass(frozen=True, slots=True)
class OrderQualified:
    """An order's whole dated timeline; it replaces what was said of that order before."""

    order: str
    paid_at: Micros
    timeline: list[Turn]
    decimals: int


@dataclass(frozen=True, slots=True)
class Expiring:
    """Points that can be spent until the end of a local day, `days_left` days with that one, and not after it."""

    points: int
    day: Day
    days_left: int
    program: int


@dataclass(slots=True)
class Outcome:
    """One journal row to be: what kind, why, the entries booked, the orders whose timeline is told anew."""

    kind: OutcomeKind
    detail: str = ""
    entries: list[Entry] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    qualified: list[OrderQualified] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    reply: Hold | Redemption | None = None
    """What a command made or changed, as it is then."""
    expiring: Expiring | None = None
