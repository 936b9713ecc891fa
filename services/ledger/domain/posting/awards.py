"""What a fact awards: the difference between the award that is booked and the one that should be."""

from __future__ import annotations

from typing import NamedTuple

from services.kit.calendar import Day
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.caps import Limit, change_pool, limit_of_day
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.fact_rules import FactRule
from services.ledger.domain.state.account import NO_PROGRAM


class StandingAward(NamedTuple):
    """An award as it is booked, or as it should be: so many points in a lot, before the cap of its pool, if it has one.

    Two awards of one fact that have the same `place` are in the same lot or pool.
    """

    points: int
    lot_day: Day
    cause: Cause
    place: tuple[str | int, ...]
    limit: Limit | None = None


def award_of(rule: FactRule, points: int, cause: Cause) -> StandingAward:
    """What a fact's rule awards: in the lot of the cause's day, through the pool of that day if the rule has a cap."""
    lot_day = cause.program.lot_day(cause.day)
    if rule.cap is None:
        return StandingAward(points, lot_day, cause, (rule.name, NO_PROGRAM, lot_day))
    place = (rule.name, cause.program.number, cause.day)
    return StandingAward(points, lot_day, cause, place, limit_of_day(rule.name, rule.cap, cause))


def replace_award(posting: Posting, booked: StandingAward | None, due: StandingAward | None) -> None:
    """Book the difference between two awards of one fact; None: there is none.

    Points that move to another lot or pool are clawed back there and awarded here.
    """
    if booked is not None and due is not None and booked.place == due.place:
        change_award(posting, due, due.points - booked.points)
        return
    if booked is not None:
        change_award(posting, booked, -booked.points)
    if due is not None:
        change_award(posting, due, due.points)


def change_award(posting: Posting, award: StandingAward, points: int) -> None:
    """Award points in an award's lot or, negative, claw them back there, through its pool if it has one."""
    if award.limit is None:
        posting.change_award(award.lot_day, points, award.cause)
    elif points:
        change_pool(posting, award.limit, award.lot_day, (points, points), award.cause)
