"""Referrals (F1 to F4): points for both sides, while the referred member has a successful order of the least spend.

Each side is booked on its own account. When a referral is due, the referred member's account tells the referrer's,
which books its side and answers; only then the referred side is booked. So neither side has points where the referrer
is nobody whom the ledger knows, or where two refer each other and the other was told earlier. What a referrer's account
is told before anything else is known of it waits, and is let go after `park_days`.

SQL: `facts`, `orders_paid_after`.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Final

import msgspec

from services.kit.calendar import (
    MICROS_PER_SECOND,
    NOT_YET,
    Day,
    Micros,
    add_months,
    first_of_month,
    later,
)
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import StandingAward, replace_award
from services.ledger.domain.posting.caps import Limit
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import Program, ProgramVersions
from services.ledger.domain.rules.successes import (
    Holder,
    SuccessChange,
    all_successes,
    changed_successes,
    holding,
    span_for_referral,
)
from services.ledger.domain.state.account import NO_PROGRAM, Account, Award, Details, Referred
from services.ledger.domain.state.fact_keys import cap_key, referral_key
from services.ledger.domain.state.loaded import Success
from services.ledger.domain.state.messages import ReferralAnswered, ReferralReceived
from services.ledger.domain.state.outcome import SOURCE, AwardReason, Message, Outcome, Referral

REFERRED = "referral"
"""What the entries of the referred side are about."""

REFERRER_UNKNOWN: Final = "referrer_unknown"
"""Why a referral gives nothing: nothing came to be known of the referrer in time (F3). Also the alarm about it."""
REFERS_BACK: Final = "refers_back"
"""Why a referral gives nothing: the two refer each other, and the other referral was told earlier (F1)."""

_MICROS_PER_DAY: Final = 86_400 * MICROS_PER_SECOND


class _KnownReferral(msgspec.Struct, array_like=True):
    """What the referrer's account knows of one member it referred: the newest message (`seen`), and what is booked.

    The message says since when the member has a successful order, under which program version (`NO_PROGRAM`: it has
    none), and when the referral was told. `waits` until an instant: nothing is known of the referrer yet. `let_go`:
    nothing came to be known in time.
    """

    seen: int
    award: Award | None = None
    since: Micros = NOT_YET
    program: int = NO_PROGRAM
    told_at: Micros = NOT_YET
    waits: Micros = NOT_YET
    let_go: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_KnownReferral).decode


# The referred member's side


def refer(posting: Posting, referrer: str, told_at: Micros) -> None:
    """Keep by whom, and since when, the member is told to be referred ("": by nobody), and book what that changes."""
    account = posting.member.account
    details, before = account.details, _referred(account.details)
    if (details.referrer, NOT_YET if before is None else before.told_at) == (
        referrer,
        told_at if referrer else NOT_YET,
    ):
        return
    if not details.referrer and details.referral is not None:
        return  # Who referred the member was forgotten, and what is booked for it stands (Z1).
    old, details.referrer = details.referrer, referrer
    if referrer != old:
        if before is not None and before.order:
            posting.referrals.append(Referral(old, NOT_YET, NO_PROGRAM))
        _book_referred(posting, None)
        before = None
    details.referred = None if not referrer else before or Referred(told_at)
    if details.referred is not None:
        details.referred.told_at = told_at
        _look_at_all_orders(posting, details.referred)
    for other in sorted({old, referrer} - {""}):
        _assess_again(posting, other)


def settle_referral(posting: Posting, changes: Sequence[SuccessChange]) -> None:
    """Book the referral anew after the success of some orders may have changed (F2, F4)."""
    member, programs = posting.member, posting.programs
    referred = _referred(member.account.details)
    if referred is None or referred.too_late:
        return
    if any(member.orders[change.order].paid_at < referred.told_at for change in changes):
        referred.too_late = True
        _become_due(posting, referred, None)
        return
    holder = Holder(referred.order, referred.since, referred.stands) if referred.order else None
    changed = [(change.order, change.for_referral, change.moved) for change in changes]
    known, may_have_moved = changed_successes(member, programs, changed, span_for_referral, holder)
    if not may_have_moved:
        return
    # Before the first such success ever there is nothing to read.
    has_older = holder is not None or referred.had_success
    successes = all_successes(member, programs, span_for_referral) if has_older else known
    referred.had_success = referred.had_success or bool(known)
    _become_due(posting, referred, holding(successes, programs))


def receive_answer(posting: Posting, answered: ReferralAnswered) -> Outcome:
    """The referrer's account stands for the referral, or not any more, and says why."""
    details = posting.member.account.details
    referred = _referred(details)
    newest = (0, 0) if referred is None else (referred.asked, referred.answered)
    if referred is None or details.referrer != answered.referrer or (answered.seen, answered.version) <= newest:
        return Outcome("known", "something newer is told already")
    if answered.seen != referred.asked:
        return Outcome("known", "something newer was asked")
    referred.answered, referred.granted = answered.version, answered.granted
    outcome = Outcome("booked", answered.why)
    award = _due_award(posting.programs, referred)
    _book_referred(posting, award)
    if award is not None:
        outcome.reasons.append(AwardReason(award.rule, award.program, "", 1, award.points))
    return outcome


