"""A member's account: totals, the chain's head, and the few facts that most inputs look at.

The account row is the only lock of a member: whoever holds it may read and write all that is keyed by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from services.kit.calendar import NO_DAY, NOT_YET, Day, Micros

GENESIS = bytes(32)
"""The previous hash of an account's first journal row."""

ORDERS, SIGN_INS, REVIEWS, PROFILES, ACTIVITIES = range(5)
"""The kinds of facts whose newest business time bounds lateness (O9): the places in `Details.newest`."""

NO_TIER: Final = "none"
"""The tier of a member before the first one is reached."""

NO_TIERS_SEEN: Final = (0, -1)
"""`Details.tiers_seen` before the first tier history came: less than that of any message."""

NO_BIRTHDAY: Final = 0
"""The birthday of a member whose birthday is not known, or was emptied."""

NO_PROGRAM: Final = 0
"""The number of a program version where there is none yet: real ones count from 1."""


class Debt(msgspec.Struct, array_like=True):
    """Points owed for one order: by a clawback, or by points used that were not there (R6, P7)."""

    order: str
    points: int
    spend: bool


class Shortfall(msgspec.Struct, array_like=True):
    """Points that clawbacks for one order or fact did not find, until somebody decides whether they are owed (R6)."""

    ref: str
    points: int


class Bonus(msgspec.Struct, array_like=True):
    """The first-purchase bonus as booked (R9): the order with which the number of successful orders last rose from 0.

    `stands`: that order is still successful, so no success that began later can move the bonus.
    """

    order: str
    since: Micros
    paid_at: Micros
    points: int
    lot_day: Day
    rule: str
    stands: bool


class Award(msgspec.Struct, array_like=True):
    """Points booked in a lot: by which rule of which program version, for which local date."""

    rule: str
    points: int
    lot_day: Day
    day: Day
    program: int


class Referred(msgspec.Struct, array_like=True):
    """That another member referred this one, and with which order it became due (F1, F2).

    `told_at` is when it was told. With `order` the number of successful orders of the least spend last rose from 0, at
    `since`, under program version `program`; its points are in the lot of `lot_day`. `stands`: that order is still
    successful. `order` is empty while it is not due. `too_late`: an order was paid before it was told.

    `asked` is the version of this account with which the referrer's account was asked last, `answered` the version of
    that account which answered last, `granted` what it said (F3).
    """

    told_at: Micros
    too_late: bool = False
    had_success: bool = False
    order: str = ""
    since: Micros = NOT_YET
    program: int = NO_PROGRAM
    lot_day: Day = NO_DAY
    stands: bool = False
    asked: int = 0
    answered: int = 0
    granted: bool = False


class Details(msgspec.Struct, array_like=True):
    """What the account remembers besides its totals.

    `tiers` is the tier history, `tiers_seen` the (member version, event number) that it came with. `newest` has the
    newest business time by kind of fact. `holds` are the open ones, by (time of expiry, id). `birthdays` are as in
    `multipliers`. `sliding_last_days` are the last days of the lots that slide (E3), by number. `erased_at` is the
    business time up to which the member is erased, `registered_at` that of the newest registration (Z1).
    `referrer` is who referred the member, `referral` what is booked for it, `referred` how that stands. `stranger`:
    nothing is known of the member but that others name it as their referrer; their messages wait until an instant, by
    (until, member), in `waiting_referrals` (F3). `reviews_goods`: it has reviews that stand
    only while the goods are kept (N8).
    `ordered` is what the lines that earn of all paid orders come to, in minor units, for the bound of the growth value
    (O12); orders that an older release has booked are not in it until their lines change.
    Fields are only ever appended.
    """

    tiers: list[tuple[Micros, str]] = []
    tiers_seen: tuple[int, int] = NO_TIERS_SEEN
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
    sliding_last_days: list[Day] = []
    erased_at: Micros = NOT_YET
    registered_at: Micros = NOT_YET
    referred: Referred | None = None
    stranger: bool = False
    waiting_referrals: list[tuple[Micros, str]] = []
    reviews_goods: bool = False
    ordered: int = 0

    @property
    def is_erased(self) -> bool:
        """Whether the member asked to be forgotten and has not registered since."""
        return self.erased_at != NOT_YET and self.registered_at <= self.erased_at


def tier_of(history: Sequence[tuple[Micros, str]], instant: Micros) -> str:
    """The tier in a dated history at an instant (T1)."""
    for effective_at, tier in reversed(history):
        if effective_at < instant:
            return tier
    return NO_TIER


class Totals:
    """An account's points by where they are; what is common to an account and a balance of it."""

    __slots__ = ()

    available: int
    held: int
    debt: int
    redeemed: int
    expired: int
    written_off: int
    in_transit: int

    @property
    def earned(self) -> int:
        """Lifetime points earned, net of clawbacks; pending ones are not counted."""
        kept = self.available + self.held - self.debt
        return kept + self.redeemed + self.expired + self.written_off + self.in_transit


class Account(Totals, msgspec.Struct):
    """One row of `ledger.account`, as the fold works on it. Points; `debt` is what the member owes, >= 0.

    `redeemed` is net of returns and `expired` net of what was forgiven. `written_off`, at most 0, is what clawbacks
    gave up (R6). `in_transit` is what was sent to other accounts less what came from them. `next_due` is a lower bound:
    nothing of this account falls due before it.
    """

    number: int
    member_id: str
    version: int = 0
    head: bytes = GENESIS
    now: Micros = NOT_YET
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

    def tier_at(self, instant: Micros) -> str:
        """The tier with the last `effective_at` strictly before an instant (T1); `NO_TIER` before the first."""
        return tier_of(self.details.tiers, instant)

    def newest(self, kind: int) -> Micros | None:
        """The newest counted business time of a kind (O9)."""
        times = self.details.newest
        return times[kind] or None if kind < len(times) else None

    def count_from(self, kind: int, at: Micros, max_lateness: int | None) -> Micros:
        """The time from which an arriving fact counts: its own or, if that is too late, the newest of its kind (O9).

        Remembers the newest time.
        """
        newest = self.newest(kind)
        if newest is None or at >= newest:
            times = self.details.newest
            times.extend([NOT_YET] * (kind + 1 - len(times)))
            times[kind] = at
            return at
        if max_lateness is not None and newest - at > max_lateness:
            return newest
        return at

    def due_by(self, instant: Micros) -> None:
        """Remember that something falls due at an instant."""
        if self.next_due is None or instant < self.next_due:
            self.next_due = instant
