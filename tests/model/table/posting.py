"""R6, R7, P7: from which lots points are taken back, what is forgiven, and what is owed."""

from __future__ import annotations

from typing import Any

from tests.model.events import Event, cancelled, completed, d, line, paid, refunded, review, review_removed
from tests.model.program import program
from tests.model.table.case import (
    HUNDRED,
    LOT1,
    LOT2,
    MARCH_LOT,
    NO_SERVICE,
    PURCHASE,
    SPENDING,
    SPENDING_MONTH,
    TWO_LOTS,
    Case,
    HistoryStep,
    Then,
    capture,
    give_back,
    hold,
    late,
    redeem,
    send,
    spender,
    until,
)

TWO_LOTS_OF_450: list[HistoryStep] = [
    paid("o1", d(1), "300"),
    completed("o1", d(1, "11:00")),
    paid("o2", d(2), "300"),
    completed("o2", d(2, "11:00")),  # 300 x 1.5 = 450 in each of two lots
]

R6 = [
    Case(
        "R6",
        "from_the_lot_the_order_s_points_went_to_first",
        [
            *TWO_LOTS_OF_450,
            refunded("o2", d(5), "300"),
            # the spending order would have begun with the lot of day 1
            Then(lots={LOT1: {"available": 450}}, available=450, debt=0),
        ],
        SPENDING,
    ),
    Case(
        "R6",
        "then_from_the_other_lots",
        [
            *TWO_LOTS_OF_450,
            spender("s1", d(3), 450),
            Then(lots={LOT2: {"available": 450}}, available=450),
            refunded("o1", d(5), "200"),
            # 450 - 100 x 1 = 350 of a lot that is empty: from the other, 450 - 350
            Then(lots={LOT2: {"available": 100}}, debt=0),
        ],
        SPENDING,
    ),
    Case(
        "R6",
        "then_debt_which_later_points_pay",
        [
            *TWO_LOTS_OF_450,
            spender("s1", d(3), 800),
            refunded("o1", d(5), "300"),
            Then(available=0, debt=350),  # 450 taken: the 100 left on day 2's lot, the rest owed
            paid("o3", d(6), "100"),
            Then(debt=350, pending=100),  # pending points pay nothing
            completed("o3", d(7)),
            Then(debt=250, available=0, pending=0, earned=550, redeemed=800),  # o2's 450 and o3's 100
        ],
        SPENDING,
        "received",
    ),
    Case(
        "R6",
        "debts_are_paid_oldest_first",
        [
            spender("s1", d(1), 100),
            spender("s2", d(2), 50),
            Then(debt=150, orders={"s1": {"owed": 100}, "s2": {"owed": 50}}),
            paid("o1", d(3), "120"),
            completed("o1", d(4)),
            Then(debt=30, orders={"s1": {"owed": 0}, "s2": {"owed": 30}}, available=0),  # 120 - 100 = 20 of 50
        ],
        SPENDING,
    ),
    Case(
        "R6",
        "returns_come_before_clawbacks",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(1, "11:00")),
            # 100 points pay ¥1 of ¥100: 99 x 1 earned, on day 2's lot
            paid("o2", d(2), "100", points_used=100, points_value="1.00"),
            completed("o2", d(2, "11:00")),
            spender("s1", d(3), 99),
            Then(available=0),
            refunded("o2", d(5), "100"),
            # 100 come back to day 1's lot, then 99 are taken: day 2's lot is empty
            Then(available=1, debt=0, lots={LOT1: {"available": 1}}),
        ],
        SPENDING,
    ),
    Case(
        "R6",
        "what_is_due_comes_before_the_clawback",
        [
            paid("o1", d(1), "100"),
            refunded("o1", d(17), "40"),
            # the line confirmed at the midnight that began day 17, so spendable points are taken
            Then(available=60, pending=0, earned=60),
        ],
        PURCHASE,
    ),
    Case(
        "R6",
        "a_removed_review_may_make_debt",
        [
            review("v1", d(1)),
            spender("s1", d(2), 20),
            review_removed("v1", d(3)),
            Then(available=0, debt=20, earned=0, redeemed=20),
        ],
        program(["purchase", "review"], rule=NO_SERVICE),
    ),
    Case(
        "R6",
        "what_was_sent_is_not_there_for_a_clawback",
        [*HUNDRED, send(d(6), 80), refunded("o1", d(7), "50"), Then(available=0, debt=30, in_transit=80)],
        SPENDING,
    ),
]

