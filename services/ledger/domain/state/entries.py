"""Entries: points of one lot moved from one account to another, so that books balance by construction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from services.kit.calendar import NEVER, Day

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

KINDS: dict[tuple[str, str], EntryKind] = {
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
"""What a move from one account to another is called."""

LotKey = tuple[Day, Day]
"""(day, parent): the last day, or of a lot that slides its number (`SLIDING`); the parent is 0, or the day of the lot
whose expired returns have grace (P4)."""

NO_LOT: LotKey = (0, 0)
"""The lot of an entry that moves debt alone."""

SLIDING: Day = 1
"""The day of the lot in which what slides is pending (E3). What is not pending is in the lots that follow, one for each
time that a member's points were allowed to expire; they are numbered as days long before any other lot's."""

_LAST_SLIDING: Day = 365 * 1900


def slides(day: Day) -> bool:
    """Whether a lot's day is but its number, and the day it ends follows what the member does (E3)."""
    return SLIDING <= day < _LAST_SLIDING


def last_day(day: Day, slid: Sequence[Day]) -> Day:
    """Until when points of a lot can be spent, as of now. `slid` are the last days of the lots that slide, by number.

    What slides and is pending has the day of the lot that is open.
    """
    if not slides(day):
        return day
    if day == SLIDING:
        return slid[-1] if slid else NEVER
    return slid[day - SLIDING - 1]


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line of an outcome. `points` > 0 move from `debit` to `credit`.

    `day` is the local date of the business time (D1); `rule` and `program` say what made it, `ref` the order,
    review, … it is about.
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
        """The entry's name to the outside."""
        return KINDS[self.debit, self.credit]
