"""Redemptions: points spent at once by command, and given back (E6, P3, P4).

A command that cannot be done is refused and moves nothing.

SQL: `facts`, `spendable_lots`.
"""

from __future__ import annotations

from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.rules.rewards import back_to_stock
from services.ledger.domain.state.fact_keys import redemption_key
from services.ledger.domain.state.inputs import RedeemPoints, ReturnRedemption
from services.ledger.domain.state.outcome import Outcome
from services.ledger.domain.state.redemptions import Redemption, decode_redemption, encode_redemption


def refusal_of_amount(posting: Posting, points: int) -> Outcome | None:
    """The refusal of a number of points that the program in force does not let be spent at once; None if it does."""
    offset = posting.programs.at(posting.now).cash_offset
    if offset is None:
        return None
    match offset.objection(points):
        case "below_minimum" as why:
            return refused(why, minimum=offset.minimum)
        case "off_step" as why:
            return refused(why, step=offset.step)
        case _:
            return None


def redeem_points(posting: Posting, command: RedeemPoints) -> Outcome:
    """Spend points in spending order (E6)."""
    member, key = posting.member, redemption_key(command.redemption)
    if command.points <= 0:
        return refused("points_not_positive")
    if member.fact(key) is not None:
        return refused("reference_used")
    if (refusal := refusal_of_amount(posting, command.points)) is not None:
        return refusal
    if command.points > member.account.available:
        return refused("insufficient_points")
    allocations = posting.redeem(command.points, posting.cause("redemption", key, posting.now))
    redemption = Redemption(command.reference, command.points, posting.now, allocations)
    member.facts[key] = encode_redemption(redemption)
    return Outcome("booked", reply=redemption)


def return_redemption(posting: Posting, command: ReturnRedemption) -> Outcome:
    """Return what is left of a redemption, or a part of it, to the lots it came from (P3, P4).

    Of a redemption that an order has nothing is left, unless an older release booked that order (P7).
    """
    key = redemption_key(command.redemption)
    if command.points is not None and command.points <= 0:
        return refused("points_not_positive")
    raw = posting.member.fact(key)
    if raw is None:
        return refused("redemption_unknown")
    redemption = decode_redemption(raw)
    if redemption.order and not redemption.allocations:
        return refused("redemption_in_order")
    if redemption.state == "asked":
        return refused("reward_asked")
    if redemption.kind == "lottery":
        return refused("reward_drawn")
    left = sum(allocation.points for allocation in redemption.allocations)
    points = left if command.points is None else command.points
    if not 0 < points <= left:
        return refused("more_than_left")
    posting.return_points(redemption.allocations, points, posting.cause("redemption", key, posting.now))
    redemption.returned += points
    posting.member.facts[key] = encode_redemption(redemption)
    outcome = Outcome("booked", reply=redemption)
    if redemption.is_given_back:
        outcome.messages += back_to_stock(posting, command.redemption, redemption)
    return outcome