X_AND_Y: list[HistoryStep] = [
    paid("x", d(1, "10:00"), "100"),
    paid("y", d(1, "11:00"), "100"),
    completed("x", d(5)),
    completed("y", d(5)),
    spender("s1", d(6), 100),
    until(d(34)),
]

R7 = [
    Case(
        "R7",
        f"expired_points_are_not_taken_again_{first}_first",
        [
            *X_AND_Y,
            Then(available=0, lots={MARCH_LOT: {"expired": 100, "forgiven": 0}}),
            refunded(first, d(34, "11:00"), "100"),
            Then(debt=0, lots={MARCH_LOT: {"expired": 100, "forgiven": 100}}),  # min(100, 100 - 0) forgiven
            refunded(second, d(34, "12:00"), "100"),
            Then(debt=100, lots={MARCH_LOT: {"expired": 100, "forgiven": 100}}, earned=0),
        ],
        SPENDING_MONTH,
    )
    for first, second in (("x", "y"), ("y", "x"))
]

R7 += [
    Case(
        "R7",
        "a_part_is_forgiven_before_anything_is_taken",
        [
            *X_AND_Y,
            refunded("x", d(34, "11:00"), "30"),
            Then(debt=0, forgiven=30),
            refunded("y", d(34, "12:00"), "100"),
            Then(debt=30, forgiven=100),  # 100 clawed back: min(100, 100 - 30) = 70 forgiven, 30 owed
        ],
        SPENDING_MONTH,
    ),
    Case(
        "R7",
        "grace_lots_come_after_their_parent_open",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(5)),
            spender("s1", d(10), 100),
            refunded("s1", d(40), "200"),
            # 9 April + 30 days
            Then(available=100, lots={("2026-05-09", "2026-04-01"): {"available": 100}}),
            refunded("o1", d(45), "100"),
            Then(available=0, debt=0, forgiven=0),  # nothing had expired: the grace lot is taken
        ],
        SPENDING_MONTH,
    ),
    Case(
        "R7",
        "grace_lots_come_after_their_parent_expired",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(5)),
            spender("s1", d(10), 60),
            Then(available=40),
            refunded("s1", d(40), "200"),
            Then(available=60, expired=40),  # 40 expired on day 32, 60 came back in grace
            until(d(71)),
            Then(available=0, expired=100),  # and expired on day 70
            refunded("o1", d(75), "70"),
            Then(
                debt=0,
                earned=30,
                lots={
                    MARCH_LOT: {"expired": 40, "forgiven": 40},  # of 70
                    ("2026-05-09", "2026-04-01"): {"expired": 60, "forgiven": 30},
                },
            ),
        ],
        SPENDING_MONTH,
    ),
]

P7 = [
    Case(
        "P7",
        "the_shortfall_is_debt_and_an_alarm",
        [
            *TWO_LOTS[:2],
            paid("o3", d(3), "50", points_used=250, points_value="2.50"),
            Then(
                available=0,
                debt=150,
                redeemed=250,
                pending=47,  # 50 - 2.50 = 47.50
                orders={"o3": {"owed": 150, "alarms": frozenset({"points_short"})}},
            ),
        ],
        PURCHASE,
    ),
    Case(
        "P7",
        "a_hold_nobody_knows_is_none",
        [
            *TWO_LOTS,
            paid("o3", d(3), "50", points_used=150, points_value="1.50", hold="h0"),
            Then(available=50, debt=0, lots={LOT2: {"available": 50}}),  # in spending order
        ],
        PURCHASE,
    ),
    Case(
        "P7",
        "an_order_cancelled_already_spends_nothing_in_the_end",
        [
            *TWO_LOTS[:2],
            cancelled("o3", d(3)),
            late(paid("o3", d(2), "50", points_used=100, points_value="1.00"), d(4)),
            Then(available=100, redeemed=100, returned=100, debt=0, pending=0),
        ],
        PURCHASE,
    ),
    Case(
        "P7",
        "a_revision_that_uses_fewer_gives_the_rest_back",
        [
            *TWO_LOTS,
            paid("o3", d(3), "50", points_used=150, points_value="1.50"),
            paid("o3", d(4), "50", points_used=80, points_value="0.80", revision=1),
            # 70 return: 50 to day 2's lot, 20 to day 1's
            Then(redeemed=80, returned=0, available=120, lots={LOT1: {"available": 20}, LOT2: {"available": 100}}),
        ],
        PURCHASE,
    ),
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
            Then(available=40, redeemed=60, redemptions={"r1": {"points": 100, "returned": 0, "surplus": 40}}),
            give_back(d(7), 40),
            Then(
                available=40,
                redeemed=60,
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:completed", "booked"),
                    ("Redeem r1", "booked"),
                    ("s1:paid:0", "booked"),
                    ("GiveBack r1", "redemption_in_order"),
                ],
            ),
            cancelled("s1", d(8)),
            Then(available=100, redeemed=60, returned=60),
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
            # 50 held, and 30 of those redeemed, all of day 1's lot; 20 more of that lot come back, and 10 of day 2's
            Then(
                available=120,
                redeemed=80,
                lots={LOT1: {"available": 20}, LOT2: {"available": 100}},
                redemptions={"r1": {"surplus": 30}},
            ),
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

