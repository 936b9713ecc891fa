"""Points spent by command: holds and redemptions. A command that cannot be done is refused and moves nothing."""

from __future__ import annotations

from operator import itemgetter

from services.kit.calendar import MICROS_PER_SECOND, Micros
from services.ledger.domain.holds import MOST_OPEN, Hold, Redemption, decode_hold, decode_redemption, encode
from services.ledger.domain.inputs import (
    CaptureHold,
    HoldPoints,
    RedeemPoints,
    ReleaseHold,
    ReturnRedemption,
)
from services.ledger.domain.member import Member
from services.ledger.domain.moves import Moves
from services.ledger.domain.outcome import Outcome
from services.ledger.domain.program import Programs
from services.ledger.domain.purse import Cause
from services.ledger.domain.redeeming import back_to_stock
from services.ledger.domain.refs import hold_key, redemption_key
from services.ledger.domain.refusals import refused


def _not_offered(programs: Programs, points: int, now: Micros) -> Outcome | None:
    """The refusal of points that the program in force does not let be spent at once; None if it does."""
    offset = programs.at(now).cash_offset
    if offset is None:
        return None
    match offset.objection(points):
        case "below_minimum" as why:
            return refused(why, minimum=offset.minimum)
        case "off_step" as why:
            return refused(why, step=offset.step)
        case _:
            return None


def hold_points(member: Member, programs: Programs, moves: Moves, given: HoldPoints) -> Outcome:
    """Set points aside until they are captured, released, or the time is over (P5)."""
    account, key = member.account, hold_key(given.hold)
    if given.points <= 0:
        return refused("points_not_positive")
    if member.fact(key) is not None:
        return refused("reference_used")
    if (refusal := _not_offered(programs, given.points, moves.now)) is not None:
        return refusal
    if given.points > account.available:
        return refused("insufficient_points")
    if len(account.details.holds) >= MOST_OPEN:
        return refused("too_many_holds")
    expires_at = moves.now + given.ttl_seconds * MICROS_PER_SECOND
    taken = moves.set_aside(given.points, Cause.at(programs, "hold", key, moves.now))
    hold = Hold(given.reference, given.points, moves.now, expires_at, taken)
    member.facts[key] = encode(hold)
    account.details.holds = sorted([*account.details.holds, (expires_at, given.hold)], key=itemgetter(0))
    account.due_by(expires_at)
    return Outcome("booked", reply=hold)


def capture_hold(member: Member, programs: Programs, moves: Moves, given: CaptureHold) -> Outcome:
    """Redeem what is held, or a part of it; the rest is released."""
    key = hold_key(given.hold)
    if given.points is not None and given.points <= 0:
        return refused("points_not_positive")
    raw = member.fact(key)
    if raw is None:
        return refused("hold_unknown")
    hold = decode_hold(raw)
    points = hold.points if given.points is None else given.points
    if hold.state != "open":
        return refused("hold_over")
    if points > hold.points:
        return refused("more_than_held")
    moves.end_hold(given.hold, hold, "captured", points, Cause.at(programs, "hold", key, moves.now))
    return Outcome("booked", reply=hold)


def release_hold(member: Member, programs: Programs, moves: Moves, given: ReleaseHold) -> Outcome:
    """Free what is held (P5, P6)."""
    key = hold_key(given.hold)
    raw = member.fact(key)
    if raw is None:
        return refused("hold_unknown")
    hold = decode_hold(raw)
    if hold.state != "open":
        return refused("hold_over")
    moves.end_hold(given.hold, hold, "released", 0, Cause.at(programs, "hold", key, moves.now))
    return Outcome("booked", reply=hold)


def time_out_holds(member: Member, programs: Programs, moves: Moves, at: Micros) -> None:
    """Free the points of holds that are over at an instant (P5, E2)."""
    for expires_at, hold_id in list(member.account.details.holds):
        if expires_at > at:
            break
        key = hold_key(hold_id)
        raw = member.fact(key)
        assert raw is not None
        moves.end_hold(hold_id, decode_hold(raw), "timed_out", 0, Cause.at(programs, "hold-timeout", key, at))


def redeem_points(member: Member, programs: Programs, moves: Moves, given: RedeemPoints) -> Outcome:
    """Spend points in spending order (E6)."""
    key = redemption_key(given.redemption)
    if given.points <= 0:
        return refused("points_not_positive")
    if member.fact(key) is not None:
        return refused("reference_used")
    if (refusal := _not_offered(programs, given.points, moves.now)) is not None:
        return refusal
    if given.points > member.account.available:
        return refused("insufficient_points")
    taken = moves.redeem(given.points, Cause.at(programs, "redemption", key, moves.now))
    redemption = Redemption(given.reference, given.points, moves.now, taken)
    member.facts[key] = encode(redemption)
    return Outcome("booked", reply=redemption)


def return_redemption(member: Member, programs: Programs, moves: Moves, given: ReturnRedemption) -> Outcome:
    """Give back what is left of a redemption, or a part of it, to the lots it came from (P3, P4)."""
    key = redemption_key(given.redemption)
    if given.points is not None and given.points <= 0:
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
    points = left if given.points is None else given.points
    if not 0 < points <= left:
        return refused("more_than_left")
    moves.restore(redemption.taken, points, Cause.at(programs, "redemption", key, moves.now))
    redemption.returned += points
    member.facts[key] = encode(redemption)
    outcome = Outcome("booked", reply=redemption)
    if redemption.returned == redemption.points:
        outcome.messages += back_to_stock(programs, given.redemption, redemption, moves.now)
    return outcome
