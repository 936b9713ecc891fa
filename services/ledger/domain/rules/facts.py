"""Facts other than orders and sign-ins, and what they award: reviews, activities, the profile, joining.

What is known of a fact is kept for ever under its business key, so the same fact told under another event id
books nothing (O2).
"""

from __future__ import annotations

from fractions import Fraction

import msgspec

from services.kit.calendar import Day, Micros
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import StandingAward, replace_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import FactRule, ProgramVersions
from services.ledger.domain.state.facts import FactState, decode_fact, encode_fact
from services.ledger.domain.state.inputs import (
    ActivityRecorded,
    ReviewPublished,
)
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import AwardReason, Outcome

_encode = msgspec.msgpack.Encoder().encode


def record_fact(
    member: Member,
    programs: ProgramVersions,
    moves: Posting,
    key: str,
    input_: ReviewPublished | ActivityRecorded,
    at: Micros,
    rule: FactRule | None,
    units: str = "1",
) -> Outcome:
    """O2: of two tellings of a fact, the one that counts from the least time holds; the difference is booked."""
    raw = member.fact(key)
    told = FactState() if raw is None else decode_fact(raw)
    if told.at and (told.at, told.source, told.id) <= (at, input_.source, input_.id):
        return Outcome("known", "this fact is told already")
    program = programs.at(at)
    day = program.calendar.day_of(at)
    points = 0 if told.removed or rule is None else rule.award(units)
    outcome = Outcome("booked")
    if rule is not None:
        outcome.reasons.append(AwardReason(rule.name, program.number, "", int(Fraction(units)), points, rule.cap))
    booked = _standing(programs, told.program, key, told.points, told.day)
    replace_award(member, moves, booked, _standing(programs, program.number, key, points, day))
    told.at, told.source, told.id = at, input_.source, input_.id
    told.points, told.day, told.program = points, day, program.number
    member.facts[key] = encode_fact(told)
    return outcome


def _standing(programs: ProgramVersions, program: int, key: str, points: int, day: Day) -> StandingAward | None:
    """The award of a review or an activity under a program version; None where nothing stands."""
    if not points:
        return None
    version, kind = programs.by_number[program], key.partition(":")[0]
    rule = version.review if kind == "review" else version.activities[kind]
    assert rule is not None
    return StandingAward(rule, points, Cause(rule.name, key, day, version))
