"""P3, P4, P6, P7: points redeemed by command: what comes back, and what an order makes its own."""

from __future__ import annotations

from tests.model.events import cancelled, d, refunded
from tests.model.table.case import (
    HUNDRED,
    LOT1,
    LOT2,
    SPENDING,
    SPENDING_MONTH,
    TWO_LOTS,
    Case,
    Then,
    give_back,
    hold,
    redeem,
    spender,
    until,
)

P3 = [
    Case(
        "P3",
        "a_redemption_goes_back_in_reverse_order",
        [
            *TWO_LOTS,
            redeem(d(3), 150),  # 100 of day 1's lot, 50 of day 2's
            Then(available=50, redeemed=150, lots={LOT1: {"available": 0}, LOT2: {"available": 50}}),
            give_back(d(4), 70),  # 50 to day 2's, 20 to day 1's
            Then(
                available=120,
                redeemed=150,
                returned=70,
                lots={LOT1: {"available": 20}, LOT2: {"available": 100}},
                redemptions={"r1": {"points": 150, "returned": 70}},
            ),
            give_back(d(5)),
            Then(available=200, returned=150, redemptions={"r1": {"returned": 150}}),
        ],
        SPENDING,
    ),
    Case(
        "P3",
        "no_more_of_a_redemption_than_is_left",
        [
            *HUNDRED,
            redeem(d(6), 60),
            redeem(d(6), 10),
            give_back(d(7), 50),
            give_back(d(7), 11),
            give_back(d(7), 0),
            give_back(d(7)),
            give_back(d(7)),
            give_back(d(7), reference="r9"),
            hold(d(8), 100, reference="r1"),  # a hold's references are others
            Then(
                available=0,
                held=100,
                redeemed=60,
                returned=60,
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:completed", "booked"),
                    ("Redeem r1", "booked"),
                    ("Redeem r1", "reference_used"),
                    ("GiveBack r1", "booked"),
                    ("GiveBack r1", "more_than_left"),
                    ("GiveBack r1", "points_not_positive"),
                    ("GiveBack r1", "booked"),
                    ("GiveBack r1", "more_than_left"),
                    ("GiveBack r9", "redemption_unknown"),
                    ("Hold r1", "booked"),
                ],
            ),
        ],
        SPENDING,
    ),
]

P4 = [
    Case(
        "P4",
        "a_redemption_of_an_expired_lot_has_grace_once",
        [
            *HUNDRED,
            redeem(d(10), 100),
            give_back(d(40)),  # 9 April, and 30 days
            Then(available=100, lots={("2026-05-09", "2026-04-01"): {"available": 100}}),
            redeem(d(45), 100, reference="r2"),
            give_back(d(75), reference="r2"),
            Then(available=0, expired=100, returned=200, lots={("2026-05-09", "2026-04-01"): {"expired": 100}}),
        ],
        SPENDING_MONTH,
    ),
]

P6 = [
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

P7 = [
    Case(
        "P7",
        "a_redemption_is_debited_already",
        [
            *TWO_LOTS,
            redeem(d(3), 100),
            spender("s1", d(3, "10:05"), 100, redemption="r1"),
            Then(available=100, redeemed=100, lots={LOT1: {"available": 0}, LOT2: {"available": 100}}),
            refunded("s1", d(4), "100"),  # half of it
            Then(available=150, returned=50, lots={LOT1: {"available": 50}}, redemptions={"r1": {"returned": 0}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "a_redemption_in_an_order_comes_back_with_it_alone",
        [
            *HUNDRED,
            redeem(d(6), 100),
            spender("s1", d(6, "10:05"), 60, redemption="r1"),
            give_back(d(7), 40),
            Then(
                available=0,
                redeemed=100,
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:completed", "booked"),
                    ("Redeem r1", "booked"),
                    ("s1:paid:0", "booked"),
                    ("GiveBack r1", "redemption_in_order"),
                ],
            ),
            cancelled("s1", d(8)),
            Then(available=60, redeemed=100, returned=60),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "what_it_uses_beyond_the_redemption_is_spent_in_order",
        [
            *TWO_LOTS,
            redeem(d(3), 80),
            spender("s1", d(3, "10:05"), 150, redemption="r1"),  # 80, and 20 of day 1's lot, 50 of day 2's
            Then(available=50, redeemed=150, lots={LOT1: {"available": 0}, LOT2: {"available": 50}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "what_was_returned_before_is_not_the_orders",
        [
            *TWO_LOTS,
            redeem(d(3), 100),
            give_back(d(3, "10:01"), 30),
            spender("s1", d(3, "10:05"), 100, redemption="r1"),  # 70, and 30 of day 1's lot
            Then(available=100, redeemed=130, returned=30, orders={"s1": {"points_used": 100}}),
            cancelled("s1", d(4)),
            Then(available=200, redeemed=130, returned=130, lots={LOT1: {"available": 100}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "of_a_hold_and_a_redemption_the_hold_goes_first",
        [
            *TWO_LOTS,
            hold(d(3), 50),
            redeem(d(3, "10:01"), 60),
            spender("s1", d(3, "10:05"), 80, hold="h1", redemption="r1"),
            # 50 held, and 30 of those redeemed; the other 30 no order has
            Then(available=90, redeemed=110, lots={LOT1: {"available": 0}, LOT2: {"available": 90}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "of_two_orders_the_first_to_arrive_has_the_redemption",
        [
            *TWO_LOTS,
            redeem(d(3), 100),
            spender("s1", d(3, "10:05"), 100, redemption="r1"),
            spender("s2", d(3, "10:06"), 70, redemption="r1"),
            until(d(4)),
            Then(available=30, redeemed=170, lots={LOT2: {"available": 30}}),
        ],
        SPENDING,
    ),
]

CASES = [*P3, *P4, *P6, *P7]
