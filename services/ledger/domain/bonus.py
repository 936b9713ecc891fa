"""The first-purchase bonus (R9): it stands while the member has a successful order.

It belongs to the order with which, in business time, the number of successful orders last rose from 0. Finding
that order needs all of a member's successes, so they are read only when the answer can have changed: while the
holder is successful, what begins after it cannot move it.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.kit.calendar import NEVER, Day, Micros
from services.ledger.domain.account import Bonus
from services.ledger.domain.member import Member, Success
from services.ledger.domain.moves import Cause, Moves
from services.ledger.domain.program import Program, Programs

_FOREVER = 2**63


def settle_bonus(
    member: Member, programs: Programs, moves: Moves, changed: str, before: tuple[Micros, Micros], moved: bool
) -> None:
    """Book the bonus anew after the success of order `changed` moved on from `before` (since, until).

    `moved`: its paid date, and with it its lot, is another than what was booked.
    """
    order = member.orders[changed]
    after = (order.success_from, order.success_until)
    details = member.account.details
    holder = details.bonus
    if before == after and not (moved and after[0]):
        return
    if holder is not None and holder.order != changed and holder.stands and _later(before, holder, after):
        return
    if holder is None and not details.had_success and after[0]:
        # The member's first success ever: nothing to look up.
        rises = [Success(changed, order.paid_at, *after)]
    else:
        rises = member.successes()
    details.had_success = details.had_success or bool(after[0])
    _move(member, programs, moves, holding(rises, programs))


def _later(before: tuple[Micros, Micros], holder: Bonus, after: tuple[Micros, Micros]) -> bool:
    return all(not success[0] or success[0] > holder.since for success in (before, after))


def holding(successes: Iterable[Success], programs: Programs) -> tuple[Success, Day] | None:
    """The success that holds the bonus and its lot's day; None while there is no successful order."""
    ordered = sorted(successes, key=lambda success: (success.since, success.paid_at, success.order))
    holder: Success | None = None
    lot_day = 0
    until = 0
    for success in ordered:
        if holder is None or success.since > until:
            rise_day = _lot_day(programs, success)
            # A lot whose day was over when the number fell to 0 is kept: a refund refreshes no expired bonus.
            calendar = programs.at(success.paid_at).calendar
            if holder is None or lot_day == NEVER or until < calendar.end_of(lot_day):
                lot_day = rise_day
            holder = success
            until = success.until or _FOREVER
        else:
            until = max(until, success.until or _FOREVER)
    return (holder, lot_day) if holder is not None and until == _FOREVER else None


def _lot_day(programs: Programs, success: Success) -> Day:
    program = programs.at(success.paid_at)
    return program.order_lot_day(program.calendar.day_of(success.paid_at))


def _move(member: Member, programs: Programs, moves: Moves, holder: tuple[Success, Day] | None) -> None:
    details = member.account.details
    booked = details.bonus
    due = _bonus(programs, holder)
    details.bonus = due
    if booked is not None and due is not None and (booked.points, booked.lot_day) == (due.points, due.lot_day):
        return
    if booked is not None and booked.points:
        program = programs.at(booked.paid_at)
        moves.claim(booked.lot_day, booked.points, booked.order, _cause(program, booked))
    if due is not None and due.points:
        moves.award(due.lot_day, due.points, _cause(programs.at(due.paid_at), due))


def _bonus(programs: Programs, holder: tuple[Success, Day] | None) -> Bonus | None:
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


def _cause(program: Program, bonus: Bonus) -> Cause:
    return Cause(bonus.rule, bonus.order, program.calendar.day_of(bonus.since), program)
