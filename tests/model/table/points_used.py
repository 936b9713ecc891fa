"""P: points used in an order: what they save, what comes back, and to which lots."""

from __future__ import annotations

from tests.model.events import (
    completed,
    d,
    gift_card,
    line,
    paid,
    part,
    refunded,
)
from tests.model.program import program
from tests.model.table.case import (
    MONTH,
    NO_SERVICE,
    PURCHASE,
    SPENDING,
    SPENDING_MONTH,
    Case,
    Then,
    order,
    spender,
    until,
)

RICH = [paid("o0", d(-5), "4500"), completed("o0", d(-4))]
"""9,000 points (4500 x 2). Tiers are `given` where it is used, so that it makes nobody supreme."""

P1 = [
    Case(
        "P1",
        "what_points_paid_earns_nothing",
        [
            *RICH,
            paid("o1", d(1), "900", points_used=9000, points_value="90"),
            Then(pending=1620, available=0, debt=0),  # 900 - 90 = 810 x 2
            completed("o1", d(2)),
            refunded("o1", d(5), "200"),
            # 700 left, less 90 - floor(90 x 200 / 900) = 70: 630 x 1.5 = 945, so 675 are taken; 2,000 return
            Then(available=945 + 2000, orders=order(points_returned=2000, earned_confirmed=945)),
        ],
        PURCHASE,
        "given",
    ),
    Case(
        "P1",
        "the_band_is_that_of_the_net",
        [
            *RICH,
            paid("o1", d(1), "810", points_used=9000, points_value="90"),
            Then(pending=1080),  # 720 x 1.5
        ],
        PURCHASE,
        "given",
    ),
    Case(
        "P1",
        "base_gross_earns_on_all",
        [
            *RICH,
            paid("o1", d(1), "900", points_used=9000, points_value="90"),
            Then(pending=1800),
            refunded("o1", d(5), "200"),
            Then(pending=1050, available=2000),  # 700 x 1.5
        ],
        program(["purchase"], rule={"purchase": {"base": "gross"}}),
        "given",
    ),
]

P2 = [
    Case(
        "P2",
        "half_the_goods_half_the_points",
        [
            *RICH,
            paid("o1", d(1), "100", points_used=2000, points_value="20"),
            Then(pending=80),
            refunded("o1", d(5), "50"),
            Then(pending=40, orders=order(points_returned=1000)),
        ],
        PURCHASE,
        "given",
    ),
    Case(
        "P2",
        "largest_remainder_ties_to_the_earlier",
        [
            *RICH,
            # 33.33 each, points and cents: 34, 33, 33
            paid("o1", d(1), [line(f"l{i}", "10") for i in (1, 2, 3)], points_used=100, points_value="1.00"),
            Then(pending=29),  # 30 - 1 = 29.00
            refunded("o1", d(2), [part("l2", "10")], refund="r2"),
            Then(orders=order(points_returned=33), pending=19),  # (10 - 0.34) + (10 - 0.33) = 19.33
            refunded("o1", d(3), [part("l1", "10")], refund="r1"),
            Then(orders=order(points_returned=67), pending=9),  # 9.67
            refunded("o1", d(4), [part("l3", "10")], refund="r3"),
            Then(orders=order(points_returned=100), pending=0),
        ],
        PURCHASE,
        "given",
    ),
    Case(
        "P2",
        "a_part_takes_its_floor_and_the_last_part_the_rest",
        [
            *RICH,
            paid("o1", d(1), [line(f"l{i}", "10") for i in (1, 2, 3)], points_used=100, points_value="1.00"),
            refunded("o1", d(2), "3.33", refund="r1"),
            Then(orders=order(points_returned=11)),  # floor(34 x 333 / 1000) = floor(11.322)
            refunded("o1", d(3), "3.33", refund="r2"),
            Then(orders=order(points_returned=22)),  # floor(34 x 666 / 1000) = floor(22.644)
            refunded("o1", d(4), "3.34", refund="r3"),
            Then(orders=order(points_returned=34)),
        ],
        PURCHASE,
        "given",
    ),
    Case(
        "P2",
        "not_over_lines_that_points_cannot_pay",
        [
            *RICH,
            paid("o1", d(1), [line("l1", "50"), gift_card("l2", "50")], points_used=100, points_value="1.00"),
            Then(pending=49),
            refunded("o1", d(2), [part("l2", "50")]),
            Then(orders=order(points_returned=0), pending=49),
            refunded("o1", d(3), [part("l1", "50")], refund="r2"),
            Then(orders=order(points_returned=100), pending=0),
        ],
        PURCHASE,
        "given",
    ),
    Case(
        "P2",
        "value_beyond_the_order_is_ignored_and_alarmed",
        [
            *RICH,
            paid("o1", d(1), "10", points_used=2000, points_value="20"),
            Then(pending=0, orders=order(points_used=2000, alarms=frozenset({"value_beyond_order"}))),
            refunded("o1", d(2), "5"),
            Then(orders=order(points_returned=1000), pending=0),
        ],
        PURCHASE,
        "given",
    ),
    Case(
        "P2",
        "shipping_and_tax_take_their_shares",
        [
            *RICH,
            # 100 points over 70, 20 and 10: 70, 20, 10
            paid("o1", d(1), "70", shipping="20", tax="10", points_used=100, points_value="1.00"),
            Then(pending=69),  # 70 - 0.70 = 69.30
            refunded("o1", d(2), "70", shipping="20"),
            Then(orders=order(points_returned=90)),
            refunded("o1", d(3), tax="10", refund="r2"),
            Then(orders=order(points_returned=100)),
        ],
        PURCHASE,
        "given",
    ),
]

