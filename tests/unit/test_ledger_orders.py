"""Orders on the fold: what their timelines say beside the figures of the table."""

from __future__ import annotations

from tests.model.days import instant
from tests.model.events import Event, completed, d, line, paid, part, refunded
from tests.model.table.case import PURCHASE
from tests.unit.ledger_member import MemoryLedger

TWO_LINES = paid("o1", d(1), [line("l1", "300"), line("l2", "300")])


def told(*events: Event) -> MemoryLedger:
    """A ledger to which these events came when they happened."""
    ledger = MemoryLedger(PURCHASE, tiers="received")
    for event in events:
        ledger.arrive(event, instant(event["time"]))
    return ledger


def test_mend_a04_O8_the_refund_of_the_last_open_line_makes_the_order_successful_and_is_named_for_it() -> None:
    ledger = told(
        TWO_LINES, completed("o1", d(5), [part("l1")]), refunded("o1", d(7), [part("l2", "300")], refund="r1")
    )
    [qualified] = ledger.journal[-1].outcome.qualified
    assert [(change.at, change.amount, change.orders, change.cause) for change in qualified.timeline] == [
        (instant(d(5)), 300_00, 0, "completed"),
        (instant(d(7)), 0, 1, "refund"),
    ]


def test_mend_a04_O8_what_was_refunded_before_the_receipt_leaves_success_to_the_receipt() -> None:
    ledger = told(
        TWO_LINES, refunded("o1", d(3), [part("l2", "300")], refund="r1"), completed("o1", d(5), [part("l1")])
    )
    [qualified] = ledger.journal[-1].outcome.qualified
    assert [(change.at, change.orders, change.cause) for change in qualified.timeline] == [
        (instant(d(5)), 1, "completed")
    ]
