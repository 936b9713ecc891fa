"""While which orders a member has a success that counts: for the first-purchase bonus (R9), for a referral (F2).

An order is successful from an instant until another (O8). For a rule that asks for a least spend it is so only while
the qualifying amount, which is net of points and refunds, is not below that. The amount never rises after the success,
so what a rule asks for only brings the end forward.

SQL: `successes`, `orders`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from services.kit.calendar import END_OF_TIME, NEVER, NO_DAY, NOT_YET, Day, Micros
from services.ledger.domain.program.program import Program, ProgramVersions
from services.ledger.domain.state.entries import SLIDING
from services.ledger.domain.state.loaded import Success
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.orders import Order
from services.ledger.domain.state.outcome import TimelineChange

Span = tuple[Micros, Micros]
"""(since, until) of a success; until is `NOT_YET` while it stands."""
NO_SPAN: Final = (NOT_YET, NOT_YET)
"""The span of an order that is no success."""
SpanOf = Callable[[Order, Program], Span]
"""When an order is a success that counts for a rule, under the program of its paid time."""


class SuccessChange(NamedTuple):
    """When an order was a success before its facts were assessed anew: for the bonus, and for a referral.

    `moved`: its paid date, and with it its lot, is another than what was booked.
    """

    order: str
    for_bonus: Span
    for_referral: Span
    moved: bool


class Holder(NamedTuple):
    """The success that has an award: the order, since when, and whether it is still successful."""

    order: str
    since: Micros
    stands: bool


def span_for_bonus(order: Order, _program: Program) -> Span:
    """When an order is a success that counts for the first-purchase bonus."""
    return _span(order, order.bonus_until)


def span_for_referral(order: Order, program: Program) -> Span:
    """When an order is a success that counts for a referral; under a program without the rule it never is."""
    return NO_SPAN if program.referral is None else _span(order, order.referral_until)


def _span(order: Order, until: Micros) -> Span:
    if not order.success_from or until == order.success_from:
        return NO_SPAN
    return order.success_from, until or order.success_until


def ends_below(timeline: Sequence[TimelineChange], since: Micros, least: int) -> Micros:
    """When an order, successful since an instant, falls below a least qualifying amount; `NOT_YET`: it does not."""
    if not since or least <= 0:
        return NOT_YET
    amount = 0
    for index, change in enumerate(timeline):
        amount += change.amount
        is_last_at = index + 1 == len(timeline) or timeline[index + 1].at > change.at
        if is_last_at and change.at >= since and amount < least:
            return change.at
    return NOT_YET


def changed_successes(
    member: Member, programs: ProgramVersions, changes: Iterable[tuple[str, Span, bool]], span_of: SpanOf,
    holder: Holder | None,
) -> tuple[list[Success], bool]:  # fmt: skip
    """The successes among changed orders, and whether they may have changed which of all successes has the award.

    While the holder is successful, an order whose success begins later cannot take the award over. `changes` are
    (order, span before, moved).
    """
    known: list[Success] = []
    settled = True
    for ref, before, moved in changes:
        order = member.orders[ref]
        after = span_of(order, programs.at(order.paid_at))
        if before == after and not (moved and after[0]):
            continue
        if after[0]:
            known.append(Success(ref, order.paid_at, *after))
        later = holder is not None and holder.order != ref and holder.stands and _later(before, holder, after)
        settled = settled and later
    return known, not settled


def _later(before: Span, holder: Holder, after: Span) -> bool:
    return all(not success[0] or success[0] > holder.since for success in (before, after))


def all_successes(member: Member, programs: ProgramVersions, span_of: SpanOf) -> list[Success]:
    """All successes of a member that count for a rule."""
    refs = [success.order for success in member.successes()]
    member.want_orders(refs)
    orders = [(ref, member.order(ref)) for ref in refs]
    spans = [(ref, order.paid_at, span_of(order, programs.at(order.paid_at))) for ref, order in orders]
    return [Success(ref, paid_at, *span) for ref, paid_at, span in spans if span[0]]


def holding(successes: Iterable[Success], programs: ProgramVersions) -> tuple[Success, Day] | None:
    """The success with which their number last rose from 0, and its lot's day; None while there is none (R9)."""
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
