"""The profile: points for completing it, and the birthday and the referrer that it names (D6, B2).

SQL: `facts`, `orders_paid_after`.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

import msgspec

from services.kit.calendar import NO_DAY, NOT_YET, Day, Micros
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import StandingAward, award_of, replace_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.enrolment import join
from services.ledger.domain.rules.orders import true_up
from services.ledger.domain.rules.referrals import refer
from services.ledger.domain.state.account import NO_BIRTHDAY, NO_PROGRAM, PROFILES
from services.ledger.domain.state.fact_keys import PROFILE
from services.ledger.domain.state.inputs import ProfileUpdated
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import AwardReason, Outcome
from services.ledger.domain.state.refs import OWN

BIRTHDAY_TRUE_UP: Final = "birthday-true-up"
"""The rule of entries that a birthday known late makes on orders booked already."""
_BIRTHDAY: Final = "birthday"
NOT_KEPT: Final = Micros(-1)
"""Of a registration that an older release did not keep the time of: it is that of the enrolment."""


class ProfileChange(msgspec.Struct, array_like=True):
    """Which profile fields one event filled and emptied, and the contents that `ProfileUpdated` has."""

    at: Micros
    source: str
    id: str
    filled: tuple[str, ...]
    emptied: tuple[str, ...]
    birthday: int = NO_BIRTHDAY
    referred_by: str = ""


class Profile(msgspec.Struct, array_like=True):
    """All changes of the profile, and the award that stands for its completion (D6).

    `registered_at` is the least time at which the member is told to have registered; `NOT_KEPT` in rows of an older
    release.
    """

    changes: list[ProfileChange] = []
    completed_at: Micros = NOT_YET
    points: int = 0
    day: Day = NO_DAY
    program: int = NO_PROGRAM
    registered_at: Micros = NOT_KEPT


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Profile).decode


def update_profile(posting: Posting, updated: ProfileUpdated) -> Outcome:
    """Book the completion of the profile (D6), and the enrolment of open membership (T10)."""
    own = posting.programs.at(updated.at)
    at = posting.member.account.count_from(PROFILES, updated.at, own.max_lateness)
    outcome = Outcome("booked")
    if updated.registers:
        details = posting.member.account.details
        details.registered_at = max(details.registered_at, updated.at)
    if updated.registers and own.open_membership:
        join(posting, at, outcome)
    if updated.filled or updated.emptied or updated.registers:
        _change_profile(posting, updated, at, outcome)
    return outcome


def _change_profile(posting: Posting, updated: ProfileUpdated, at: Micros, outcome: Outcome) -> None:
    """Keep a change of the profile, and book what it changes: completion, birthday, referrer."""
    member = posting.member
    raw = member.fact(PROFILE)
    profile = Profile(registered_at=NOT_YET) if raw is None else _decode(raw)
    if profile.registered_at == NOT_KEPT:
        profile.registered_at = member.account.details.enrolled_at or NOT_YET
    if updated.registers:
        profile.registered_at = min(at, profile.registered_at or at)
    if updated.filled or updated.emptied:
        profile.changes.append(
            ProfileChange(
                at, updated.source, updated.id, updated.filled, updated.emptied, updated.birthday, updated.referred_by
            )
        )
    profile.changes.sort(key=lambda change: (change.at, change.source, change.id))
    _book_completion(posting, profile, outcome)
    member.facts[PROFILE] = _encode(profile)
    _know_birthdays(posting, profile.changes, outcome)
    refer(posting, *_first_told_referrer(posting, profile))


def _first_told_referrer(posting: Posting, profile: Profile) -> tuple[str, Micros]:
    """F1: who was first told to have referred the member, and when; ("", `NOT_YET`) if nobody was.

    It is told with the registration, or at most so many local days later. Nobody refers himself, and the ledger's own
    accounts refer nobody.
    """
    for change in profile.changes:
        program = posting.programs.at(change.at)
        rule, day_of = program.referral, program.calendar.day_of
        if rule is None or not profile.registered_at or not change.referred_by:
            continue
        if change.referred_by == posting.member.account.member_id or change.referred_by.startswith(OWN):
            continue
        if day_of(change.at) <= day_of(profile.registered_at) + rule.within_days:
            return change.referred_by, change.at
    return "", NOT_YET


def _book_completion(posting: Posting, profile: Profile, outcome: Outcome) -> None:
    """D6: the award is due when, by business time, all fields of the rule were first filled together."""
    completed_at = _first_completed(profile.changes, posting.programs)
    if completed_at == profile.completed_at:
        return
    booked = _standing(posting, profile)
    profile.completed_at, profile.points = completed_at, 0
    if completed_at:
        program = posting.programs.at(completed_at)
        assert program.profile is not None
        rule = program.profile.award
        profile.points, profile.day = rule.points, program.calendar.day_of(completed_at)
        profile.program = program.number
        fields = len(program.profile.fields)
        outcome.reasons.append(AwardReason(rule.name, program.number, "", fields, rule.points))
    replace_award(posting, booked, _standing(posting, profile))


def _standing(posting: Posting, profile: Profile) -> StandingAward | None:
    if not profile.points:
        return None
    program = posting.programs.by_number[profile.program]
    assert program.profile is not None
    rule = program.profile.award
    return award_of(rule, profile.points, Cause(rule.name, PROFILE, profile.day, program))


def _first_completed(changes: list[ProfileChange], programs: ProgramVersions) -> Micros:
    """The first business time at which all fields that the rule names were filled together; `NOT_YET` = never."""
    filled: set[str] = set()
    for change in changes:
        filled.difference_update(change.emptied)
        filled.update(change.filled)
        rule = programs.at(change.at).profile
        if rule is not None and rule.fields <= filled:
            return change.at
    return NOT_YET


def _know_birthdays(posting: Posting, changes: list[ProfileChange], outcome: Outcome) -> None:
    """B2: true up orders that met another birthday than is known now, in whatever order the events came."""
    member, programs = posting.member, posting.programs
    birthdays = _birthdays_of(changes)
    before = member.account.details.birthdays
    if birthdays == before:
        return
    member.account.details.birthdays = birthdays
    changed = (pair for pair in zip_longest(before, birthdays) if pair[0] != pair[1])
    differs_from = min(each[0] for pair in changed for each in pair if each)
    refs = [
        ref
        for paid_at, ref in member.paid_after(differs_from)
        for rule in (programs.at(paid_at).order,)
        if rule.met(paid_at, "", before) != rule.met(paid_at, "", birthdays)
    ]
    outcome.reasons += true_up(posting, refs, BIRTHDAY_TRUE_UP)


def _birthdays_of(changes: list[ProfileChange]) -> list[tuple[Micros, int]]:
    birthdays: list[tuple[Micros, int]] = []
    for change in changes:
        emptied = _BIRTHDAY in change.emptied
        birthday = NO_BIRTHDAY if emptied else change.birthday
        if birthday != (birthdays[-1][1] if birthdays else NO_BIRTHDAY) and (birthday or emptied):
            birthdays.append((change.at, birthday))
    return birthdays


def forget_contents(member: Member, until: Micros) -> None:
    """Forget the birthdays and referrers that updates up to an instant named (Z1); which fields they filled stays."""
    details = member.account.details
    if (raw := member.fact(PROFILE)) is None:
        return
    profile = _decode(raw)
    named = {change.referred_by for change in profile.changes if change.at <= until}
    for change in profile.changes:
        if change.at <= until:
            change.birthday, change.referred_by = NO_BIRTHDAY, ""
    if profile.registered_at <= until:
        profile.registered_at = NOT_YET
    member.facts[PROFILE] = _encode(profile)
    details.birthdays = _birthdays_of(profile.changes)
    if details.referrer in named:
        details.referrer, details.referred = "", None
