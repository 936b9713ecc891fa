"""When points expire: at the end of the local day that is their lot's last day (E1).

SQL: `spendable_lots`, `orders_due`, `next_orders_due`.
"""

from __future__ import annotations

from typing import Final

from services.kit.calendar import NEVER, Calendar, Day, Micros
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import Expiring

EXPIRY: Final = "expiry"
"""The rule of entries that expire points."""


def next_expiry(member: Member, calendar: Calendar) -> Micros | None:
    """The instant at which the first of a member's available points expire; None if none of them do."""
    last_days = [member.lots.last_day(lot.day) for lot, _ in member.lots.spendable()]
    return min([calendar.end_of(day) for day in last_days if day != NEVER], default=None)


def expire_past_lots(posting: Posting, calendar: Calendar, at: Micros) -> None:
    """Expire the available points of all lots whose last day is past at an instant (E1), as of that instant (T8)."""
    lots = posting.member.lots
    for lot, points in lots.spendable():
        last_day = lots.last_day(lot.day)
        if last_day != NEVER and calendar.end_of(last_day) <= at:
            posting.expire(lot, points, Cause(EXPIRY, "", last_day, posting.programs.at(at)))


def expiring_on(posting: Posting, day: Day) -> Expiring | None:
    """The points that a member can still spend until the end of a day, and not after it; None if there are none."""
    program, lots = posting.programs.at(posting.now), posting.member.lots
    points = sum(points for lot, points in lots.spendable() if lots.last_day(lot.day) == day)
    if not points:
        return None
    return Expiring(points, day, day + 1 - program.calendar.day_of(posting.now), program.number)
