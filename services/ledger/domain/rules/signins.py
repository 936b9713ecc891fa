"""Sign-ins: a reward for each local day, the streak of days in a row, and bought days that repair it (D1 to D5).

SQL: `facts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from services.kit.calendar import Day
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import award_of, change_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.fact_rules import FactRule
from services.ledger.domain.program.program import Program
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.account import SIGN_INS
from services.ledger.domain.state.fact_keys import REPAIRED_DAYS, SIGN_IN_RUNS
from services.ledger.domain.state.inputs import RepairStreak, SignedIn
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import AwardReason, Outcome
from services.ledger.domain.state.refs import repaired_day_ref, sign_in_ref, streak_ref

STREAK_REPAIR: Final = "make-up"
"""The rule of entries that pay for a day."""

Run = tuple[Day, Day]
"""First and last day of sign-ins on consecutive local dates."""


class AddedDay(NamedTuple):
    """What a new day changes: all runs as they are then, the runs that it joined, and the run that it is in."""

    runs: list[Run]
    joined: list[Run]
    run: Run

    @property
    def length(self) -> int:
        """The days of the run that the day is in."""
        return self.run[1] - self.run[0] + 1


_encode = msgspec.msgpack.Encoder().encode
_decode_runs = msgspec.msgpack.Decoder(list[Run]).decode
_decode_days = msgspec.msgpack.Decoder(list[Day]).decode


def sign_in(posting: Posting, signed_in: SignedIn) -> Outcome:
    """D2 to D5: one reward a local date; the streak is computed anew and its difference booked."""
    member, programs = posting.member, posting.programs
    at = member.account.count_from(SIGN_INS, signed_in.at, programs.at(signed_in.at).max_lateness)
    program = programs.at(at)
    day = program.calendar.day_of(at)
    runs = _runs(member)
    added = add_day(runs, day)
    if added is None:
        if not (programs.offer_streak_repairs and day in _repaired_days(member)):
            return Outcome("known", "this day's sign-in is told already")
        # The day was bought, and now turns out not to have been missed: its reward is due, the streak has it already.
        _forget_repair(member, day)
    outcome = Outcome("booked")
    if program.sign_in is not None:
        rule = program.sign_in.daily
        run = added.run if added is not None else next(run for run in runs if run[0] <= day <= run[1])
        _change_reward(posting, rule, rule.points, Cause(rule.name, sign_in_ref(day), day, program))
        length = run[1] - run[0] + 1
        outcome.reasons.append(AwardReason(rule.name, program.number, "", length, rule.points, rule.cap))
    if added is not None:
        _book_streak(posting, program, added, outcome)
    return outcome


def repair_streak(posting: Posting, command: RepairStreak) -> Outcome:
    """D4: a missed day is bought once, for the streak alone: it has no daily reward, unless its sign-in comes late."""
    member, program = posting.member, posting.programs.at(posting.now)
    rule = program.sign_in.streak_repair if program.sign_in is not None else None
    if rule is None:
        return refused("make_up_not_offered")
    today = program.calendar.day_of(posting.now)
    if not 0 < today - command.day <= rule.within_days:
        return refused("day_out_of_reach")
    added = add_day(_runs(member), command.day)
    if added is None:
        return refused("day_not_missed")
    if member.account.available < rule.cost:
        return refused("insufficient_points")
    posting.redeem(rule.cost, Cause(STREAK_REPAIR, repaired_day_ref(command.day), today, program))
    member.facts[REPAIRED_DAYS] = _encode(sorted([*_repaired_days(member), command.day]))
    outcome = Outcome("booked")
    _book_streak(posting, program, added, outcome)
    return outcome


def _runs(member: Member) -> list[Run]:
    raw = member.fact(SIGN_IN_RUNS)
    return [] if raw is None else _decode_runs(raw)


def _repaired_days(member: Member) -> list[Day]:
    raw = member.fact(REPAIRED_DAYS)
    return [] if raw is None else _decode_days(raw)


def _forget_repair(member: Member, day: Day) -> None:
    member.facts[REPAIRED_DAYS] = _encode([each for each in _repaired_days(member) if each != day])


def _change_reward(posting: Posting, rule: FactRule, points: int, cause: Cause) -> None:
    change_award(posting, award_of(rule, points, cause), points)


def _book_streak(posting: Posting, program: Program, added: AddedDay, outcome: Outcome) -> None:
    """Book what a new day changes of the steps that its run reaches (D5)."""
    programs = posting.programs
    posting.member.facts[SIGN_IN_RUNS] = _encode(added.runs)
    before: dict[Day, int] = {}
    for joined in added.joined:
        before.update(_steps(posting, program, joined))
    after = _steps(posting, program, added.run)
    for reached in sorted(before.keys() | after.keys()):
        change = after.get(reached, 0) - before.get(reached, 0)
        if change:
            then = programs.at(program.calendar.start_of(reached))
            assert then.sign_in is not None
            rule = then.sign_in.daily
            cause = Cause(rule.name, streak_ref(reached), reached, then)
            _change_reward(posting, rule, change, cause)
            outcome.reasons.append(AwardReason(rule.name, then.number, "", added.length, change, ref=cause.ref))


def _steps(posting: Posting, program: Program, run: Run) -> dict[Day, int]:
    """The steps of a run, each by the version in force when its day began."""
    reached: dict[Day, int] = {}
    for version in posting.programs.versions:
        if version.sign_in is not None:
            for day, points in steps_of(run, version.sign_in.steps, version.sign_in.cycle).items():
                if posting.programs.at(program.calendar.start_of(day)) is version:
                    reached[day] = points
    return reached


def add_day(runs: list[Run], day: Day) -> AddedDay | None:
    """What a sign-in on `day` changes of the runs; None if the day is in one of them already. Pure day arithmetic."""
    joined: list[Run] = []
    first = last = day
    rest: list[Run] = []
    for start, end in runs:
        if start <= day <= end:
            return None
        if end == day - 1 or start == day + 1:
            joined.append((start, end))
            first, last = min(first, start), max(last, end)
        else:
            rest.append((start, end))
    return AddedDay(sorted([*rest, (first, last)]), joined, (first, last))


def steps_of(run: Run, steps: Mapping[int, int], cycle: int) -> dict[Day, int]:
    """The days on which a run reaches a step, with its points; steps repeat each cycle (D5)."""
    reached: dict[Day, int] = {}
    if not cycle:
        return reached
    first, last = run
    for length, points in steps.items():
        for ordinal in range(first + length - 1, last + 1, cycle):
            day = Day(ordinal)
            reached[day] = reached.get(day, 0) + points
    return reached
