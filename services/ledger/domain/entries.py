"""Entries: points of one lot moved from one account to another, so that books balance by construction."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.kit.calendar import Day

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
"""(last day, parent): the parent is 0, or the last day of the lot whose expired returns have grace (P4)."""

NO_LOT: LotKey = (0, 0)
"""The lot of an entry that moves debt alone."""


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
