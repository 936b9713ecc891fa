"""P7, O4, O5: what an order makes its own of the hold that it names."""

from __future__ import annotations

from tests.model.events import cancelled, completed, d, line, paid, refunded
from tests.model.table.case import (
    HUNDRED,
    LOT1,
    LOT2,
    MARCH_LOT,
    SPENDING,
    SPENDING_MONTH,
    TWO_LOTS,
    Case,
    Step,
    Then,
    capture,
    hold,
    late,
    release,
    spender,
    until,
)

LOT0 = ("2027-02-28", None)
EARLIER: list[Step] = [
    late(paid("o0", d(0), "100"), d(3, "10:20")),
    late(completed("o0", d(0, "11:00")), d(3, "10:21")),
]
"""100 points more, which from day 3, 10:21 on are first in spending order."""

OPEN = [
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
]

CAPTURED = [
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
        "what_was_captured_beyond_its_use_stays_redeemed",
        [
            *TWO_LOTS,
            hold(d(3), 150),
            capture(d(3, "10:05")),
            spender("s1", d(3, "10:06"), 120, hold="h1"),  # 100 of day 1's lot, 20 of day 2's
            Then(available=50, redeemed=150, orders={"s1": {"points_used": 120}}),
            cancelled("s1", d(4)),
            Then(available=170, returned=120, lots={LOT1: {"available": 100}, LOT2: {"available": 70}}),
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
            spender("s2", d(3, "10:07"), 40, hold="h1"),  # of day 2's lot
            Then(available=60, redeemed=140),  # 60 + 40 that nobody has + 40
        ],
        SPENDING,
    ),
]

EVENING: list[Step] = [*HUNDRED, hold(d(32, "23:30"), 100, minutes=15)]
"""Over at 23:45; the lot at midnight."""

HONOURED = [
    Case(
        "P7",
        "a_hold_that_timed_out_before_the_order_arrived_is_honoured",
        [
            *TWO_LOTS,
            hold(d(3), 50),
            *EARLIER,
            Then(available=300),
            late(spender("s1", d(3, "10:10"), 70, hold="h1"), d(3, "10:30")),
            # 50 of day 1's lot as held, the other 20 in spending order
            Then(available=230, redeemed=70, lots={LOT0: {"available": 80}, LOT1: {"available": 50}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "also_from_what_expired_since",
        [
            *EVENING,
            until(d(33, "00:00")),
            Then(expired=100),
            late(spender("s1", d(32, "23:40"), 100, hold="h1"), d(33, "00:05")),
            Then(expired=0, redeemed=100, debt=0, lots={MARCH_LOT: {"expired": 0}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P7",
        "also_from_what_expired_with_the_timeout",
        [
            *HUNDRED,
            hold(d(32, "23:50"), 60, minutes=20),
            late(spender("s1", d(33, "00:05"), 60, hold="h1"), d(33, "00:20")),
            Then(expired=40, redeemed=60, debt=0),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P7",
        "paid_at_the_instant_it_is_over_is_in_time",
        [
            *EVENING,
            late(spender("s1", d(32, "23:45"), 100, hold="h1"), d(33, "00:05")),
            Then(expired=0, redeemed=100, debt=0),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P7",
        "paid_later_it_is_not",
        [
            *EVENING,
            late(spender("s1", d(32, "23:45:00.000001"), 100, hold="h1"), d(33, "00:05")),
            Then(expired=100, redeemed=100, debt=100),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P7",
        "no_more_of_a_lot_than_was_taken_there",
        [
            *HUNDRED,
            hold(d(32, "23:30"), 60, minutes=15),
            late(spender("s1", d(32, "23:40"), 80, hold="h1"), d(33, "00:05")),
            # 60 of the 100 that expired; the other 20 are owed
            Then(expired=40, redeemed=80, debt=20),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P7",
        "what_a_clawback_forgave_cannot_be_undone",
        [
            *HUNDRED,
            hold(d(32, "23:30"), 60, minutes=15),
            refunded("o1", d(33, "00:01"), "70"),  # of the 100 that expired 70 are forgiven (R7)
            Then(expired=100, forgiven=70, debt=0),
            late(spender("s1", d(32, "23:40"), 60, hold="h1"), d(33, "00:05")),
            Then(expired=70, forgiven=70, redeemed=60, debt=30),  # 30 undone
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P7",
        "what_is_available_goes_before_what_expired",
        [
            *TWO_LOTS,
            hold(d(3), 150),
            spender("s1", d(3, "10:20"), 80),  # of day 1's lot, after the timeout
            late(spender("s2", d(3, "10:10"), 100, hold="h1"), d(3, "10:30")),
            # 20 left of day 1's lot, at most 50 of day 2's, then 30 in spending order
            Then(available=20, redeemed=180, lots={LOT1: {"available": 0}, LOT2: {"available": 20}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "a_hold_released_by_command_is_not_honoured",
        [
            *HUNDRED,
            hold(d(32, "23:30"), 100, minutes=60),
            release(d(32, "23:40")),
            late(spender("s1", d(32, "23:35"), 100, hold="h1"), d(33, "00:05")),
            Then(expired=100, redeemed=100, debt=100),
        ],
        SPENDING_MONTH,
    ),
]

SPENT_MEANWHILE = [
    Case(
        "P7",
        "all_lots_of_the_hold_go_before_others",
        [
            *TWO_LOTS,
            hold(d(3), 150),  # 100 of day 1's lot, 50 of day 2's
            spender("s1", d(3, "10:16"), 100),  # after the timeout: all of day 1's lot
            *EARLIER,
            late(spender("s2", d(3, "10:05"), 60, hold="h1"), d(3, "10:30")),
            # nothing of day 1's lot is left, at most 50 of day 2's, then 10 in spending order
            Then(available=140, redeemed=160, lots={LOT0: {"available": 90}, LOT2: {"available": 50}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "also_what_expired_of_a_later_lot",
        [
            *HUNDRED,
            paid("o2", d(2), "100"),
            completed("o2", d(6)),  # good until 2 April, day 33
            hold(d(32, "23:00"), 150, minutes=15),  # 100 of day 1's lot, 50 of day 2's
            spender("s1", d(32, "23:20"), 100),
            until(d(34, "00:00")),
            Then(available=0, expired=100),
            late(spender("s2", d(32, "23:10"), 50, hold="h1"), d(34, "00:05")),
            Then(expired=50, redeemed=150, debt=0),
        ],
        SPENDING_MONTH,
    ),
]

BOTH = [line("l1", "50"), line("l2", "150", category="service")]

BACK = [
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

CASES = [*OPEN, *CAPTURED, *HONOURED, *BACK]
