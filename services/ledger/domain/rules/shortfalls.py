"""Shortfalls: points that clawbacks did not find, where the program leaves the decision to people (R6)."""

from __future__ import annotations

from typing import Final

from services.ledger.domain.posting.posting import UNDER_REVIEW, Posting
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.inputs import DecideShortfall
from services.ledger.domain.state.outcome import Outcome
from services.ledger.domain.state.refs import order_of

REVIEW: Final = "clawback-review"
"""The rule of entries that a decision makes."""


def decide_shortfall(posting: Posting, decision: DecideShortfall) -> Outcome:
    """Write the shortfall off, or claw it back from what the member has by now and owe the rest, as under `debt`."""
    for shortfall in posting.member.account.details.shortfalls:
        if shortfall.ref == decision.ref:
            cause = posting.cause(REVIEW, decision.ref, posting.now)
            posting.settle_shortfall(shortfall, write_off=decision.write_off, cause=cause)
            if order_of(decision.ref) is not None:
                order = posting.member.order(decision.ref)
                order.alarms = [alarm for alarm in order.alarms if alarm.kind != UNDER_REVIEW]
                posting.member.touched.add(decision.ref)
            return Outcome("booked")
    return refused("shortfall_unknown")
