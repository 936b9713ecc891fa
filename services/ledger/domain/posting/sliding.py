"""Points that stay as long as their member does something (E3).

All points that are awarded go to one lot, whose last day follows the latest activity. Once that day is past the lot
stays as it is, and the next activity begins another. If it were one lot for ever, a refund of points earned after an
expiry would be forgiven for points that expired before (R7). So an award may have gone to several lots, and the member
remembers which.

SQL: `facts`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from services.kit.calendar import Day, Micros
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.account import ACTIVITIES, NO_PROGRAM, ORDERS, PROFILES, REVIEWS, SIGN_INS
from services.ledger.domain.state.fact_keys import sliding_lots_key
from services.ledger.domain.state.inputs import (
    ActivityRecorded,
    AnyInput,
    Enrolled,
    HoldPoints,
    Paid,
    ProfileUpdated,
    RedeemPoints,
    RedeemReward,
    RepairStreak,
    ReviewPublished,
    SendPoints,
    SignedIn,
)
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.messages import ReferralReceived

_KEPT_BY: Final = {
    Paid: ORDERS,
    SignedIn: SIGN_INS,
    ReviewPublished: REVIEWS,
    ProfileUpdated: PROFILES,
    ActivityRecorded: ACTIVITIES,
}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[Day, int]]).decode


def follow(member: Member, programs: ProgramVersions, input_: AnyInput, now: Micros) -> None:
    """Keep the member's points for what the member did, as of the time from which it counts. Neither a refund nor what
    the shop does keeps them."""
    kind = _KEPT_BY.get(type(input_))
    if kind is not None:
        at = member.account.count_from(kind, input_.at, programs.at(input_.at).max_lateness)
    elif isinstance(input_, Enrolled) or _is_known_referral(member, input_):
        at = input_.at
    else:
        return
    _slide(member, programs, at, now, of_order=kind == ORDERS)


def follow_command(member: Member, programs: ProgramVersions, input_: AnyInput, now: Micros) -> None:
    """Keep the member's other points for a command that spent some. To give back held or used points keeps nothing."""
    if isinstance(input_, HoldPoints | RedeemPoints | RedeemReward | RepairStreak | SendPoints):
        _slide(member, programs, now, now)


def _is_known_referral(member: Member, input_: AnyInput) -> bool:
    """Whether a member whom this one referred has its first order; of a stranger nothing is known to have done so."""
    account = member.account
    is_stranger = account.version == 0 or account.details.stranger
    return isinstance(input_, ReferralReceived) and input_.stands_under != NO_PROGRAM and not is_stranger


def _slide(member: Member, programs: ProgramVersions, at: Micros, now: Micros, *, of_order: bool = False) -> None:
    program = programs.at(at)
    if program.slides:
        day = program.calendar.day_of(at)
        last_day = program.order_last_day(day) if of_order else program.last_day(day)
        member.lots.slide(last_day, now, program.calendar)


def grant(member: Member, award: str, points: int) -> Day:
    """The day of the lot to which points of an award go; the member remembers it for this award."""
    day = member.lots.open.day
    parts = _granted(member, award)
    if parts and parts[-1][0] == day:
        points += parts.pop()[1]
    _remember(member, award, [*parts, (day, points)])
    return day


def take_back(member: Member, award: str, points: int) -> list[tuple[Day, int]]:
    """The lots to which points of an award went, the last first, and how many; the award then has them no longer."""
    parts, taken_back = _granted(member, award), []
    while points:
        day, granted = parts.pop()
        part = min(points, granted)
        taken_back.append((day, part))
        points -= part
        if part < granted:
            parts.append((day, granted - part))
    _remember(member, award, parts)
    return taken_back


def _granted(member: Member, award: str) -> list[tuple[Day, int]]:
    raw = member.fact(sliding_lots_key(award))
    return [] if raw is None else _decode(raw)


def _remember(member: Member, award: str, parts: list[tuple[Day, int]]) -> None:
    member.facts[sliding_lots_key(award)] = _encode(parts)
