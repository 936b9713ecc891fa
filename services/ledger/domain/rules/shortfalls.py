"""Points that clawbacks did not find, where the program leaves it to people what becomes of them (R6)."""

from __future__ import annotations

from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.inputs import DecideShortfall
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import Outcome

REVIEW = "clawback-review"
"""The rule of entries that a decision makes."""


def decide_shortfall(member: Member, programs: ProgramVersions, moves: Posting, input_: DecideShortfall) -> Outcome:
    """Write the shortfall off, or take it from what the member has by now and owe the rest, as under `debt`."""
    for shortfall in member.account.details.shortfalls:
        if shortfall.ref == input_.ref:
            cause = Cause.at(programs, REVIEW, input_.ref, moves.now)
            moves.settle(shortfall, write_off=input_.write_off, cause=cause)
            return Outcome("booked")
    return refused("shortfall_unknown")
