"""The first-purchase bonus (R9): it stands while the member has a successful order.

It belongs to the order with which, in business time, the number of successful orders last rose from 0. To find that
order takes all of a member's successes, so they are read only when the answer can have changed: while the holder is
successful, an order whose success begins later cannot take the bonus over.

SQL: `successes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.kit.calendar import END_OF_TIME, NEVER, NO_DAY, NOT_YET, Day, Micros
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import StandingAward, replace_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.referrals import settle_referral
from services.ledger.domain.state.account import Bonus
from services.ledger.domain.state.entries import SLIDING
from services.ledger.domain.state.loaded import Success


class SuccessChange(NamedTuple):
    """The success of an order, (since, until), before its facts were assessed anew.

    `moved`: its paid date, and with it its lot, is another than what was booked.
    """

    order: str
    before: tuple[Micros, Micros]
    moved: bool


def settle_bonus(posting: Posting, changes: Sequence[SuccessChange]) -> None:
    """Book the bonus anew after the success of some orders may have changed."""
    member = posting.member
    details, holder = member.account.details, member.account.details.bonus
    known: list[Success] = []
    settled = True
    for ref, before, moved in changes:
        order = member.orders[ref]
        after = (order.success_from, order.success_until)
        if before == after and not (moved and after[0]):
            continue
        if after[0]:
            known.append(Success(ref, order.paid_at, *after))
        later = holder is not None and holder.order != ref and holder.stands and _later(before, holder, after)
        settled = settled and later
    if settled:
        return
    # Before a member's first success ever there is nothing to read.
    successes = known if holder is None and not details.had_success else member.successes()
    details.had_success = details.had_success or bool(known)
    _move_bonus(posting, holding(successes, posting.programs))
    settle_referral(posting)


def _later(before: tuple[Micros, Micros], holder: Bonus, after: tuple[Micros, Micros]) -> bool:
    return all(not success[0] or success[0] > holder.since for success in (before, after))


def holding(successes: Iterable[Success], programs: ProgramVersions) -> tuple[Success, Day] | None:
    """The success that holds the bonus and its lot's day; None while there is no successful order."""
    ordered = sorted(successes, key=lambda success: (success.since, success.paid_at, success.order))
    holder: Success | None = None
    lot_day = NO_DAY
    until = NOT_YET
    for success in ordered:
        if holder is None or success.since > until:
            # A lot whose day was past when the number fell to 0 is kept: a refund refreshes no expired bonus.
            calendar = programs.at(success.paid_at).calendar
            if holder is None or lot_day in (NEVER, SLIDING) or until < calendar.end_of(lot_day):
                lot_day = _lot_day(programs, success)
            holder = success
            until = success.until or END_OF_TIME
        else:
            until = max(until, success.until or END_OF_TIME)
    return (holder, lot_day) if holder is not None and until == END_OF_TIME else None


def _lot_day(programs: ProgramVersions, success: Success) -> Day:
    program = programs.at(success.paid_at)
    return program.order_lot_day(program.calendar.day_of(success.paid_at))


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
