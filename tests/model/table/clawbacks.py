"""R6, R7: from which lots points are taken back, what is forgiven and what is owed."""

from __future__ import annotations

from tests.model.events import (
    completed,
    d,
    paid,
    refunded,
    review,
    review_removed,
)
from tests.model.program import program
from tests.model.table.case import (
    NO_SERVICE,
    PURCHASE,
    SPENDING,
    SPENDING_MONTH,
    Case,
    Step,
    Then,
    spender,
    until,
)

TWO_LOTS: list[Step] = [
    paid("o1", d(1), "300"),
    completed("o1", d(1, "11:00")),
    paid("o2", d(2), "300"),
    completed("o2", d(2, "11:00")),  # 300 x 1.5 = 450 in each of two lots
]
LOT1, LOT2 = ("2027-03-01", None), ("2027-03-02", None)

R6 = [
    Case(
        "R6",
        "from_the_lot_the_order_s_points_went_to_first",
        [
            *TWO_LOTS,
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
            *TWO_LOTS,
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
            *TWO_LOTS,
            spender("s1", d(3), 800),
            refunded("o1", d(5), "300"),
            Then(available=0, debt=350),  # 450 taken: the 100 left on day 2's lot, the rest owed
            paid("o3", d(6), "100"),
            Then(debt=350, pending=100),  # pending points pay nothing
            completed("o3", d(7)),
            Then(debt=250, available=0, pending=0, earned=550, redeemed=800),  # o2's 450 and o3's 100
        ],
        SPENDING,
        "given",
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
]

X_AND_Y: list[Step] = [
    paid("x", d(1, "10:00"), "100"),
    paid("y", d(1, "11:00"), "100"),
    completed("x", d(5)),
    completed("y", d(5)),
    spender("s1", d(6), 100),
    until(d(34)),
]
MARCH_LOT = ("2026-04-01", None)

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
            Then(debt=30, forgiven=100),  # 100 claimed: min(100, 100 - 30) = 70 forgiven, 30 owed
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

CASES = [*R6, *R7]
