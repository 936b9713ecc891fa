"""P5, E2, P6: points set aside for a checkout, and what becomes of them when the hold ends."""

from __future__ import annotations

from tests.model.events import d, refunded
from tests.model.table.case import (
    HUNDRED,
    LOT1,
    LOT2,
    MARCH_LOT,
    SPENDING,
    SPENDING_MONTH,
    TWO_LOTS,
    Case,
    HistoryStep,
    Then,
    capture,
    hold,
    late,
    redeem,
    release,
    spender,
    until,
)

TOLD_HUNDRED = [("o1:paid:0", "booked"), ("o1:completed", "booked")]

P5 = [
    Case(
        "P5",
        "a_hold_sets_aside_in_spending_order",
        [
            *TWO_LOTS,
            hold(d(3), 150),
            Then(
                available=50,
                held=150,
                redeemed=0,
                net=200,
                lots={LOT1: {"available": 0, "held": 100}, LOT2: {"available": 50, "held": 50}},
                holds={"h1": {"state": "open", "points": 150, "captured": 0}},
            ),
        ],
        SPENDING,
    ),
    Case(
        "P5",
        "captured_it_is_redeemed",
        [
            *TWO_LOTS,
            hold(d(3), 150),
            capture(d(3, "10:05")),
            until(d(4)),
            Then(available=50, held=0, redeemed=150, holds={"h1": {"state": "captured", "captured": 150}}),
        ],
        SPENDING,
    ),
    Case(
        "P5",
        "captured_in_part_the_first_taken_is_redeemed_and_the_rest_released",
        [
            *TWO_LOTS,
            hold(d(3), 150),
            capture(d(3, "10:05"), 120),  # 100 of day 1's lot, 20 of day 2's; 30 go back there
            Then(
                available=80,
                held=0,
                redeemed=120,
                lots={LOT1: {"available": 0}, LOT2: {"available": 80}},
                holds={"h1": {"state": "captured", "points": 150, "captured": 120}},
            ),
        ],
        SPENDING,
    ),
    Case(
        "P5",
        "released_it_is_as_before",
        [
            *TWO_LOTS,
            hold(d(3), 150),
            release(d(3, "10:05")),
            Then(
                available=200,
                held=0,
                redeemed=0,
                returned=0,
                lots={LOT1: {"available": 100}, LOT2: {"available": 100}},
                holds={"h1": {"state": "released", "captured": 0}},
            ),
        ],
        SPENDING,
    ),
    Case(
        "P5",
        "it_is_over_at_the_very_instant",
        [
            *TWO_LOTS,
            hold(d(3, "10:00"), 150, minutes=15),
            until(d(3, "10:14:59.999999")),
            Then(held=150, holds={"h1": {"state": "open"}}),
            until(d(3, "10:15")),
            Then(held=0, available=200, holds={"h1": {"state": "timed_out"}}),
        ],
        SPENDING,
    ),
    Case(
        "P5",
        "it_ends_once",
        [
            *HUNDRED,
            hold(d(6), 60),
            capture(d(6, "10:05"), 50),
            capture(d(6, "10:06"), 10),
            release(d(6, "10:07")),
            hold(d(7), 40, reference="h2"),
            release(d(7, "10:05"), reference="h2"),
            capture(d(7, "10:06"), reference="h2"),
            hold(d(8, "10:00"), 30, reference="h3"),
            capture(d(8, "10:15"), reference="h3"),
            Then(
                available=50,  # 100 - 50
                redeemed=50,
                outcomes=[
                    *TOLD_HUNDRED,
                    ("Hold h1", "booked"),
                    ("Capture h1", "booked"),
                    ("Capture h1", "hold_over"),
                    ("Release h1", "hold_over"),
                    ("Hold h2", "booked"),
                    ("Release h2", "booked"),
                    ("Capture h2", "hold_over"),
                    ("Hold h3", "booked"),
                    ("Capture h3", "hold_over"),
                ],
            ),
        ],
        SPENDING,
    ),
    Case(
        "P5",
        "a_refused_command_changes_nothing",
        [
            *HUNDRED,
            hold(d(6), 101),
            hold(d(6), 0),
            hold(d(6), 70),  # the reference is free: what was refused was nothing
            hold(d(6), 20),
            hold(d(6), 31, reference="h2"),
            redeem(d(6), 31),
            capture(d(6), 71),
            capture(d(6), 0),
            capture(d(6), reference="h9"),
            release(d(6), reference="h9"),
            Then(
                available=30,
                held=70,
                redeemed=0,
                outcomes=[
                    *TOLD_HUNDRED,
                    ("Hold h1", "insufficient_points"),
                    ("Hold h1", "points_not_positive"),
                    ("Hold h1", "booked"),
                    ("Hold h1", "reference_used"),
                    ("Hold h2", "insufficient_points"),
                    ("Redeem r1", "insufficient_points"),
                    ("Capture h1", "more_than_held"),
                    ("Capture h1", "points_not_positive"),
                    ("Capture h9", "hold_unknown"),
                    ("Release h9", "hold_unknown"),
                ],
            ),
        ],
        SPENDING,
    ),
    Case(
        "P5",
        "held_points_are_out_of_reach_of_a_clawback",
        [
            *HUNDRED,
            hold(d(6), 100),
            refunded("o1", d(6, "10:05"), "30"),
            Then(available=0, held=100, debt=30),
            release(d(6, "10:10")),
            Then(available=70, held=0, debt=0),  # they pay it when they come back
        ],
        SPENDING,
    ),
    Case(
        "P5",
        "of_two_orders_the_first_to_arrive_has_it",
        [
            *TWO_LOTS,
            hold(d(3), 100),
            spender("s2", d(3, "10:10"), 100, hold="h1"),  # day 1's lot
            late(spender("s1", d(3, "10:05"), 50, hold="h1"), d(3, "10:12")),  # day 2's
            Then(available=50, redeemed=150, debt=0, lots={LOT1: {"available": 0}, LOT2: {"available": 50}}),
            refunded("s2", d(4), "200"),
            Then(available=150, lots={LOT1: {"available": 100}, LOT2: {"available": 50}}),
        ],
        SPENDING,
    ),
    Case(
        "P5",
        "two_holds_time_out_one_after_the_other",
        [
            *TWO_LOTS,
            hold(d(3, "10:00"), 100, minutes=20),
            hold(d(3, "10:01"), 60, minutes=5, reference="h2"),
            until(d(3, "10:06")),
            Then(available=100, held=100, holds={"h1": {"state": "open"}, "h2": {"state": "timed_out"}}),
            until(d(3, "10:20")),
            Then(available=200, held=0),
        ],
        SPENDING,
    ),
]

