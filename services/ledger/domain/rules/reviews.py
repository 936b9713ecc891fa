"""Reviews: each earns once (O2), while it stands (N3)."""

from __future__ import annotations

from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import award_of, replace_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.rules.facts import FactEvent, record_fact
from services.ledger.domain.state.account import REVIEWS
from services.ledger.domain.state.fact_keys import review_key
from services.ledger.domain.state.facts import decode_fact, encode_fact
from services.ledger.domain.state.inputs import ReviewPublished, ReviewRemoved
from services.ledger.domain.state.outcome import Outcome


def publish_review(posting: Posting, published: ReviewPublished) -> Outcome:
    """Award a published review once, unless it is removed, before or after (N3)."""
    key = review_key(published.review_id)
    return record_fact(posting, published, FactEvent(REVIEWS, key, key), lambda program: program.review)


def remove_review(posting: Posting, removed: ReviewRemoved) -> Outcome:
    """Claw back a removed review's award. `removed` is final for its review, also before `published` (N3)."""
    member, key = posting.member, review_key(removed.review_id)
    state = decode_fact(member.fact(key))
    if state.removed:
        return Outcome("known", "this review is removed already")
    if state.points:
        program = posting.programs.by_number[state.program]
        assert program.review is not None
        cause = Cause(program.review.name, key, state.day, program)
        replace_award(posting, award_of(program.review, state.points, cause), None)
    state.removed, state.points = True, 0
    member.facts[key] = encode_fact(state)
    return Outcome("booked")
