"""O12: bounds of what is told and of what a member has. What would pass them is refused, and changes nothing.

A reader of JSON has whole numbers exactly up to 2^53 - 1, and the contract's amounts have 12 digits before the point.
So an order is bounded where it is read (`order_amount`), and a member where an input is booked (`Bounds`): its points
wherever they are, and its growth value. The growth value also rises when orders fall due, which nobody can refuse. So
what is bounded is what all paid orders of the member may come to: their lines that earn, whatever is refunded later.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from services.ledger.domain.state.account import Account
from services.ledger.domain.state.inputs import (
    AnyInput,
    DueTimer,
    Enrolled,
    ExpiryNear,
    Paid,
    SnapshotTaken,
    TierHistoryReceived,
)
from services.ledger.domain.state.messages import AccountMessage

MAX_POINTS: Final = 2**53 - 1
MAX_DIGITS: Final = 12
"""Of an amount before its point."""
ROOM: Final = 10**9
"""Points that facts and commands leave free below `MAX_POINTS`, for what follows from them later and what other
accounts send: a bonus, a better tier, a transfer."""

Figure = Literal["points", "growth"]

_OF_OUR_OWN: Final = frozenset(
    {*get_args(AccountMessage), TierHistoryReceived, Enrolled, DueTimer, ExpiryNear, SnapshotTaken}
)
"""What nobody outside may be refused for: it may use the room."""


def max_amount(decimals: int) -> int:
    """The largest amount of money, in minor units of a currency with so many decimals."""
    return min(int(10 ** (MAX_DIGITS + decimals)) - 1, MAX_POINTS)


def order_amount(paid: Paid) -> int:
    """What an order comes to in all: lines, shipping and tax, in minor units."""
    return sum([line.amount for line in paid.lines]) + paid.shipping + paid.tax


class Bounds:
    """The bounds of one account, while inputs are booked on it one after the other."""

    __slots__ = ("_account", "_max_amount", "_ordered", "_points")

    def __init__(self, account: Account, decimals: int) -> None:
        self._account = account
        self._max_amount = max_amount(decimals)
        self._points, self._ordered = _points_of(account), account.details.ordered

    def passed_by(self, input_: AnyInput) -> Figure | None:
        """The bound that the input passes which was booked last; None if it may stay.

        One that only lowers what is beyond a bound may. What falls due moves points from one place to another, and
        never passes a bound.
        """
        points, ordered = _points_of(self._account), self._account.details.ordered
        limit = MAX_POINTS if type(input_) in _OF_OUR_OWN else MAX_POINTS - ROOM
        if points > limit and points > self._points:
            return "points"
        if ordered > self._max_amount and ordered > self._ordered:
            return "growth"
        self._points, self._ordered = points, ordered
        return None


def _points_of(account: Account) -> int:
    """The largest of an account's totals. What falls due raises none of them."""
    kept = account.pending + account.available + account.held + account.expired
    earned = account.earned + account.pending
    return max(kept, account.debt, account.redeemed, -account.written_off, abs(account.in_transit), earned)
