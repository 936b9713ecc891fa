"""P6, P7, R5: what comes in pays debt first, and how a hold is honoured."""

from __future__ import annotations

from tests.model.events import completed, d, line, paid, part, refunded, review, tier
from tests.model.program import program
from tests.model.table.case import (
    AT_ONCE,
    EARLIER,
    EXPIRED_AND_BACK,
    GRACE_LOT,
    HUNDRED,
    LOT0,
    LOT1,
    LOT2,
    MARCH_LOT,
    MONTH,
    NO_SERVICE,
    PURCHASE,
    SPENDING,
    SPENDING_MONTH,
    TWO_LOTS,
    Case,
    HistoryStep,
    Then,
    give_back,
    hold,
    late,
    redeem,
    release,
    spender,
    until,
)

R5 = [
    Case(
        "R5",
        "pending_points_shrink_and_no_spendable_point_moves",
        [
            paid("o0", d(0), "100"),
            completed("o0", d(0, "11:00")),
            paid("o1", d(1), "900"),
            Then(pending=1800, available=100),
            refunded("o1", d(2), "200"),
            Then(pending=1050, available=100, debt=0, earned=100),  # 700 x 1.5
            completed("o1", d(5)),
            Then(pending=0, available=1150),
        ],
        PURCHASE,
    ),
    Case(
        "R5",
        "of_a_half_confirmed_order_each_side_shrinks",
        [
            paid("o1", d(1), [line("l1", "300"), line("l2", "300")]),
            completed("o1", d(2), [part("l1")]),
            Then(pending=450, available=450),  # 600 x 1.5, half of it confirmed
            refunded("o1", d(3), [part("l2", "100")]),
            Then(pending=300, available=450),  # 500 x 1.5 = 750, 300 x 1.5 confirmed
            refunded("o1", d(4), [part("l1", "100")], refund="r2"),
            Then(pending=300, available=300),  # 400 x 1.5 = 600, 200 x 1.5 confirmed
        ],
        PURCHASE,
    ),
]

REVIEW_MONTH = program(["purchase", "review", "sign-in"], rule=NO_SERVICE, points={"expiry": MONTH})

P6 = [
    Case(
        "P6",
        "what_comes_in_pays_debt_first",
        [
            spender("s1", d(1), 50),
            review("v1", d(2)),
            Then(debt=30, available=0),
            review("v2", d(3)),
            review("v3", d(4)),
            Then(debt=0, available=10),
        ],
        REVIEW_MONTH,
    ),
    Case(
        "P6",
        "an_award_whose_day_is_over_expires_also_in_debt",
        [
            spender("s1", d(38), 50),
            late(review("v1", d(1)), d(40)),  # good until 1 April, day 32
            Then(debt=50, available=0, expired=20, lots={MARCH_LOT: {"expired": 20}}),
        ],
        REVIEW_MONTH,
    ),
    Case(
        "P6",
        "so_does_a_confirmation",
        [
            spender("s1", d(38), 50),
            late(completed("o1", d(2)), d(39)),
            late(paid("o1", d(1), "100"), d(40)),
            Then(debt=50, pending=0, expired=100, earned=100),
        ],
        program(["purchase"], rule=NO_SERVICE, points={"expiry": MONTH, "max_lateness_days": "none"}),
    ),
    Case(
        "P6",
        "so_does_a_true_up",
        [
            paid("o1", d(1), "200"),
            completed("o1", d(2)),
            until(d(33)),
            Then(expired=300),
            late(tier([(d(0), "senior")], version=1), d(40)),
            Then(expired=330, available=0, rules={"tier-true-up": 30}),  # 200 x 1.5 x 1.1 - 300
        ],
        SPENDING_MONTH,
        "received",
    ),
    Case(
        "P6",
        "a_return_in_grace_pays_debt",
        [
            *EXPIRED_AND_BACK[:3],
            spender("s2", d(35), 30),
            Then(debt=30),
            refunded("s1", d(40), "200"),
            Then(debt=0, available=70, lots={GRACE_LOT: {"available": 70}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P6",
        "a_return_that_expires_at_once_does_not",
        [
            *EXPIRED_AND_BACK[:3],
            spender("s2", d(35), 30),
            refunded("s1", d(40), "200"),
            Then(debt=30, available=0, expired=100),
        ],
        program(["purchase"], rule=NO_SERVICE, points={"expiry": MONTH, "refund": AT_ONCE}),
    ),
    Case(
        "P6",
        "what_a_redemption_returns_pays_debt",
        [
            *HUNDRED,
            redeem(d(6), 100),
            spender("s1", d(7), 30),
            Then(debt=30),
            give_back(d(8), 50),
            Then(debt=0, available=20),
        ],
        SPENDING,
    ),
    Case(
        "P6",
        "a_refused_command_books_what_is_due",
        [*HUNDRED, redeem(d(33, "00:00"), 1), Then(available=0, expired=100, redeemed=0)],
        SPENDING_MONTH,
    ),
]

EVENING: list[HistoryStep] = [*HUNDRED, hold(d(32, "23:30"), 100, minutes=15)]
"""Over at 23:45; the lot at midnight."""

P7 = [
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

CASES = [*R5, *P6, *P7]
