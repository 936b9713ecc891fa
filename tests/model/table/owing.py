"""P6, P7: what comes in pays debt first; points used that are not there are owed."""

from __future__ import annotations

from tests.model.events import (
    cancelled,
    completed,
    d,
    paid,
    refunded,
    review,
    tier,
)
from tests.model.program import program
from tests.model.table.case import (
    MONTH,
    NO_SERVICE,
    PURCHASE,
    SPENDING_MONTH,
    Case,
    Then,
    late,
    spender,
    until,
)

TWO_LOTS = [
    paid("o1", d(1), "100"),
    completed("o1", d(1, "11:00")),
    paid("o2", d(2), "100"),
    completed("o2", d(2, "11:00")),
]
LOT1, LOT2 = ("2027-03-01", None), ("2027-03-02", None)

MARCH_LOT, GRACE_LOT = ("2026-04-01", None), ("2026-05-09", "2026-04-01")
EXPIRED_AND_BACK = [
    paid("o1", d(1), "100"),
    completed("o1", d(5)),
    spender("s1", d(10), 100),
    refunded("s1", d(40), "200"),  # 9 April: the lot of 1 April is over
]
AT_ONCE = {"mode": "recompute", "returned_expired": "expire_at_once", "park_days": 30}

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
        "given",
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
]

CASES = [*P6, *P7]
