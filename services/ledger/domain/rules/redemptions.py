"""Points spent at once by command, and given back (E6, P3, P4)."""

from __future__ import annotations

from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.holds import _not_offered
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.rules.rewards import back_to_stock
from services.ledger.domain.state.inputs import RedeemPoints, ReturnRedemption
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import Outcome
from services.ledger.domain.state.redemptions import Redemption, decode_redemption, encode_redemption
from services.ledger.domain.state.refs import redemption_key


def redeem_points(member: Member, programs: ProgramVersions, moves: Posting, input_: RedeemPoints) -> Outcome:
    """Spend points in spending order (E6)."""
    key = redemption_key(input_.redemption)
    if input_.points <= 0:
        return refused("points_not_positive")
    if member.fact(key) is not None:
        return refused("reference_used")
    if (refusal := _not_offered(programs, input_.points, moves.now)) is not None:
        return refusal
    if input_.points > member.account.available:
        return refused("insufficient_points")
    taken = moves.redeem(input_.points, Cause.at(programs, "redemption", key, moves.now))
    redemption = Redemption(input_.reference, input_.points, moves.now, taken)
    member.facts[key] = encode_redemption(redemption)
    return Outcome("booked", reply=redemption)


def return_redemption(member: Member, programs: ProgramVersions, moves: Posting, input_: ReturnRedemption) -> Outcome:
    """Give back what is left of a redemption, or a part of it, to the lots it came from (P3, P4)."""
    key = redemption_key(input_.redemption)
    if input_.points is not None and input_.points <= 0:
        return refused("points_not_positive")
    raw = member.fact(key)
    if raw is None:
        return refused("redemption_unknown")
    redemption = decode_redemption(raw)
    if redemption.order:
        return refused("redemption_in_order")
    if redemption.state == "asked":
        return refused("reward_asked")
    if redemption.kind == "lottery":
        return refused("reward_drawn")
    left = redemption.points - redemption.returned
    points = left if input_.points is None else input_.points
    if not 0 < points <= left:
        return refused("more_than_left")
    moves.restore(redemption.taken, points, Cause.at(programs, "redemption", key, moves.now))
    redemption.returned += points
    member.facts[key] = encode_redemption(redemption)
    outcome = Outcome("booked", reply=redemption)
    if redemption.returned == redemption.points:
        outcome.messages += back_to_stock(programs, input_.redemption, redemption, moves.now)
    return outcome
