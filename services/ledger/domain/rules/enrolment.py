"""Joining the programme: the gift of the first enrolment (T10)."""

from __future__ import annotations

from services.kit.calendar import Micros
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.caps import change_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.inputs import Enrolled
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import AwardReason, Outcome


def enrol(member: Member, programs: ProgramVersions, moves: Posting, input_: Enrolled) -> Outcome:
    """Tiering enrolled the member, by a call or by `registered`: the joining gift, once (T10)."""
    outcome = Outcome("booked")
    return outcome if join(member, programs, moves, input_.at, outcome) else Outcome("known", "enrolled already")


def join(member: Member, programs: ProgramVersions, moves: Posting, at: Micros, outcome: Outcome) -> bool:
    details = member.account.details
    if details.enrolled_at is not None and details.enrolled_at <= at:
        return False
    details.enrolled_at = at
    program = programs.at(at)
    day, rule = program.calendar.day_of(at), program.joining
    booked = details.joining_gift
    due = None if rule is None else (rule.name, rule.points, program.lot_day(day))
    details.joining_gift = due
    if booked == due:
        return True
    if booked is not None:
        change_award(moves, booked[2], -booked[1], Cause(booked[0], "joining", day, program))
    if due is not None:
        change_award(moves, due[2], due[1], Cause(due[0], "joining", day, program))
        outcome.reasons.append(AwardReason(due[0], program.number, "", 1, due[1]))
    return True
