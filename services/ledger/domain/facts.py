"""Facts other than orders and sign-ins, and what they award: reviews, activities, the profile, joining.

What is known of a fact is kept for ever under its business key, so the same fact told under another event id
books nothing (O2).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from typing import Final

import msgspec

from services.kit.calendar import Day, Micros
from services.ledger.domain.account import ACTIVITIES, PROFILES, REVIEWS
from services.ledger.domain.booking import true_up
from services.ledger.domain.caps import change_award, change_pool
from services.ledger.domain.inputs import (
    ActivityRecorded,
    Enrolled,
    ProfileTold,
    ReviewPublished,
    ReviewRemoved,
)
from services.ledger.domain.member import Member
from services.ledger.domain.moves import Moves
from services.ledger.domain.outcome import Outcome, Reason
from services.ledger.domain.program import FactRule, Programs
from services.ledger.domain.purse import Cause
from services.ledger.domain.referrals import refer

BIRTHDAY_TRUE_UP: Final = "birthday-true-up"
"""The rule of entries that a birthday told late makes on orders booked already."""


class Told(msgspec.Struct, array_like=True):
    """A fact as the least of its tellings told it (O2), and what was awarded for it before any cap."""

    at: Micros = 0
    source: str = ""
    id: str = ""
    removed: bool = False
    points: int = 0
    day: Day = 0
    program: int = 0


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
_decode_told = msgspec.msgpack.Decoder(Told).decode
_decode_profile = msgspec.msgpack.Decoder(Profile).decode


def publish_review(member: Member, programs: Programs, moves: Moves, given: ReviewPublished) -> Outcome:
    """A published review earns once, unless it is removed, before or after (N3)."""
    own = programs.at(given.at)
    at = member.account.count_from(REVIEWS, given.at, own.max_lateness)
    rule = programs.at(at).review
    return _tell(member, programs, moves, f"review:{given.review_id}", given, at, rule)


def remove_review(member: Member, programs: Programs, moves: Moves, given: ReviewRemoved) -> Outcome:
    """`removed` is final for its review, also before `published` (N3)."""
    key = f"review:{given.review_id}"
    raw = member.fact(key)
    told = Told() if raw is None else _decode_told(raw)
    if told.removed:
        return Outcome("known", "this review is removed already")
    outcome = Outcome("booked")
    if told.points:
        program = programs.by_number[told.program]
        assert program.review is not None
        award(member, moves, program.review, -told.points, Cause(program.review.name, key, told.day, program))
    told.removed, told.points = True, 0
    member.facts[key] = _encode(told)
    return outcome


def record_activity(member: Member, programs: Programs, moves: Moves, given: ActivityRecorded) -> Outcome:
    """A favourite, a game, …: once for each activity_id."""
    own = programs.at(given.at)
    at = member.account.count_from(ACTIVITIES, given.at, own.max_lateness)
    rule = programs.at(at).activities.get(given.activity)
    return _tell(member, programs, moves, f"{given.activity}:{given.activity_id}", given, at, rule, given.units)


def _tell(
    member: Member,
    programs: Programs,
    moves: Moves,
    key: str,
    given: ReviewPublished | ActivityRecorded,
    at: Micros,
    rule: FactRule | None,
    units: str = "1",
) -> Outcome:
    """O2: of two tellings of a fact, the one that counts from the least time holds; the difference is booked."""
    raw = member.fact(key)
    told = Told() if raw is None else _decode_told(raw)
    if told.at and (told.at, told.source, told.id) <= (at, given.source, given.id):
        return Outcome("known", "this fact is told already")
    program = programs.at(at)
    day = program.calendar.day_of(at)
    points = 0 if told.removed or rule is None else rule.award(units)
    outcome = Outcome("booked")
    if rule is not None:
        outcome.reasons.append(Reason(rule.name, program.number, "", int(Fraction(units)), points, rule.cap))
    booked = _standing(programs, told.program, key, told.points, told.day)
    _replace(member, moves, booked, _standing(programs, program.number, key, points, day))
    told.at, told.source, told.id = at, given.source, given.id
    told.points, told.day, told.program = points, day, program.number
    member.facts[key] = _encode(told)
    return outcome


def _standing(programs: Programs, program: int, key: str, points: int, day: Day) -> _Standing | None:
    """The award of a review or an activity under a program version; None where nothing stands."""
    if not points:
        return None
    version, kind = programs.by_number[program], key.partition(":")[0]
    rule = version.review if kind == "review" else version.activities[kind]
    assert rule is not None
    return _Standing(rule, points, Cause(rule.name, key, day, version))


def tell_profile(member: Member, programs: Programs, moves: Moves, given: ProfileTold) -> Outcome:
    """D6, and the enrolment of open membership (T10)."""
    own = programs.at(given.at)
    at = member.account.count_from(PROFILES, given.at, own.max_lateness)
    outcome = Outcome("booked")
    if given.registers and own.open_membership:
        _join(member, programs, moves, at, outcome)
    if given.filled or given.emptied:
        _fill_profile(member, programs, moves, given, at, outcome)
    return outcome


def _fill_profile(
    member: Member, programs: Programs, moves: Moves, given: ProfileTold, at: Micros, outcome: Outcome
) -> None:
    raw = member.fact("profile")
    profile = Profile() if raw is None else _decode_profile(raw)
    profile.changes.append(
        ProfileChange(at, given.source, given.id, given.filled, given.emptied, given.birthday, given.referred_by)
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
            outcome.reasons.append(Reason(rule.name, program.number, "", len(program.profile.fields), rule.points))
        _replace(member, moves, booked, _completion(programs, profile))
    member.facts["profile"] = _encode(profile)
    _know_birthdays(member, programs, moves, profile.changes, outcome)
    # Who is told to have referred a member first, did; nobody refers himself.
    nobody = ("", member.account.member_id)
    referrers = [change.referred_by for change in profile.changes if change.referred_by not in nobody]
    refer(member, programs, moves, next(iter(referrers), ""))


def _know_birthdays(
    member: Member, programs: Programs, moves: Moves, changes: list[ProfileChange], outcome: Outcome
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


def _completion(programs: Programs, profile: Profile) -> _Standing | None:
    if not profile.points:
        return None
    program = programs.by_number[profile.program]
    assert program.profile is not None
    rule = program.profile.award
    return _Standing(rule, profile.points, Cause(rule.name, "profile", profile.day, program))


def _first_completed(changes: list[ProfileChange], programs: Programs) -> Micros:
    """The first business time at which all fields that the rule names were filled together; 0 = never."""
    filled: set[str] = set()
    for change in changes:
        filled.difference_update(change.emptied)
        filled.update(change.filled)
        rule = programs.at(change.at).profile
        if rule is not None and rule.fields <= filled:
            return change.at
    return 0


def enrol(member: Member, programs: Programs, moves: Moves, given: Enrolled) -> Outcome:
    """Tiering enrolled the member, by a call or by `registered`: the joining gift, once (T10)."""
    outcome = Outcome("booked")
    return outcome if _join(member, programs, moves, given.at, outcome) else Outcome("known", "enrolled already")


def _join(member: Member, programs: Programs, moves: Moves, at: Micros, outcome: Outcome) -> bool:
    details = member.account.details
    if details.enrolled_at is not None and details.enrolled_at <= at:
        return False
    details.enrolled_at = at
    program = programs.at(at)
    day, rule = program.calendar.day_of(at), program.joining
    booked = details.joining_gift
    due = None if rule is None else (rule.name, rule.points, program.lot_day(day))
    details.joining_gift = due
    if booked == due:
        return True
    if booked is not None:
        change_award(moves, booked[2], -booked[1], Cause(booked[0], "joining", day, program))
    if due is not None:
        change_award(moves, due[2], due[1], Cause(due[0], "joining", day, program))
        outcome.reasons.append(Reason(due[0], program.number, "", 1, due[1]))
    return True


@dataclass(frozen=True, slots=True)
class _Standing:
    """An award as it stands or should, before any cap."""

    rule: FactRule
    points: int
    cause: Cause

    @property
    def place(self) -> tuple[str, int, Day]:
        """The rule and the lot, or the version and day of the pool, that it is in."""
        program, day = self.cause.program, self.cause.day
        if self.rule.cap is None:
            return self.rule.name, 0, program.lot_day(day)
        return self.rule.name, program.number, day


def _replace(member: Member, moves: Moves, booked: _Standing | None, due: _Standing | None) -> None:
    """Book the difference between two awards of one fact; what moves elsewhere is claimed there and awarded here."""
    if booked is not None and due is not None and booked.place == due.place:
        award(member, moves, due.rule, due.points - booked.points, due.cause)
        return
    if booked is not None:
        award(member, moves, booked.rule, -booked.points, booked.cause)
    if due is not None:
        award(member, moves, due.rule, due.points, due.cause)


def award(member: Member, moves: Moves, rule: FactRule, points: int, cause: Cause) -> None:
    """Award (or, negative, take back) a fact's points in its day's lot, through the rule's cap if it has one."""
    lot_day = cause.program.lot_day(cause.day)
    if rule.cap is None:
        change_award(moves, lot_day, points, cause)
    elif points:
        change_pool(
            member, moves, rule=rule.name, cap=rule.cap, program=cause.program.number, day=cause.day, lot_day=lot_day,
            total=points, confirmed=points, cause=cause,
        )  # fmt: skip
