"""Reviews: each earns once (O2), while it stands (N3)."""

from __future__ import annotations

from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.fact_rules import FactRule
from services.ledger.domain.program.program import Program
from services.ledger.domain.rules.facts import FactEvent, record_fact, remove_fact
from services.ledger.domain.state.account import REVIEWS
from services.ledger.domain.state.fact_keys import review_key
from services.ledger.domain.state.inputs import ReviewPublished, ReviewRemoved
from services.ledger.domain.state.outcome import Outcome


def publish_review(posting: Posting, published: ReviewPublished) -> Outcome:
    """Award a published review once, unless it is removed, before or after (N3), or while the goods are kept (N8)."""
    event = _event(published.review_id)._replace(sku=published.sku)
    return record_fact(posting, published, event, _rule)


def remove_review(posting: Posting, removed: ReviewRemoved) -> Outcome:
    """Claw back a removed review's award. `removed` is final for its review, also before `published` (N3)."""
    if not remove_fact(posting, _event(removed.review_id), _rule):
        return Outcome("known", "this review is removed already")
    return Outcome("booked")


def _event(review_id: str) -> FactEvent:
    key = review_key(review_id)
    return FactEvent(REVIEWS, key, key)


def _rule(program: Program) -> FactRule | None:
    return program.review
