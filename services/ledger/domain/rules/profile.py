"""The profile: points for completing it, and the birthday and the referrer that it names (D6, B2)."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

import msgspec

from services.kit.calendar import Day, Micros
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import StandingAward, replace_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.enrolment import join
from services.ledger.domain.rules.orders import true_up
from services.ledger.domain.rules.referrals import refer
from services.ledger.domain.state.account import PROFILES
from services.ledger.domain.state.inputs import ProfileUpdated
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import AwardReason, Outcome

BIRTHDAY_TRUE_UP: Final = "birthday-true-up"
"""The rule of entries that a birthday told late makes on orders booked already."""


class ProfileChange(msgspec.Struct, array_like=True):
    """Which profile fields one event filled and emptied, and the contents that `ProfileTold` has."""

    at: Micros
    source: str
    id: str
    filled: tuple[str, ...]
    emptied: tuple[str, ...]
    birthday: int = 0
    referred_by: str = ""


class Profile(msgspec.Struct, array_like=True):
    """All changes of the profile, and the award that stands for its completion (D6)."""

    changes: list[ProfileChange] = []
    completed_at: Micros = 0
    points: int = 0
    day: Day = 0
    program: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode_profile = msgspec.msgpack.Decoder(Profile).decode


def update_profile(member: Member, programs: ProgramVersions, moves: Posting, input_: ProfileUpdated) -> Outcome:
    """D6, and the enrolment of open membership (T10)."""
    own = programs.at(input_.at)
    at = member.account.count_from(PROFILES, input_.at, own.max_lateness)
    outcome = Outcome("booked")
    if input_.registers and own.open_membership:
        join(member, programs, moves, at, outcome)
    if input_.filled or input_.emptied:
        _fill_profile(member, programs, moves, input_, at, outcome)
    return outcome


def _fill_profile(
    member: Member, programs: ProgramVersions, moves: Posting, input_: ProfileUpdated, at: Micros, outcome: Outcome
) -> None:
    raw = member.fact("profile")
    profile = Profile() if raw is None else _decode_profile(raw)
    profile.changes.append(
        ProfileChange(at, input_.source, input_.id, input_.filled, input_.emptied, input_.birthday, input_.referred_by)
    )
    profile.changes.sort(key=lambda change: (change.at, change.source, change.id))
    completed_at = _first_completed(profile.changes, programs)
    if completed_at != profile.completed_at:
        booked = _completion(programs, profile)
        profile.completed_at, profile.points = completed_at, 0
        if completed_at:
            program = programs.at(completed_at)
            assert program.profile is not None
            rule = program.profile.award
            profile.points, profile.day = rule.points, program.calendar.day_of(completed_at)
            profile.program = program.number
            outcome.reasons.append(AwardReason(rule.name, program.number, "", len(program.profile.fields), rule.points))
        replace_award(member, moves, booked, _completion(programs, profile))
    member.facts["profile"] = _encode(profile)
    _know_birthdays(member, programs, moves, profile.changes, outcome)
    # Who is told to have referred a member first, did; nobody refers himself.
    nobody = ("", member.account.member_id)
    referrers = [change.referred_by for change in profile.changes if change.referred_by not in nobody]
    refer(member, programs, moves, next(iter(referrers), ""))


def _know_birthdays(
    member: Member, programs: ProgramVersions, moves: Posting, changes: list[ProfileChange], outcome: Outcome
) -> None:
    """B2: orders that met another birthday than is known now are trued up, in whatever order all this came."""
    told: list[tuple[Micros, int]] = []
    for change in changes:
        birthday = 0 if "birthday" in change.emptied else change.birthday
        if birthday != (told[-1][1] if told else 0) and (birthday or "birthday" in change.emptied):
            told.append((change.at, birthday))
    before = member.account.details.birthdays
    if told == before:
        return
    member.account.details.birthdays = told
    differs_from = min(each[0] for pair in zip_longest(before, told) if pair[0] != pair[1] for each in pair if each)
    refs = [
        ref
        for paid_at, ref in member.paid_after(differs_from)
        for rule in (programs.at(paid_at).order,)
        if rule.met(paid_at, "", before) != rule.met(paid_at, "", told)
    ]
    outcome.reasons += true_up(member, programs, moves, refs, moves.now, BIRTHDAY_TRUE_UP)


def _completion(programs: ProgramVersions, profile: Profile) -> StandingAward | None:
    if not profile.points:
        return None
    program = programs.by_number[profile.program]
    assert program.profile is not None
    rule = program.profile.award
    return StandingAward(rule, profile.points, Cause(rule.name, "profile", profile.day, program))


def _first_completed(changes: list[ProfileChange], programs: ProgramVersions) -> Micros:
    """The first business time at which all fields that the rule names were filled together; 0 = never."""
    filled: set[str] = set()
    for change in changes:
        filled.difference_update(change.emptied)
        filled.update(change.filled)
        rule = programs.at(change.at).profile
        if rule is not None and rule.fields <= filled:
            return change.at
    return 0
