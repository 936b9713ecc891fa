"""Points that stay as long as their member does something (E3).

All that is granted goes to one lot, whose last day follows the latest activity. Once that day is over the lot stays
what it is, and the next activity begins another: were it one lot for ever, a refund of what was earned after an expiry
would be forgiven for what expired before (R7). So an award may have gone to several lots, which is remembered.
"""

from __future__ import annotations

from typing import Final

import msgspec

from services.kit.calendar import Day, Micros
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.account import ACTIVITIES, ORDERS, PROFILES, REVIEWS, SIGN_INS
from services.ledger.domain.state.inputs import (
    ActivityRecorded,
    AnyInput,
    Enrolled,
    HoldPoints,
    Paid,
    ProfileUpdated,
    RedeemPoints,
    RedeemReward,
    ReferralReceived,
    RepairStreak,
    ReviewPublished,
    SendPoints,
    SignedIn,
)
from services.ledger.domain.state.member import Member

_KINDS: Final = {
    Paid: ORDERS,
    SignedIn: SIGN_INS,
    ReviewPublished: REVIEWS,
    ProfileUpdated: PROFILES,
    ActivityRecorded: ACTIVITIES,
}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[Day, int]]).decode


def follow(member: Member, programs: ProgramVersions, input_: AnyInput, now: Micros) -> None:
    """What the member did keeps the points, as of the time it counts from. No refund does, nor what the shop does."""
    kind = _KINDS.get(type(input_))
    if kind is not None:
        at = member.account.count_from(kind, input_.at, programs.at(input_.at).max_lateness)
    elif isinstance(input_, Enrolled) or (isinstance(input_, ReferralReceived) and input_.stands_under):
        at = input_.at
    else:
        return
    _slide(member, programs, at, now, of_order=kind == ORDERS)


def follow_command(member: Member, programs: ProgramVersions, input_: AnyInput, now: Micros) -> None:
    """A command that was done and spends points keeps the others. To give back what was held or used does not."""
    if isinstance(input_, HoldPoints | RedeemPoints | RedeemReward | RepairStreak | SendPoints):
        _slide(member, programs, now, now)


def _slide(member: Member, programs: ProgramVersions, at: Micros, now: Micros, *, of_order: bool = False) -> None:
    program = programs.at(at)
    if program.slides:
        day = program.calendar.day_of(at)
        last_day = program.order_last_day(day) if of_order else program.last_day(day)
        member.lots.slide(last_day, now, program.calendar)


def grant(member: Member, award: str, points: int) -> Day:
    """The day of the lot to which points of an award go; it is remembered where those of this award went."""
    day, _ = member.lots.open
    parts = _granted(member, award)
    if parts and parts[-1][0] == day:
        points += parts.pop()[1]
    _remember(member, award, [*parts, (day, points)])
    return day


def take_back(member: Member, award: str, points: int) -> list[tuple[Day, int]]:
    """The lots to which points of an award went, the last first, and how many; they are of the award no longer."""
    parts, taken = _granted(member, award), []
    while points:
        day, granted = parts.pop()
        part = min(points, granted)
        taken.append((day, part))
        points -= part
        if part < granted:
            parts.append((day, granted - part))
    _remember(member, award, parts)
    return taken


def _granted(member: Member, award: str) -> list[tuple[Day, int]]:
    raw = member.fact(f"lots:{award}")
    return [] if raw is None else _decode(raw)


def _remember(member: Member, award: str, parts: list[tuple[Day, int]]) -> None:
    member.facts[f"lots:{award}"] = _encode(parts)
