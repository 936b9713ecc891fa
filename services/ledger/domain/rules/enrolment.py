"""Joining the programme: the gift of the first enrolment (T10)."""

from __future__ import annotations

from typing import Final

from services.kit.calendar import Micros
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.state.inputs import Enrolled
from services.ledger.domain.state.outcome import AwardReason, Outcome

JOINING: Final = "joining"
"""What the joining gift's entries are about."""


def enrol(posting: Posting, enrolled: Enrolled) -> Outcome:
    """Award the joining gift once: tiering enrolled the member, by a call or by `registered` (T10)."""
    outcome = Outcome("booked")
    return outcome if join(posting, enrolled.at, outcome) else Outcome("known", "enrolled already")


def join(posting: Posting, at: Micros, outcome: Outcome) -> bool:
    """Enrol the member as of an instant and award the gift; False if an enrolment at least as early is known."""
    details = posting.member.account.details
    if details.enrolled_at is not None and details.enrolled_at <= at:
        return False
    details.enrolled_at = at
    program = posting.programs.at(at)
    day, rule = program.calendar.day_of(at), program.joining
    booked = details.joining_gift
    due = None if rule is None else (rule.name, rule.points, program.lot_day(day))
    details.joining_gift = due
    if booked == due:
        return True
    if booked is not None:
        name, points, lot_day = booked
        posting.change_award(lot_day, -points, Cause(name, JOINING, day, program))
    if due is not None:
        name, points, lot_day = due
        posting.change_award(lot_day, points, Cause(name, JOINING, day, program))
        outcome.reasons.append(AwardReason(name, program.number, "", 1, points))
    return True
