"""Commands: what somebody asks of the ledger. Unlike events they count when they come in.

`now` and `ttl` are microseconds. A `reference` is the caller's own name for what it asks, unique a kind; the
ids that orders name follow from it (`hold_id`, `redemption_id` of `events`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from services.kit.calendar import Micros


class Hold(NamedTuple):
    """Set points aside for a checkout: they are held until captured, released, or `ttl` is over (P5)."""

    now: Micros
    reference: str
    points: int
    ttl: int


class Capture(NamedTuple):
    """Redeem the first `points` of a hold, by default all of it; the rest is released."""

    now: Micros
    reference: str
    points: int | None = None


class Release(NamedTuple):
    """Give up a hold."""

    now: Micros
    reference: str


class Redeem(NamedTuple):
    """Spend points at once."""

    now: Micros
    reference: str
    points: int


class GiveBack(NamedTuple):
    """Return points of a redemption, by default all that is left of it (P3, P4)."""

    now: Micros
    reference: str
    points: int | None = None


class Decide(NamedTuple):
    """Say what becomes of what clawbacks about an order, or another fact, did not find (R6)."""

    now: Micros
    reference: str
    decision: Literal["take", "write_off"]


class RepairStreak(NamedTuple):
    """Buy a missed day, so that the streak goes on (D4); `reference` is the day, an ISO date."""

    now: Micros
    reference: str


class Referred(NamedTuple):
    """Another account tells of a member that this one referred: the first order stands since `at`, or no longer.

    `told` is when that member was told to be referred by this one.
    """

    now: Micros
    reference: str
    at: Micros | None
    told: Micros | None = None


class Send(NamedTuple):
    """Give points to another member: this member's half of a transfer."""

    now: Micros
    reference: str
    points: int


class Receive(NamedTuple):
    """Get points of another member: lots as (last day, the parent's last day for a grace lot, points), ISO dates."""

    now: Micros
    reference: str
    lots: tuple[tuple[str, str | None, int], ...]


Command = Decide | RepairStreak | Referred | Send | Receive | Hold | Capture | Release | Redeem | GiveBack
