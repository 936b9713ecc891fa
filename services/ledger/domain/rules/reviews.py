"""Reviews: each earns once, while it stands (N3)."""

from __future__ import annotations

from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.facts import record_fact
from services.ledger.domain.state.account import REVIEWS
from services.ledger.domain.state.facts import FactState, decode_fact, encode_fact
from services.ledger.domain.state.inputs import ReviewPublished, ReviewRemoved
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import Outcome


def publish_review(member: Member, programs: ProgramVersions, moves: Posting, input_: ReviewPublished) -> Outcome:
    """A published review earns once, unless it is removed, before or after (N3)."""
    own = programs.at(input_.at)
    at = member.account.count_from(REVIEWS, input_.at, own.max_lateness)
    rule = programs.at(at).review
    return record_fact(member, programs, moves, f"review:{input_.review_id}", input_, at, rule)


def remove_review(member: Member, programs: ProgramVersions, moves: Posting, input_: ReviewRemoved) -> Outcome:
    """`removed` is final for its review, also before `published` (N3)."""
    key = f"review:{input_.review_id}"
    raw = member.fact(key)
    told = FactState() if raw is None else decode_fact(raw)
    if told.removed:
        return Outcome("known", "this review is removed already")
    outcome = Outcome("booked")
    if told.points:
        program = programs.by_number[told.program]
        assert program.review is not None
        award(member, moves, program.review, -told.points, Cause(program.review.name, key, told.day, program))
    told.removed, told.points = True, 0
    member.facts[key] = encode_fact(told)
    return outcome