HUNDRED_AND_FIFTY = [line("l1", "100", category="service"), line("l2", "50", category="service")]
RICH: list[HistoryStep] = [
    paid("o1", d(1), "900"),
    completed("o1", d(1, "11:00")),
    Then(available=1900),  # 900 x 2, and 100 for the first purchase
]
WITH_BONUS = program(["purchase", "first-purchase"], rule=NO_SERVICE)
THREE_DAYS_ON = d(4, "10:05")


def revisions(**names: Any) -> list[Event]:
    """Revision 0 uses 300 points for ¥150, revision 1 uses 200 for ¥100."""
    return [
        spender("s1", THREE_DAYS_ON, 300, lines=HUNDRED_AND_FIFTY, **names),
        spender("s1", d(4, "10:06"), 200, lines=HUNDRED_AND_FIFTY[:1], revision=1, **names),
    ]


P7 += [
    Case(
        "P7",
        "what_a_redemption_has_beyond_the_order_s_use_returns_at_once",
        [
            *RICH,
            redeem(d(4), 500),
            Then(available=1400),
            spender("s1", THREE_DAYS_ON, 300, lines=HUNDRED_AND_FIFTY[:1], redemption="r1"),
            Then(
                available=1600,
                redeemed=300,
                returned=0,
                redemptions={"r1": {"points": 500, "returned": 0, "surplus": 200}},
                orders={"s1": {"points_used": 300, "points_returned": 0}},
            ),
            cancelled("s1", d(5)),
            Then(available=1900, returned=300),
        ],
        WITH_BONUS,
    ),
    *(
        Case(
            "P7",
            f"only_the_highest_revision_says_how_much_is_used_{of}_revision_{first}_first",
            [
                *RICH,
                *before,
                late(revisions(**names)[first], d(5)),
                late(revisions(**names)[1 - first], d(6)),
                Then(available=1700, redeemed=200, returned=0, orders={"s1": {"points_used": 200}}),
                cancelled("s1", d(7)),
                Then(available=1900, redeemed=200, returned=200, held=0, debt=0),
            ],
            WITH_BONUS,
        )
        for of, before, names in (
            ("of_a_redemption", [redeem(d(4), 300)], {"redemption": "r1"}),
            ("of_a_captured_hold", [hold(d(4), 300), capture(d(4, "10:01"))], {"hold": "h1"}),
            ("of_an_open_hold", [hold(d(4), 300, minutes=10_000)], {"hold": "h1"}),
        )
        for first in (0, 1)
    ),
    *(
        Case(
            "P7",
            f"what_one_revision_names_is_the_order_s_{naming}_names_it_and_{first}_is_first",
            [
                *RICH,
                redeem(d(4), 500),
                *(
                    late(revisions(**({"redemption": "r1"} if number == naming else {}))[number], day)
                    for number, day in ((first, d(5)), (1 - first, d(6)))
                ),
                Then(available=1700, redeemed=200, orders={"s1": {"points_used": 200}}),
                cancelled("s1", d(7)),
                Then(available=1900, redeemed=200, returned=200),
            ],
            WITH_BONUS,
        )
        for naming in (0, 1)
        for first in (0, 1)
    ),
]

CASES = [*R6, *R7, *P7]
