"""The first-purchase bonus (R9): it stands while the member has a successful order, of a least spend if that is asked.

It belongs to the order with which, in business time, the number of these orders last rose from 0. To find that order
takes all of a member's successes, so they are read only when the answer can have changed: while the holder is
successful, an order whose success begins later cannot take the bonus over.

SQL: `successes`.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.kit.calendar import Day
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import StandingAward, replace_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.successes import (
    Holder,
    SuccessChange,
    all_successes,
    changed_successes,
    holding,
    span_for_bonus,
)
from services.ledger.domain.state.account import Bonus
from services.ledger.domain.state.loaded import Success


def settle_bonus(posting: Posting, changes: Sequence[SuccessChange]) -> None:
    """Book the bonus anew after the success of some orders may have changed."""
    member, programs = posting.member, posting.programs
    details, bonus = member.account.details, member.account.details.bonus
    holder = None if bonus is None else Holder(bonus.order, bonus.since, bonus.stands)
    changed = [(change.order, change.for_bonus, change.moved) for change in changes]
    known, may_have_moved = changed_successes(member, programs, changed, span_for_bonus, holder)
    if not may_have_moved:
        return
    # Before a member's first success ever there is nothing to read.
    if holder is None and not details.had_success:
        successes = known
    elif programs.bonus_asks_for_spend:
        successes = all_successes(member, programs, span_for_bonus)
    else:
        successes = member.successes()
    details.had_success = details.had_success or bool(known)
    _move_bonus(posting, holding(successes, programs))


def _move_bonus(posting: Posting, holder: tuple[Success, Day] | None) -> None:
    """Let a success hold the bonus from now on, in the lot of a day."""
    details = posting.member.account.details
    booked, due = details.bonus, _bonus(posting.programs, holder)
    details.bonus = due
    replace_award(
        posting,
        None if booked is None else _standing(posting, booked),
        None if due is None else _standing(posting, due),
    )


def _bonus(programs: ProgramVersions, holder: tuple[Success, Day] | None) -> Bonus | None:
    if holder is None:
        return None
    success, lot_day = holder
    rule = programs.at(success.paid_at).first_order
    return Bonus(
        order=success.order,
        since=success.since,
        paid_at=success.paid_at,
        points=rule.points if rule else 0,
        lot_day=lot_day,
        rule=rule.name if rule else "",
        stands=not success.until,
    )


def _standing(posting: Posting, bonus: Bonus) -> StandingAward:
    program = posting.programs.at(bonus.paid_at)
    cause = Cause(bonus.rule, bonus.order, program.calendar.day_of(bonus.since), program, award=bonus.rule)
    return StandingAward(bonus.points, bonus.lot_day, cause, (bonus.lot_day,))