NIGHT: list[HistoryStep] = [*HUNDRED, hold(d(32, "23:50"), 100, minutes=60)]

E2 = [
    Case(
        "E2",
        "a_hold_taken_on_the_last_day_may_be_captured_later",
        [
            *NIGHT,
            until(d(33, "00:00")),
            Then(available=0, held=100, expired=0),
            capture(d(33, "00:10")),
            Then(held=0, redeemed=100, expired=0),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "E2",
        "what_a_capture_leaves_expires_at_once",
        [
            *NIGHT,
            capture(d(33, "00:10"), 60),
            Then(available=0, held=0, redeemed=60, expired=40, lots={MARCH_LOT: {"expired": 40}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "E2",
        "what_is_released_expires_at_once_without_grace",
        [*NIGHT, release(d(33, "00:00")), Then(available=0, held=0, expired=100)],
        SPENDING_MONTH,
    ),
    Case(
        "E2",
        "released_on_the_last_day_it_lives_until_midnight",
        [
            *NIGHT,
            release(d(32, "23:59:59.999")),
            Then(available=100, expired=0),
            until(d(33, "00:00")),
            Then(available=0, expired=100),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "E2",
        "what_times_out_after_the_day_expires",
        [
            *NIGHT,
            until(d(33, "00:49:59")),
            Then(held=100, expired=0),
            until(d(33, "00:50")),
            Then(held=0, expired=100),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "E2",
        "at_midnight_the_lot_ends_before_the_hold",
        [
            *HUNDRED,
            hold(d(32, "23:45"), 60, minutes=15),
            until(d(33, "00:00")),
            Then(available=0, held=0, expired=100),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "E2",
        "an_order_captures_it_and_a_refund_finds_grace",
        [
            *NIGHT,
            spender("s1", d(33, "00:10"), 100, hold="h1"),
            Then(redeemed=100, expired=0, debt=0),
            refunded("s1", d(40), "200"),  # 9 April, and 30 days
            Then(available=100, lots={("2026-05-09", "2026-04-01"): {"available": 100}}),
        ],
        SPENDING_MONTH,
    ),
]

OWING_30: list[HistoryStep] = [
    *TWO_LOTS,
    hold(d(3), 200, minutes=10_000),
    spender("s1", d(3, "10:05"), 30),  # nothing else is there
    Then(available=0, held=200, debt=30),
]

P6 = [
    Case(
        "P6",
        "what_is_released_pays_debt_last_taken_first",
        [
            *OWING_30,
            release(d(3, "10:10")),
            Then(available=170, debt=0, lots={LOT1: {"available": 100}, LOT2: {"available": 70}}),
            refunded("s1", d(4), "200"),  # the 30 that paid its debt go back where they came from (P3)
            Then(available=200, lots={LOT2: {"available": 100}}),
        ],
        SPENDING,
    ),
    Case(
        "P6",
        "what_a_capture_leaves_pays_debt",
        [
            *OWING_30,
            capture(d(3, "10:10"), 150),  # 100 and 50; of the other 50 of day 2's lot 30 pay
            Then(available=20, debt=0, redeemed=180, lots={LOT1: {"available": 0}, LOT2: {"available": 20}}),
        ],
        SPENDING,
    ),
    Case(
        "P6",
        "what_times_out_pays_debt_at_its_time",
        [
            *TWO_LOTS,
            hold(d(3), 200, minutes=15),
            spender("s1", d(3, "10:05"), 30),
            spender("s2", d(3, "10:16"), 170),  # 200 - 30
            Then(available=0, debt=0, redeemed=200),
        ],
        SPENDING,
    ),
    Case(
        "P6",
        "what_is_released_after_its_day_pays_none",
        [
            *HUNDRED,
            hold(d(32), 100, minutes=10_000),
            spender("s1", d(35), 30),
            release(d(36)),
            Then(available=0, held=0, expired=100, debt=30),
        ],
        SPENDING_MONTH,
    ),
]

CASES = [*P5, *E2, *P6]
