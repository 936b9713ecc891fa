"""A member's account: totals, the chain's head, and the few facts that most inputs look at.

The account row is the only lock of a member: whoever holds it may read and write all that is keyed by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.kit.calendar import Day, Micros

GENESIS = bytes(32)
"""The previous hash of an account's first journal row."""

ORDERS, SIGN_INS, REVIEWS, PROFILES, ACTIVITIES = range(5)
"""The kinds whose newest business time bounds lateness (O9), as indexes of `Details.newest`."""


class Debt(msgspec.Struct, array_like=True):
    """Points owed for one order: by a clawback, or by points used that were not there (R6, P7)."""

    order: str
    points: int
    spend: bool


class Shortfall(msgspec.Struct, array_like=True):
    """Points that clawbacks about one order or fact did not find, until somebody decides what becomes of them (R6)."""

    ref: str
    points: int


class Bonus(msgspec.Struct, array_like=True):
    """The first-purchase bonus as booked (R9): the order whose success last rose the number from 0.

    `stands`: that order is successful still, so no success that began later can move the bonus.
    """

    order: str
    since: Micros
    paid_at: Micros
    points: int
    lot_day: Day
    rule: str
    stands: bool


class Award(msgspec.Struct, array_like=True):
    """Points as booked in a lot: by which rule of which program version, for which local date."""

    rule: str
    points: int
    lot_day: Day
    day: Day
    program: int


class Details(msgspec.Struct, array_like=True):
    """What the account remembers besides its totals.

    `holds` are the open ones by when they are over, `birthdays` are as in `multipliers`, `slid` are the last days of
    the lots that slide (E3), by number. Fields are only ever appended.
    """

    tiers: list[tuple[Micros, str]] = []
    tiers_seen: tuple[int, int] = (0, -1)
    newest: list[Micros] = []
    enrolled_at: Micros | None = None
    joining_gift: tuple[str, int, Day] | None = None
    debts: list[Debt] = []
    bonus: Bonus | None = None
    had_success: bool = False
    holds: list[tuple[Micros, str]] = []
    birthdays: list[tuple[Micros, int]] = []
    shortfalls: list[Shortfall] = []
    referrer: str = ""
    referral: Award | None = None
    slid: list[Day] = []


def tier_of(history: Sequence[tuple[Micros, str]], instant: Micros) -> str:
    """The tier in a dated history at an instant (T1)."""
    for effective_at, tier in reversed(history):
        if effective_at < instant:
            return tier
    return "none"


class Account(msgspec.Struct):
    """One row of `ledger.account`, as the fold works on it. Points; `debt` is what is owed, >= 0.

    `redeemed` is net of returns and `expired` of what was forgiven; `written_off`, at most 0, is what clawbacks let go
    (R6); `in_transit` is what was sent to other members less what came from them. `next_due` is a lower bound: nothing
    of this account falls due before it.
    """

    number: int
    member_id: str
    version: int = 0
    head: bytes = GENESIS
    now: Micros = 0
    next_due: Micros | None = None
    pending: int = 0
    available: int = 0
    held: int = 0
    debt: int = 0
    redeemed: int = 0
    expired: int = 0
    written_off: int = 0
    in_transit: int = 0
    details: Details = msgspec.field(default_factory=Details)

    @property
    def earned(self) -> int:
        """Lifetime points earned, net of clawbacks; pending ones are not counted."""
        kept = self.available + self.held - self.debt
        return kept + self.redeemed + self.expired + self.written_off + self.in_transit

    def tier_at(self, instant: Micros) -> str:
        """The tier whose `effective_at` is the last strictly before an instant (T1); `none` before the first."""
        return tier_of(self.details.tiers, instant)

    def newest(self, kind: int) -> Micros | None:
        """The newest counted business time of a kind (O9)."""
        times = self.details.newest
        return times[kind] or None if kind < len(times) else None

    def count_from(self, kind: int, at: Micros, max_lateness: Micros | None) -> Micros:
        """The time an entering fact counts from: its own, or, too late, the newest of its kind (O9)."""
        newest = self.newest(kind)
        if newest is None or at >= newest:
            times = self.details.newest
            times.extend([0] * (kind + 1 - len(times)))
            times[kind] = at
            return at
        if max_lateness is not None and newest - at > max_lateness:
            return newest
        return at

    def due_by(self, instant: Micros) -> None:
        """Remember that something falls due at an instant."""
        if self.next_due is None or instant < self.next_due:
            self.next_due = instant
