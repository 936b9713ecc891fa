"""Points that clawbacks did not find, where the program leaves it to people what becomes of them (R6)."""

from __future__ import annotations

from services.ledger.domain.inputs import DecideShortfall
from services.ledger.domain.member import Member
from services.ledger.domain.moves import Moves
from services.ledger.domain.outcome import Outcome
from services.ledger.domain.program import Programs
from services.ledger.domain.purse import Cause
from services.ledger.domain.refusals import refused

REVIEW = "clawback-review"
"""The rule of entries that a decision makes."""


def decide_shortfall(member: Member, programs: Programs, moves: Moves, given: DecideShortfall) -> Outcome:
    """Write the shortfall off, or take it from what the member has by now and owe the rest, as under `debt`."""
    for shortfall in member.account.details.shortfalls:
        if shortfall.ref == given.ref:
            cause = Cause.at(programs, REVIEW, given.ref, moves.now)
            moves.settle(shortfall, write_off=given.write_off, cause=cause)
            return Outcome("booked")
    return refused("shortfall_unknown")
