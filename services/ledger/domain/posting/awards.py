"""Awards of facts: what is booked for a fact, and the difference to what should be."""

from __future__ import annotations

from dataclasses import dataclass

from services.kit.calendar import Day
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.caps import change_award, change_pool
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import FactRule
from services.ledger.domain.state.member import Member


@dataclass(frozen=True, slots=True)
class StandingAward:
    """An award as it stands or should, before any cap."""

    rule: FactRule
    points: int
    cause: Cause

    @property
    def place(self) -> tuple[str, int, Day]:
        """The rule and the lot, or the version and day of the pool, that it is in."""
        program, day = self.cause.program, self.cause.day
        if self.rule.cap is None:
            return self.rule.name, 0, program.lot_day(day)
        return self.rule.name, program.number, day


def replace_award(member: Member, moves: Posting, booked: StandingAward | None, due: StandingAward | None) -> None:
    """Book the difference between two awards of one fact; what moves elsewhere is claimed there and awarded here."""
    if booked is not None and due is not None and booked.place == due.place:
        award(member, moves, due.rule, due.points - booked.points, due.cause)
        return
    if booked is not None:
        award(member, moves, booked.rule, -booked.points, booked.cause)
    if due is not None:
        award(member, moves, due.rule, due.points, due.cause)


def award(member: Member, moves: Posting, rule: FactRule, points: int, cause: Cause) -> None:
    """Award (or, negative, take back) a fact's points in its day's lot, through the rule's cap if it has one."""
    lot_day = cause.program.lot_day(cause.day)
    if rule.cap is None:
        change_award(moves, lot_day, points, cause)
    elif points:
        change_pool(
            member, moves, rule=rule.name, cap=rule.cap, program=cause.program.number, day=cause.day, lot_day=lot_day,
            total=points, confirmed=points, cause=cause,
        )  # fmt: skip
