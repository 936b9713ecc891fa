"""What the account of a `MemoryLedger` comes to, in the form that model and ledger are both held to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from services.kit.calendar import NEVER, Micros
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.rules.orders import book_orders
from services.ledger.domain.rules.shortfalls import REVIEW
from services.ledger.domain.state.entries import last_day
from services.ledger.domain.state.fact_keys import HOLD, REDEMPTION
from services.ledger.domain.state.holds import decode_hold
from services.ledger.domain.state.loaded import Loaded, Missing
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.messages import ReceivePoints
from services.ledger.domain.state.orders import decode_order
from services.ledger.domain.state.outcome import AwardReason
from services.ledger.domain.state.redemptions import decode_redemption
from services.ledger.domain.state.refs import order_of
from tests.model.result import HoldResult, OrderResult, RedemptionResult, Result

if TYPE_CHECKING:
    from tests.unit.ledger_member import MemoryLedger


def result_of(ledger: MemoryLedger) -> Result:
    """The account as of the clock; what is due by then must have been booked (`tick`)."""
    entries = [entry for row in ledger.journal for entry in row.outcome.entries]
    rules: dict[str, int] = {}
    sums = dict.fromkeys(("redeemed", "returned", "expired", "forgiven", "earned"), 0)
    by_order: dict[str, list[int]] = {}
    rules_on_orders = [program.order for program in ledger.programs.versions]
    order_rules = {name for rule in rules_on_orders for name in (rule.name, *rule.budgeted)} | {
        "tier-true-up",
        "birthday-true-up",
        REVIEW,
    }
    for entry in entries:
        sign = {"issued": -1}.get(entry.credit, 0) + {"issued": 1}.get(entry.debit, 0)
        if sign:
            rules[entry.rule] = rules.get(entry.rule, 0) + sign * entry.points
        if entry.rule in order_rules:
            own = by_order.setdefault(entry.ref, [0, 0])
            own[0] += entry.points * ((entry.credit == "pending") - (entry.debit == "pending"))
            if entry.credit in ("available", "issued") and entry.debit in ("issued", "pending"):
                own[1] += entry.points * (entry.credit == "available")
            if entry.credit == "issued" and entry.debit != "pending":
                own[1] -= entry.points
        if entry.kind in ("redeemed", "returned", "expired", "forgiven"):
            sums[entry.kind] += entry.points
        if (entry.debit, entry.credit) == ("expired", "redeemed"):
            sums["expired"] -= entry.points
    # What waits for a decision counts as taken, though nothing is booked of it yet.
    for shortfall in ledger.account.details.shortfalls:
        rules[REVIEW] = rules.get(REVIEW, 0) - shortfall.points
        by_order.setdefault(shortfall.ref, [0, 0])[1] -= shortfall.points
    order_results: dict[str, OrderResult] = {}
    unpaid: set[tuple[str, str]] = set()
    reported: set[tuple[str, str]] = set()
    park = ledger.programs.versions[-1].park_days * 86_400_000_000
    for ref, raw in ledger.orders.items():
        order = decode_order(raw)
        shop, order_id = order_of(ref) or ("", "")
        name = f"{shop}/{order_id}" if shop else order_id
        if not order.paid_at:
            waiting = {refund.refund_id for refund in order.refunds} - {*order.failed_refunds}
            unpaid |= {(name, refund_id) for refund_id in waiting}
            for refund_id in waiting:
                since = min(refund.arrived_at for refund in order.refunds if refund.refund_id == refund_id)
                if since <= ledger.clock - park:
                    reported.add((name, refund_id))
            continue
        pending, confirmed = by_order.get(ref, [0, 0])
        order_results[name] = OrderResult(
            earned_pending=pending,
            earned_confirmed=confirmed,
            points_used=order.counted_points,
            points_returned=order.counted_points - order.used,
            owed=sum(debt.points for debt in ledger.account.details.debts if debt.spend and debt.order == ref),
            timeline=_timeline(ledger, ref),
            alarms=frozenset(alarm.kind for alarm in order.alarms),
            working=tuple(_working(ledger, reason) for reason in _reasons(ledger, ref)),
        )
    account = ledger.account
    holds = {key: decode_hold(raw) for key, raw in ledger.facts.items() if key.startswith(HOLD)}
    redemptions = {key: decode_redemption(raw) for key, raw in ledger.facts.items() if key.startswith(REDEMPTION)}
    returned = sum(redemption.returned for redemption in redemptions.values())
    result = Result(
        available=account.available,
        pending=account.pending,
        held=account.held,
        in_transit=account.in_transit,
        sent=_sent(ledger),
        debt=account.debt,
        earned=account.earned - sum(shortfall.points for shortfall in account.details.shortfalls),
        redeemed=sum(order.points_used for order in order_results.values()) + _by_command(ledger) + returned,
        returned=sum(order.points_returned for order in order_results.values()) + returned,
        expired=sums["expired"],
        forgiven=sums["forgiven"],
        lots={
            (_day(day), _day(parent) if parent else None): {
                "pending": columns[0],
                "available": columns[1],
                "expired": columns[3],
                "forgiven": columns[4],
                **({"held": columns[2]} if columns[2] else {}),
            }
            for (day, parent), columns in _lots(ledger).items()
            if any(columns)
        },
        orders=order_results,
        tiers=[(at, tier) for at, tier in account.details.tiers],
        rules={rule: points for rule, points in rules.items() if points},
        parked=frozenset(unpaid),
        reported=frozenset(reported),
        outcomes=list(ledger.outcomes),
        holds={
            hold.reference: HoldResult(hold.state, hold.points, hold.captured, hold.surplus) for hold in holds.values()
        },
        redemptions={
            redemption.reference: RedemptionResult(redemption.points, redemption.returned, redemption.surplus)
            for redemption in redemptions.values()
        },
        written_off=-account.written_off,
        under_review={shortfall.ref.removeprefix("/"): shortfall.points for shortfall in account.details.shortfalls},
    )
    result.check_books()
    assert account.redeemed == result.redeemed - result.returned
    assert account.expired == result.expired - result.forgiven
    return result


def _lots(ledger: MemoryLedger) -> dict[tuple[int, int], list[int]]:
    """The lots by their last days, whether or not they slide (E3)."""
    by_last_day: dict[tuple[int, int], list[int]] = {}
    for key, columns in ledger.lots.items():
        day, parent = (last_day(part, ledger.account.details.sliding_last_days) for part in key)
        before = by_last_day.get((day, parent), [0] * len(columns))
        by_last_day[day, parent] = [sum(pair) for pair in zip(before, columns, strict=True)]
    return by_last_day


def _sent(ledger: MemoryLedger) -> dict[str, list[tuple[str, str | None, int]]]:
    """By transfer, the lots that the receiver's account is inputs of."""
    inputs = [message.input_ for message in ledger.messages()]
    return {
        input_.transfer: [
            (_day(part.lot_day), _day(part.parent) if part.parent else None, part.points) for part in input_.lots
        ]
        for input_ in inputs
        if isinstance(input_, ReceivePoints)
    }


