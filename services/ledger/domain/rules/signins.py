"""Sign-ins: a reward a local day, the streak that days in a row make, and days bought to mend it (D1 to D5)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import msgspec

from services.kit.calendar import Day
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import Program, ProgramVersions
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.account import SIGN_INS
from services.ledger.domain.state.inputs import RepairStreak, SignedIn
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import AwardReason, Outcome

Run = tuple[Day, Day]
"""First and last day of sign-ins on consecutive local dates."""

MAKE_UP = "make-up"
"""The rule of entries that pay for a day."""

_RUNS, _MADE_UP = "sign-ins", "made-up-days"
_encode = msgspec.msgpack.Encoder().encode
_decode_runs = msgspec.msgpack.Decoder(list[Run]).decode
_decode_days = msgspec.msgpack.Decoder(list[Day]).decode


def sign_in(member: Member, programs: ProgramVersions, moves: Posting, input_: SignedIn) -> Outcome:
    """D2 to D5: one reward a local date; the streak is recomputed and its difference booked."""
    own = programs.at(input_.at)
    at = member.account.count_from(SIGN_INS, input_.at, own.max_lateness)
    program = programs.at(at)
    day = program.calendar.day_of(at)
    added = add_day(_runs(member), day)
    if added is None and not _was_bought(member, programs, day):
        return Outcome("known", "this day's sign-in is told already")
    outcome = Outcome("booked")
    run = added[2] if added is not None else next(run for run in _runs(member) if run[0] <= day <= run[1])
    if program.sign_in is not None:
        rule = program.sign_in.daily
        award(member, moves, rule, rule.points, Cause(rule.name, _day_ref("sign-in", day), day, program))
        outcome.reasons.append(AwardReason(rule.name, program.number, "", run[1] - run[0] + 1, rule.points, rule.cap))
    if added is not None:
        _book_streak(member, programs, program, moves, added, outcome)
    return outcome


def repair_streak(member: Member, programs: ProgramVersions, moves: Posting, input_: RepairStreak) -> Outcome:
    """D4: a missed day is bought once, for the streak alone: it has no daily reward, unless its sign-in comes late."""
    program = programs.at(moves.now)
    rule = program.sign_in.repair_streak if program.sign_in is not None else None
    if rule is None:
        return refused("make_up_not_offered")
    missed_for = program.calendar.day_of(moves.now) - input_.day
    if not 0 < missed_for <= rule.within_days:
        return refused("day_out_of_reach")
    added = add_day(_runs(member), input_.day)
    if added is None:
        return refused("day_not_missed")
    if member.account.available < rule.cost:
        return refused("insufficient_points")
    today = program.calendar.day_of(moves.now)
    moves.redeem(rule.cost, Cause(MAKE_UP, _day_ref("made-up", input_.day), today, program))
    member.facts[_MADE_UP] = _encode(sorted([*_bought(member), input_.day]))
    outcome = Outcome("booked")
    _book_streak(member, programs, program, moves, added, outcome)
    return outcome


def _runs(member: Member) -> list[Run]:
    raw = member.fact(_RUNS)
    return [] if raw is None else _decode_runs(raw)


def _bought(member: Member) -> list[Day]:
    raw = member.fact(_MADE_UP)
    return [] if raw is None else _decode_days(raw)


def _was_bought(member: Member, programs: ProgramVersions, day: Day) -> bool:
    """Whether a day was made up that now turns out not to have been missed; it is so no longer."""
    if not programs.offer_streak_repairs:
        return False
    bought = _bought(member)
    if day not in bought:
        return False
    bought.remove(day)
    member.facts[_MADE_UP] = _encode(bought)
    return True


def _book_streak(
    member: Member,
    programs: ProgramVersions,
    program: Program,
    moves: Posting,
    added: tuple[list[Run], list[Run], Run],
    outcome: Outcome,
) -> None:
    """Book what a day more changes of the steps that its run reaches (D5)."""
    runs, joined, run = added
    member.facts[_RUNS] = _encode(runs)
    before: dict[Day, int] = {}
    for old in joined:
        before.update(_steps(programs, program, old))
    after = _steps(programs, program, run)
    for reached in sorted(before.keys() | after.keys()):
        change = after.get(reached, 0) - before.get(reached, 0)
        if change:
            then = programs.at(program.calendar.start_of(reached))
            assert then.sign_in is not None
            cause = Cause(then.sign_in.daily.name, _day_ref("streak", reached), reached, then)
            award(member, moves, then.sign_in.daily, change, cause)
            outcome.reasons.append(AwardReason(cause.rule, then.number, "", run[1] - run[0] + 1, change, ref=cause.ref))


def _steps(programs: ProgramVersions, program: Program, run: Run) -> dict[Day, int]:
    """The steps of a run, each by the version in force when its day began."""
    reached: dict[Day, int] = {}
    for version in programs.versions:
        if version.sign_in is not None:
            for day, points in steps_of(run, version.sign_in.steps, version.sign_in.cycle).items():
                if programs.at(program.calendar.start_of(day)) is version:
                    reached[day] = points
    return reached


def _day_ref(kind: str, day: Day) -> str:
    return f"{kind}:{date.fromordinal(day).isoformat()}"


def add_day(runs: list[Run], day: Day) -> tuple[list[Run], list[Run], Run] | None:
    """The runs after a sign-in on `day`, those it replaces, and the run it is in now; None if it was there already."""
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
    return sorted([*rest, (first, last)]), joined, (first, last)


def steps_of(run: Run, steps: Mapping[int, int], cycle: int) -> dict[Day, int]:
    """The days on which a run reaches a step, with its points; steps repeat each cycle (D5)."""
    reached: dict[Day, int] = {}
    if not cycle:
        return reached
    first, last = run
    for length, points in steps.items():
        for day in range(first + length - 1, last + 1, cycle):
            reached[day] = reached.get(day, 0) + points
    return reached
