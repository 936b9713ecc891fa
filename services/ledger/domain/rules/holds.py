"""Points spent by command: holds and redemptions. A command that cannot be done is refused and moves nothing."""

from __future__ import annotations

from operator import itemgetter

from services.kit.calendar import MICROS_PER_SECOND, Micros
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.holds import MAX_OPEN, Hold, decode_hold, encode_hold
from services.ledger.domain.state.inputs import (
    CaptureHold,
    HoldPoints,
    ReleaseHold,
)
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import Outcome
from services.ledger.domain.state.refs import hold_key


def _not_offered(programs: ProgramVersions, points: int, now: Micros) -> Outcome | None:
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


def hold_points(member: Member, programs: ProgramVersions, moves: Posting, input_: HoldPoints) -> Outcome:
    """Set points aside until they are captured, released, or the time is over (P5)."""
    account, key = member.account, hold_key(input_.hold)
    if input_.points <= 0:
        return refused("points_not_positive")
    if member.fact(key) is not None:
        return refused("reference_used")
    if (refusal := _not_offered(programs, input_.points, moves.now)) is not None:
        return refusal
    if input_.points > account.available:
        return refused("insufficient_points")
    if len(account.details.holds) >= MAX_OPEN:
        return refused("too_many_holds")
    expires_at = moves.now + input_.ttl_seconds * MICROS_PER_SECOND
    taken = moves.set_aside(input_.points, Cause.at(programs, "hold", key, moves.now))
    hold = Hold(input_.reference, input_.points, moves.now, expires_at, taken)
    member.facts[key] = encode_hold(hold)
    account.details.holds = sorted([*account.details.holds, (expires_at, input_.hold)], key=itemgetter(0))
    account.due_by(expires_at)
    return Outcome("booked", reply=hold)


def capture_hold(member: Member, programs: ProgramVersions, moves: Posting, input_: CaptureHold) -> Outcome:
    """Redeem what is held, or a part of it; the rest is released."""
    key = hold_key(input_.hold)
    if input_.points is not None and input_.points <= 0:
        return refused("points_not_positive")
    raw = member.fact(key)
    if raw is None:
        return refused("hold_unknown")
    hold = decode_hold(raw)
    points = hold.points if input_.points is None else input_.points
    if hold.state != "open":
        return refused("hold_over")
    if points > hold.points:
        return refused("more_than_held")
    moves.end_hold(input_.hold, hold, "captured", points, Cause.at(programs, "hold", key, moves.now))
    return Outcome("booked", reply=hold)


def release_hold(member: Member, programs: ProgramVersions, moves: Posting, input_: ReleaseHold) -> Outcome:
    """Free what is held (P5, P6)."""
    key = hold_key(input_.hold)
    raw = member.fact(key)
    if raw is None:
        return refused("hold_unknown")
    hold = decode_hold(raw)
    if hold.state != "open":
        return refused("hold_over")
    moves.end_hold(input_.hold, hold, "released", 0, Cause.at(programs, "hold", key, moves.now))
    return Outcome("booked", reply=hold)


def time_out_holds(member: Member, programs: ProgramVersions, moves: Posting, at: Micros) -> None:
    """Free the points of holds that are over at an instant (P5, E2)."""
    for expires_at, hold_id in list(member.account.details.holds):
        if expires_at > at:
            break
        key = hold_key(hold_id)
        raw = member.fact(key)
        assert raw is not None
        moves.end_hold(hold_id, decode_hold(raw), "timed_out", 0, Cause.at(programs, "hold-timeout", key, at))
