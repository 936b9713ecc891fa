"""Sign-ins: a reward a local day, the streak that days in a row make, and days bought to mend it (D1 to D5)."""

from __future__ import annotations

from datetime import date

import msgspec

from services.kit.calendar import Day
from services.ledger.domain.account import SIGN_INS
from services.ledger.domain.facts import award
from services.ledger.domain.inputs import MakeUpDay, SignedIn
from services.ledger.domain.member import Member
from services.ledger.domain.moves import Moves
from services.ledger.domain.outcome import Outcome, Reason
from services.ledger.domain.program import Program, Programs
from services.ledger.domain.purse import Cause
from services.ledger.domain.refusals import refused
from services.ledger.domain.streaks import Run, add_day, steps_of

MAKE_UP = "make-up"
"""The rule of entries that pay for a day."""

_RUNS, _MADE_UP = "sign-ins", "made-up-days"
_encode = msgspec.msgpack.Encoder().encode
_decode_runs = msgspec.msgpack.Decoder(list[Run]).decode
_decode_days = msgspec.msgpack.Decoder(list[Day]).decode


def sign_in(member: Member, programs: Programs, moves: Moves, given: SignedIn) -> Outcome:
    """D2 to D5: one reward a local date; the streak is recomputed and its difference booked."""
    own = programs.at(given.at)
    at = member.account.count_from(SIGN_INS, given.at, own.max_lateness)
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
        outcome.reasons.append(Reason(rule.name, program.number, "", run[1] - run[0] + 1, rule.points, rule.cap))
    if added is not None:
        _book_streak(member, programs, program, moves, added, outcome)
    return outcome


def make_up(member: Member, programs: Programs, moves: Moves, given: MakeUpDay) -> Outcome:
    """D4: a missed day is bought once, for the streak alone: it has no daily reward, unless its sign-in comes late."""
    program = programs.at(moves.now)
    rule = program.sign_in.make_up if program.sign_in is not None else None
    if rule is None:
        return refused("make_up_not_offered")
    missed_for = program.calendar.day_of(moves.now) - given.day
    if not 0 < missed_for <= rule.within_days:
        return refused("day_out_of_reach")
    added = add_day(_runs(member), given.day)
    if added is None:
        return refused("day_not_missed")
    if member.account.available < rule.cost:
        return refused("insufficient_points")
    today = program.calendar.day_of(moves.now)
    moves.redeem(rule.cost, Cause(MAKE_UP, _day_ref("made-up", given.day), today, program))
    member.facts[_MADE_UP] = _encode(sorted([*_bought(member), given.day]))
    outcome = Outcome("booked")
    _book_streak(member, programs, program, moves, added, outcome)
    return outcome


def _runs(member: Member) -> list[Run]:
    raw = member.fact(_RUNS)
    return [] if raw is None else _decode_runs(raw)


def _bought(member: Member) -> list[Day]:
    raw = member.fact(_MADE_UP)
    return [] if raw is None else _decode_days(raw)


def _was_bought(member: Member, programs: Programs, day: Day) -> bool:
    """Whether a day was made up that now turns out not to have been missed; it is so no longer."""
    if not programs.offer_make_up:
        return False
    bought = _bought(member)
    if day not in bought:
        return False
    bought.remove(day)
    member.facts[_MADE_UP] = _encode(bought)
    return True


def _book_streak(
    member: Member,
    programs: Programs,
    program: Program,
    moves: Moves,
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
            outcome.reasons.append(Reason(cause.rule, then.number, "", run[1] - run[0] + 1, change, ref=cause.ref))


def _steps(programs: Programs, program: Program, run: Run) -> dict[Day, int]:
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
