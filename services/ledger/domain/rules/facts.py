"""Facts that earn once for their key, reviews and activities: of several events about one, the earliest holds (O2).

SQL: `facts`.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import StandingAward, award_of, replace_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.fact_rules import FactRule
from services.ledger.domain.program.program import Program
from services.ledger.domain.state.facts import FactState, decode_fact, encode_fact
from services.ledger.domain.state.input_base import Input
from services.ledger.domain.state.outcome import AwardReason, Outcome

RuleOf = Callable[[Program], FactRule | None]
"""A program version's rule for one kind of fact; None where it has none."""


class FactEvent(NamedTuple):
    """Which fact an event is about: its kind (O9), its key, its ref, and the units it counts (a decimal string)."""

    kind: int
    key: str
    ref: str
    units: str = "1"


def record_fact(posting: Posting, input_: Input, event: FactEvent, rule_of: RuleOf) -> Outcome:
    """Keep a fact and book its award, or the difference if it was known from an event that counts from later (O2)."""
    member, programs = posting.member, posting.programs
    at = member.account.count_from(event.kind, input_.at, programs.at(input_.at).max_lateness)
    state = decode_fact(member.fact(event.key))
    if state.at and (state.at, state.source, state.id) <= (at, input_.source, input_.id):
        return Outcome("known", "this fact is told already")
    program = programs.at(at)
    rule = rule_of(program)
    outcome = Outcome("booked")
    points = 0 if state.removed or rule is None else rule.award(event.units)
    if rule is not None:
        units = int(Fraction(event.units))
        outcome.reasons.append(AwardReason(rule.name, program.number, "", units, points, rule.cap))
    booked = _standing(posting, state, event.ref, rule_of)
    state.at, state.source, state.id = at, input_.source, input_.id
    state.points, state.day, state.program = points, program.calendar.day_of(at), program.number
    replace_award(posting, booked, _standing(posting, state, event.ref, rule_of))
    member.facts[event.key] = encode_fact(state)
    return outcome


def _standing(posting: Posting, state: FactState, ref: str, rule_of: RuleOf) -> StandingAward | None:
    """The award that a fact's state stands for; None where it awards nothing."""
    if not state.points:
        return None
    program = posting.programs.by_number[state.program]
    rule = rule_of(program)
    assert rule is not None
    return award_of(rule, state.points, Cause(rule.name, ref, state.day, program))
