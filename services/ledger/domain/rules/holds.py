"""Holds: points set aside by command until they are captured, released or timed out (P5).

A command that cannot be done is refused and moves nothing.

SQL: `facts`, `spendable_lots`.
"""

from __future__ import annotations

from operator import itemgetter

from services.kit.calendar import MICROS_PER_SECOND, Micros
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.rules.redemptions import refusal_of_amount
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.fact_keys import hold_key
from services.ledger.domain.state.holds import MAX_OPEN, Hold, decode_hold, encode_hold
from services.ledger.domain.state.inputs import CaptureHold, HoldPoints, ReleaseHold
from services.ledger.domain.state.outcome import Outcome


def hold_points(posting: Posting, command: HoldPoints) -> Outcome:
    """Set points aside until they are captured or released, or the time is over (P5)."""
    member, account, key = posting.member, posting.member.account, hold_key(command.hold)
    if command.points <= 0:
        return refused("points_not_positive")
    if member.fact(key) is not None:
        return refused("reference_used")
    if (refusal := refusal_of_amount(posting, command.points)) is not None:
        return refusal
    if command.points > account.available:
        return refused("insufficient_points")
    if len(account.details.holds) >= MAX_OPEN:
        return refused("too_many_holds")
    expires_at = Micros(posting.now + command.ttl_seconds * MICROS_PER_SECOND)
    allocations = posting.hold(command.points, posting.cause("hold", key, posting.now))
    hold = Hold(command.reference, command.points, posting.now, expires_at, allocations)
    member.facts[key] = encode_hold(hold)
    account.details.holds = sorted([*account.details.holds, (expires_at, command.hold)], key=itemgetter(0))
    account.due_by(expires_at)
    return Outcome("booked", reply=hold)


def capture_hold(posting: Posting, command: CaptureHold) -> Outcome:
    """Redeem what is held, or a part of it; the rest is released."""
    key = hold_key(command.hold)
    if command.points is not None and command.points <= 0:
        return refused("points_not_positive")
    raw = posting.member.fact(key)
    if raw is None:
        return refused("hold_unknown")
    hold = decode_hold(raw)
    points = hold.points if command.points is None else command.points
    if hold.state != "open":
        return refused("hold_over")
    if points > hold.points:
        return refused("more_than_held")
    posting.end_hold(command.hold, hold, "captured", points, posting.cause("hold", key, posting.now))
    return Outcome("booked", reply=hold)


def release_hold(posting: Posting, command: ReleaseHold) -> Outcome:
    """Release what is held (P5, P6)."""
    key = hold_key(command.hold)
    raw = posting.member.fact(key)
    if raw is None:
        return refused("hold_unknown")
    hold = decode_hold(raw)
    if hold.state != "open":
        return refused("hold_over")
    posting.end_hold(command.hold, hold, "released", 0, posting.cause("hold", key, posting.now))
    return Outcome("booked", reply=hold)


def time_out_holds(posting: Posting) -> None:
    """Release the points of holds whose time is over at the posting's instant (P5, E2)."""
    member = posting.member
    for expires_at, hold_id in list(member.account.details.holds):
        if expires_at > posting.now:
            break
        key = hold_key(hold_id)
        raw = member.fact(key)
        assert raw is not None
        cause = posting.cause("hold-timeout", key, posting.now)
        posting.end_hold(hold_id, decode_hold(raw), "timed_out", 0, cause)