TWO_LOTS = [
    paid("o1", d(1), "100"),
    completed("o1", d(1, "11:00")),
    paid("o2", d(2), "100"),
    completed("o2", d(2, "11:00")),
]
LOT1, LOT2 = ("2027-03-01", None), ("2027-03-02", None)

P3 = [
    Case(
        "P3",
        "back_to_the_lots_in_reverse_order",
        [
            *TWO_LOTS,
            spender("s1", d(3), 150),  # 100 of day 1's lot, 50 of day 2's
            Then(available=50, lots={LOT2: {"available": 50}}),
            refunded("s1", d(5), "100"),
            # half of 150: 50 to day 2's lot, 25 to day 1's
            Then(available=125, lots={LOT1: {"available": 25}, LOT2: {"available": 100}}),
            refunded("s1", d(6), "100", refund="r2"),
            Then(available=200, lots={LOT1: {"available": 100}, LOT2: {"available": 100}}),
        ],
        SPENDING,
    ),
    Case(
        "P3",
        "what_the_order_owes_first",
        [
            *TWO_LOTS[:2],
            spender("s1", d(3), 150),
            Then(available=0, debt=50, orders={"s1": {"owed": 50}}),
            refunded("s1", d(5), "100"),
            Then(available=25, debt=0, lots={LOT1: {"available": 25}}),  # 75: 50 cancel the debt
        ],
        SPENDING,
    ),
    Case(
        "P3",
        "also_before_older_debts_of_others",
        [
            spender("s1", d(1), 100),
            spender("s2", d(2), 50),
            refunded("s2", d(3), "200"),
            Then(debt=100, orders={"s1": {"owed": 100}, "s2": {"owed": 0}}),
        ],
        SPENDING,
    ),
    Case(
        "P3",
        "points_that_paid_its_debt_count_as_used_by_it",
        [
            *TWO_LOTS[:2],
            spender("s1", d(1, "12:00"), 150),
            *TWO_LOTS[2:],
            Then(available=50, debt=0, lots={LOT2: {"available": 50}}),  # day 2's lot paid 50
            refunded("s1", d(5), "100"),
            Then(available=125, lots={LOT1: {"available": 25}, LOT2: {"available": 100}}),
        ],
        SPENDING,
    ),
    Case(
        "P3",
        "what_comes_back_pays_other_debts",
        [
            *TWO_LOTS[:2],
            spender("s1", d(2), 100),
            spender("s2", d(3), 30),
            Then(debt=30),
            refunded("s1", d(5), "200"),
            Then(debt=0, available=70, orders={"s2": {"owed": 0}}, lots={LOT1: {"available": 70}}),
            refunded("s2", d(6), "200"),
            Then(available=100, lots={LOT1: {"available": 100}}),  # the 30 were day 1's
        ],
        SPENDING,
    ),
]

MARCH_LOT, GRACE_LOT = ("2026-04-01", None), ("2026-05-09", "2026-04-01")
EXPIRED_AND_BACK = [
    paid("o1", d(1), "100"),
    completed("o1", d(5)),
    spender("s1", d(10), 100),
    refunded("s1", d(40), "200"),  # 9 April: the lot of 1 April is over
]
AT_ONCE = {"mode": "recompute", "returned_expired": "expire_at_once", "park_days": 30}

P4 = [
    Case(
        "P4",
        "grace_is_counted_from_the_day_of_the_return",
        [
            *EXPIRED_AND_BACK,
            Then(available=100, lots={GRACE_LOT: {"available": 100}}),  # 9 April + 30 days
            until(d(70, "23:59:59")),
            Then(available=100),
            until(d(71, "00:00")),
            Then(available=0, lots={GRACE_LOT: {"expired": 100}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P4",
        "or_it_expires_at_once",
        [
            *EXPIRED_AND_BACK,
            Then(available=0, expired=100, returned=100, lots={MARCH_LOT: {"expired": 100}}),
        ],
        program(["purchase"], rule=NO_SERVICE, points={"expiry": MONTH, "refund": AT_ONCE}),
    ),
    Case(
        "P4",
        "what_was_in_grace_once_gets_no_other",
        [
            *EXPIRED_AND_BACK,
            spender("s2", d(45), 100),
            Then(available=0),
            refunded("s2", d(75), "200"),
            Then(available=0, debt=0, expired=100, lots={GRACE_LOT: {"expired": 100}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P4",
        "returns_of_one_day_share_a_grace_lot",
        [
            *EXPIRED_AND_BACK[:2],
            spender("s1", d(10), 60),
            spender("s2", d(11), 40),
            refunded("s1", d(40, "10:00"), "200"),
            refunded("s2", d(40, "11:00"), "100"),
            refunded("s2", d(41, "10:00"), "100", refund="r2"),
            Then(lots={GRACE_LOT: {"available": 80}, ("2026-05-10", "2026-04-01"): {"available": 20}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P4",
        "a_return_to_a_lot_that_lives_goes_there",
        [*EXPIRED_AND_BACK[:3], refunded("s1", d(32, "23:59:59"), "200"), Then(lots={MARCH_LOT: {"available": 100}})],
        SPENDING_MONTH,
    ),
]

CASES = [*P1, *P2, *P3, *P4]