def _referred(details: Details) -> Referred | None:
    """How the referral of a member stands; of an account of an older release as if told at no time, and granted."""
    if details.referrer and details.referred is None:
        details.referred = Referred(NOT_YET, had_success=details.had_success)
        if details.referral is not None and details.bonus is not None:
            bonus, booked = details.bonus, details.referral
            details.referred = Referred(
                NOT_YET, False, True, bonus.order, bonus.since, booked.program, booked.lot_day, bonus.stands,
                granted=True,
            )  # fmt: skip
    return details.referred


def _look_at_all_orders(posting: Posting, referred: Referred) -> None:
    """Decide anew whether a referral is due, of all orders that are known: when it was told is news."""
    member, programs = posting.member, posting.programs
    paid = member.paid_after(NOT_YET)
    referred.too_late = any(paid_at < referred.told_at for paid_at, _ in paid)
    successes = all_successes(member, programs, span_for_referral) if paid and not referred.too_late else []
    referred.had_success = referred.had_success or bool(successes)
    _become_due(posting, referred, holding(successes, programs), asks_anew=True)


def _become_due(
    posting: Posting, referred: Referred, holder: tuple[Success, Day] | None, *, asks_anew: bool = False
) -> None:
    """Keep with which order a referral is due (None: it is not), tell the referrer's account, and book what stands."""
    before = (referred.order != "", referred.since, referred.program)
    if holder is None:
        referred.order, referred.since, referred.program, referred.stands = "", NOT_YET, NO_PROGRAM, False
    else:
        success, referred.lot_day = holder
        referred.order, referred.since, referred.stands = success.order, success.since, not success.until
        referred.program = posting.programs.at(success.paid_at).number
    after = (referred.order != "", referred.since, referred.program)
    if after != before or (asks_anew and referred.order):
        referred.asked, referred.answered = posting.version, 0
        referred.granted = referred.granted and holder is not None
        posting.referrals.append(
            Referral(posting.member.account.details.referrer, referred.since, referred.program, referred.told_at)
        )
    _book_referred(posting, _due_award(posting.programs, referred))


def _due_award(programs: ProgramVersions, referred: Referred) -> Award | None:
    if not (referred.order and referred.granted):
        return None
    program = programs.by_number[referred.program]
    assert program.referral is not None
    day = program.calendar.day_of(referred.since)
    return Award(program.referral.name, program.referral.referred, referred.lot_day, day, program.number)


def _book_referred(posting: Posting, due: Award | None) -> None:
    details = posting.member.account.details
    booked, details.referral = details.referral, due
    if booked != due:
        replace_award(posting, _standing(posting, booked), _standing(posting, due))


def _standing(posting: Posting, award: Award | None) -> StandingAward | None:
    if award is None:
        return None
    cause = Cause(award.rule, REFERRED, award.day, posting.programs.by_number[award.program])
    return StandingAward(award.points, award.lot_day, cause, (award.lot_day,))


# The referrer's side


def receive_referral(posting: Posting, received: ReferralReceived) -> Outcome:
    """A member whom this one referred has a successful order, or has none any more."""
    member, details = posting.member, posting.member.account.details
    raw = member.fact(referral_key(received.member))
    before = _KnownReferral(0) if raw is None else _decode(raw)
    if received.seen <= before.seen:
        return Outcome("known", "something newer is told already")
    if member.account.version == 0:
        details.stranger = True
    _wait_no_longer(details, received.member)
    told = _KnownReferral(received.seen, before.award, received.at, received.stands_under, received.told_at)
    if details.stranger and received.stands_under:
        told.waits = later(posting.now, posting.programs.at(posting.now).park_days * _MICROS_PER_DAY)
        insort(details.waiting_referrals, (told.waits, received.member))
        member.account.due_by(told.waits)
        member.facts[referral_key(received.member)] = _encode(told)
        return Outcome("parked", "waits for the referrer to be known")
    outcome = Outcome("booked")
    if (reason := _assess(posting, received.member, told)) is not None:
        outcome.reasons.append(reason)
    return outcome


