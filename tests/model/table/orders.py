"""P7, O4, O5, E7: what an order takes over of its hold, what a cancellation reverses, and where its lot moves."""

from __future__ import annotations

from tests.model.events import cancelled, completed, d, line, paid, part, refunded
from tests.model.table.case import (
    EARLIER,
    FIRST,
    HUNDRED,
    LOT0,
    LOT1,
    LOT2,
    PURCHASE,
    SPENDING,
    SPENDING_MONTH,
    TWO_LOTS,
    Case,
    Then,
    capture,
    entry,
    hold,
    late,
    order,
    release,
    spender,
    until,
)

P7 = [
    Case(
        "P7",
        "an_order_captures_its_hold_and_the_rest_is_released",
        [
            *TWO_LOTS,
            hold(d(3), 200),
            spender("s1", d(3, "10:05"), 150, hold="h1"),
            Then(
                available=50,
                held=0,
                redeemed=150,
                lots={LOT1: {"available": 0}, LOT2: {"available": 50}},
                orders={"s1": {"points_used": 150, "owed": 0, "alarms": frozenset()}},
                holds={"h1": {"state": "captured", "points": 200, "captured": 150}},
            ),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "its_points_are_there_whatever_else_is_spent",
        [
            *TWO_LOTS,
            hold(d(3), 100),
            spender("s1", d(3, "10:01"), 100),  # day 2's lot: day 1's is held
            spender("s2", d(3, "10:02"), 100, hold="h1"),
            Then(available=0, held=0, debt=0, redeemed=200),
            refunded("s2", d(4), "200"),
            Then(lots={LOT1: {"available": 100}, LOT2: {"available": 0}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "more_than_was_held_is_spent_in_order_and_then_owed",
        [
            *TWO_LOTS,
            hold(d(3), 100),
            spender("s1", d(3, "10:05"), 250, hold="h1"),  # 100 held, 100 of day 2's lot, 50 owed
            Then(
                available=0,
                held=0,
                debt=50,
                redeemed=250,
                orders={"s1": {"owed": 50, "alarms": frozenset({"points_short"})}},
                holds={"h1": {"captured": 100}},
            ),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "an_order_that_uses_no_points_lets_its_hold_go",
        [
            *TWO_LOTS,
            hold(d(3), 100),
            spender("s1", d(3, "10:05"), 0, hold="h1"),
            Then(available=200, held=0, redeemed=0, holds={"h1": {"state": "captured", "captured": 0}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "a_revision_keeps_what_the_hold_gave",
        [
            *TWO_LOTS,
            hold(d(3), 100),
            spender("s1", d(3, "10:05"), 100, hold="h1"),
            spender("s1", d(3, "10:06"), 150, hold="h1", revision=1),  # 50 more: day 2's lot
            Then(available=50, redeemed=150, lots={LOT1: {"available": 0}, LOT2: {"available": 50}}),
            spender("s1", d(3, "10:07"), 80, hold="h1", revision=2),  # 70 fewer: 50 to day 2's, 20 to day 1's
            Then(available=120, redeemed=80, lots={LOT1: {"available": 20}, LOT2: {"available": 100}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "what_was_captured_already_is_the_orders",
        [
            *TWO_LOTS,
            hold(d(3), 100),
            capture(d(3, "10:05")),
            *EARLIER,
            spender("s1", d(3, "10:30"), 100, hold="h1"),
            Then(available=200, redeemed=100, lots={LOT0: {"available": 100}, LOT2: {"available": 100}}),
            refunded("s1", d(4), "100"),  # half of it
            Then(available=250, returned=50, lots={LOT1: {"available": 50}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "what_was_captured_beyond_its_use_returns_at_once",
        [
            *TWO_LOTS,
            hold(d(3), 150),
            capture(d(3, "10:05")),
            spender("s1", d(3, "10:06"), 120, hold="h1"),  # 100 of day 1's lot, 20 of day 2's; 30 go back there
            Then(
                available=80,
                redeemed=120,
                returned=0,
                lots={LOT2: {"available": 80}},
                orders={"s1": {"points_used": 120}},
                holds={"h1": {"state": "captured", "points": 150, "captured": 150, "surplus": 30}},
            ),
            cancelled("s1", d(4)),
            Then(available=200, returned=120, lots={LOT1: {"available": 100}, LOT2: {"available": 100}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "what_it_uses_beyond_the_capture_is_spent_in_order",
        [
            *TWO_LOTS,
            hold(d(3), 100),
            capture(d(3, "10:05"), 80),  # of day 1's lot, 20 go back
            spender("s1", d(3, "10:06"), 150, hold="h1"),  # 80, and 20 of day 1's, 50 of day 2's
            Then(available=50, debt=0, redeemed=150, lots={LOT1: {"available": 0}, LOT2: {"available": 50}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "another_order_does_not_have_it",
        [
            *TWO_LOTS,
            hold(d(3), 100),
            capture(d(3, "10:05")),
            spender("s1", d(3, "10:06"), 60, hold="h1"),
            Then(available=140, redeemed=60, lots={LOT1: {"available": 40}}),
            spender("s2", d(3, "10:07"), 40, hold="h1"),  # what came back to day 1's lot
            Then(available=100, redeemed=100, lots={LOT1: {"available": 0}, LOT2: {"available": 100}}),
        ],
        SPENDING,
    ),
]

BOTH = [line("l1", "50"), line("l2", "150", category="service")]

O4 = [
    Case(
        "O4",
        "cancelled_after_completion_all_is_reversed",
        [
            paid("o0", d(0), "100"),
            completed("o0", d(0, "11:00")),
            paid("o1", d(1), "900", points_used=100, points_value="1.00"),
            completed("o1", d(5)),
            Then(available=1798),  # 899 x 2
            cancelled("o1", d(6)),
            Then(
                available=100,
                earned=100,
                returned=100,
                orders=order(timeline=[entry(d(5), "899", 1), entry(d(6), "-899", -1)]),
            ),
        ],
        PURCHASE,
    ),
    Case(
        "O4",
        "the_bonus_too",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            Then(available=1900),
            cancelled("o1", d(6)),
            Then(available=0, debt=0, earned=0),
        ],
        FIRST,
    ),
    Case(
        "O4",
        "a_half_completed_order_too",
        [
            paid("o1", d(1), [line("l1", "300"), line("l2", "300")]),
            completed("o1", d(3), [part("l1")]),
            Then(available=450, pending=450),
            cancelled("o1", d(5)),
            Then(available=0, pending=0, orders=order(timeline=[entry(d(3), "300"), entry(d(5), "-300")])),
        ],
        PURCHASE,
    ),
    Case(
        "O4",
        "cancelled_after_completion_the_held_points_come_back",
        [
            *TWO_LOTS,
            hold(d(3), 150),
            spender("o3", d(3, "10:05"), 150, lines=BOTH, hold="h1"),
            completed("o3", d(4)),
            # of 150 points and 1.50 a quarter is the goods': 50 - 0.37 or 0.38, so 49
            Then(available=50 + 49, redeemed=150, orders={"o3": {"earned_confirmed": 49}}),
            cancelled("o3", d(5)),
            Then(
                available=200,
                returned=150,
                lots={LOT1: {"available": 100}, LOT2: {"available": 100}},
                orders={"o3": {"earned_confirmed": 0, "points_returned": 150}},
            ),
            cancelled("o3", d(6), id="again"),
            release(d(6)),
            Then(available=200, returned=150),
        ],
        SPENDING,
    ),
]

O5 = [
    Case(
        "O5",
        "cancelled_before_paid_arrives",
        [cancelled("o1", d(2)), late(paid("o1", d(1), "900"), d(3)), Then(earned=0, pending=0)],
        PURCHASE,
    ),
    Case(
        "O5",
        "cancelled_before_completion",
        [
            paid("o1", d(1), "900"),
            cancelled("o1", d(2)),
            Then(pending=0),
            late(completed("o1", d(3)), d(3)),
            until(d(40)),
            Then(pending=0, earned=0, orders=order(timeline=[])),
        ],
        PURCHASE,
    ),
    Case(
        "O5",
        "the_timeline_is_what_the_facts_say_in_any_order",
        [
            paid("o1", d(1), "900"),
            cancelled("o1", d(5)),
            late(completed("o1", d(4)), d(6)),
            Then(earned=0, orders=order(timeline=[entry(d(4), "900", 1), entry(d(5), "-900", -1)])),
        ],
        PURCHASE,
    ),
    Case(
        "O5",
        "points_used_come_back",
        [
            paid("o0", d(0), "100"),
            completed("o0", d(0, "11:00")),
            paid("o1", d(1), "50", points_used=100, points_value="1.00"),
            Then(available=0, pending=49),
            cancelled("o1", d(2)),
            Then(available=100, pending=0, returned=100),
        ],
        PURCHASE,
    ),
    Case(
        "O5",
        "cancelled_already_the_hold_is_captured_and_returned",
        [
            *TWO_LOTS,
            hold(d(3), 150),
            cancelled("s1", d(3, "10:05")),
            Then(held=150),
            late(spender("s1", d(3, "10:04"), 100, hold="h1"), d(3, "10:06")),
            Then(
                available=200,
                held=0,
                redeemed=100,
                returned=100,
                holds={"h1": {"state": "captured", "captured": 100}},
            ),
        ],
        SPENDING,
    ),
    Case(
        "O5",
        "and_what_returns_to_a_lot_that_is_over_has_grace",
        [
            *HUNDRED,
            hold(d(32, "23:50"), 100, minutes=60),
            cancelled("s1", d(33, "00:00")),
            late(spender("s1", d(32, "23:55"), 60, hold="h1"), d(33, "00:10")),
            # 40 are released and expire (E2); 60 come back: 2 April and 30 days (P4)
            Then(expired=40, available=60, lots={("2026-05-02", "2026-04-01"): {"available": 60}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "O5",
        "refunded_before_it_was_paid_for_all_we_know",
        [
            *TWO_LOTS,
            hold(d(3), 100),
            refunded("s1", d(3, "10:05"), "100"),  # half of it, parked
            late(spender("s1", d(3, "10:04"), 100, hold="h1"), d(3, "10:06")),
            Then(available=150, redeemed=100, returned=50, lots={LOT1: {"available": 50}}, parked=frozenset()),
        ],
        SPENDING,
    ),
]

E7 = [
    Case(
        "E7",
        "an_earlier_telling_of_paid_moves_the_lot",
        [
            paid("o1", d(10), "100"),
            completed("o1", d(11)),
            Then(lots={("2027-03-10", None): {"available": 100}}),
            late(paid("o1", d(5), "100"), d(12)),
            Then(available=100, debt=0, lots={("2027-03-05", None): {"available": 100}}),
        ],
        SPENDING,
    ),
    Case(
        "E7",
        "moved_points_that_were_spent_are_claimed_and_awarded",
        [
            paid("o1", d(10), "100"),
            completed("o1", d(11)),
            spender("s1", d(12), 70),
            late(paid("o1", d(5), "100"), d(13)),
            # 100 clawed back: 30 taken, 70 owed; 100 awarded: 70 pay the debt
            Then(available=30, debt=0, lots={("2027-03-05", None): {"available": 30}}),
        ],
        SPENDING,
    ),
]

CASES = [*P7, *O4, *O5, *E7]
