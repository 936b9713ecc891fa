"""Entries: points of one lot moved from one account to another, so that books balance by construction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec

from services.kit.calendar import NEVER, NO_DAY, Day

AccountName = Literal[
    "issued",
    "redeemed",
    "expired",
    "adjusted",
    "written_off",
    "in_transit",
    "pending",
    "available",
    "held",
    "debt",
]
"""The program's accounts, then the member's. `debt` is signed and has no lots."""

EntryKind = Literal[
    "pending",
    "confirmed",
    "earned",
    "clawed_back",
    "forgiven",
    "redeemed",
    "returned",
    "debt_paid",
    "expired",
    "held",
    "released",
    "transferred",
]

KINDS: Final[dict[tuple[str, str], EntryKind]] = {
    ("issued", "pending"): "pending",
    ("pending", "issued"): "clawed_back",
    ("pending", "available"): "confirmed",
    ("issued", "available"): "earned",
    ("available", "issued"): "clawed_back",
    ("debt", "issued"): "clawed_back",
    ("written_off", "issued"): "clawed_back",
    ("expired", "issued"): "forgiven",
    ("available", "redeemed"): "redeemed",
    ("debt", "redeemed"): "redeemed",
    ("redeemed", "available"): "returned",
    ("redeemed", "debt"): "returned",
    ("available", "debt"): "debt_paid",
    ("available", "expired"): "expired",
    ("available", "held"): "held",
    ("held", "available"): "released",
    ("held", "redeemed"): "redeemed",
    ("expired", "redeemed"): "redeemed",
    ("available", "in_transit"): "transferred",
    ("in_transit", "available"): "transferred",
    ("in_transit", "redeemed"): "redeemed",
}
"""The kind of each move from one account (debit) to another (credit)."""


NO_PARENT: Final = NO_DAY
"""The parent of a lot that is not the grace lot of another one."""


class LotKey(NamedTuple):
    """A lot of a member: its last day, or of a lot that slides its number (`SLIDING`).

    `parent` is `NO_PARENT`, or the day of the lot of which this one keeps expired returns for some days of grace (P4).
    """

    day: Day
    parent: Day = NO_PARENT


@lru_cache(maxsize=8_192)
def lot_of_day(day: Day) -> LotKey:
    """The lot of a day that is no grace lot. Most events need a few, of few days: they are made once."""
    return LotKey(day)


NO_LOT: Final = LotKey(NO_DAY)
"""The lot of an entry that moves debt alone."""

SLIDING: Final = Day(1)
"""The day of the lot in which sliding points are pending (E3). Those that are not pending are in the lots that follow,
one for each time that the member's points expired; their numbers are days long before any other lot's."""
SLIDING_LOT: Final = LotKey(SLIDING)

_LAST_SLIDING: Final = Day(365 * 1900)


def slides(day: Day) -> bool:
    """Whether a lot's day is only its number, because its last day follows what the member does (E3)."""
    return SLIDING <= day < _LAST_SLIDING


def last_day(day: Day, sliding_last_days: Sequence[Day]) -> Day:
    """The last day on which points of a lot can be spent, as of now.

    `sliding_last_days` are those of the lots that slide, by number. Pending points that slide have the day of the lot
    that is open.
    """
    if not slides(day):
        return day
    if day == SLIDING:
        return sliding_last_days[-1] if sliding_last_days else NEVER
    return sliding_last_days[day - SLIDING - 1]


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line of an outcome. `points` > 0 move from `debit` to `credit`.

    `day` is the local date of the business time (D1). `rule` and `program` say what made the entry, `ref` which order,
    review or other fact it is about.
    """

    debit: AccountName
    credit: AccountName
    points: int
    lot: LotKey
    rule: str
    ref: str
    day: Day
    program: int

    @property
    def kind(self) -> EntryKind:
        """The entry's kind, as the outside sees it."""
        return KINDS[self.debit, self.credit]
