"""The tier history that tiering publishes: orders that earned at another tier are trued up (T1).

SQL: `orders_paid_after`.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.rules.orders import true_up
from services.ledger.domain.state.account import tier_of
from services.ledger.domain.state.inputs import TierHistoryReceived
from services.ledger.domain.state.outcome import Outcome

TRUE_UP: Final = "tier-true-up"
"""The rule of entries that a changed tier history makes on orders booked already."""


def receive_tier_history(posting: Posting, received: TierHistoryReceived) -> Outcome:
    """Replace the tier history, and true up the orders that earned at another tier than it now has (T1)."""
    member, programs = posting.member, posting.programs
    details = member.account.details
    if received.seen <= details.tiers_seen:
        return Outcome("known", "a newer tier history is told already")
    before, after = details.tiers, list(received.history)
    details.tiers_seen = received.seen
    if before == after:
        return Outcome("known", "this tier history is told already")
    details.tiers = after
    differs_from = min(each[0] for pair in zip_longest(before, after) if pair[0] != pair[1] for each in pair if each)
    refs = [
        ref
        for paid_at, ref in member.paid_after(differs_from)
        if not programs.at(paid_at).order.earns_alike(tier_of(before, paid_at), tier_of(after, paid_at))
    ]
    return Outcome("booked", reasons=true_up(posting, refs, TRUE_UP))