def become_known(posting: Posting) -> None:
    """Something else than who names it as referrer came to be known of this account: judge what has waited (F3)."""
    details = posting.member.account.details
    details.stranger = False
    waiting, details.waiting_referrals = details.waiting_referrals, []
    posting.member.want_facts(referral_key(referred) for _, referred in waiting)
    for _, referred in waiting:
        _assess(posting, referred, _told(posting, referred))


def let_go_of_strangers(posting: Posting) -> None:
    """Let go of the messages that have waited `park_days` for the referrer to be known (F3)."""
    details = posting.member.account.details
    while details.waiting_referrals and details.waiting_referrals[0][0] <= posting.now:
        _, referred = details.waiting_referrals.pop(0)
        told = _told(posting, referred)
        told.waits, told.let_go = NOT_YET, True
        _answer(posting, referred, told, REFERRER_UNKNOWN)
        posting.member.facts[referral_key(referred)] = _encode(told)
        if REFERRER_UNKNOWN not in posting.alarms:
            posting.alarms.append(REFERRER_UNKNOWN)


def _assess_again(posting: Posting, referred: str) -> None:
    """Who refers this account has changed, and with it perhaps whether it stands for a member whom it referred."""
    raw = posting.member.fact(referral_key(referred))
    if raw is None:
        return
    told = _decode(raw)
    if told.program and not told.waits and not told.let_go:
        _assess(posting, referred, told)


def _assess(posting: Posting, referred: str, told: _KnownReferral) -> AwardReason | None:
    """Book what a message comes to on the referrer's side, and answer one that asks; how the points came about."""
    told.waits = NOT_YET
    refers_back = _is_told_earlier(posting.member.account, referred, told)
    booked, due, reason = told.award, None, None
    if told.program and not refers_back:
        program = posting.programs.by_number[told.program]
        rule = program.referral
        assert rule is not None
        day = program.calendar.day_of(told.since)
        due = Award(rule.name, rule.referrer, _lot_day(program, day), day, program.number)
        reason = AwardReason(rule.name, program.number, "", 1, rule.referrer, rule.month_cap)
    told.award = due
    replace_award(posting, _standing_of(posting, referred, booked), _standing_of(posting, referred, due))
    if told.program:
        _answer(posting, referred, told, REFERS_BACK if refers_back else "")
    posting.member.facts[referral_key(referred)] = _encode(told)
    return reason


def _answer(posting: Posting, referred: str, told: _KnownReferral, why: str) -> None:
    member = posting.member.account.member_id
    answer_id = f"{member}:{posting.version}:referral-answer"
    answer = ReferralAnswered(SOURCE, answer_id, posting.now, member, not why, why, told.seen, posting.version)
    posting.referral_answers[referred] = Message(referred, answer)


def _is_told_earlier(account: Account, referred: str, told: _KnownReferral) -> bool:
    """F1: whether the two refer each other, and who refers this account was told earlier (ties: the member's id)."""
    own = account.details.referred
    if account.details.referrer != referred or own is None or not (own.told_at and told.told_at):
        return False
    return (own.told_at, account.member_id) < (told.told_at, referred)


def _told(posting: Posting, referred: str) -> _KnownReferral:
    raw = posting.member.fact(referral_key(referred))
    assert raw is not None
    return _decode(raw)


def _wait_no_longer(details: Details, referred: str) -> None:
    details.waiting_referrals = [each for each in details.waiting_referrals if each[1] != referred]


def _lot_day(program: Program, day: Day) -> Day:
    """The lot of the referrer's points: the day's or, where a month's are capped together, that of the month's end."""
    assert program.referral is not None
    if program.referral.month_cap is None:
        return program.lot_day(day)
    return program.lot_day(Day(add_months(first_of_month(day), 1) - 1))


def _standing_of(posting: Posting, referred: str, award: Award | None) -> StandingAward | None:
    """The referrer's award for a member, through the pool of its month if the rule has a cap (F3)."""
    if award is None:
        return None
    program = posting.programs.by_number[award.program]
    assert program.referral is not None
    cause = Cause(award.rule, referral_key(referred), award.day, program)
    cap = program.referral.month_cap
    if cap is None:
        return StandingAward(award.points, award.lot_day, cause, (award.lot_day,))
    month = first_of_month(award.day)
    limit = Limit(cap_key(award.rule, program.number, month), cap)
    return StandingAward(award.points, award.lot_day, cause, (award.rule, program.number, month), limit)