def _by_command(ledger: MemoryLedger) -> int:
    """Points redeemed that no order has and that did not come back: what the entries say beyond the orders' own."""
    used = sum(decode_order(raw).used for raw in ledger.orders.values())
    return ledger.account.redeemed - used


def _reasons(ledger: MemoryLedger, ref: str) -> list[AwardReason]:
    """The newest reasons that the journal gives for an order's points."""
    found = [
        [reason for reason in row.outcome.reasons if reason.granted is None]
        for row in ledger.journal
        if getattr(row.arrival.input_, "order", None) == ref
    ]
    return next((reasons for reasons in reversed(found) if reasons), [])


def _working(ledger: MemoryLedger, reason: AwardReason) -> Mapping[str, Any]:
    """A reason spelled out, from the program version that it names (N4)."""
    program = ledger.programs.by_number[reason.program]
    earn_rate = program.order.earn_rate(reason.tier, reason.multipliers, reason.by_goods)
    rate = earn_rate.rate(reason.amount).band.rate
    amount = Fraction(reason.amount, 10**program.decimals)
    return {
        "rule": reason.rule,
        "version": program.version,
        "tier": reason.tier,
        "amount": amount,
        "rate": rate,
        "multiplier": earn_rate.multiplier,
        "exact": amount * rate * earn_rate.multiplier,
        "points": reason.points,
    }


def _timeline(ledger: MemoryLedger, ref: str) -> list[Any]:
    """The order's timeline as of the clock, as the fold would publish it."""
    loaded = Loaded()
    while True:
        member = Member(ledger.copy_of_account(), loaded)
        try:
            [(qualified, _)] = book_orders(Posting(member, ledger.programs, ledger.clock), [ref])
        except Missing as question:
            ledger.load(loaded, question.needs)
            continue
        sums: dict[Micros, list[int]] = {}
        for turn in qualified.timeline:
            at = sums.setdefault(turn.at, [0, 0])
            at[0] += turn.amount
            at[1] += turn.orders
        return [(at, amount, orders) for at, (amount, orders) in sorted(sums.items()) if amount or orders]


def _day(day: int) -> str:
    return "never" if day == NEVER else date.fromordinal(day).isoformat()
