"""O10: what events about an order say against each other stands on it as an alarm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from tests.model.events import (
    Event,
    cancelled,
    completed,
    d,
    line,
    paid,
    part,
    refund_failed,
    refunded,
    reinstated,
    shipped,
)
from tests.model.program import program
from tests.model.table.case import NO_LIMIT, PURCHASE, Case, Then, decide, late, order, redeem

NONE: frozenset[str] = frozenset()
DIFFERENTLY = frozenset({"told_differently"})
GOING_ON = frozenset({"cancelled_but_going_on"})


def told(*events: Event) -> list[Event]:
    """Order o1 of ¥900, received, and what comes after it."""
    return [paid("o1", d(1), "900"), completed("o1", d(5)), *events]


def in_any_order(name: str, events: Sequence[Event], expected: Then) -> list[Case]:
    """The same end in each order of arrival."""
    return [
        Case(
            "O10",
            f"{name}_{number}",
            [*[late(event, d(40, f"1{place}:00")) for place, event in enumerate(arrived)], expected],
            NO_LIMIT,
        )
        for number, arrived in enumerate(permutations(events))
    ]


TOLD_DIFFERENTLY = [
    *[
        Case(
            "O10",
            f"a_refund_told_again_with_{name}",
            [
                *told(refunded("o1", d(6), "200")),
                Then(available=1050, orders=order(alarms=NONE)),  # 700 x 1.5
                refunded("o1", d(7), again, id="again"),
                Then(available=1050, orders=order(alarms=alarms)),
            ],
            PURCHASE,
        )
        for name, again, alarms in (
            ("less", "100", DIFFERENTLY),
            ("nothing", "0.00", DIFFERENTLY),
            ("more", "300", DIFFERENTLY),
            ("no_lines", [], DIFFERENTLY),
            ("the_same", "200.00", NONE),
            ("the_same_and_a_line_of_nothing", [part("l1", "200"), part("l2", "0")], NONE),
        )
    ],
    Case(
        "O10",
        "a_refund_told_again_is_known",
        [
            *told(refunded("o1", d(6), "200"), refunded("o1", d(7), "100", id="again")),
            Then(
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:completed", "booked"),
                    ("o1:refunded:r1", "booked"),
                    ("again", "known"),
                ]
            ),
        ],
        PURCHASE,
    ),
    Case(
        "O10",
        "shipping_told_otherwise_contradicts_too",
        [
            paid("o1", d(1), "900", shipping="20"),
            refunded("o1", d(6), "200", shipping="20"),
            refunded("o1", d(7), "200", shipping="10", id="again"),
            Then(orders=order(alarms=DIFFERENTLY)),
        ],
        PURCHASE,
    ),
    Case(
        "O10",
        "another_refund_contradicts_nothing",
        [
            *told(refunded("o1", d(6), "200", refund="r1"), refunded("o1", d(7), "100", refund="r2")),
            Then(available=900, orders=order(alarms=NONE)),  # 600 x 1.5
        ],
        PURCHASE,
    ),
    *in_any_order(
        "of_three_the_earliest_holds_and_another_says_otherwise",
        [
            paid("o1", d(1), "900"),
            refunded("o1", d(6), "200", id="b"),
            refunded("o1", d(7), "100", id="c"),
            refunded("o1", d(8), "200", id="a"),
        ],
        Then(orders=order(alarms=DIFFERENTLY, earned_confirmed=1050)),
    ),
    *in_any_order(
        "a_refund_that_failed_contradicts_nothing",
        [
            paid("o1", d(1), "900"),
            refunded("o1", d(6), "200", id="b"),
            refunded("o1", d(7), "100", id="c"),
            refund_failed("o1", d(8)),
        ],
        Then(orders=order(alarms=NONE, earned_confirmed=1800)),
    ),
    *[
        Case(
            "O10",
            f"an_order_told_again_with_{name}",
            [
                paid("o1", d(1), [line("l1", "100", quantity="1.5"), line("l2", "50")], shipping="10", channel="app"),
                late(again, d(3)),
                Then(pending=150, orders=order(alarms=alarms)),
            ],
            PURCHASE,
        )
        for name, again, alarms in (
            (
                "the_same",
                paid(
                    "o1",
                    d(2),
                    [line("l2", "50.00"), line("l1", "100", quantity="1.50")],
                    shipping="10.00",
                    channel="app",
                    id="again",
                ),
                NONE,
            ),
            (
                "another_amount",
                paid(
                    "o1",
                    d(2),
                    [line("l1", "900", quantity="1.5"), line("l2", "50")],
                    shipping="10",
                    channel="app",
                    id="again",
                ),
                DIFFERENTLY,
            ),
            (
                "another_shipping",
                paid("o1", d(2), [line("l1", "100", quantity="1.5"), line("l2", "50")], channel="app", id="again"),
                DIFFERENTLY,
            ),
            (
                "another_category",
                paid(
                    "o1",
                    d(2),
                    [line("l1", "100", category="gift-card", quantity="1.5"), line("l2", "50")],
                    shipping="10",
                    channel="app",
                    id="again",
                ),
                DIFFERENTLY,
            ),
        )
    ],
    *in_any_order(
        "only_the_revision_that_counts_is_contradicted",
        [
            paid("o1", d(1), "900", id="a"),
            paid("o1", d(2), "800", id="b"),
            paid("o1", d(3), "700", revision=1, id="c"),
            completed("o1", d(5)),
        ],
        Then(available=1050, orders=order(alarms=NONE)),
    ),
    *in_any_order(
        "and_it_is_whichever_of_its_events_holds",
        [
            paid("o1", d(1), "900", id="a"),
            paid("o1", d(3), "700", revision=1, id="b"),
            paid("o1", d(4), "600", revision=1, id="c"),
            completed("o1", d(5)),
        ],
        Then(available=1050, orders=order(alarms=DIFFERENTLY)),
    ),
]

CANCELLED_BUT_GOING_ON = [
    Case(
        "O10",
        "paid_cancelled_revised_completed",
        [
            paid("o1", d(1), "900"),
            cancelled("o1", d(2)),
            Then(pending=0, orders=order(alarms=NONE)),
            paid("o1", d(3), "800", revision=1),
            Then(pending=0, orders=order(alarms=GOING_ON)),
            completed("o1", d(5)),
            Then(available=0, orders=order(alarms=GOING_ON, timeline=[])),
            reinstated("o1", d(6)),
            Then(available=1200, orders=order(alarms=NONE)),  # 800 x 1.5
        ],
        PURCHASE,
    ),
    *[
        case
        for name, step in {
            "shipped": shipped("o1", d(4)),
            "a_parcel_shipped": shipped("o1", d(4), [part("l1")]),
            "completed": completed("o1", d(4)),
            "a_line_completed": completed("o1", d(4), [part("l1")]),
            "revised": paid("o1", d(4), "900", revision=1),
        }.items()
        for case in in_any_order(
            f"cancelled_then_{name}",
            [paid("o1", d(1), "900"), cancelled("o1", d(3)), step],
            Then(pending=0, available=0, orders=order(alarms=GOING_ON)),
        )
    ],
    *[
        case
        for name, event in {
            "completed_at_that_instant": completed("o1", d(3)),
            "shipped_before": shipped("o1", d(2)),
            "told_of_paid_again": paid("o1", d(4), "900", id="again"),
            "refunded": refunded("o1", d(4), "900"),
        }.items()
        for case in in_any_order(
            f"no_alarm_where_it_was_cancelled_and_{name}",
            [paid("o1", d(1), "900"), cancelled("o1", d(3)), event],
            Then(pending=0, available=0, orders=order(alarms=NONE)),
        )
    ],
    *in_any_order(
        "also_by_a_second_parcel",
        [paid("o1", d(1), "900"), shipped("o1", d(2)), cancelled("o1", d(3)), shipped("o1", d(4), id="second parcel")],
        Then(pending=0, orders=order(alarms=GOING_ON)),
    ),
    Case(
        "O10",
        "a_cancellation_before_paid_is_gone_on_after_by_a_receipt_alone",
        [
            cancelled("o1", d(1)),
            late(paid("o1", d(2), "900"), d(2, "11:00")),
            Then(pending=0, orders=order(alarms=NONE)),
            completed("o1", d(3)),
            Then(available=0, orders=order(alarms=GOING_ON)),
        ],
        PURCHASE,
    ),
]

REVIEWED = program(["purchase"], points={"negative": "review"})

STANDING = [
    Case(
        "O10",
        "a_clawback_under_review_stands_on_its_order_until_it_is_decided",
        [
            *told(),
            redeem(d(6), 1800),
            refunded("o1", d(7), "200"),
            # 750 are not there
            Then(under_review={"o1": 750}, orders=order(alarms=frozenset({"clawback_under_review"}))),
            refunded("o1", d(8), "50", refund="r2"),
            Then(under_review={"o1": 825}, orders=order(alarms=frozenset({"clawback_under_review"}))),
            decide(d(9), "take"),
            Then(debt=825, under_review={}, orders=order(alarms=NONE)),
        ],
        REVIEWED,
    ),
]

CASES = [*TOLD_DIFFERENTLY, *CANCELLED_BUT_GOING_ON, *STANDING]
