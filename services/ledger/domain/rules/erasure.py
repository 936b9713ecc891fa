"""Erased members (Z1): what is dated up to the erasure books nothing, and commands wait until they register anew.

What was booked before stands: points, and what the birthday or the referral has earned. The birthday's day and the
referrer are forgotten, so an order that is judged anew later is judged without them.

SQL: `facts`.
"""

from __future__ import annotations

from typing import Final

from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.rules.profile import forget_contents
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.account import Details
from services.ledger.domain.state.inputs import AnyInput, Command, Erased, Fact
from services.ledger.domain.state.outcome import Outcome

OF_AN_ERASED_MEMBER: Final = "of_an_erased_member"
"""Why a fact that is dated up to its member's erasure is refused."""


def erase(posting: Posting, erased: Erased) -> Outcome:
    """Forget the birthday and the referrer that were known up to the erasure; of two erasures the later one holds."""
    details = posting.member.account.details
    if erased.at <= details.erased_at:
        return Outcome("known", "the member is erased up to then already")
    details.erased_at = erased.at
    forget_contents(posting.member, erased.at)
    return Outcome("booked")


def refuse(details: Details, input_: AnyInput) -> Outcome | None:
    """The refusal of an input because its member is erased; None if it may be booked."""
    if isinstance(input_, Fact) and input_.at <= details.erased_at:
        return Outcome("refused", OF_AN_ERASED_MEMBER)
    if isinstance(input_, Command) and details.is_erased:
        return refused("member_erased")
    return None
